"""KISS on the line of a simulated modem, written for it from the document of 1987.

A frame begins and ends with 0xC0; inside, 0xC0 is sent as DB DC and 0xDB as DB DD. A frame that is
cut or spoiled is forgotten at the next 0xC0.
"""

FEND, FESC, TFEND, TFESC = 0xC0, 0xDB, 0xDC, 0xDD
_LONGEST = 512


def frame(command: int, data: bytes) -> bytes:
    """One frame, its command in the low half of the first byte, port 0."""
    line = bytearray([FEND])
    for byte in bytes([command]) + data:
        if byte in (FEND, FESC):
            line += bytes([FESC, TFEND if byte == FEND else TFESC])
        else:
            line.append(byte)
    line.append(FEND)
    return bytes(line)


class KissLine:
    """What a modem understands of what it is sent."""

    def __init__(self) -> None:
        self._body: bytearray | None = None
        self._escaped = False

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Commands with their data, as they are completed."""
        found = []
        for byte in data:
            if byte == FEND:
                if self._body and not self._escaped:
                    found.append((self._body[0], bytes(self._body[1:])))
                self._body, self._escaped = bytearray(), False
            elif self._body is not None:
                self._add(self._body, byte)
        return found

    def _add(self, body: bytearray, byte: int) -> None:
        if self._escaped:
            self._escaped = False
            if byte not in (TFEND, TFESC):
                self._body = None
                return
            byte = FEND if byte == TFEND else FESC
        elif byte == FESC:
            self._escaped = True
            return
        if len(body) >= _LONGEST:
            self._body = None
        else:
            body.append(byte)
