"""CBOR (RFC 8949) from the air: decoded by cbor2, but only what a measurement can need.

cbor2 by itself is open to a sender's will: 8 bytes become a number of two thousand million digits
(tag 4), 6 bytes a list that contains itself (tags 28 and 29), a tag compiles the sender's regular
expression, and bytes after the item pass in silence. Here every tag, indefinite length, duplicate
key, simple value other than false, true and null, NaN and infinity is refused, and sizes have
limits. Shortest forms and key order are *not* demanded: the encoders of nodes differ.
"""

from enum import StrEnum
from io import BytesIO
from math import isfinite
from types import NoneType
from typing import Any, NoReturn, TypeAlias, cast

import cbor2

Item: TypeAlias = int | float | str | bytes | bool | list["Item"] | dict[int | str, "Item"] | None

MAX_DEPTH = 4
"""Arrays and maps inside each other."""

# Numbers that fit a signed or an unsigned 64-bit integer; CBOR alone would reach down to -2**64.
INTEGER_MIN, INTEGER_MAX = -(2**63), 2**64 - 1

_WITHOUT_LIMITS = frozenset({str, bytes, bool, NoneType})


class CborFault(StrEnum):
    """Why bytes were refused."""

    TOO_LONG = "too_long"
    TRUNCATED = "truncated"
    MALFORMED = "malformed"  # not well-formed, indefinite, nested too deep, or a key twice
    TAG = "tag"
    TRAILING = "trailing"
    TOO_MANY_ITEMS = "too_many_items"
    KEY = "key"
    NOT_FINITE = "not_finite"
    INTEGER = "integer"
    SIMPLE_VALUE = "simple_value"


class StrictCborError(ValueError):
    """Bytes that are not the CBOR we accept."""

    def __init__(self, reason: CborFault) -> None:
        super().__init__(reason.value)
        self.reason = reason


def _refuse_tag(_value: object, _immutable: bool) -> NoReturn:
    raise StrictCborError(CborFault.TAG)


# The tags that cbor2 6 would interpret without asking the tag hook. A test tries all tag numbers
# of up to 16 bits, so a release that learns another one is noticed.
_KNOWN_TAGS: dict[int, Any] = dict.fromkeys(
    [
        *(0, 1, 2, 3, 4, 5, 25, 28, 29, 30, 35, 36, 37, 52, 54, 100),
        *(256, 258, 260, 261, 1004, 43000, 55799),
    ],
    _refuse_tag,
)


def decode_item(data: bytes, *, max_bytes: int = 255, max_items: int = 32) -> Item:
    """The one CBOR item that ``data`` is, to its last byte.

    ``max_items`` counts the item itself, elements of arrays and pairs of maps, at all depths.
    Raises :class:`StrictCborError`.
    """
    stream = BytesIO(data)
    item = _next_item(_decoder(stream, len(data), max_bytes))
    if stream.tell() != len(data):
        raise StrictCborError(CborFault.TRAILING)
    check_item(item, max_items)
    return cast("Item", item)


def decode_sequence(data: bytes, *, max_bytes: int = 255, max_items: int = 32) -> list[Item]:
    """The items of a CBOR sequence (RFC 8742), none for no bytes; limits count for all together.

    Raises :class:`StrictCborError`.
    """
    stream = BytesIO(data)
    decoder = _decoder(stream, len(data), max_bytes)
    items: list[Item] = []
    remaining = max_items
    while stream.tell() < len(data):
        item = _next_item(decoder)
        remaining = check_item(item, remaining)
        items.append(cast("Item", item))
    return items


def _decoder(stream: BytesIO, length: int, max_bytes: int) -> cbor2.CBORDecoder:
    """A decoder that refuses what cbor2 can refuse, for input whose length was looked at first."""
    if length > max_bytes:
        raise StrictCborError(CborFault.TOO_LONG)
    return cbor2.CBORDecoder(
        stream,
        max_depth=MAX_DEPTH,
        allow_indefinite=False,
        allow_duplicate_keys=False,
        tag_hook=_refuse_tag,
        semantic_decoders=_KNOWN_TAGS,
    )


def _next_item(decoder: cbor2.CBORDecoder) -> object:
    try:
        return decoder.decode()
    except cbor2.CBORDecodeEOF as error:
        raise StrictCborError(CborFault.TRUNCATED) from error
    except cbor2.CBORDecodeError as error:
        if isinstance(error.__cause__, StrictCborError):
            raise error.__cause__ from None
        raise StrictCborError(CborFault.MALFORMED) from error


def check_item(item: object, remaining: int) -> int:
    """Check a decoded item and all inside it; returns how many of ``remaining`` items are left.

    Exact types, because bool is an int, and because what cbor2 builds for a tag must never pass.
    Raises :class:`StrictCborError`.
    """
    if remaining == 0:
        raise StrictCborError(CborFault.TOO_MANY_ITEMS)
    remaining -= 1
    if type(item) in _WITHOUT_LIMITS:
        return remaining
    if type(item) is list:
        for element in item:
            remaining = check_item(element, remaining)
    elif type(item) is dict:
        for key, value in item.items():
            if type(key) is not str:
                _check_integer(key, CborFault.KEY)
            remaining = check_item(value, remaining)
    elif type(item) is float:
        if not isfinite(item):
            raise StrictCborError(CborFault.NOT_FINITE)
    else:
        _check_integer(item, CborFault.SIMPLE_VALUE)
    return remaining


def _check_integer(value: object, fault_of_others: CborFault) -> None:
    if type(value) is not int:
        raise StrictCborError(fault_of_others)
    if not INTEGER_MIN <= value <= INTEGER_MAX:
        raise StrictCborError(CborFault.INTEGER)
