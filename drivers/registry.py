"""Device families by name: ``[[concentrator]] driver = "..."``. One line each."""

from importlib import import_module
from typing import cast

from drivers.base import DriverFactory

DRIVERS: dict[str, str] = {
    "bridge": "drivers.bridge:BridgeDriver",
}


def driver_factory(name: str) -> DriverFactory:
    """Import the driver on first use and return what makes it.

    Raises:
        KeyError: no driver has this name.
    """
    module_name, _, attribute = DRIVERS[name].partition(":")
    return cast(DriverFactory, getattr(import_module(module_name), attribute))
