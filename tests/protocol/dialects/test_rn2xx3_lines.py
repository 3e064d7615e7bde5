"""Lines of RN2483 and RN2903 modules: whole, in pieces, in noise; nothing good is lost."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.rn2xx3_lines import (
    Banner,
    Line,
    LineDecoder,
    RadioError,
    Reception,
    Reject,
    Text,
)

payloads = st.lists(st.binary(min_size=1, max_size=255), max_size=6)


def told(payload: bytes) -> bytes:
    """A reception as the module says it."""
    return f"radio_rx  {payload.hex().upper()}\r\n".encode()


def received(lines: list[Line]) -> list[bytes]:
    """Payloads of the receptions among lines."""
    return [line.payload for line in lines if isinstance(line, Reception)]


@pytest.mark.parametrize(
    ("data", "line"),
    [
        (b"ok\r\n", Text("ok")),
        (b"4294967245\r\n", Text("4294967245")),
        (b"radio_err\r\n", RadioError()),
        (b"radio_rx  C0DB01\r\n", Reception(b"\xc0\xdb\x01", 18)),
        (b"radio_rx C0db01\r\n", Reception(b"\xc0\xdb\x01", 17)),
        (
            b"RN2483 1.0.5 Oct 31 2018 15:06:52\r\n",
            Banner(2483, (1, 0, 5), "RN2483 1.0.5 Oct 31 2018 15:06:52"),
        ),
        (b"\x00\xf8RN2903 0.9.8 Feb\r\n", Banner(2903, (0, 9, 8), "RN2903 0.9.8 Feb")),
        (b"RN2903A 1.0.3 x\r\n", Banner(2903, (1, 0, 3), "RN2903A 1.0.3 x")),
    ],
)
def test_golden_lines(data: bytes, line: Line) -> None:
    assert LineDecoder().feed(data) == [line]


@pytest.mark.parametrize(
    ("text", "word"),
    [("ok", "ok"), ("x~busy", "busy"), ("invalid_param", "invalid_param"), ("3301", None)],
)
def test_a_reply_word_stands_at_the_end(text: str, word: str | None) -> None:
    assert Text(text).word == word


@given(payloads, st.integers(1, 40))
def test_any_cut_gives_the_same_receptions(sent: list[bytes], size: int) -> None:
    """A stream has no borders."""
    stream = b"".join(map(told, sent))
    decoder = LineDecoder()
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert received([line for piece in pieces for line in decoder.feed(piece)]) == sent
    assert not decoder.rejects


@pytest.mark.parametrize("end", [b"\r", b"\n"])
def test_half_of_a_line_end_is_enough(end: bytes) -> None:
    """The other byte was lost on the line."""
    stream = b"radio_rx  AB" + end + told(b"\xcd")
    assert received(LineDecoder().feed(stream)) == [b"\xab", b"\xcd"]


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (b"radio_rx  ABC\r\n", Reject.NOT_HEX),
        (b"radio_rx  AG\r\n", Reject.NOT_HEX),
        (b"radio_rx  \r\n", Reject.NOT_HEX),
        (told(bytes(256)), Reject.NOT_HEX),
        (b"x" * 2000 + b"\r\n", Reject.TOO_LONG),
    ],
)
def test_damage_is_counted_and_shown_as_a_line(damaged: bytes, reason: Reject) -> None:
    """Whoever listens has to know that something ended, and the next line is whole."""
    decoder = LineDecoder()
    first, second = decoder.feed(damaged + told(b"next"))
    assert isinstance(first, Text)
    assert second == Reception(b"next", 20)
    assert decoder.rejects == {reason: 1}


def test_a_lost_line_end_costs_one_of_two() -> None:
    """What follows on the same line is found."""
    assert received(LineDecoder().feed(b"radio_rx  AB" + told(b"next"))) == [b"next"]
