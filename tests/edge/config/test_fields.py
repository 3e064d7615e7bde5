"""Notations with units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.fields import (
    ADDRESS,
    DEV_ADDR,
    DURATION,
    GATEWAY_ID,
    NAME,
    REGION,
    SIZE,
    UNIQUE_ID,
    Notation,
    format_duration,
    parse_duration_s,
    parse_size,
    without_password,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("250ms", 0.25), ("1s", 1), ("0s", 0), ("5m", 300), ("2h", 7200), ("30d", 2_592_000),
     ("1.5h", 5400), ("2 h", 7200)],
)  # fmt: skip
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration_s(text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    "text", ["", "5", "m", "-5m", "5M", "5 min", "1e3s", "5m5s", "٣s", " 5m", "5m\n", 5, None, True]
)
def test_what_is_no_duration(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration"):
        parse_duration_s(text)


@given(st.integers(0, 10**12), st.sampled_from(["ms", "s", "m", "h", "d"]))
def test_a_duration_is_written_as_it_is_read(number: int, unit: str) -> None:
    seconds = parse_duration_s(f"{number}{unit}")

    assert parse_duration_s(format_duration(seconds)) == pytest.approx(seconds)


@given(st.floats(0.000_001, 1e9))
def test_every_duration_can_be_written(seconds: float) -> None:
    assert parse_duration_s(format_duration(seconds)) == pytest.approx(seconds, rel=1e-12, abs=1e-9)


@pytest.mark.parametrize(
    ("value", "count"),
    [(0, 0), (2_000_000_000, 2 * 10**9), ("2GB", 2 * 10**9), ("512MiB", 512 * 2**20),
     ("1.5 kB", 1500), ("100", 100), ("3B", 3), ("1TiB", 2**40), ("0.1GB", 10**8)],
)  # fmt: skip
def test_sizes(value: object, count: int) -> None:
    assert parse_size(value) == count


@pytest.mark.parametrize("value", ["", "GB", "2gb", "2 GBit", "-1", -1, 1.5, True, None, "1e9"])
def test_what_is_no_size(value: object) -> None:
    with pytest.raises(ValueError, match="must be a number of bytes or a size"):
        parse_size(value)


@pytest.mark.parametrize(
    ("notation", "value", "meaning"),
    [
        (ADDRESS, "127.0.0.1:9464", "127.0.0.1:9464"),
        (ADDRESS, "[::1]:9464", "[::1]:9464"),
        (ADDRESS, "", ""),
        (GATEWAY_ID, "auto", "auto"),
        (GATEWAY_ID, "0016C001F0003A21", "0016c001f0003a21"),
        (NAME, "flood-cam-le-01", "flood-cam-le-01"),
        (NAME, "x" * 64, "x" * 64),
        (UNIQUE_ID, "", ""),
        (UNIQUE_ID, "E66138935F6C2A21", "e66138935f6c2a21"),
        (DEV_ADDR, "01A2b3c4", bytes.fromhex("01a2b3c4")),
        (REGION, "as923_2", "AS923-2"),
        (REGION, "vietnam", "AS923-2"),
    ],
)
def test_notations_that_are_read(notation: Notation, value: str, meaning: object) -> None:
    assert notation.read(value) == meaning
    assert notation.read(notation.write(meaning)) == meaning


@pytest.mark.parametrize(
    ("notation", "value"),
    [
        (ADDRESS, "127.0.0.1"),
        (ADDRESS, ":9464"),
        (ADDRESS, "host:"),
        (ADDRESS, "host:65536"),
        (ADDRESS, "host:" + "9" * 5000),
        (ADDRESS, "host:٣"),
        (ADDRESS, "::1:9464"),
        (ADDRESS, 9464),
        (GATEWAY_ID, "0016c001"),
        (GATEWAY_ID, "AUTO"),
        (GATEWAY_ID, 16),
        (NAME, ""),
        (NAME, "x" * 65),
        (NAME, "Roof"),
        (NAME, "roof\n"),
        (NAME, "a/b"),
        (NAME, "a+b"),
        (NAME, 7),
        (UNIQUE_ID, "abc"),
        (UNIQUE_ID, "ab" * 33),
        (UNIQUE_ID, 7),
        (DEV_ADDR, "01a2b3"),
        (DEV_ADDR, 0x01A2B3C4),
        (REGION, "AS923-9"),
        (REGION, None),
        (SIZE, []),
        (DURATION, {}),
    ],
)
def test_notations_that_are_refused(notation: Notation, value: object) -> None:
    with pytest.raises(ValueError, match="must be"):
        notation.read(value)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("mqtt://user:pass@host:1883", "mqtt://user:***@host:1883"),
        ("mqtt://user@host", "mqtt://user@host"),
        ("mqtt://host/a@b", "mqtt://host/a@b"),
        ("mqtt://user:pa:ss@host", "mqtt://user:***@host"),
        ("mqtt://us@er:pass@host", "mqtt://us@er:***@host"),
        ("mqtt://user:pass@[host", "<not a URL>"),
        ("me@example.com", "me@example.com"),
    ],
)
def test_passwords_of_urls_are_hidden(text: str, shown: str) -> None:
    assert without_password(text) == shown
