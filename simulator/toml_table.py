"""Reading a TOML table key by key, noting every fault instead of stopping at the first.

Each method returns something of the promised type even when the file is wrong, so that reading can
go on; whoever reads asks at the end whether anything was noted.
"""

import difflib
import re
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import TypeGuard, TypeVar

Value = TypeVar("Value")
Choice = TypeVar("Choice", bound=StrEnum)

NAME = re.compile(r"[a-z0-9-]{1,56}")
"""As the gateway names things, leaving room for the number that a group's sensors get."""


class Table:
    """One table and the path under which its faults are reported.

    Args:
        faults: takes one line for each fault, ``path.key: what is wrong``.
    """

    def __init__(self, values: Mapping[str, object], path: str, faults: list[str]) -> None:
        self._values = values
        self._path = path
        self._faults = faults
        self._sound = True
        self._known: set[str] = set()
        self._tables_below: list[Table] = []

    @property
    def sound(self) -> bool:
        """Whether nothing was noted here, or in a table below, so far."""
        return self._sound and all(table.sound for table in self._tables_below)

    def fault(self, key: str, text: str) -> None:
        """Note what is wrong with a key; with an empty key, what is wrong with the table."""
        self._sound = False
        path = ".".join(part for part in (self._path, key) if part)
        self._faults.append(f"{path}: {text}" if path else text)

    def has(self, key: str) -> bool:
        """Whether the key is given; asking makes it a known key."""
        self._known.add(key)
        return key in self._values

    def get(self, key: str, default: object, wanted: str) -> object:
        """The value or its default, which is None where the key has to be given."""
        self._known.add(key)
        value = self._values.get(key, default)
        if value is None:
            self.fault(key, f"is missing; give {wanted}")
        return value

    def number(self, key: str, default: float | None, low: float, high: float) -> float:
        """A number from ``low`` to ``high``."""
        wanted = f"a number from {low:g} to {high:g}"
        value = self.get(key, default, wanted)
        if _is_number(value) and low <= value <= high:
            return float(value)
        return self._refuse(key, value, wanted, float(low))

    def integer(self, key: str, default: int | None, low: int, high: int) -> int:
        """A whole number from ``low`` to ``high``."""
        wanted = f"a whole number from {low:_} to {high:_}"
        value = self.get(key, default, wanted)
        if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
            return value
        return self._refuse(key, value, wanted, low)

    def text(self, key: str, default: str | None) -> str:
        """Any text."""
        value = self.get(key, default, "a text")
        return value if isinstance(value, str) else self._refuse(key, value, "a text", "")

    def name(self, key: str = "name") -> str:
        """A name: lower-case letters, digits and hyphens."""
        wanted = "a name of up to 56 lower-case letters, digits and hyphens"
        value = self.get(key, None, wanted)
        if isinstance(value, str) and NAME.fullmatch(value):
            return value
        return self._refuse(key, value, wanted, "")

    def choice(self, key: str, default: Choice | None, kinds: type[Choice]) -> Choice:
        """One of a closed set of words."""
        words = [str(kind) for kind in kinds]
        wanted = f"one of {', '.join(words)}"
        value = self.get(key, default, wanted)
        if isinstance(value, str) and value in words:
            return kinds(value)
        return self._refuse(key, value, wanted + _nearest(value, words), next(iter(kinds)))

    def integers(self, key: str, low: int, high: int) -> tuple[int, ...]:
        """At least one whole number, none of them twice."""
        wanted = f"a list of different whole numbers from {low:_} to {high:_}"
        value = self.get(key, None, wanted)
        if isinstance(value, list) and value:
            whole = [item for item in value if type(item) is int and low <= item <= high]
            if len(set(whole)) == len(value):
                return tuple(whole)
        return self._refuse(key, value, wanted, (low,))

    def points(self, key: str, at_least: int) -> tuple[tuple[float, float], ...]:
        """A list of ``[metres east, metres north]``."""
        wanted = f"a list of at least {at_least} points [x, y] in metres"
        value = self.get(key, None, wanted)
        if isinstance(value, list) and len(value) >= at_least and all(map(_is_point, value)):
            return tuple((float(x), float(y)) for x, y in value)
        return self._refuse(key, value, wanted, ((0.0, 0.0),) * at_least)

    def table(self, key: str) -> "Table":
        """A table; an empty one when it is not given."""
        value = self._values.get(key, {})
        if self.has(key) and not isinstance(value, dict):
            self.fault(key, f"must be a table, [{key}]")
        return self._below(key, value)

    def tables(self, key: str) -> list["Table"]:
        """An array of tables, each reported under its name where it has a usable one."""
        value = self._values.get(key, [])
        if self.has(key) and not (isinstance(value, list) and all(map(_is_table, value))):
            self.fault(key, f"must be an array of tables, [[{key}]]")
            return []
        assert isinstance(value, list)
        return [
            self._below(f"{key}{_label(item, position)}", item)
            for position, item in enumerate(value, start=1)
        ]

    def refuse_unknown(self) -> None:
        """Note every key that nobody asked for; to be called after the last key was read."""
        for key in self._values:
            if key not in self._known:
                self.fault(key, "unknown key" + _nearest(key, self._known))

    def _below(self, key: str, value: object) -> "Table":
        path = ".".join(part for part in (self._path, key) if part)
        below = Table(value if isinstance(value, dict) else {}, path, self._faults)
        self._tables_below.append(below)
        return below

    def _refuse(self, key: str, value: object, wanted: str, instead: Value) -> Value:
        if value is not None:
            self.fault(key, f"must be {wanted}, not {_shown(value)}")
        return instead


def _label(table: Mapping[str, object], position: int) -> str:
    name = table.get("name")
    named = isinstance(name, str) and NAME.fullmatch(name)
    return f".{name}" if named else f"[{position}]"


def _is_table(value: object) -> bool:
    return isinstance(value, dict)


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _is_point(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_number, value))


def _shown(value: object) -> str:
    text = f'"{value}"' if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _nearest(word: object, words: Iterable[str]) -> str:
    close = difflib.get_close_matches(str(word), sorted(words), n=1)
    return f'; did you mean "{close[0]}"?' if close else ""
