"""The line of an RNode as its firmware reads and writes it: byte by byte.

Modelled on the firmware's own parser (RNode firmware 1.86): the first byte of a frame is the
command; a command acts as soon as its last byte has come, not at the closing FEND; after data the
parser is outside frames, after other commands one FEND both closes and opens; a pause of more than
100 ms inside a frame drops what has come of it.
"""

from collections.abc import Iterator

FEND, FESC, TFEND, TFESC = 0xC0, 0xDB, 0xDC, 0xDD
CMD_DATA = 0x00
CMD_UNKNOWN = 0xFE
MAX_DATA = 508
_GAP_US = 100_000

ARGUMENT_BYTES = {0x01: 4, 0x02: 4, 0x0B: 2, 0x0C: 2, 0x52: 2}
"""Commands with more than one byte of argument; all others act on the first."""


def frame(command: int, argument: bytes) -> bytes:
    """A frame for the line, with FEND and FESC escaped in the argument."""
    out = bytearray([FEND, command])
    for byte in argument:
        if byte == FEND:
            out += bytes([FESC, TFEND])
        elif byte == FESC:
            out += bytes([FESC, TFESC])
        else:
            out.append(byte)
    out.append(FEND)
    return bytes(out)


class LineParser:
    """Yields (command, argument) as the firmware would act on them."""

    def __init__(self) -> None:
        self._in_frame = False
        self._escape = False
        self._command = CMD_UNKNOWN
        self._argument = bytearray()
        self._last_us = 0

    def feed(self, data: bytes, now_us: int) -> Iterator[tuple[int, bytes]]:
        """Read bytes that have come together."""
        if self._in_frame and now_us - self._last_us > _GAP_US:
            self._in_frame = False
        self._last_us = now_us
        for byte in data:
            yield from self._read(byte)

    def _read(self, byte: int) -> Iterator[tuple[int, bytes]]:
        if byte == FEND:
            if self._in_frame and self._command == CMD_DATA:
                self._in_frame = False
                if self._argument:
                    yield CMD_DATA, bytes(self._argument)
            else:
                self._in_frame = True
            self._command = CMD_UNKNOWN
            self._argument.clear()
            self._escape = False
        elif self._in_frame and self._command == CMD_UNKNOWN and not self._argument:
            self._command = byte
        elif self._in_frame:
            yield from self._take(byte)

    def _take(self, byte: int) -> Iterator[tuple[int, bytes]]:
        if byte == FESC:
            self._escape = True
            return
        if self._escape:
            byte = {TFEND: FEND, TFESC: FESC}.get(byte, byte)
            self._escape = False
        if len(self._argument) >= MAX_DATA:
            return
        self._argument.append(byte)
        wanted = ARGUMENT_BYTES.get(self._command, 1)
        if self._command != CMD_DATA and len(self._argument) == wanted:
            yield self._command, bytes(self._argument)
