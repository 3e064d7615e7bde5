"""What is wrong with a configuration: every fault, where it was written, and how to mend it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches

KeyPath = tuple[str | int, ...]
"""Way to a value: names of tables and keys, numbers in lists."""


@dataclass(frozen=True, slots=True)
class Fault:
    """One finding.

    Attributes:
        origin: ``file:line``, or the name of an environment variable.
        path: dotted, e.g. ``concentrator.roof.radio[0].frequency_hz``; empty for a whole file.
        message: what is wrong, in plain words; never a secret.
        hint: what to do about it; may be empty.
    """

    origin: str
    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        """``file:line: dotted.path: what is wrong (hint)``."""
        where = f"{self.origin}: {self.path}" if self.path else self.origin
        return f"{where}: {self.message}" + (f" ({self.hint})" if self.hint else "")


class ConfigError(Exception):
    """The configuration cannot be used; ``faults`` is never empty, ``warnings`` may be."""

    def __init__(self, faults: Iterable[Fault], warnings: Iterable[Fault] = ()) -> None:
        self.faults = sorted(faults, key=_place)
        self.warnings = sorted(warnings, key=_place)
        super().__init__("\n".join(map(str, self.faults)))


@dataclass(frozen=True, slots=True)
class Origins:
    """Where the values of one document were written.

    Attributes:
        file: name of the file, as it was given.
        lines: line of each key and each table.
        variables: environment variables that have set values.
        names: the ``name`` of tables in lists; they read better than numbers.
    """

    file: str
    lines: Mapping[KeyPath, int]
    variables: Mapping[KeyPath, str] = field(default_factory=dict)
    names: Mapping[KeyPath, str] = field(default_factory=dict)

    def of(self, path: KeyPath) -> str:
        """Origin of a value, of the nearest table around it, or of what a variable put in it."""
        for length in range(len(path), 0, -1):
            part = path[:length]
            if part in self.variables:
                return self.variables[part]
            if part in self.lines:
                return f"{self.file}:{self.lines[part]}"
        within = (name for where, name in self.variables.items() if where[: len(path)] == path)
        return next(within, f"{self.file}:1") if path else f"{self.file}:1"

    def dotted(self, path: KeyPath) -> str:
        """A path as people write it."""
        text = ""
        for length, part in enumerate(path, start=1):
            name = self.names.get(path[:length])
            if isinstance(part, str):
                text += f".{part if part.isprintable() else ascii(part)}"
            else:
                text += f"[{part}]" if name is None else f".{name}"
        return text.removeprefix(".")


@dataclass(slots=True)
class Findings:
    """Collects all faults and warnings about one document."""

    origins: Origins
    faults: list[Fault] = field(default_factory=list)
    warnings: list[Fault] = field(default_factory=list)

    def fault(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Note something that makes the configuration unusable."""
        self.faults.append(self._finding(path, message, hint))

    def warn(self, path: KeyPath, message: str, hint: str = "") -> None:
        """Note something that a person should look at."""
        self.warnings.append(self._finding(path, message, hint))

    def any_in(self, path: KeyPath) -> bool:
        """Whether a fault was noted of a table, or of something in it."""
        table = self.origins.dotted(path)
        return any(
            f.path == table or f.path.startswith((f"{table}.", f"{table}[")) for f in self.faults
        )

    def _finding(self, path: KeyPath, message: str, hint: str) -> Fault:
        return Fault(self.origins.of(path), self.origins.dotted(path), message, hint)


def _place(fault: Fault) -> tuple[str, int]:
    """Sorts findings as they stand in the file."""
    file, _, line = fault.origin.rpartition(":")
    return (file, int(line)) if line.isdecimal() else (fault.origin, 0)


def nearest(word: str, known: Iterable[str]) -> str:
    """``did you mean ...?`` for a misspelt word; empty if nothing comes near."""
    matches = get_close_matches(word.lower(), list(known), n=1, cutoff=0.6)
    return f"did you mean {matches[0]}?" if matches else ""
