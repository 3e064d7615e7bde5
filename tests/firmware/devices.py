"""The firmware as a device of the conformance kit."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from simulator.fronts.registry import FRONTS, Front
from simulator.scenario import FaultKind
from simulator.simulated_site import Arrival, Site
from tests.drivers.devices import BRIDGE, DEADLINE_S, Device
from tests.firmware.micropython_board import MicroPythonBoard, running

KIND = "micropython"
FAMILY = replace(BRIDGE, kind=KIND)
FRONT = Front("tests.firmware.micropython_board:power_on", driver="bridge", radios=4, baud=115_200)


@dataclass
class FirmwareDevice(Device):
    """A board whose firmware is a process of its own."""

    def board(self) -> MicroPythonBoard:
        """The board, which has to have power."""
        board = self.site.concentrators["board"].board
        assert isinstance(board, MicroPythonBoard)
        return board

    async def hear(self, payload: bytes, *, crc_ok: bool = True) -> None:
        """Let a frame arrive as soon as the firmware has read the one before: frames take time."""
        await self.hear_on(0, payload, crc_ok=crc_ok)

    async def hear_on(self, radio: int, payload: bytes, *, crc_ok: bool = True) -> int:
        """The same at any radio; the time of its last symbol."""
        unit = self.board().units[radio]
        async with asyncio.timeout(DEADLINE_S):
            while unit.unread or unit.chip.listening(unit.now_us()) is None:
                await asyncio.sleep(0.0005)
        arrival = Arrival(payload, rssi_dbm=-100.0, snr_db=5.0, crc_ok=crc_ok)
        ended_us = unit.now_us()
        self.site.whole_frame(0, "board", self.board().radios[radio], arrival)
        return ended_us

    async def suffer(self, fault: FaultKind, duration_s: float) -> None:
        """What takes the board's power takes the process."""
        if fault in (FaultKind.UNPLUG, FaultKind.REBOOT):
            self.board().stop()
        await super().suffer(fault, duration_s)


@asynccontextmanager
async def firmware_device(
    directory: Path, *, radios: int = 2, chunk: int = 512
) -> AsyncIterator[FirmwareDevice]:
    """A board with power; nothing of it is left afterwards.

    Only meanwhile the simulator knows its kind: it ships no such front.
    """
    FRONTS[KIND] = FRONT
    try:
        async with _with_power(directory, radios, chunk) as device:
            yield device
    finally:
        del FRONTS[KIND]


@asynccontextmanager
async def _with_power(directory: Path, radios: int, chunk: int) -> AsyncIterator[FirmwareDevice]:
    site = Site(directory, {"board": radios}, seed=1, baud=0, kinds={"board": KIND})
    site.concentrators["board"].port.chunk = chunk
    site.start()
    device = FirmwareDevice(site, FAMILY)
    last = device.board()
    try:
        yield device
        board = site.concentrators["board"].board
        last = board if isinstance(board, MicroPythonBoard) else last
    finally:
        site.stop()
        for board in running[:]:
            board.stop()
    assert last.errors == ""
