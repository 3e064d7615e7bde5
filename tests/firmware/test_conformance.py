"""The firmware under MicroPython passes the kit that the simulated board passes."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.drivers.conformance import *  # noqa: F403 - the kit's tests
from tests.firmware.devices import FirmwareDevice, firmware_device


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[FirmwareDevice]:
    """A board with two radios."""
    async with firmware_device(tmp_path) as running:
        yield running
