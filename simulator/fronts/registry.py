"""Families of simulated devices by name: ``kind = "..."`` of a scenario's concentrator.

One line each; the file is imported when the first device of the family gets power.
"""

from dataclasses import dataclass
from importlib import import_module
from typing import cast

from simulator.firmware import PowerOn
from simulator.scenario import MAX_RADIOS


@dataclass(frozen=True, slots=True)
class Front:
    """What is known of a family without importing it.

    Attributes:
        power_on: ``module:name`` of its :data:`~simulator.firmware.PowerOn`.
        driver: what a gateway's configuration calls the family.
        radios: how many a device can have.
        baud: its usual line rate in bit/s.
        sync_word: the only one that it can listen to; None = any.
        region / radio: what ``simulate idle`` uses it for, the radio as ``MHz:SF``.
    """

    power_on: str
    driver: str
    radios: int
    baud: int
    sync_word: int | None = None
    region: str = "AS923-2"
    radio: str = "921.4:9"


FRONTS: dict[str, Front] = {
    "bridge": Front("simulator.board:power_on", driver="bridge", radios=MAX_RADIOS, baud=115_200),
    "rnode": Front("simulator.fronts.rnode:power_on", "rnode", 1, 115_200, sync_word=0x12),
    "rnode-avr": Front("simulator.fronts.rnode:power_on_avr", "rnode", 1, 115_200, sync_word=0x12),
    "rnode-ce": Front(
        "simulator.fronts.rnode:power_on_community", "rnode", 4, 115_200, sync_word=0x12
    ),
    "meshcore": Front(
        "simulator.fronts.meshcore:power_on",
        driver="meshcore",
        radios=1,
        baud=115_200,
        sync_word=0x12,
    ),
    "loraprs": Front("simulator.fronts.loraprs:power_on", "loraprs", 1, 115_200),
    "rn2903": Front("simulator.fronts.rn2xx3:power_on", "rn2xx3", 1, 57_600),
    "rn2903-old": Front("simulator.fronts.rn2xx3:power_on_old", "rn2xx3", 1, 57_600),
    "rn2483": Front(
        "simulator.fronts.rn2xx3:power_on_rn2483",
        "rn2xx3",
        1,
        57_600,
        region="EU868",
        radio="868.1:9",
    ),
}


def power_on(kind: str) -> PowerOn:
    """What starts a device of this kind.

    Raises:
        KeyError: there is no such kind.
    """
    module_name, _, attribute = FRONTS[kind].power_on.partition(":")
    return cast(PowerOn, getattr(import_module(module_name), attribute))
