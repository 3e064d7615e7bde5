"""The ``bridge`` driver: the conformance kit, and what only our own link has."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest

from drivers.base import Downlink, RadioOptions, TxOutcome
from drivers.bridge import BridgeDriver
from drivers.errors import UnsupportedConfiguration, UnsupportedDevice
from drivers.registry import driver_factory
from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.drivers.devices import BRIDGE, Device, boottime_us, powered


@pytest.fixture(params=[512, 1], ids=["whole", "byte-by-byte"])
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Device]:
    """A board on a good line, and one whose bytes come one at a time."""
    async with powered(BRIDGE, tmp_path, chunk=request.param) as running:
        yield running


async def test_the_registry_knows_it() -> None:
    """``driver = "bridge"``."""
    assert driver_factory("bridge") is BridgeDriver


async def test_another_board_than_the_pinned_one_is_refused(device: Device) -> None:
    """A swapped board is noticed and not trusted."""
    driver = BridgeDriver(device.options(unique_id="00"), boottime_us)
    with pytest.raises(UnsupportedDevice, match="not the configured one"):
        await driver.__aenter__()


async def test_too_many_radios_are_refused(device: Device) -> None:
    """Before anything is set up."""
    options = device.options()
    options = replace(options, radios=options.radios * 2)
    with pytest.raises(UnsupportedConfiguration, match="has 2 radios, 4 are configured"):
        await BridgeDriver(options, boottime_us).__aenter__()


async def test_a_frequency_that_the_chip_cannot_tune_is_refused(device: Device) -> None:
    """An SX1276 ends at 1,020 MHz."""
    radio = RadioOptions(frequency_hz=2_400_000_000, spreading_factor=9)
    with pytest.raises(UnsupportedConfiguration, match="radio 0"):
        await BridgeDriver(device.options(radios=(radio,)), boottime_us).__aenter__()


async def test_transmission_is_refused_truthfully(device: Device) -> None:
    """Until the regulation guard exists."""
    async with device.new_driver() as driver:
        result = await driver.transmit(
            Downlink(0, b"", 921_400_000, 9, 125_000, "4/5", 14, invert_iq=True, at_count_us=None)
        )
        assert result.outcome is TxOutcome.NOT_SUPPORTED
        assert driver.capabilities.radios == 2
