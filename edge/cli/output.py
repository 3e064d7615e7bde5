"""How output looks: colours where a person reads, tables, ages and sizes in short."""

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TextIO

_CODES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}


@dataclass(frozen=True, slots=True)
class Style:
    """Colours, or none."""

    colours: bool

    @classmethod
    def of(cls, stream: TextIO | None = None) -> "Style":
        """Colours only on a terminal, and not where NO_COLOR asks for none (no-color.org)."""
        stream = sys.stdout if stream is None else stream
        wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(wanted and stream.isatty())

    def paint(self, text: str, colour: str) -> str:
        """Text in bold, dim, red, green or yellow."""
        return f"\x1b[{_CODES[colour]}m{text}\x1b[0m" if self.colours and text else text


def printable(text: str) -> str:
    """Text from the air must not steer the terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def columns(rows: Sequence[Sequence[str]], *, right: Sequence[int] = ()) -> list[list[str]]:
    """Pad the cells of each column to one width; the last column stays as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        [
            cell
            if index == len(row) - 1 and index not in right
            else _pad(cell, width, index in right)
            for index, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        for row in rows
    ]


def _pad(cell: str, width: int, to_the_right: bool) -> str:
    return cell.rjust(width) if to_the_right else cell.ljust(width)


def duration(seconds: float) -> str:
    """A duration in its two largest units: ``3 d 4 h``, ``12 min 5 s``, ``0.8 s``."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    parts = []
    rest = int(seconds)
    for unit, unit_s in (("d", 86_400), ("h", 3600), ("min", 60), ("s", 1)):
        count, rest = divmod(rest, unit_s)
        if count:
            parts.append(f"{count} {unit}")
        elif parts:
            break
    return " ".join(parts[:2])


def size(count: float) -> str:
    """Bytes with a decimal prefix: ``412 kB``, ``1.9 GB``."""
    for prefix in ("", "k", "M", "G"):
        if count < 999.5 or prefix == "G":
            break
        count /= 1000
    digits = f"{count:.1f}" if prefix and count < 99.95 else f"{count:.0f}"
    return f"{digits} {prefix}B"
