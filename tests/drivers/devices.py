"""Simulated devices on real ptys, one per driver: what the conformance kit drives."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from time import monotonic_ns
from typing import Protocol

from drivers.base import Driver, DriverOptions, RadioOptions
from drivers.bridge import BridgeDriver
from simulator.scenario import FaultKind
from simulator.simulated_site import Arrival, Site

DEADLINE_S = 15.0


def boottime_us() -> int:
    """The host's clock, as the service would pass it."""
    return monotonic_ns() // 1000


class Device(Protocol):
    """A device under test and the driver that belongs to it."""

    @property
    def port(self) -> Path: ...

    def new_driver(self) -> Driver:
        """A driver for the device, not yet entered."""
        ...

    async def hear(self, payload: bytes, *, crc_ok: bool = True) -> None:
        """Let a frame arrive at the device's first radio as soon as that listens."""
        ...

    def put_on_line(self, data: bytes) -> None:
        """Put bytes on the line that are no frame."""
        ...

    def waiting(self) -> int:
        """Events that the device keeps because nobody acknowledged them."""
        ...

    async def suffer(self, fault: FaultKind, duration_s: float) -> None:
        """Let a fault happen; returns when it is over."""
        ...


@dataclass
class BridgeDevice:
    """A board that speaks our own link."""

    site: Site
    radios: int = 2

    @property
    def port(self) -> Path:
        return self.site.directory / "board"

    def options(self, **changes: object) -> DriverOptions:
        """What a configuration would say of it."""
        values: dict[str, object] = {
            "name": "roof",
            "port": str(self.port),
            "baud": 115_200,
            "unique_id": "",
            "radios": tuple(
                RadioOptions(frequency_hz=921_400_000 + 200_000 * index, spreading_factor=9)
                for index in range(self.radios)
            ),
        }
        return DriverOptions(**(values | changes))  # type: ignore[arg-type]

    def new_driver(self) -> Driver:
        return BridgeDriver(self.options(), boottime_us)

    async def hear(self, payload: bytes, *, crc_ok: bool = True) -> None:
        board = self.site.concentrators["board"].board
        assert board is not None
        async with asyncio.timeout(DEADLINE_S):
            # After the last register was written a chip takes some 0.3 ms to lock on the channel.
            while board.radios[0].chip.listening(board.radios[0].now_us()) is None:
                await asyncio.sleep(0.0005)
        arrival = Arrival(payload, rssi_dbm=-100.0, snr_db=5.0, crc_ok=crc_ok)
        self.site.whole_frame(self.site.balance.sent, "board", board.radios[0], arrival)
        self.site.balance.sent += 1

    def put_on_line(self, data: bytes) -> None:
        self.site.concentrators["board"].inject_garbage(data)

    def waiting(self) -> int:
        board = self.site.concentrators["board"].board
        return 0 if board is None else len(board.session.unacknowledged)

    async def suffer(self, fault: FaultKind, duration_s: float) -> None:
        await self.site.concentrators["board"].suffer(fault, duration_s)


@asynccontextmanager
async def bridge_device(directory: Path, *, chunk: int = 512) -> AsyncIterator[BridgeDevice]:
    """A powered board; ``chunk`` = how many bytes a write to the pty carries at most."""
    site = Site(directory, {"board": 2}, seed=1, baud=0)
    site.concentrators["board"].port.chunk = chunk
    site.start()
    try:
        yield BridgeDevice(site)
    finally:
        site.stop()
