"""Frames on the line: COBS between zeros around a body and its CRC-16 (link, section 2)."""

from array import array

import micropython

MAX_BODY = 1024
MIN_BODY = 3
MAX_ENCODED = MAX_BODY + 2 + 5


def _crc_table():
    table = array("H", (0 for _ in range(256)))
    for byte in range(256):
        crc = byte << 8
        for _ in range(8):
            crc = (crc << 1) ^ 0x1021 if crc & 0x8000 else crc << 1
        table[byte] = crc & 0xFFFF
    return table


_CRC_TABLE = _crc_table()


@micropython.native
def crc16(data):
    """CRC-16/IBM-3740: 0x29B1 for the bytes 123456789."""
    table = _CRC_TABLE
    crc = 0xFFFF
    for byte in data:
        crc = (crc << 8 & 0xFF00) ^ table[crc >> 8 ^ byte]
    return crc


def encode(body):
    """The bytes of a frame with a zero at each end."""
    data = bytes(body) + crc16(body).to_bytes(2, "little")
    out = bytearray(1)
    start = 0
    while start <= len(data):
        zero = data.find(b"\0", start)
        end = len(data) if zero < 0 else zero
        if end - start >= 254:
            out.append(0xFF)
            out += data[start : start + 254]
            start += 254
            if start == len(data):  # a full block at the very end needs no empty one after it
                break
            continue
        out.append(end - start + 1)
        out += data[start:end]
        start = end + 1
    out.append(0)
    return out


def _unstuff(encoded):
    """Undo COBS; None if it is none."""
    data = bytearray()
    position = 0
    while position < len(encoded):
        code = encoded[position]
        end = position + code
        if code == 0 or end > len(encoded):
            return None
        data += encoded[position + 1 : end]
        if code < 0xFF and end < len(encoded):
            data.append(0)
        position = end
    return bytes(data)


class Decoder:
    """Cuts bytes from the line into bodies; holds one frame at most, never raises.

    Attributes:
        errors: frames that were thrown away.
    """

    def __init__(self):
        self.errors = 0
        self._held = bytearray(MAX_ENCODED)
        self._length = 0
        self._overlong = False

    def feed(self, data, handle):
        """Take bytes in any split; call ``handle`` with each body that they complete."""
        start = 0
        while True:
            zero = data.find(b"\0", start)
            if zero < 0:
                self._collect(data, start, len(data))
                return
            self._collect(data, start, zero)
            body = self._finish()
            if body is not None:
                handle(body)
            start = zero + 1

    def _collect(self, data, start, end):
        length = self._length + end - start
        if length > MAX_ENCODED:
            self._overlong = True
            self._length = 0
        elif not self._overlong:
            self._held[self._length : length] = data[start:end]
            self._length = length

    def _finish(self):
        length, overlong = self._length, self._overlong
        self._length = 0
        self._overlong = False
        if not length and not overlong:
            return None  # zeros in a row are idle line
        data = None if overlong else _unstuff(memoryview(self._held)[:length])
        if data is None or len(data) < MIN_BODY + 2:
            self.errors += 1
            return None
        body = data[:-2]
        if crc16(body) != data[-2] | data[-1] << 8:
            self.errors += 1
            return None
        return body
