"""How much an upstream may send: ``max_bytes_per_day`` of a metered SIM card.

A token bucket on the uptime clock. It begins empty, so that restarts give nothing away, and holds
an eighth of the day's bytes; the other seven eighths trickle in. So in no 24 hours more is sent
than the day's bytes, but for the one batch that was under way when they ran out, and alarms.

Pure: times are microseconds of CLOCK_BOOTTIME.
"""

_DAY_US = 86_400_000_000
_BURST = 8  # of how many parts of the day one may be spent at once


class ByteBudget:
    """Spent after the fact: sending is allowed while nothing is owed.

    Args:
        max_bytes_per_day: at least 1.
    """

    def __init__(self, max_bytes_per_day: int, now_us: int) -> None:
        self._capacity = max_bytes_per_day / _BURST
        self._per_us = (max_bytes_per_day - self._capacity) / _DAY_US
        self._level = 0.0
        self._at_us = now_us

    def left_bytes(self, now_us: int) -> int:
        """What may be sent now; below 0 it is owed, and nothing may."""
        self._refill(now_us)
        return int(self._level)

    def wait_us(self, now_us: int) -> int:
        """How long nothing may be sent; 0 = it may be now."""
        self._refill(now_us)
        if self._level >= 0:
            return 0
        return int(-self._level / self._per_us) + 1

    def spend(self, sent_bytes: int, now_us: int) -> None:
        """So many were sent, whether they were allowed or not."""
        self._refill(now_us)
        self._level -= sent_bytes

    def _refill(self, now_us: int) -> None:
        gained = max(0, now_us - self._at_us) * self._per_us
        self._level = min(self._capacity, self._level + gained)
        self._at_us = max(now_us, self._at_us)
