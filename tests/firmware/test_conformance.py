"""The firmware under MicroPython passes the kit that the simulated board passes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.firmware.devices import FirmwareDevice, firmware_device
from tests.firmware.micropython_board import needs_micropython

pytestmark = needs_micropython


@pytest.fixture(params=[512, 1], ids=["whole", "byte-by-byte"])
async def device(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[FirmwareDevice]:
    """A board with two radios on a good line, and one whose bytes come one at a time."""
    async with firmware_device(tmp_path, chunk=request.param) as running:
        yield running
