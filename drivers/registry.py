"""Device families by name: ``[[concentrator]] driver = "..."``. One entry each."""

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
        rejects: all reasons for which its session throws away what is on the line.
        baud: the family's usual line rate in bit/s, taken where none is configured.
    """

    driver: str
    check: str
    rejects: str
    baud: int


DRIVERS: dict[str, Family] = {
    "bridge": Family(
        "drivers.bridge:BridgeDriver",
        "drivers.bridge_setup:check_options",
        "protocol.link.host_session:REJECTS",
        115_200,
    ),
    "loraprs": Family(
        "drivers.loraprs:LoraprsDriver",
        "drivers.loraprs_options:check_options",
        "protocol.dialects.loraprs:REJECTS",
        115_200,
    ),
    "meshcore": Family(
        "drivers.meshcore:MeshCoreDriver",
        "drivers.meshcore_options:check_options",
        "protocol.dialects.meshcore:REJECTS",
        115_200,
    ),
    "rnode": Family(
        "drivers.rnode:RNodeDriver",
        "drivers.rnode_options:check_options",
        "protocol.dialects.rnode:REJECTS",
        115_200,
    ),
    "rn2xx3": Family(
        "drivers.rn2xx3:RN2xx3Driver",
        "drivers.rn2xx3_options:check_options",
        "protocol.dialects.rn2xx3:REJECTS",
        57_600,
    ),
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


def link_rejects(name: str) -> tuple[str, ...]:
    """Why a family's session may throw away what is on its line; a closed list.

    Raises:
        KeyError: no driver has this name.
    """
    return cast(tuple[str, ...], _load(DRIVERS[name].rejects))


def _load(path: str) -> object:
    module_name, _, attribute = path.partition(":")
    loaded: object = getattr(import_module(module_name), attribute)
    return loaded
