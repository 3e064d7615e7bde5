"""How one log record becomes one line: for a terminal, for journald, for a machine.

What is logged may come from the air, so control characters are escaped: no sensor moves the cursor
of a terminal or forges a second line.
"""

import json
import logging
from datetime import UTC, datetime

_NOT_FIELDS = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}

_CONTROLS = {code: f"\\x{code:02x}" for code in (*range(0x20), *range(0x7F, 0xA0))} | {
    ord("\n"): "\\n",
    ord("\t"): "\\t",
    ord("\r"): "\\r",
    0x2028: "\\u2028",
    0x2029: "\\u2029",
}

_JOURNAL_PRIORITY = {
    logging.CRITICAL: 2,
    logging.ERROR: 3,
    logging.WARNING: 4,
    logging.INFO: 6,
    logging.DEBUG: 7,
}


def fields_of(record: logging.LogRecord) -> dict[str, object]:
    """Return what the caller passed in ``extra=``."""
    return {name: value for name, value in vars(record).items() if name not in _NOT_FIELDS}


class TextFormatter(logging.Formatter):
    """For people: time, level, logger, message, ``key=value``; then the lines of a traceback."""

    def format(self, record: logging.LogRecord) -> str:
        time = self.formatTime(record, "%Y-%m-%d %H:%M:%S")
        line = f"{time} {record.levelname:<8} {record.name}: {_message_and_fields(record)}"
        if not record.exc_text:
            return line
        return "\n".join([line, *map(_escape, record.exc_text.splitlines())])


class JournalFormatter(logging.Formatter):
    """For journald: a priority that it strips (sd-daemon(3)), and everything else in one line."""

    def format(self, record: logging.LogRecord) -> str:
        priority = _JOURNAL_PRIORITY.get(record.levelno, 6)
        line = f"<{priority}>{record.name}: {_message_and_fields(record)}"
        return f"{line} traceback={_quote(record.exc_text)}" if record.exc_text else line


class JsonFormatter(logging.Formatter):
    """For machines: an object with ``time`` (RFC 3339), ``level``, ``logger``, ``message``."""

    def format(self, record: logging.LogRecord) -> str:
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="microseconds")
        entry: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_text:
            entry["traceback"] = record.exc_text
        # The record's own names win over a field of the same name.
        return json.dumps(fields_of(record) | entry, default=str)


def _message_and_fields(record: logging.LogRecord) -> str:
    pairs = [f"{name}={_quote(str(value))}" for name, value in fields_of(record).items()]
    return " ".join([_escape(record.getMessage()), *pairs])


def _quote(text: str) -> str:
    """Quote a value where a reader of ``key=value`` could otherwise not tell where it ends."""
    if text and not any(
        character in " ='\"\\" or not character.isprintable() for character in text
    ):
        return text
    return '"' + _escape(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _escape(text: str) -> str:
    return text.translate(_CONTROLS)
