"""Protocol buffers: bytes of messages described by :mod:`protocol.network_server.message_schema`.

Source: protobuf.dev, "Encoding". As any reader of proto 3 does: unknown fields, and known ones in
another wire type, are skipped; of a value that comes twice the last counts, of a message its parts
are merged. Refused are groups, which proto 3 cannot say, and everything longer than
:data:`MAX_BYTES`.
"""

import struct
from collections.abc import Iterator, Mapping
from typing import Any, TypeVar

from protocol.network_server.message_schema import (
    FieldSpec,
    GatewayProtoError,
    Kind,
    MapOf,
    Repeated,
    Scalar,
    is_enumeration,
    specs,
)

MAX_BYTES = 65_536
"""Of one message; a downlink has a few hundred."""

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_FIXED = {_FIXED64: 8, _FIXED32: 4}
_FORMATS = {Scalar.FLOAT: "<f", Scalar.DOUBLE: "<d"}
_NS = 1_000_000_000
_ZERO_FLOATS = {Scalar.FLOAT: bytes(4), Scalar.DOUBLE: bytes(8)}
_INTEGERS = {
    Scalar.UINT32: (0, 2**32 - 1),
    Scalar.INT32: (-(2**31), 2**31 - 1),
}

Message = TypeVar("Message")
Raw = int | bytes


def encode(message: object) -> bytes:
    """Bytes of a message: fields by number, defaults left out, maps by key.

    Raises:
        GatewayProtoError: a value does not fit its field.
    """
    return b"".join(
        part
        for spec in specs(type(message))
        for part in _encode_field(spec, getattr(message, spec.attribute))
    )


def decode(message: type[Message], data: bytes) -> Message:
    """Read a message.

    Raises:
        GatewayProtoError: these bytes are none.
    """
    if len(data) > MAX_BYTES:
        raise GatewayProtoError(f"longer than {MAX_BYTES} bytes")
    by_number = {spec.number: spec for spec in specs(message)}
    found: dict[str, list[Raw]] = {}
    for number, wire_type, raw in _fields(data):
        spec = by_number.get(number)
        if spec is None or wire_type != _wire_type(spec.kind):
            continue
        if spec.oneof is not None:
            _forget_others(found, spec, by_number)
        found.setdefault(spec.attribute, []).append(raw)
    values = {
        spec.attribute: _decode_field(spec.kind, found[spec.attribute])
        for spec in by_number.values()
        if spec.attribute in found
    }
    return message(**values)


def _forget_others(
    found: dict[str, list[Raw]], spec: FieldSpec, by_number: Mapping[int, FieldSpec]
) -> None:
    for other in by_number.values():
        if other.oneof == spec.oneof and other is not spec:
            found.pop(other.attribute, None)


def _wire_type(kind: Kind) -> int:
    if kind in _FORMATS:
        return _FIXED32 if kind is Scalar.FLOAT else _FIXED64
    if kind in _INTEGERS or kind is Scalar.BOOL or is_enumeration(kind):
        return _VARINT
    return _LENGTH


# Reading.


def _fields(data: bytes) -> Iterator[tuple[int, int, Raw]]:
    position = 0
    while position < len(data):
        tag, position = _varint(data, position)
        number, wire_type = tag >> 3, tag & 7
        if not 0 < number < 2**29:
            raise GatewayProtoError(f"there is no field number {number}")
        if wire_type == _VARINT:
            value, position = _varint(data, position)
            yield number, wire_type, value
            continue
        if wire_type == _LENGTH:
            size, position = _varint(data, position)
        elif wire_type in _FIXED:
            size = _FIXED[wire_type]
        else:
            raise GatewayProtoError(f"wire type {wire_type}")
        if position + size > len(data):
            raise GatewayProtoError("cut off")
        yield number, wire_type, data[position : position + size]
        position += size


def _varint(data: bytes, position: int) -> tuple[int, int]:
    """A number of at most 64 bits, and where it ends."""
    value = 0
    for index, byte in enumerate(data[position : position + 10]):
        value |= (byte & 0x7F) << (7 * index)
        if byte < 0x80:
            if value >= 2**64:
                break
            return value, position + index + 1
    raise GatewayProtoError("a number is cut off or has more than 64 bits")


def _decode_field(kind: Kind, raws: list[Raw]) -> Any:
    if isinstance(kind, Repeated):
        return tuple(decode(kind.message, _bytes(raw)) for raw in raws)
    if isinstance(kind, MapOf):
        return dict(_decode_entry(kind, _bytes(raw)) for raw in raws)
    if isinstance(kind, Scalar) and kind not in (Scalar.TIMESTAMP, Scalar.DURATION):
        return _decode_scalar(kind, raws[-1])
    if is_enumeration(kind):
        return _decode_enumeration(kind, raws[-1])
    # The parts of a message that comes in several are merged, which is the same as joining them.
    whole = b"".join(_bytes(raw) for raw in raws)
    if isinstance(kind, Scalar):
        return _decode_time(whole)
    assert isinstance(kind, type)
    return decode(kind, whole)


def _decode_scalar(kind: Scalar, raw: Raw) -> Any:
    if isinstance(raw, bytes):
        if kind is Scalar.BYTES:
            return raw
        if kind is Scalar.STRING:
            return _text(raw)
        [number] = struct.unpack(_FORMATS[kind], raw)
        return number
    if kind is Scalar.BOOL:
        return raw != 0
    if kind is Scalar.UINT32:
        return raw & 0xFFFF_FFFF
    return _signed(raw, 32)


def _decode_enumeration(kind: Any, raw: Raw) -> Any:
    assert isinstance(raw, int)
    number = _signed(raw, 32)
    return kind(number) if number in kind.__members__.values() else kind(0)


def _decode_entry(kind: MapOf, data: bytes) -> tuple[Any, Any]:
    kinds = {1: kind.key, 2: kind.value}
    entry = {number: _decode_scalar(scalar, _EMPTY[scalar]) for number, scalar in kinds.items()}
    for number, wire_type, raw in _fields(data):
        if number in kinds and wire_type == _wire_type(kinds[number]):
            entry[number] = _decode_scalar(kinds[number], raw)
    return entry[1], entry[2]


_EMPTY: Mapping[Scalar, Raw] = {Scalar.STRING: b"", Scalar.UINT32: 0}


def _decode_time(data: bytes) -> int:
    """Nanoseconds of a Timestamp or Duration: int64 seconds = 1, int32 nanos = 2."""
    parts = {1: 0, 2: 0}
    for number, wire_type, raw in _fields(data):
        if number in parts and wire_type == _VARINT:
            assert isinstance(raw, int)
            parts[number] = _signed(raw, 64 if number == 1 else 32)
    return parts[1] * _NS + parts[2]


def _bytes(raw: Raw) -> bytes:
    assert isinstance(raw, bytes)  # its wire type says so
    return raw


def _signed(value: int, bits: int) -> int:
    value &= 2**bits - 1
    return value - 2**bits if value >> (bits - 1) else value


def _text(raw: bytes) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise GatewayProtoError("a text is not UTF-8") from None


# Writing.


def _encode_field(spec: FieldSpec, value: Any) -> Iterator[bytes]:
    kind = spec.kind
    if isinstance(kind, Repeated):
        for item in value:
            yield _delimited(spec.number, encode(item))
    elif isinstance(kind, MapOf):
        for key in sorted(value):
            pair = _encode_scalar(1, kind.key, key) + _encode_scalar(2, kind.value, value[key])
            yield _delimited(spec.number, pair)
    elif isinstance(kind, Scalar):
        if not _is_default(kind, value):
            yield _encode_scalar(spec.number, kind, value)
    elif is_enumeration(kind):
        if value:
            yield _tag(spec.number, _VARINT) + _number(value & (2**64 - 1))
    elif value is not None:
        yield _delimited(spec.number, encode(value))


def _is_default(kind: Scalar, value: Any) -> bool:
    if value is None:
        return True
    if kind in _FORMATS:
        return _pack(kind, value) == _ZERO_FLOATS[kind]  # -0.0 is no default
    return kind not in (Scalar.TIMESTAMP, Scalar.DURATION) and not value


def _encode_scalar(number: int, kind: Scalar, value: Any) -> bytes:
    if kind in _FORMATS:
        return _tag(number, _wire_type(kind)) + _pack(kind, value)
    if kind in _INTEGERS or kind is Scalar.BOOL:
        least, most = _INTEGERS.get(kind, (0, 1))
        if not least <= value <= most:
            raise GatewayProtoError(f"{value} is no {kind.value}")
        return _tag(number, _VARINT) + _number(value & (2**64 - 1))
    if kind is Scalar.STRING:
        return _delimited(number, value.encode())
    if kind is Scalar.BYTES:
        return _delimited(number, value)
    seconds, nanos = split_ns(kind, value)
    whole = _tag(1, _VARINT) + _number(seconds & (2**64 - 1)) if seconds else b""
    part = _tag(2, _VARINT) + _number(nanos & (2**64 - 1)) if nanos else b""
    return _delimited(number, whole + part)


def split_ns(kind: Scalar, time_ns: int) -> tuple[int, int]:
    """Seconds and nanoseconds: of a duration with the same sign, of a time nanoseconds >= 0."""
    if kind is Scalar.DURATION and time_ns < 0:
        seconds, nanos = divmod(-time_ns, _NS)
        return -seconds, -nanos
    return divmod(time_ns, _NS)


def _pack(kind: Scalar, value: float) -> bytes:
    try:
        return struct.pack(_FORMATS[kind], value)
    except OverflowError:
        raise GatewayProtoError(f"{value} is too large for a float") from None


def _delimited(number: int, data: bytes) -> bytes:
    return _tag(number, _LENGTH) + _number(len(data)) + data


def _tag(number: int, wire_type: int) -> bytes:
    return _number(number << 3 | wire_type)


def _number(value: int) -> bytes:
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)
