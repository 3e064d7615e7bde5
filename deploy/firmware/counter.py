"""The board's clock: 64 bits of microseconds, made from a tick that wraps (link, section 7).

``time.ticks_us`` wraps after 2^30 us (18 minutes) on both chips, and fits a small integer, so that
an interrupt may read it without taking memory.
"""

from time import ticks_diff, ticks_us


class Counter:
    """Counts on from 0 at the boot; :meth:`now` has to be called every 8 minutes or oftener."""

    def __init__(self):
        self._tick = ticks_us()
        self._count = 0

    def now(self):
        """Microseconds since the boot."""
        tick = ticks_us()
        self._count += ticks_diff(tick, self._tick)
        self._tick = tick
        return self._count

    def at(self, tick):
        """The count at a tick that was taken less than 8 minutes ago."""
        now = self.now()
        return now + ticks_diff(tick, self._tick)
