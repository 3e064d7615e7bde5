"""Simulated devices on real ptys, one family per driver: what the conformance kit drives.

A family joins by one :class:`Family`: how it is simulated, which driver belongs to it, and its
:class:`Traits`. What a family cannot do is a trait; the kit then asserts what holds instead.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic_ns

from drivers.base import BoottimeUs, Driver, DriverOptions, RadioOptions
from drivers.bridge import BridgeDriver
from simulator.scenario import FaultKind
from simulator.simulated_site import Arrival, Site

DEADLINE_S = 15.0


def boottime_us() -> int:
    """The host's clock, as the service would pass it."""
    return monotonic_ns() // 1000


@dataclass
class HostClock:
    """The host's clock; it can be made to hurry, so that a test need not wait for a deadline."""

    rate: int = 1
    _base_us: int = field(default_factory=boottime_us)
    _shown_us: int = field(default_factory=boottime_us)

    def __call__(self) -> int:
        """CLOCK_BOOTTIME in microseconds, as the driver is to believe."""
        return self._shown_us + (boottime_us() - self._base_us) * self.rate

    def hurry(self, rate: int) -> None:
        """From now on run so many times as fast."""
        self._shown_us, self._base_us = self(), boottime_us()
        self.rate = rate


@dataclass(frozen=True, slots=True)
class Traits:
    """What a family of devices can and cannot do.

    Attributes:
        acknowledges: keeps each event until it is acknowledged, and numbers it: what a line loses
            comes again, what it says twice counts once.
        frame_check: a damaged frame on the line is recognised; else it may pass for a good one.
        tells_bad_crc: passes on frames with a bad CRC, marked, and vouches for good ones; else it
            keeps bad ones to itself and nothing is known of the others.
        tells_rssi / tells_snr: whether a reception says so.
        tells_reboot: a restart of the device is noticed on the open port; else the connection ends.
        frequency_hz / spreading_factor: what its first radio is set to.
        rssi_model: the label of its RSSI.
        rssi_dbm / snr_db: what it says of a frame of -100 dBm and 5 dB, within the tolerance.
    """

    acknowledges: bool
    frame_check: bool
    tells_bad_crc: bool
    tells_rssi: bool
    tells_snr: bool
    rssi_model: str
    tells_reboot: bool = True
    frequency_hz: int = 921_400_000
    spreading_factor: int = 9
    rssi_dbm: float = -100.0
    rssi_tolerance_db: float = 1.0
    snr_db: float = 5.0
    snr_tolerance_db: float = 0.25


@dataclass(frozen=True, slots=True)
class Family:
    """How a family is driven and simulated.

    Attributes:
        kind: its name in the simulator.
        new_driver: makes its driver.
        options: what a configuration would say of it; its port is ignored.
        on_air: the PHY payload by which a sensor makes the device report this payload.
        longest_payload: bytes that the device can report of one frame.
        hurry: how many times as fast the host's clock runs, where a true one would make tests wait.
    """

    kind: str
    new_driver: Callable[[DriverOptions, BoottimeUs], Driver]
    options: DriverOptions
    traits: Traits
    on_air: Callable[[bytes], bytes] = bytes
    longest_payload: int = 255
    hurry: int = 1


@dataclass
class Device:
    """A simulated device with power, and what a test may do to it."""

    site: Site
    family: Family
    clock: HostClock = field(default_factory=HostClock)

    @property
    def port(self) -> Path:
        return self.site.directory / "board"

    @property
    def traits(self) -> Traits:
        return self.family.traits

    def options(self, **changes: object) -> DriverOptions:
        """What a configuration would say of it."""
        values = {name: getattr(self.family.options, name) for name in DriverOptions.__slots__}
        return DriverOptions(**(values | {"port": str(self.port)} | changes))

    def new_driver(self) -> Driver:
        """A driver for the device, not yet entered."""
        return self.family.new_driver(self.options(), self.clock)

    async def hear(self, payload: bytes, *, crc_ok: bool = True) -> None:
        """Let a frame arrive at the first radio that the device reports as this payload."""
        await self.transmission(self.family.on_air(payload), crc_ok=crc_ok)

    async def transmission(self, phy_payload: bytes, *, crc_ok: bool = True) -> None:
        """Let a frame arrive at the device's first radio as soon as that listens."""
        board = self.site.concentrators["board"].board
        assert board is not None
        async with asyncio.timeout(DEADLINE_S):
            # After the last register was written a chip takes some 0.3 ms to lock on the channel.
            # A device without a ring has room for a few frames only: they come one after another.
            while board.radios[0].chip.listening(board.radios[0].now_us()) is None or (
                not self.traits.acknowledges and self.waiting()
            ):
                await asyncio.sleep(0.0005)
        arrival = Arrival(phy_payload, rssi_dbm=-100.0, snr_db=5.0, crc_ok=crc_ok)
        self.site.whole_frame(self.site.balance.sent, "board", board.radios[0], arrival)
        self.site.balance.sent += 1

    def put_on_line(self, data: bytes) -> None:
        """Put bytes on the line that are no frame."""
        self.site.concentrators["board"].inject_garbage(data)

    def spoil_next(self, how: Callable[[bytes], bytes]) -> None:
        """Let the line change the next frame that carries a reception."""
        self.site.concentrators["board"].port.spoil_next = how

    def waiting(self) -> int:
        """Events that the device keeps because nobody acknowledged them."""
        board = self.site.concentrators["board"].board
        return 0 if board is None else len(board.unacknowledged)

    async def suffer(self, fault: FaultKind, duration_s: float) -> None:
        """Let a fault happen; returns when it is over."""
        await self.site.concentrators["board"].suffer(fault, duration_s)


@asynccontextmanager
async def powered(family: Family, directory: Path, *, chunk: int = 512) -> AsyncIterator[Device]:
    """A device with power; ``chunk`` = how many bytes a write to the pty carries at most."""
    radios = {"board": len(family.options.radios)}
    site = Site(directory, radios, seed=1, baud=0, kinds={"board": family.kind})
    site.concentrators["board"].port.chunk = chunk
    site.start()
    try:
        yield Device(site, family, HostClock(family.hurry))
    finally:
        site.stop()


BRIDGE = Family(
    kind="bridge",
    new_driver=BridgeDriver,
    options=DriverOptions(
        name="roof",
        port="",
        baud=115_200,
        unique_id="",
        radios=(
            RadioOptions(frequency_hz=921_400_000, spreading_factor=9),
            RadioOptions(frequency_hz=921_600_000, spreading_factor=9),
        ),
    ),
    traits=Traits(
        acknowledges=True,
        frame_check=True,
        tells_bad_crc=True,
        tells_rssi=True,
        tells_snr=True,
        rssi_model="sx127x",
    ),
)
