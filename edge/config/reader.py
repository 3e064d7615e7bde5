"""Turns parsed TOML into dataclasses, and notes everything that does not fit.

Driven by the fields' types and metadata alone, so a dataclass that an upstream declares is read by
the same rules as ours.
"""

import dataclasses
import math
import tomllib
from collections.abc import Callable
from dataclasses import MISSING, Field
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Final, TypeVar, Union, get_args, get_origin, get_type_hints

from edge.config.faults import Findings, KeyPath, nearest
from edge.config.fields import TomlText, key_of, notation_of, without_password

T = TypeVar("T")
_WORDS = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "text",
}
_SHOWN_CHARACTERS = 40


class Bad(Enum):
    """What stands for a value with a fault, which has been noted."""

    BAD = 1


BAD: Final = Bad.BAD


class Reader:
    """Reads tables; ``special`` holds readers of classes whose keys depend on their values."""

    def __init__(self, findings: Findings) -> None:
        self.findings = findings
        self.special: dict[type, Callable[[Any, KeyPath], object]] = {}
        # With the value itself: an identity only means something while its owner lives.
        self._places: dict[int, tuple[object, KeyPath]] = {}

    def path_of(self, value: object) -> KeyPath:
        """Where a dataclass that was read stands in the document."""
        return self._places[id(value)][1]

    def place(self, value: object, path: KeyPath) -> None:
        """Remember where a dataclass stands."""
        self._places[id(value)] = (value, path)

    def table(
        self, cls: type[T], raw: object, path: KeyPath, *, also_known: tuple[str, ...] = ()
    ) -> T | Bad:
        """Read a table into a dataclass; BAD if something that it needs is missing or wrong.

        An optional value with a fault is replaced by its default, so that the checks that follow
        find what else is wrong.
        """
        values = self.values(cls, raw, path, also_known=also_known)
        needed = {field.name for field in dataclasses.fields(_of_dataclass(cls)) if _needed(field)}
        if not needed <= values.keys():
            return BAD
        try:
            value = cls(**values)
        except ValueError as error:
            self.findings.fault(path, str(error))
            return BAD
        self.place(value, path)
        return value

    def values(
        self, cls: type, raw: object, path: KeyPath, *, also_known: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        """The values of a table that could be read, by field name."""
        if not isinstance(raw, dict):
            self.findings.fault(path, f"must be a table, not {shown(raw)}")
            return {}
        fields = {
            key: field
            for field in dataclasses.fields(_of_dataclass(cls))
            if (key := key_of(field)) is not None
        }
        types = get_type_hints(cls)
        for key in raw:
            if key not in fields:
                hint = nearest(key, (*fields, *also_known))
                self.findings.fault((*path, key), "unknown key", hint)
        values = {}
        for key, field in fields.items():
            if key not in raw:
                if _needed(field):
                    self.findings.fault((*path, key), "is missing", _example(field))
                continue
            value = self._value(types[field.name], raw[key], (*path, key), field)
            if value is not BAD:
                values[field.name] = value
        return values

    def _value(self, wanted: Any, raw: object, path: KeyPath, field: Field[Any] | None) -> Any:
        """One value with its bounds and choices checked."""
        notation = notation_of(field) if field is not None else None
        try:
            if notation is None:
                value = self._typed(_without_none(wanted), raw, path)
            else:
                value = notation.read(raw)
            if field is not None and value is not BAD:
                _check_bounds(value, field)
        except ValueError as error:
            about = {} if field is None else field.metadata
            message = str(error) if about.get("secret") else f"{error}, not {shown(raw)}"
            refused = about.get("refused", {}).get(raw, "") if isinstance(raw, str) else ""
            self.findings.fault(path, message, refused or about.get("why", ""))
            return BAD
        return value

    def _typed(self, wanted: Any, raw: object, path: KeyPath) -> object:
        raw = _from_text(raw, wanted)
        origin = get_origin(wanted)
        if origin is tuple:
            return self._list(get_args(wanted)[0], raw, path)
        if origin is not None:
            return self._numbered(get_args(wanted)[1], raw, path)
        if wanted in self.special:
            return self.special[wanted](raw, path)
        if dataclasses.is_dataclass(wanted) and isinstance(wanted, type):
            return self.table(wanted, raw, path)
        return _scalar(wanted, raw)

    def _list(self, wanted: Any, raw: object, path: KeyPath) -> tuple[object, ...] | Bad:
        if not isinstance(raw, list):
            kind = "list of tables: write [[...]]" if dataclasses.is_dataclass(wanted) else "list"
            raise ValueError(f"must be a {kind}")
        items = [self._value(wanted, item, (*path, index), None) for index, item in enumerate(raw)]
        return tuple(item for item in items if item is not BAD)

    def _numbered(self, wanted: Any, raw: object, path: KeyPath) -> dict[int, object]:
        """A table whose keys are whole numbers."""
        if not isinstance(raw, dict):
            raise ValueError("must be a table")
        values = {}
        for key, item in raw.items():
            digits = key.removeprefix("-")
            if not (digits.isascii() and digits.isdecimal() and len(digits) < 20):
                self.findings.fault((*path, key), "the key must be a whole number")
                continue
            value = self._value(wanted, item, (*path, key), None)
            if value is not BAD:
                values[int(key)] = value
        return values


def shown(raw: object) -> str:
    """A value as a fault may quote it: short, and without passwords."""
    match raw:
        case bool():
            return "true" if raw else "false"
        case str():
            text = without_password(raw)
            cut = text if len(text) <= _SHOWN_CHARACTERS else text[:_SHOWN_CHARACTERS] + "..."
            return '"' + cut.encode("unicode_escape").decode() + '"' if cut else "empty"
        case dict():
            return "a table"
        case list():
            return "a list"
        case _:
            return str(raw) if not isinstance(raw, int) or abs(raw) < 10**40 else "a huge number"


def _of_dataclass(cls: Any) -> Any:
    """For the type checker: callers hand over dataclasses only."""
    return cls


def _needed(field: Field[Any]) -> bool:
    return field.default is MISSING and field.default_factory is MISSING


def _example(field: Field[Any]) -> str:
    example = field.metadata.get("example")
    return "" if example is None else f"for example {shown(example)}"


def _without_none(wanted: Any) -> Any:
    """``X`` of ``X | None``; TOML has no null, the key is left out instead."""
    if get_origin(wanted) in (Union, UnionType):
        [wanted] = [argument for argument in get_args(wanted) if argument is not NoneType]
    return wanted


def _from_text(raw: object, wanted: Any) -> object:
    """Text of an environment variable as the file would write it, where not text is wanted."""
    if not isinstance(raw, TomlText) or (isinstance(wanted, type) and issubclass(wanted, str)):
        return raw
    try:
        values: dict[str, object] = tomllib.loads(f"value = {raw}")
    except (ValueError, RecursionError):
        return raw
    return values["value"] if len(values) == 1 else raw


def _scalar(wanted: Any, raw: object) -> object:
    """A value without parts.

    Raises:
        ValueError: it has another type, or is no member of the enumeration.
    """
    if issubclass(wanted, Enum):
        try:
            return wanted(raw)
        except ValueError:
            raise ValueError(_one_of([member.value for member in wanted])) from None
    if wanted is float and isinstance(raw, int) and not isinstance(raw, bool):
        raw = float(raw) if abs(raw) < 10**15 else math.inf
    accepted = str if wanted is Path else wanted
    fits = isinstance(raw, accepted) and (wanted is bool or not isinstance(raw, bool))
    if not fits or (isinstance(raw, float) and not math.isfinite(raw)):
        raise ValueError(f"must be {_WORDS[wanted]}")
    if isinstance(raw, str) and "\0" in raw:
        raise ValueError("must not hold a zero character")  # no path and no address can
    if wanted is str and without_password(str(raw)) != raw:
        raise ValueError("must not hold a password: there are keys for user name and password file")
    return Path(str(raw)) if wanted is Path else str(raw) if wanted is str else raw


def _check_bounds(value: Any, field: Field[Any]) -> None:
    """Raises ValueError if a value is not one of the choices or out of range."""
    choices = field.metadata.get("choices")
    if choices is not None and value not in choices:
        raise ValueError(_one_of(choices))
    minimum = field.metadata.get("minimum", -math.inf)
    maximum = field.metadata.get("maximum", math.inf)
    if "minimum" in field.metadata and value < minimum:
        raise ValueError(f"must be at least {_bound(minimum, field)}")
    if "maximum" in field.metadata and value > maximum:
        raise ValueError(f"must be at most {_bound(maximum, field)}")


def _bound(bound: Any, field: Field[Any]) -> str:
    notation = notation_of(field)
    return str(bound if notation is None else notation.write(bound))


def _one_of(choices: Any) -> str:
    *most, last = [str(choice) for choice in choices]
    return f"must be {', '.join(most)} or {last}" if most else f"must be {last}"
