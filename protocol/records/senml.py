"""SenML (RFC 8428): packs that sensors send, and the records in which measurements leave us.

Labels are those of the CBOR representation (RFC 8428 section 6, table 4). Our own records are
resolved ones: a name, a unit when it has one, and exactly one value.
"""

import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum

from protocol.records.sensor_frame import Measurement, Value
from protocol.records.strict_cbor import Item

# RFC 8428 section 4.5.1
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9:./_-]*")

VERSION = 10
"""The version that RFC 8428 defines (section 4.4); a pack without one is of this version."""


class SenmlError(ValueError):
    """A pack or record that RFC 8428 does not allow, or that a measurement cannot hold."""


class SenmlLabel(IntEnum):
    """Keys of a record in CBOR."""

    BASE_SUM = -6
    BASE_VALUE = -5
    BASE_UNIT = -4
    BASE_TIME = -3
    BASE_NAME = -2
    BASE_VERSION = -1
    NAME = 0
    UNIT = 1
    VALUE = 2
    STRING_VALUE = 3
    BOOLEAN_VALUE = 4
    SUM = 5
    TIME = 6
    UPDATE_TIME = 7
    DATA_VALUE = 8


# A measurement was taken when its frame was received, so a record that states another time, or a
# sum over time, is refused instead of being passed on as something it is not.
_NOT_ZERO = (SenmlLabel.BASE_TIME, SenmlLabel.TIME, SenmlLabel.BASE_SUM, SenmlLabel.SUM)

_JSON_NAMES: dict[int | str, str] = {0: "n", 1: "u", 2: "v", 3: "vs", 4: "vb", 8: "vd"}


def is_senml_name(name: str) -> bool:
    """Whether RFC 8428 allows this as the full name of a record."""
    return _NAME.fullmatch(name) is not None


def to_record(measurement: Measurement) -> dict[int | str, Item]:
    """The resolved record of a measurement, keys ascending."""
    record: dict[int | str, Item] = {0: measurement.name}
    if measurement.unit is not None:
        record[1] = measurement.unit
    match measurement.value:
        case bool(value):
            record[4] = value
        case str(value):
            record[3] = value
        case bytes(value):
            record[8] = value
        case value:
            record[2] = value
    return record


def from_record(record: Item) -> Measurement:
    """The measurement of a resolved record with no member but name, unit and value.

    Raises :class:`SenmlError`.
    """
    fields = _record_fields(record)
    if not fields.keys() <= _JSON_NAMES.keys():
        raise SenmlError("unknown member")
    value = _value(fields, 0)
    if value is None:
        raise SenmlError("no value")
    return Measurement(_name(_text(fields, 0)), value, _optional_text(fields, 1))


def to_json_record(measurement: Measurement) -> dict[str, object]:
    """The resolved record in JSON: bytes in base64url without padding (section 5)."""
    record: dict[str, object] = {
        _JSON_NAMES[label]: value for label, value in to_record(measurement).items()
    }
    if isinstance(measurement.value, bytes):
        record["vd"] = _base64url(measurement.value)
    return record


def undo_json_record(record: object) -> Item:
    """The CBOR form of what :func:`to_json_record` made, its values unchecked.

    Raises :class:`SenmlError`.
    """
    if not isinstance(record, dict):
        raise SenmlError("a record is a map")
    fields: dict[int | str, Item] = {}
    for label, name in _JSON_NAMES.items():
        value = record.get(name)
        if isinstance(value, int | float | str):
            fields[label] = value
    if len(fields) != len(record):
        raise SenmlError("an unknown member, or one of a wrong type")
    if 8 in fields:
        fields[8] = _undo_base64url(_text(fields, 8))
    return fields


def _base64url(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def _undo_base64url(text: str) -> bytes:
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError as error:
        raise SenmlError("vd is not base64url") from error
    # The library lets characters of no alphabet pass, and bits that belong to no byte.
    if _base64url(data) != text:
        raise SenmlError("vd is not base64url")
    return data


@dataclass(frozen=True, slots=True)
class _Base:
    """What a record inherits from the base fields of those before it (section 4.1)."""

    name: str = ""
    unit: str | None = None
    value: int | float = 0


def resolve(pack: list[Item]) -> Iterator[Measurement]:
    """The measurements of a SenML pack, base fields resolved (section 4.6).

    A record of base fields alone yields nothing. Raises :class:`SenmlError` at the first record
    that is wrong, asks for another version, or carries a time or sum.
    """
    base = _Base()
    for record in pack:
        fields = _record_fields(record)
        _check_understood(fields)
        base = _updated(base, fields)
        value = _value(fields, base.value)
        if value is not None:
            name = _name(base.name + (_optional_text(fields, SenmlLabel.NAME) or ""))
            unit = _optional_text(fields, SenmlLabel.UNIT)
            yield Measurement(name, value, base.unit if unit is None else unit)
        elif not any(isinstance(key, int) and key < 0 for key in fields):
            raise SenmlError("no value")


def _updated(base: _Base, fields: dict[int | str, Item]) -> _Base:
    if SenmlLabel.BASE_NAME in fields:
        base = replace(base, name=_text(fields, SenmlLabel.BASE_NAME))
    if SenmlLabel.BASE_UNIT in fields:
        base = replace(base, unit=_text(fields, SenmlLabel.BASE_UNIT))
    if SenmlLabel.BASE_VALUE in fields:
        base = replace(base, value=_number(fields[SenmlLabel.BASE_VALUE]))
    return base


def _check_understood(fields: dict[int | str, Item]) -> None:
    """Refuse what a receiver must understand and we do not (section 4.4), and times and sums."""
    if fields.get(SenmlLabel.BASE_VERSION, VERSION) != VERSION:
        raise SenmlError("unknown version")
    if any(isinstance(key, str) and key.endswith("_") for key in fields):
        raise SenmlError("a member that must be understood")
    if any(fields.get(label, 0) != 0 for label in _NOT_ZERO):
        raise SenmlError("a time or a sum")


def _value(fields: dict[int | str, Item], base: float) -> Value | None:
    """The one value of a record, None when it has none."""
    match [(label, fields[label]) for label in (2, 3, 4, 8) if label in fields]:
        case []:
            return None
        case [(2, value)]:
            # Adding a base of 0 would turn a -0.0 into 0.0.
            return _number(value) + base if base else _number(value)
        case [(3, str(value))]:
            return value
        case [(4, bool(value))]:
            return value
        case [(8, bytes(value))]:
            return value
    raise SenmlError("not one value of its type")


def _record_fields(record: Item) -> dict[int | str, Item]:
    if not isinstance(record, dict):
        raise SenmlError("a record is a map")
    return record


def _name(name: str) -> str:
    if not is_senml_name(name):
        raise SenmlError("not a name")
    return name


def _number(value: Item) -> int | float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise SenmlError("not a number")
    return value


def _text(fields: dict[int | str, Item], label: int) -> str:
    value = fields.get(label)
    if not isinstance(value, str):
        raise SenmlError("not a text")
    return value


def _optional_text(fields: dict[int | str, Item], label: int) -> str | None:
    return _text(fields, label) if label in fields else None
