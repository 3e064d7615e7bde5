"""SenML: the examples of RFC 8428 and the rules of its sections 4 to 6."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.senml import (
    SenmlError,
    from_record,
    is_senml_name,
    resolve,
    to_json_record,
    to_record,
    undo_json_record,
)
from protocol.records.sensor_frame import Measurement
from protocol.records.strict_cbor import Item
from tests.protocol.records import strategies

BN, BT, BU, BV, BS, BVER, N, U, V, VS, VB, S, T, UT, VD = (
    *(-2, -3, -4, -5, -6, -1),
    *(0, 1, 2, 3, 4, 5, 6, 7, 8),
)


def resolved(*records: Item) -> list[Measurement]:
    """All measurements of a pack."""
    return list(resolve(list(records)))


def test_single_data_point() -> None:
    """RFC 8428 section 5.1.1, in CBOR labels."""
    assert resolved({N: "urn:dev:ow:10e2073a01080063", U: "Cel", V: 23.1}) == [
        Measurement("urn:dev:ow:10e2073a01080063", 23.1, "Cel")
    ]


def test_multiple_data_points() -> None:
    """RFC 8428 section 5.1.2: the base name goes before the names."""
    assert resolved(
        {BN: "urn:dev:ow:10e2073a01080063:", N: "voltage", U: "V", V: 120.1},
        {N: "current", U: "A", V: 1.2},
    ) == [
        Measurement("urn:dev:ow:10e2073a01080063:voltage", 120.1, "V"),
        Measurement("urn:dev:ow:10e2073a01080063:current", 1.2, "A"),
    ]


def test_multiple_data_types() -> None:
    """RFC 8428 section 5.1, the example of that name."""
    assert resolved(
        {BN: "urn:dev:ow:10e2073a01080063:", N: "temp", U: "Cel", V: 23.1},
        {N: "label", VS: "Machine Room"},
        {N: "open", VB: False},
        {N: "nfc-reader", VD: b"hi \n"},
    )[1:] == [
        Measurement("urn:dev:ow:10e2073a01080063:label", "Machine Room"),
        Measurement("urn:dev:ow:10e2073a01080063:open", False),
        Measurement("urn:dev:ow:10e2073a01080063:nfc-reader", b"hi \n"),
    ]


def test_base_fields_hold_until_they_are_stated_again() -> None:
    """Section 4.1: unit by default, value by addition; a record may state base fields alone."""
    assert resolved(
        {BN: "a:", BU: "Cel", BV: 20},
        {N: "x", V: 1},
        {N: "y", V: 0.5, U: "K"},
        {BN: "b", BU: "m", BV: -1, V: 3, BVER: 10, UT: 60},
        {N: "s", VS: "no number"},
    ) == [
        Measurement("a:x", 21, "Cel"),
        Measurement("a:y", 20.5, "K"),
        Measurement("b", 2, "m"),
        Measurement("bs", "no number", "m"),
    ]


def test_unknown_members_are_skipped_unless_they_must_be_understood() -> None:
    """Section 4.4: a name with ``_`` at its end must be understood."""
    assert resolved({N: "x", V: 1, "hue": 3, 12: 4}) == [Measurement("x", 1)]
    with pytest.raises(SenmlError, match="must be understood"):
        resolved({N: "x", V: 1, "hue_": 3})


def test_now_is_the_only_time() -> None:
    """A measurement is of its frame's time: zero says so, any other time would be lost."""
    assert resolved({N: "x", V: 1, T: 0, BT: 0.0, BS: 0, S: 0}) == [Measurement("x", 1)]


@pytest.mark.parametrize(
    "record",
    [
        {N: "x", V: 1, T: -60},
        {N: "x", V: 1, BT: 1.32e9},
        {N: "x", S: 5},
        {N: "x", V: 1, S: 5},
        {N: "x", V: 1, BS: 5},
        {N: "x", V: 1, BVER: 11},
        {N: "x"},
        {},
        {V: 1},  # no name at all
        {N: "", V: 1},
        {N: "-x", V: 1},
        {N: "nhiệt", V: 1},
        {N: 5, V: 1},
        {N: "x", V: 1, U: 5},
        {N: "x", V: 1, BN: 5},
        {N: "x", V: 1, BU: None},
        {N: "x", V: 1, BV: "1"},
        {N: "x", V: "1"},
        {N: "x", V: True},
        {N: "x", V: None},
        {N: "x", VS: 1},
        {N: "x", VB: 1},
        {N: "x", VD: "aGkgCg"},
        {N: "x", V: 1, VS: "1"},
        [N, "x"],
        7,
    ],
)
def test_refused_records(record: Item) -> None:
    """What section 4 does not allow, or a measurement cannot say."""
    with pytest.raises(SenmlError):
        resolved(record)


@pytest.mark.parametrize(
    ("name", "allowed"),
    [
        ("urn:dev:ow:10e2073a01080063:a/b.c_d-e", True),
        ("0", True),
        ("", False),
        ("_x", False),
        (":x", False),
        ("a b", False),
        ("x\n", False),
        ("độ", False),
    ],
)
def test_names(name: str, allowed: bool) -> None:
    """Section 4.5.1."""
    assert is_senml_name(name) is allowed


def test_records_in_json() -> None:
    """Section 5.1: names of members, and base64url without padding."""
    assert to_json_record(Measurement("nfc-reader", b"hi \n")) == {
        "n": "nfc-reader",
        "vd": "aGkgCg",
    }
    assert to_json_record(Measurement("x", b"\xfb\xef\xff")) == {"n": "x", "vd": "--__"}
    assert to_json_record(Measurement("t", 23.1, "Cel")) == {"n": "t", "u": "Cel", "v": 23.1}


@given(strategies.measurement)
def test_round_trips(measurement: Measurement) -> None:
    """In both renderings, types kept."""
    assert repr(from_record(to_record(measurement))) == repr(measurement)
    assert repr(from_record(undo_json_record(to_json_record(measurement)))) == repr(measurement)


@given(st.lists(strategies.measurement, max_size=5))
def test_our_records_are_a_valid_pack(measurements: list[Measurement]) -> None:
    """What leaves us resolves to itself."""
    pack: list[Item] = [to_record(measurement) for measurement in measurements]
    assert repr(list(resolve(pack))) == repr(measurements)


@pytest.mark.parametrize(
    "record", [{N: "x"}, {N: "x", V: 1, T: 0}, {V: 1}, {N: "x", V: 1, "u": "m"}, [], None]
)
def test_records_that_are_not_ours(record: Item) -> None:
    """A resolved record has a name, a value and perhaps a unit."""
    with pytest.raises(SenmlError):
        from_record(record)


@pytest.mark.parametrize(
    "record",
    [
        {"n": "x", "v": 1, "t": 0},
        {"n": "x", "v": None},
        {"n": "x", "v": [1]},
        {"n": "x", "vd": "a"},
        {"n": "x", "vd": "ăăăă"},
        {"n": "x", "vd": "++//"},
        {"n": "x", "vd": 1234},
        "x",
    ],
)
def test_json_records_that_are_not_ours(record: object) -> None:
    """Unknown members, wrong types, other alphabets of base64."""
    with pytest.raises(SenmlError):
        undo_json_record(record)
