"""The same messages as JSON, by the mapping of proto 3.

Source: protobuf.dev, "ProtoJSON Format". Written: lowerCamelCase names, defaults left out, bytes in
base64, enumerations by name, ``"1.5s"``, RFC 3339. Read as well: names as in the ``.proto`` file,
numbers as text, enumerations by number, base64 for URLs and without padding, ``null`` as absent.
Unknown members are skipped.
"""

import base64
import json
import math
import re
import struct
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
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
from protocol.network_server.protobuf import MAX_BYTES, split_ns

_NS = 1_000_000_000
_DURATION = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,9}))?s")
_TIMESTAMP = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2}[Tt][0-9]{2}:[0-9]{2}:[0-9]{2})(?:\.([0-9]{1,9}))?"
    r"([Zz]|[+-][0-9]{2}:[0-9]{2})"
)
_NUMBER = re.compile(r"-?[0-9]{1,20}(?:\.[0-9]{1,20})?(?:[eE][+-]?[0-9]{1,3})?")
_UNIX_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MAX_DURATION_S = 315_576_000_000  # 10,000 years
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_RANGES = {
    Scalar.UINT32: (0, 2**32 - 1),
    Scalar.INT32: (-(2**31), 2**31 - 1),
}

Message = TypeVar("Message")


def encode(message: object) -> bytes:
    """UTF-8 of a message.

    Raises:
        GatewayProtoError: a time that RFC 3339 cannot say.
    """
    return json.dumps(_to_object(message), separators=(",", ":")).encode()


def decode(message: type[Message], data: bytes) -> Message:
    """Read a message.

    Raises:
        GatewayProtoError: these bytes are none.
    """
    if len(data) > MAX_BYTES:
        raise GatewayProtoError(f"longer than {MAX_BYTES} bytes")
    try:
        document = json.loads(data.decode())
    except (ValueError, RecursionError) as error:
        raise GatewayProtoError(f"no JSON: {type(error).__name__}") from None
    return _from_object(message, document)


def _to_object(message: object) -> dict[str, Any]:
    members = {}
    for spec in specs(type(message)):
        value = getattr(message, spec.attribute)
        if value != spec.default:
            members[spec.name] = _to_value(spec.kind, value)
    return members


def _to_value(kind: Kind, value: Any) -> Any:
    if isinstance(kind, Repeated):
        return [_to_object(item) for item in value]
    if isinstance(kind, MapOf):
        return {str(key): value[key] for key in sorted(value)}
    if is_enumeration(kind):
        return value.name
    if not isinstance(kind, Scalar):
        return _to_object(value)
    match kind:
        case Scalar.BYTES:
            return base64.b64encode(value).decode()
        case Scalar.DURATION:
            return _duration(value)
        case Scalar.TIMESTAMP:
            return _timestamp(value)
        case Scalar.FLOAT | Scalar.DOUBLE if not math.isfinite(value):
            return next(name for name, one in _NOT_FINITE.items() if str(one) == str(value))
        case _:
            return value


def _duration(duration_ns: int) -> str:
    seconds, nanos = split_ns(Scalar.DURATION, abs(duration_ns))
    return f"{'-' if duration_ns < 0 else ''}{seconds}{_fraction(nanos)}s"


def _timestamp(time_ns: int) -> str:
    seconds, nanos = split_ns(Scalar.TIMESTAMP, time_ns)
    try:
        when = (_UNIX_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None)
    except OverflowError:
        raise GatewayProtoError("a time outside the years 1 to 9999") from None
    return f"{when.isoformat()}{_fraction(nanos)}Z"


def _fraction(nanos: int) -> str:
    """0, 3, 6 or 9 digits, as few as say it."""
    if nanos == 0:
        return ""
    digits = f"{nanos:09}"
    while digits.endswith("000"):
        digits = digits[:-3]
    return f".{digits}"


# Reading.


def _from_object(message: type[Message], document: object) -> Message:
    if not isinstance(document, dict):
        raise GatewayProtoError(f"{message.__name__} is no object")
    values = {}
    groups: set[str] = set()
    for spec in specs(message):
        value = _member(document, spec)
        if value is None:
            continue
        if spec.oneof is not None:
            if spec.oneof in groups:
                raise GatewayProtoError(f"{message.__name__} has two of its {spec.oneof}")
            groups.add(spec.oneof)
        values[spec.attribute] = _from_value(spec.kind, value, spec.name)
    return message(**values)


def _member(document: Mapping[str, object], spec: FieldSpec) -> object:
    for name in (spec.name, re.sub("[A-Z]", lambda letter: f"_{letter[0].lower()}", spec.name)):
        if document.get(name) is not None:
            return document[name]
    return None


def _from_value(kind: Kind, value: object, name: str) -> Any:
    if isinstance(kind, Repeated):
        if not isinstance(value, list):
            raise GatewayProtoError(f"{name} is no list")
        return tuple(_from_object(kind.message, item) for item in value)
    if isinstance(kind, MapOf):
        if not isinstance(value, dict):
            raise GatewayProtoError(f"{name} is no object")
        return {
            _from_scalar(kind.key, key, name): _from_scalar(kind.value, one, name)
            for key, one in value.items()
        }
    if isinstance(kind, Scalar):
        return _from_scalar(kind, value, name)
    if is_enumeration(kind):
        return _from_enumeration(kind, value, name)
    return _from_object(kind, value)


def _from_enumeration(kind: Any, value: object, name: str) -> Any:
    if isinstance(value, str) and value in kind.__members__:
        return kind[value]
    if isinstance(value, int) and not isinstance(value, bool):
        return kind(value) if value in kind.__members__.values() else kind(0)
    raise GatewayProtoError(f"{name} has no such value")


def _from_scalar(kind: Scalar, value: object, name: str) -> Any:
    match kind, value:
        case Scalar.BOOL, bool():
            return value
        case Scalar.STRING, str():
            return _encodable(value, name)
        case Scalar.BYTES, str():
            return _from_base64(value, name)
        case Scalar.DURATION, str():
            return _from_duration(value, name)
        case Scalar.TIMESTAMP, str():
            return _from_timestamp(value, name)
        case ((Scalar.FLOAT | Scalar.DOUBLE), (int() | float() | str())):
            return _from_float(kind, value, name)
        case ((Scalar.UINT32 | Scalar.INT32), (int() | float() | str())):
            return _from_integer(kind, value, name)
    raise GatewayProtoError(f"{name} is no {kind.value}")


def _encodable(value: str, name: str) -> str:
    """JSON can say half a surrogate pair; UTF-8 cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        raise GatewayProtoError(f"{name} is no text") from None
    return value


def _from_base64(value: str, name: str) -> bytes:
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except ValueError:
        raise GatewayProtoError(f"{name} is no base64") from None


def _from_float(kind: Scalar, value: float | str, name: str) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    number = _numeric(value, name)
    try:
        # To what the field can hold, so that both encodings of a message say the same.
        [rounded] = struct.unpack("<f", struct.pack("<f", number))
        return float(rounded if kind is Scalar.FLOAT else number)
    except OverflowError:
        raise GatewayProtoError(f"{name} is out of range") from None


def _from_integer(kind: Scalar, value: float | str, name: str) -> int:
    number = _numeric(value, name)
    least, most = _RANGES[kind]
    if not least <= number <= most or number != int(number):
        raise GatewayProtoError(f"{name} is no {kind.value}")
    return int(number)


def _numeric(value: float | str, name: str) -> float:
    """A finite number; whole numbers stay exact."""
    if isinstance(value, bool):
        raise GatewayProtoError(f"{name} is no number")
    if isinstance(value, str):
        if not _NUMBER.fullmatch(value):
            raise GatewayProtoError(f"{name} is no number")
        value = float(value) if set(value) & set(".eE") else int(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise GatewayProtoError(f"{name} is no number")
    return value


def _from_duration(value: str, name: str) -> int:
    match = _DURATION.fullmatch(value)
    if match is None or int(match[2]) > _MAX_DURATION_S:
        raise GatewayProtoError(f"{name} is no duration")
    duration_ns = int(match[2]) * _NS + int((match[3] or "").ljust(9, "0"))
    return -duration_ns if match[1] else duration_ns


def _from_timestamp(value: str, name: str) -> int:
    match = _TIMESTAMP.fullmatch(value)
    if match is None:
        raise GatewayProtoError(f"{name} is no time")
    try:
        when = datetime.fromisoformat((match[1] + match[3]).upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise GatewayProtoError(f"{name} is no time") from None
    seconds = (when - _UNIX_EPOCH) // timedelta(seconds=1)
    return seconds * _NS + int((match[2] or "").ljust(9, "0"))
