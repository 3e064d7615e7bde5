"""How the dataclasses of a protobuf protocol say what stands where.

A message is a frozen dataclass whose fields have defaults and are made by the functions here. Two
codecs read that: :mod:`protocol.network_server.protobuf` for bytes and
:mod:`protocol.network_server.proto_json` for JSON. Source: protobuf.dev, "Language Guide (proto
3)", default values, enumerations, maps and oneof.
"""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, IntEnum
from typing import Any

_KEY = "protobuf"


class GatewayProtoError(ValueError):
    """Bytes or JSON that are not the message that was expected, or a value that fits none."""


class Scalar(Enum):
    """Types of values; a time or duration is an int of nanoseconds, None = absent."""

    UINT32 = "uint32"
    INT32 = "int32"
    BOOL = "bool"
    FLOAT = "float"
    DOUBLE = "double"
    STRING = "string"
    BYTES = "bytes"
    TIMESTAMP = "google.protobuf.Timestamp"
    DURATION = "google.protobuf.Duration"


@dataclass(frozen=True, slots=True)
class MapOf:
    """``map<key, value>``."""

    key: Scalar
    value: Scalar


@dataclass(frozen=True, slots=True)
class Repeated:
    """``repeated`` of a message."""

    message: type[Any]


Kind = Scalar | type[Any] | MapOf | Repeated
"""A type that is no :class:`Scalar` is an IntEnum or a message."""


@dataclass(frozen=True, slots=True)
class FieldSpec:
    """One field of a message.

    Attributes:
        attribute: name of the dataclass's field.
        name: lowerCamelCase name in JSON.
        default: what an absent field reads as.
        oneof: group of which only the last one that came counts.
    """

    attribute: str
    number: int
    name: str
    kind: Kind
    default: Any
    oneof: str | None


def wire(number: int, kind: Kind, name: str, *, oneof: str | None = None) -> Any:
    """A field of a message.

    Args:
        name: as in the ``.proto`` file.
        oneof: name of the group, if it is in one.
    """
    default = _default(kind)
    metadata = {_KEY: (number, _camel_case(name), kind, default, oneof)}
    if isinstance(kind, MapOf):
        return dataclasses.field(default_factory=dict, metadata=metadata)
    return dataclasses.field(default=default, metadata=metadata)


def specs(message: type[Any]) -> tuple[FieldSpec, ...]:
    """All fields of a message, lowest number first."""
    known = _SPECS.get(message)
    if known is None:
        found = [
            FieldSpec(field.name, *field.metadata[_KEY]) for field in dataclasses.fields(message)
        ]
        known = _SPECS[message] = tuple(sorted(found, key=lambda spec: spec.number))
    return known


_SPECS: dict[type[Any], tuple[FieldSpec, ...]] = {}  # made once for each class


def is_enumeration(kind: Kind) -> bool:
    """Whether it is an IntEnum; its member 0 also stands for numbers that nobody here knows."""
    return isinstance(kind, type) and issubclass(kind, IntEnum)


_NUMBERS: Mapping[Scalar, Any] = {
    Scalar.UINT32: 0,
    Scalar.INT32: 0,
    Scalar.BOOL: False,
    Scalar.FLOAT: 0.0,
    Scalar.DOUBLE: 0.0,
    Scalar.STRING: "",
    Scalar.BYTES: b"",
}


def _default(kind: Kind) -> Any:
    if isinstance(kind, Scalar):
        return _NUMBERS.get(kind)
    if isinstance(kind, MapOf):
        return {}
    if isinstance(kind, Repeated):
        return ()
    return kind(0) if is_enumeration(kind) else None


def _camel_case(name: str) -> str:
    first, *others = name.split("_")
    return first + "".join(part.capitalize() for part in others)
