"""The ``rnode`` driver: the conformance kit on three kinds of boards, and what only RNodes have."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import DriverOptions, RadioOptions
from drivers.registry import driver_factory
from drivers.rnode import RNodeDriver
from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.drivers.devices import Device, Family, Traits, powered

RADIO = RadioOptions(frequency_hz=921_400_000, spreading_factor=9, sync_word=0x12, payload="cbor")
RNODE = Family(
    kind="rnode",
    new_driver=RNodeDriver,
    options=DriverOptions(name="roof", port="", baud=115_200, unique_id="", radios=(RADIO,)),
    traits=Traits(
        acknowledges=False,
        frame_check=False,
        tells_bad_crc=False,
        tells_rssi=True,
        tells_snr=True,
        rssi_model="rnode",
        rssi_dbm=-106.5,  # -100 dBm times 1.066: the firmware's own arithmetic
    ),
    on_air=lambda payload: b"\x70" + payload,  # the firmware takes the first byte for its header
    longest_payload=254,
)
AVR = replace(RNODE, kind="rnode-avr")
COMMUNITY = replace(
    RNODE,
    kind="rnode-ce",
    options=replace(RNODE.options, radios=(RADIO, replace(RADIO, frequency_hz=921_600_000))),
)


@pytest.fixture(
    params=[(RNODE, 512), (RNODE, 1), (AVR, 512), (COMMUNITY, 512)],
    ids=["whole", "byte-by-byte", "avr", "community"],
)
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Device]:
    """A board with power."""
    family, chunk = request.param
    async with powered(family, tmp_path, chunk=chunk) as running:
        yield running


async def test_the_registry_knows_it() -> None:
    """``driver = "rnode"``."""
    assert driver_factory("rnode") is RNodeDriver
