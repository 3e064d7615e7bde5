"""Lines of text from an RN2483 or RN2903: cut out of the byte stream, and told apart.

Source: RN2483 and RN2903 command reference (DS40001784, DS40001811): lower-case ASCII, CR LF at the
end of each line, payloads in hexadecimal. Nothing on this line is checked by the device, so noise
in front of a reply is cut off here, and what cannot be a reply is counted and thrown away.
"""

import re
from collections import Counter
from dataclasses import dataclass
from enum import StrEnum

MAX_PAYLOAD = 255
MAX_LINE = 640
"""A reception of 255 bytes is 520 characters long; what comes before the last 640 is noise."""

_RECEPTION = "radio_rx "
_RADIO_ERROR = "radio_err"
WORDS = ("invalid_param", "radio_tx_ok", "mac_err", "busy", "ok")
"""Replies that are a word; the longer first, because they are looked for at the end of a line."""

_BANNER = re.compile(r"RN(2483|2903)\w* (\d+)\.(\d+)\.(\d+)\b.*")


class Reject(StrEnum):
    """Why something was thrown away; a closed list."""

    TOO_LONG = "too_long"  # the head of a line that was longer than any reply
    NOT_HEX = "not_hex"  # a reception that the line has damaged
    REPEATED = "repeated"  # a reception that was told already, with the receiver closed since
    UNEXPECTED = "unexpected"  # no reply that anybody waits for
    BEFORE_SETUP = "before_setup"  # heard with settings that were not ours
    RADIO_ERROR = "radio_err"  # a reception without a packet: a bad CRC, or the watchdog


@dataclass(frozen=True, slots=True)
class Reception:
    """A packet; ``line_bytes`` = how many bytes its line took, so that it can be dated."""

    payload: bytes
    line_bytes: int


@dataclass(frozen=True, slots=True)
class RadioError:
    """A reception has ended without a packet: the watchdog, or a packet with a bad CRC."""


@dataclass(frozen=True, slots=True)
class Banner:
    """Which module and firmware it is; said at each start, and when asked.

    Attributes:
        model: 2483 or 2903.
        text: the line as it came.
    """

    model: int
    firmware: tuple[int, int, int]
    text: str


@dataclass(frozen=True, slots=True)
class Text:
    """Any other line, without what cannot be printed before its end; empty = nothing is left."""

    text: str

    @property
    def word(self) -> str | None:
        """The reply word at its end; noise may stand before it."""
        return next((word for word in WORDS if self.text.endswith(word)), None)


Line = Reception | RadioError | Banner | Text


class LineDecoder:
    """Cuts lines out of a byte stream. Never raises, and keeps at most :data:`MAX_LINE` bytes."""

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._cut = False
        self.rejects: Counter[Reject] = Counter()

    def feed(self, data: bytes) -> list[Line]:
        """All lines that these bytes complete."""
        lines: list[Line] = []
        *ended, rest = re.split(rb"[\r\n]", data)
        for part in ended:
            self._append(part)
            if self._buffer:  # CR and LF both end a line, so that either may be lost
                lines.append(self._parse(bytes(self._buffer)))
            self._buffer.clear()
            self._cut = False
        self._append(rest)
        return lines

    def _append(self, part: bytes) -> None:
        self._buffer += part
        if len(self._buffer) > MAX_LINE:
            del self._buffer[:-MAX_LINE]
            self.rejects[Reject.TOO_LONG] += not self._cut
            self._cut = True

    def _parse(self, raw: bytes) -> Line:
        text = re.split(r"[^ -~]", raw.decode("latin-1"))[-1]
        start = text.rfind(_RECEPTION)
        if start >= 0:
            return self._reception(text[start:])
        if text.endswith(_RADIO_ERROR):
            return RadioError()
        banner = _BANNER.search(text)
        if banner is None:
            return Text(text.strip())
        model, *firmware = (int(number) for number in banner.groups())
        major, minor, patch = firmware
        return Banner(model, (major, minor, patch), banner[0].strip())

    def _reception(self, text: str) -> Reception | Text:
        """Two spaces stand before the payload in some firmware, so it is split, not counted."""
        digits = text[len(_RECEPTION) :].strip()
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2})+", digits) and len(digits) <= 2 * MAX_PAYLOAD:
            return Reception(bytes.fromhex(digits), len(text) + len("\r\n"))
        self.rejects[Reject.NOT_HEX] += 1
        return Text("")
