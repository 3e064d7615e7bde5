"""KISS framing: FEND around each frame, FESC before what must not be mistaken for it.

Source: Chepponis and Karn, "The KISS TNC", 1987, sections 2 and 3; the RNode and modem firmwares
that use it. A frame has neither length nor check: a damaged byte passes unseen, and what stands
between two frames (boot messages, noise) looks like a frame of its own. The dialects above judge
what they are given; here nothing is lost by noise but the frame that it falls into, because every
FEND both ends what came before and begins anew.
"""

from collections import Counter
from enum import StrEnum

FEND, FESC, TFEND, TFESC = 0xC0, 0xDB, 0xDC, 0xDD

_ESCAPED = {FEND: bytes([FESC, TFEND]), FESC: bytes([FESC, TFESC])}
_MEANT = {TFEND: FEND, TFESC: FESC}


class KissReject(StrEnum):
    """Why bytes between two FENDs were thrown away."""

    TOO_LONG = "too_long"
    BAD_ESCAPE = "bad_escape"


def encode_frame(body: bytes) -> bytes:
    """Escape a body and put a FEND before and after it."""
    escaped = b"".join(_ESCAPED.get(byte, bytes([byte])) for byte in body)
    return bytes([FEND]) + escaped + bytes([FEND])


class KissDecoder:
    """Finds frames in a stream of bytes, however it is cut up.

    Holds one frame at most. What came before the first FEND is no frame and is not counted.

    Args:
        max_length: longest body that is accepted; longer ones are counted and skipped.
    """

    def __init__(self, max_length: int) -> None:
        self._max_length = max_length
        self._body = bytearray()
        self._escaping = False
        self._skipping = True
        self.rejects: Counter[KissReject] = Counter()

    def feed(self, data: bytes) -> list[bytes]:
        """Take bytes in; the bodies that they complete, unescaped and never empty. Never raises."""
        bodies = []
        for byte in data:
            if byte == FEND:
                body = self._end()
                if body:
                    bodies.append(body)
            elif not self._skipping:
                self._take(byte)
        return bodies

    def _take(self, byte: int) -> None:
        if self._escaping:
            self._escaping = False
            if byte not in _MEANT:
                self._reject(KissReject.BAD_ESCAPE)
                return
            byte = _MEANT[byte]
        elif byte == FESC:
            self._escaping = True
            return
        if len(self._body) >= self._max_length:
            self._reject(KissReject.TOO_LONG)
            return
        self._body.append(byte)

    def _end(self) -> bytes:
        """What a FEND has completed; empty if there was nothing, or nothing good."""
        if self._escaping:
            self._reject(KissReject.BAD_ESCAPE)
        body = bytes(self._body)
        self._body.clear()
        self._escaping = False
        self._skipping = False
        return body

    def _reject(self, reason: KissReject) -> None:
        self.rejects[reason] += 1
        self._body.clear()
        self._escaping = False
        self._skipping = True
