"""Keeps one message that repeats from drowning all others, and an SD card from wearing out."""

import logging
from dataclasses import dataclass

LINES_PER_WINDOW = 10
WINDOW_US = 60_000_000
MAX_WINDOWS = 512


@dataclass(slots=True)
class _Window:
    began_at_us: int
    admitted: int = 0
    suppressed: int = 0


_Key = tuple[str, int, str]


class RateLimiter:
    """Admits ten lines a minute of each logger, level and message template.

    Times are CLOCK_BOOTTIME in microseconds: the wall clock of a gateway jumps by years.
    """

    def __init__(self) -> None:
        # In order of beginning, so that the first is always the next to end.
        self._windows: dict[_Key, _Window] = {}

    def admit(self, record: logging.LogRecord, now_us: int) -> bool:
        """Tell whether to write a record; the caller asks :meth:`due` before."""
        key = (record.name, record.levelno, str(record.msg))
        window = self._windows.setdefault(key, _Window(now_us))
        if window.admitted == LINES_PER_WINDOW:
            window.suppressed += 1
            return False
        window.admitted += 1
        return True

    def due(self, now_us: int) -> list[logging.LogRecord]:
        """End the windows whose time is over; return a line for each that suppressed something.

        Where nothing else is logged, it comes with the next line or at the end.
        """
        ended: list[_Key] = []
        for key, window in self._windows.items():
            crowded = len(self._windows) - len(ended) >= MAX_WINDOWS
            if now_us - window.began_at_us < WINDOW_US and not crowded:
                break
            ended.append(key)
        return self._end(ended)

    def close(self) -> list[logging.LogRecord]:
        """End every window."""
        return self._end(list(self._windows))

    def _end(self, keys: list[_Key]) -> list[logging.LogRecord]:
        summaries = []
        for key in keys:
            name, level, template = key
            suppressed = self._windows.pop(key).suppressed
            if suppressed:
                text = f"suppressed {suppressed} more of: {template}"
                summaries.append(logging.LogRecord(name, level, "", 0, text, None, None))
        return summaries
