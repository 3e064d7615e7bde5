"""Logging that never makes anybody wait for whoever reads it.

Records go through a bounded queue to a thread that alone writes them. When the reader stalls (a
hung terminal, a full disk under the journal) the queue fills, and lines are dropped and counted;
radio events are not kept waiting. Values in ``extra=`` follow the message as ``key=value``.
"""

import copy
import logging
import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from logging.handlers import QueueHandler

from edge.log_format import JournalFormatter, JsonFormatter, TextFormatter, fields_of
from edge.log_rate import RateLimiter

QUEUED_LINES = 1000
FLUSH_S = 1.0

_Lines = queue.Queue[logging.LogRecord | None]


class LogFormat(StrEnum):
    """How lines look; ``AUTO`` means journald's way under journald and text elsewhere."""

    AUTO = "auto"
    TEXT = "text"
    JOURNAL = "journal"
    JSON = "json"


def choose_format(wanted: LogFormat, environment: Mapping[str, str], stream_fd: int) -> LogFormat:
    """Resolve ``AUTO``: journald has our stream when ``JOURNAL_STREAM`` names its file.

    The variable is inherited by children with other streams, so its device and inode have to be
    compared (systemd.exec(5), JOURNAL_STREAM).
    """
    if wanted is not LogFormat.AUTO:
        return wanted
    stream = os.fstat(stream_fd)
    if environment.get("JOURNAL_STREAM") == f"{stream.st_dev}:{stream.st_ino}":
        return LogFormat.JOURNAL
    return LogFormat.TEXT


@contextmanager
def logging_to(
    stream_fd: int,
    *,
    log_format: LogFormat,
    level: int,
    environment: Mapping[str, str],
    now_us: Callable[[], int],
    dropped: Callable[[], object],
    queued_lines: int = QUEUED_LINES,
) -> Iterator[None]:
    """Send all logging to a file descriptor while the context lasts.

    Leaving waits at most twice :data:`FLUSH_S` for the lines that are still queued.

    Args:
        level: the least level that is written, e.g. ``logging.INFO``.
        environment: of the process; tells whether journald reads the stream.
        now_us: CLOCK_BOOTTIME in microseconds.
        dropped: called once for each line that could not be written; from any thread.
    """
    lines: _Lines = queue.Queue(queued_lines)
    formatter = _formatter(choose_format(log_format, environment, stream_fd))
    # A thread that hangs in a write must not keep the process from ending.
    writer = threading.Thread(
        target=_write_lines, args=(lines, formatter, stream_fd, dropped), name="log", daemon=True
    )
    handler = _NeverWaits(lines, now_us, dropped)
    root = logging.getLogger()
    level_before = root.level
    writer.start()
    root.addHandler(handler)
    root.setLevel(level)
    try:
        yield
    finally:
        root.setLevel(level_before)
        root.removeHandler(handler)
        handler.close()
        _finish(lines, writer)


class _NeverWaits(QueueHandler):
    """Where records come in: limits repeats, freezes the record, queues it or drops it."""

    def __init__(
        self, lines: _Lines, now_us: Callable[[], int], dropped: Callable[[], object]
    ) -> None:
        super().__init__(lines)
        self._limiter = RateLimiter()
        self._now_us = now_us
        self._dropped = dropped

    def emit(self, record: logging.LogRecord) -> None:
        now_us = self._now_us()
        for summary in self._limiter.due(now_us):
            super().emit(summary)
        if self._limiter.admit(record, now_us):
            super().emit(record)

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Render the message now: what its arguments refer to may change before it is written."""
        frozen = copy.copy(record)
        shown = _without_bytes if record.levelno >= logging.INFO else _as_is
        if isinstance(record.args, tuple):
            frozen.args = tuple(map(shown, record.args))
        for name, value in fields_of(record).items():
            setattr(frozen, name, _plain(shown(value)))
        frozen.msg = frozen.getMessage()
        frozen.args = None
        if frozen.exc_info:
            frozen.exc_text = logging.Formatter().formatException(frozen.exc_info)
            frozen.exc_info = None
        return frozen

    def enqueue(self, record: logging.LogRecord) -> None:
        try:
            self.queue.put_nowait(record)
        except queue.Full:
            self._dropped()

    def close(self) -> None:
        for summary in self._limiter.close():
            super().emit(summary)
        super().close()


def _without_bytes(value: object) -> object:
    """Show only the length of payloads, keys and tokens: they are for DEBUG, if for anybody."""
    return f"<{len(value)} bytes>" if isinstance(value, bytes | bytearray) else value


def _as_is(value: object) -> object:
    return value


def _plain(value: object) -> object:
    """Return what no formatter can fail on."""
    return value if isinstance(value, str | int | float | None) else str(value)


def _formatter(log_format: LogFormat) -> logging.Formatter:
    match log_format:
        case LogFormat.JSON:
            return JsonFormatter()
        case LogFormat.JOURNAL:
            return JournalFormatter()
        case _:
            return TextFormatter()


def _write_lines(
    lines: _Lines, formatter: logging.Formatter, stream_fd: int, dropped: Callable[[], object]
) -> None:
    """Write until None comes.

    Writes to the descriptor itself: a thread that hangs while it holds the lock of ``sys.stdout``
    makes the interpreter abort when it flushes that at its end.
    """
    while (record := lines.get()) is not None:
        rest = f"{formatter.format(record)}\n".encode(errors="backslashreplace")
        try:
            while rest:
                rest = rest[os.write(stream_fd, rest) :]
        except OSError:
            dropped()


def _finish(lines: _Lines, writer: threading.Thread) -> None:
    try:
        lines.put(None, timeout=FLUSH_S)
    except queue.Full:
        return
    writer.join(FLUSH_S)
