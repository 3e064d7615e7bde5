"""A clock that tests move."""

from dataclasses import dataclass

from protocol.records.sensor_frame import WallTime


@dataclass
class FakeClock:
    """See :class:`edge.clock.Clock`."""

    now_us: int = 1_000_000
    boot_id: bytes = bytes(range(16))
    wall_time: WallTime | None = None

    def boottime_us(self) -> int:
        """The time that was set."""
        return self.now_us

    def wall(self) -> WallTime | None:
        """What was set."""
        return self.wall_time
