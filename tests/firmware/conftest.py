"""A board that runs the firmware, and a host at its other end."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.firmware.devices import FirmwareDevice, firmware_device
from tests.simulator.line_host import LineHost


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[FirmwareDevice]:
    """A board with two radios."""
    async with firmware_device(tmp_path) as running:
        yield running


@pytest.fixture
async def host(device: FirmwareDevice) -> AsyncIterator[LineHost]:
    """A host that has set both radios up."""
    line = LineHost(device.port)
    try:
        await line.set_up(radios=2)
        yield line
    finally:
        line.close()
