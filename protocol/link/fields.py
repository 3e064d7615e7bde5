"""Reading and writing the little-endian fields of a body."""

from typing import Self

from protocol.link.errors import LocalLinkError, MalformedMessage


class Writer:
    """Collects fields; every method returns the writer itself."""

    def __init__(self) -> None:
        self._bytes = bytearray()

    def _integer(self, value: int, size: int) -> Self:
        try:
            self._bytes += value.to_bytes(size, "little")
        except OverflowError:
            raise LocalLinkError(
                f"{value} does not fit an unsigned field of {size} bytes"
            ) from None
        return self

    def u8(self, value: int) -> Self:
        return self._integer(value, 1)

    def u16(self, value: int) -> Self:
        return self._integer(value, 2)

    def u24(self, value: int) -> Self:
        return self._integer(value, 3)

    def u32(self, value: int) -> Self:
        return self._integer(value, 4)

    def u64(self, value: int) -> Self:
        return self._integer(value, 8)

    def raw(self, data: bytes) -> Self:
        """Bytes without a length: the rest of the body, or a fixed field."""
        self._bytes += data
        return self

    def short(self, data: bytes) -> Self:
        """Up to 255 bytes behind a length byte."""
        return self.u8(len(data)).raw(data)

    def getvalue(self) -> bytes:
        return bytes(self._bytes)


class Reader:
    """Takes fields off the front of a body; raises :class:`MalformedMessage` when they run out."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._position = 0

    def raw(self, count: int) -> bytes:
        start, self._position = self._position, self._position + count
        if self._position > len(self._data):
            raise MalformedMessage("the body ends inside a field")
        return self._data[start : self._position]

    def _integer(self, size: int) -> int:
        return int.from_bytes(self.raw(size), "little")

    def u8(self) -> int:
        return self._integer(1)

    def u16(self) -> int:
        return self._integer(2)

    def u24(self) -> int:
        return self._integer(3)

    def u32(self) -> int:
        return self._integer(4)

    def u64(self) -> int:
        return self._integer(8)

    def short(self) -> bytes:
        """Bytes behind a length byte."""
        return self.raw(self.u8())

    def rest(self) -> bytes:
        """All that is left."""
        return self.raw(len(self._data) - self._position)
