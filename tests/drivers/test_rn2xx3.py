"""The ``rn2xx3`` driver: the conformance kit on three modules, and what only these modules have."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import DriverOptions, RadioOptions
from drivers.registry import driver_factory
from drivers.rn2xx3 import RN2xx3Driver
from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.drivers.devices import Device, Family, Traits, powered

RADIO = RadioOptions(frequency_hz=921_400_000, spreading_factor=9)
RN2903 = Family(
    kind="rn2903",
    new_driver=RN2xx3Driver,
    options=DriverOptions(name="roof", port="", baud=57_600, unique_id="", radios=(RADIO,)),
    traits=Traits(
        acknowledges=False,
        frame_check=False,
        tells_bad_crc=False,
        tells_rssi=True,
        tells_snr=True,
        rssi_model="rn2xx3",
    ),
)
OLD = replace(RN2903, kind="rn2903-old", traits=replace(RN2903.traits, tells_rssi=False))
RN2483 = replace(
    RN2903,
    kind="rn2483",
    options=replace(RN2903.options, radios=(replace(RADIO, frequency_hz=868_100_000),)),
    traits=replace(RN2903.traits, frequency_hz=868_100_000),
)


@pytest.fixture(
    params=[(RN2903, 512), (RN2903, 1), (OLD, 512), (RN2483, 512)],
    ids=["whole", "byte-by-byte", "old", "rn2483"],
)
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Device]:
    """A module with power."""
    family, chunk = request.param
    async with powered(family, tmp_path, chunk=chunk) as running:
        yield running


async def test_the_registry_knows_it() -> None:
    """``driver = "rn2xx3"``."""
    assert driver_factory("rn2xx3") is RN2xx3Driver
