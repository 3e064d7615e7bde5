"""How output looks."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.cli.frame_text import csv_row
from edge.cli.output import Style, columns, duration, printable, size


class Terminal(io.StringIO):
    """A stream that a person reads."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (0.84, "0.8 s"),
        (59, "59 s"),
        (60, "1 min"),
        (725, "12 min 5 s"),
        (3600, "1 h"),
        (3605, "1 h"),
        (86_400 * 3 + 3600 * 4 + 59, "3 d 4 h"),
    ],
)
def test_a_duration_has_its_two_largest_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("count", "text"),
    [(0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (412_000, "412 kB"), (1_940_000_000, "1.9 GB"),
     (5e12, "5000 GB")],
)  # fmt: skip
def test_a_size_has_a_decimal_prefix(count: float, text: str) -> None:
    assert size(count) == text


def test_columns_have_one_width() -> None:
    rows = columns([("a", "1", "x"), ("bbb", "22", "yyyy")], right=(1,))

    assert rows == [["a  ", " 1", "x"], ["bbb", "22", "yyyy"]]


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    assert Style.of(Terminal()).paint("x", "red") == "\x1b[31mx\x1b[0m"
    assert Style.of(io.StringIO()).paint("x", "red") == "x"

    monkeypatch.setenv("NO_COLOR", "1")
    assert Style.of(Terminal()).paint("x", "red") == "x"

    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert Style.of(Terminal()).paint("x", "red") == "x"


@given(st.text())
def test_whatever_text_holds_it_cannot_steer_a_terminal(text: str) -> None:
    shown = printable(text)

    assert len(shown) == len(text)
    # The control characters of ECMA-48: C0, DEL and C1; and what reorders a line (Unicode Cf).
    assert not any(ord(c) < 0x20 or 0x7F <= ord(c) < 0xA0 or c == "\u202e" for c in shown)


@given(st.lists(st.text(), min_size=1, max_size=4))
def test_whatever_text_holds_a_row_is_one_line_without_formulas(cells: list[str]) -> None:
    row = csv_row(cells)

    assert "\n" not in row
    assert not row.startswith(("=", "+", "-", "@", '"=', '"+', '"-', '"@'))
