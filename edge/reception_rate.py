"""How many receptions a radio usually has at each hour of the day, to tell silence from a fault.

Learnt while the process runs, on the uptime clock: no wall clock is needed, and an hour that is
quiet each night is expected to be quiet. In the first day nothing is known, so nothing is missed.
"""

HOUR_US = 3_600_000_000
_HOURS = 24


class ReceptionRate:
    """One radio's day. All times are CLOCK_BOOTTIME in microseconds and never go back."""

    def __init__(self, now_us: int) -> None:
        self._day: list[float | None] = [None] * _HOURS
        self._hour = now_us // HOUR_US + 1  # the first one is not a whole one
        self._count = 0
        self._last_us = now_us

    def heard(self, now_us: int) -> None:
        """Note a reception. Quiet hours before it are learnt now: it was no fault."""
        self._learn(now_us)
        if now_us // HOUR_US >= self._hour:
            self._count += 1
        self._last_us = max(self._last_us, now_us)

    def forget_silence(self, now_us: int) -> None:
        """The radio was deaf or away: what it did not hear says nothing about the day."""
        self._hour = now_us // HOUR_US + 1
        self._count = 0
        self._last_us = max(self._last_us, now_us)

    def missed(self, now_us: int) -> float:
        """Receptions that these hours usually have, since the last one."""
        start_us, total = self._last_us, 0.0
        days, rest_us = divmod(max(0, now_us - start_us), _HOURS * HOUR_US)
        end_us = start_us + rest_us
        while start_us < end_us:
            hour = start_us // HOUR_US
            stop_us = min(end_us, (hour + 1) * HOUR_US)
            total += (self._day[hour % _HOURS] or 0.0) * (stop_us - start_us) / HOUR_US
            start_us = stop_us
        return total + days * sum(count or 0.0 for count in self._day)

    def _learn(self, now_us: int) -> None:
        """Close the hours that have ended; yesterday and today count the same."""
        now_hour = now_us // HOUR_US
        if now_hour - self._hour >= _HOURS:  # so long a silence tells of no usual day
            self.forget_silence(now_us)
        while self._hour < now_hour:
            before = self._day[self._hour % _HOURS]
            count = float(self._count)
            self._day[self._hour % _HOURS] = count if before is None else (before + count) / 2
            self._hour, self._count = self._hour + 1, 0
