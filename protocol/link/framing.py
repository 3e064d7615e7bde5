"""Frames of the concentrator link: COBS with a zero delimiter around a body and its CRC-16.

``docs/CONCENTRATOR-LINK.md`` section 2. COBS: Cheshire and Baker, "Consistent Overhead Byte
Stuffing", IEEE/ACM Transactions on Networking 7(2), 1999. CRC: CRC-16/IBM-3740 (polynomial 0x1021,
initial value 0xFFFF, no reflection, check value 0x29B1), little-endian after the body.
"""

from binascii import crc_hqx

from protocol.link.errors import LocalLinkError, RejectReason

DELIMITER = b"\x00"
MAX_BODY = 1024
MIN_BODY = 3  # the header: type, radio, request
_CRC_BYTES = 2
MAX_ENCODED = MAX_BODY + _CRC_BYTES + (MAX_BODY + _CRC_BYTES) // 254 + 1


def crc16(data: bytes) -> int:
    """CRC-16/IBM-3740 of ``data``."""
    return crc_hqx(data, 0xFFFF)


def cobs_encode(data: bytes) -> bytes:
    """Stuff ``data`` so that it holds no zero byte; at most one byte more in 254, plus one."""
    encoded = bytearray()
    segments = data.split(DELIMITER)
    for segment in segments:
        start = 0
        while len(segment) - start >= 254:
            encoded.append(0xFF)
            encoded += segment[start : start + 254]
            start += 254
        encoded.append(len(segment) - start + 1)
        encoded += segment[start:]
    if segments[-1] and len(segments[-1]) % 254 == 0:
        del encoded[-1]  # a full block at the very end needs no empty one after it
    return bytes(encoded)


def cobs_decode(encoded: bytes) -> bytes | None:
    """Undo :func:`cobs_encode`; None if ``encoded`` (without delimiter) is no COBS block."""
    if not encoded:
        return None
    decoded = bytearray()
    position = 0
    while position < len(encoded):
        code = encoded[position]
        end = position + code
        if code == 0 or end > len(encoded):
            return None
        decoded += encoded[position + 1 : end]
        if code < 0xFF and end < len(encoded):
            decoded.append(0)
        position = end
    return bytes(decoded)


def encode_frame(body: bytes) -> bytes:
    """Make the bytes of one frame, with a delimiter at each end.

    The leading delimiter ends whatever garbage a boot loader or noise left on the line, so that
    it costs nothing but itself.

    Raises:
        LocalLinkError: the body is empty of a header or longer than :data:`MAX_BODY`.
    """
    if not MIN_BODY <= len(body) <= MAX_BODY:
        raise LocalLinkError(f"a body has {MIN_BODY} to {MAX_BODY} bytes, not {len(body)}")
    return DELIMITER + cobs_encode(body + crc16(body).to_bytes(2, "little")) + DELIMITER


class FrameDecoder:
    """Cuts a byte stream into frame bodies; never raises, never holds more than one frame.

    ``rejects`` counts what was thrown away. A bad frame costs at most itself: decoding resumes at
    the next delimiter.
    """

    def __init__(self) -> None:
        self._buffer = bytearray()
        self._overlong = False
        self.rejects: dict[RejectReason, int] = dict.fromkeys(RejectReason, 0)

    def feed(self, data: bytes) -> list[bytes]:
        """Take received bytes in any split; return the bodies of all frames completed by them."""
        bodies = []
        *complete, rest = data.split(DELIMITER)
        for chunk in complete:
            self._collect(chunk)
            body = self._finish()
            if body is not None:
                bodies.append(body)
        self._collect(rest)
        return bodies

    def _collect(self, chunk: bytes) -> None:
        if len(self._buffer) + len(chunk) > MAX_ENCODED:
            self._overlong = True
            self._buffer.clear()
        elif not self._overlong:
            self._buffer += chunk

    def _finish(self) -> bytes | None:
        encoded, overlong = bytes(self._buffer), self._overlong
        self._buffer.clear()
        self._overlong = False
        if not encoded and not overlong:
            return None  # delimiters in a row are idle line
        decoded = RejectReason.TOO_LONG if overlong else _check(encoded)
        if isinstance(decoded, RejectReason):
            self.rejects[decoded] += 1
            return None
        return decoded


def _check(encoded: bytes) -> bytes | RejectReason:
    decoded = cobs_decode(encoded)
    if decoded is None:
        return RejectReason.COBS
    if len(decoded) < MIN_BODY + _CRC_BYTES:
        return RejectReason.TOO_SHORT
    body, crc = decoded[:-_CRC_BYTES], decoded[-_CRC_BYTES:]
    return body if crc16(body) == int.from_bytes(crc, "little") else RejectReason.CRC
