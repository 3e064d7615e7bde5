"""JSON of the LNS protocol, read with tolerance for what servers write and none for the rest.

A number may come as ``1`` or ``1.0``; what is of the wrong type or out of range is a fault of the
message. Nothing here raises anything but :class:`LnsFault`, whatever the bytes are.
"""

import json
import re
from enum import StrEnum
from typing import Any, NoReturn

MAX_MESSAGE_CHARACTERS = 256 * 1024
"""A configuration has about 5,000, a schedule of a hundred frames 40,000."""


_ENCODER = json.JSONEncoder(separators=(",", ":"), check_circular=False)
_HEXADECIMAL = re.compile(r"(?:[0-9A-Fa-f]{2})+")


class LnsReject(StrEnum):
    """Why something that a server sent was not done; a closed list."""

    TOO_LONG = "too_long"
    MALFORMED = "malformed"
    BINARY = "binary"
    """A binary message, which only a remote shell would use."""
    UNKNOWN = "unknown"
    """No message type that we know."""
    NOT_ALLOWED = "not_allowed"
    """Commands and shells: a server has no business on this host."""
    NOT_CONFIGURED = "not_configured"
    """A downlink before the first usable ``router_config``: its data rates mean nothing."""
    DATA_RATE = "data_rate"
    """A data rate that the configuration does not define, or not as LoRa."""
    OLD_SESSION = "old_session"
    """It answers a frame of an earlier boot of this host, or of another gateway."""
    TOO_LATE = "too_late"
    """It answers a frame that was delivered late: the device listens no more."""
    NO_TIME = "no_time"
    """It is due at a GPS time, and we do not know the time."""
    TOO_MANY = "too_many"
    """More downlinks at one time than anybody could transmit."""


class LnsFault(Exception):
    """A message cannot be used; ``reason`` says why, the text what is wrong with it."""

    def __init__(self, reason: LnsReject, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def malformed(detail: str) -> LnsFault:
    """The fault of a message that is not what its type demands."""
    return LnsFault(LnsReject.MALFORMED, detail)


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def read_message(text: str) -> dict[str, Any]:
    """The members of one message.

    Raises:
        LnsFault: it is too long, or no JSON object.
    """
    if len(text) > MAX_MESSAGE_CHARACTERS:
        raise LnsFault(LnsReject.TOO_LONG, f"{len(text)} characters")
    try:
        message = json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        raise malformed("no JSON") from None
    if not isinstance(message, dict):
        raise malformed("no JSON object")
    return message


def whole(message: dict[str, Any], key: str, lowest: int, highest: int) -> int | None:
    """A whole number within bounds; None where there is none, or null.

    Raises:
        LnsFault: it is something else.
    """
    value = message.get(key)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or not lowest <= value <= highest:
        raise malformed(key)
    return value


def number(message: dict[str, Any], key: str) -> float | None:
    """A number of a size that a time or a power can have; None where there is none, or null.

    Raises:
        LnsFault: it is something else.
    """
    value = message.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e18:
        raise malformed(key)
    return float(value)


def octets(message: dict[str, Any], key: str, longest: int) -> bytes:
    """Bytes in hexadecimal, one at least.

    Raises:
        LnsFault: they are missing, too long, or something else.
    """
    value = message.get(key)
    if not isinstance(value, str) or not 2 <= len(value) <= 2 * longest:
        raise malformed(key)
    if not _HEXADECIMAL.fullmatch(value):
        raise malformed(key)
    return bytes.fromhex(value)


def dumps(message: dict[str, Any]) -> str:
    """One message as text, without blanks."""
    return _ENCODER.encode(message)
