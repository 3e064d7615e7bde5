"""Fields of a body, little-endian, from the front (link, section 3)."""


class Malformed(Exception):
    """The body ends inside a field, or a field has no such value."""


class Fields:
    """Takes fields off a body."""

    def __init__(self, body):
        self._body = body
        self._position = 0

    def raw(self, count):
        """So many bytes."""
        start = self._position
        self._position += count
        if self._position > len(self._body):
            raise Malformed
        return self._body[start : self._position]

    def _integer(self, size):
        return int.from_bytes(self.raw(size), "little")

    def u8(self):
        """One byte."""
        return self._integer(1)

    def u16(self):
        """Two bytes."""
        return self._integer(2)

    def u32(self):
        """Four bytes."""
        return self._integer(4)

    def u64(self):
        """Eight bytes."""
        return self._integer(8)

    def short(self):
        """Bytes behind their length in one byte."""
        return self.raw(self.u8())
