"""Device families by name: ``[[concentrator]] driver = "..."``. One line each."""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from drivers.base import CheckOptions, DriverFactory


@dataclass(frozen=True, slots=True)
class Family:
    """Where a family's parts are (``module:name``), imported on first use.

    Attributes:
        driver: makes a :class:`~drivers.base.Driver`.
        check: its :data:`~drivers.base.CheckOptions`; in a module that opens no ports.
        baud: the family's usual line rate in bit/s, taken where none is configured.
    """

    driver: str
    check: str
    baud: int


DRIVERS: dict[str, Family] = {
    "bridge": Family("drivers.bridge:BridgeDriver", "drivers.bridge_setup:check_options", 115_200),
    "loraprs": Family(
        "drivers.loraprs:LoraprsDriver", "drivers.loraprs_options:check_options", 115_200
    ),
    "meshcore": Family(
        "drivers.meshcore:MeshCoreDriver", "drivers.meshcore_options:check_options", 115_200
    ),
    "rnode": Family("drivers.rnode:RNodeDriver", "drivers.rnode_options:check_options", 115_200),
    "rn2xx3": Family("drivers.rn2xx3:RN2xx3Driver", "drivers.rn2xx3_options:check_options", 57_600),
}

NOT_DRIVEN = {
    "kiss": "a plain KISS TNC says neither what its radio listens to nor that it is alive, so that"
    " a dead one could not be told from a quiet night; of the firmware that speaks KISS"
    ' "meshcore", "loraprs" and "rnode" can be driven, see docs/DEVICES.md',
}
"""What people may expect here, and why there is none."""


def driver_factory(name: str) -> DriverFactory:
    """What makes a driver of this name.

    Raises:
        KeyError: no driver has it.
    """
    return cast(DriverFactory, _load(DRIVERS[name].driver))


def options_check(name: str) -> CheckOptions:
    """What tells, without opening a port, which options a family cannot meet.

    Raises:
        KeyError: no driver has this name.
    """
    return cast(CheckOptions, _load(DRIVERS[name].check))


def _load(path: str) -> object:
    module_name, _, attribute = path.partition(":")
    loaded: object = getattr(import_module(module_name), attribute)
    return loaded
