"""Strict CBOR: the given hostile inputs, RFC 8949 appendix A, and cbor2 as the second opinion."""

import json
import math
from pathlib import Path

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.strict_cbor import (
    CborFault,
    Item,
    StrictCborError,
    decode_item,
    decode_sequence,
)
from tests.protocol.records import strategies

VECTORS = json.loads((Path(__file__).parents[2] / "vectors/hostile-cbor.json").read_text())
HOSTILE = {entry["hex"]: entry["expect"] for entry in VECTORS["hostile_cbor"]}

HOSTILE_FAULTS = {
    "c4821a7fffffff01": CborFault.TAG,
    "d81c81d81d00": CborFault.TAG,
    "a201010102": CborFault.MALFORMED,
    "0001020304": CborFault.TRAILING,
    "c5821a7fffffff01": CborFault.TAG,
    "81" * 254 + "00": CborFault.MALFORMED,
    "f97e01": CborFault.NOT_FINITE,
    "9bffffffffffffffff": CborFault.TRUNCATED,
    "5f41614162ff": CborFault.MALFORMED,
    "a1810101": CborFault.KEY,
}


def fault_of(data: bytes, *, max_bytes: int = 255, max_items: int = 32) -> CborFault:
    """Why the bytes are refused as one item."""
    with pytest.raises(StrictCborError) as caught:
        decode_item(data, max_bytes=max_bytes, max_items=max_items)
    assert str(caught.value) == caught.value.reason
    return caught.value.reason


def test_every_hostile_vector_has_a_verdict() -> None:
    """A vector that is added to the file must be judged here."""
    refused = {text for text, expect in HOSTILE.items() if "reject" in expect}
    assert refused == HOSTILE_FAULTS.keys()


@pytest.mark.parametrize(("text", "fault"), HOSTILE_FAULTS.items())
def test_hostile_input_is_refused(text: str, fault: CborFault) -> None:
    """All vectors that no single item may be."""
    assert fault_of(bytes.fromhex(text)) is fault


def test_what_node_encoders_do_is_accepted() -> None:
    """The two vectors that are to be let through: a long form, and several items as a sequence."""
    assert decode_item(bytes.fromhex("190001")) == 1
    assert decode_sequence(bytes.fromhex("0001020304")) == [0, 1, 2, 3, 4]
    assert decode_item(bytes.fromhex("a202010102")) == {2: 1, 1: 2}  # keys not in order


# RFC 8949 appendix A, those examples that a measurement can be.
APPENDIX_A: list[tuple[str, Item]] = [
    ("00", 0),
    ("1818", 24),
    ("1903e8", 1000),
    ("1bffffffffffffffff", 18446744073709551615),
    ("20", -1),
    ("3903e7", -1000),
    ("f98000", -0.0),
    ("f93e00", 1.5),
    ("fb3ff199999999999a", 1.1),
    ("fa47c35000", 100000.0),
    ("fb7e37e43c8800759c", 1.0e300),
    ("f4", False),
    ("f5", True),
    ("f6", None),
    ("4401020304", b"\x01\x02\x03\x04"),
    ("62c3bc", "\u00fc"),
    ("8301820203820405", [1, [2, 3], [4, 5]]),
    ("a201020304", {1: 2, 3: 4}),
    ("a26161016162820203", {"a": 1, "b": [2, 3]}),
]

APPENDIX_A_REFUSED = [
    ("c249010000000000000000", CborFault.TAG),
    ("c074323031332d30332d32315432303a30343a30305a", CborFault.TAG),
    ("d818456449455446", CborFault.TAG),
    ("3bffffffffffffffff", CborFault.INTEGER),
    ("f97c00", CborFault.NOT_FINITE),
    ("faff800000", CborFault.NOT_FINITE),
    ("f7", CborFault.SIMPLE_VALUE),
    ("f0", CborFault.SIMPLE_VALUE),
    ("f8ff", CborFault.SIMPLE_VALUE),
    ("9fff", CborFault.MALFORMED),
    ("bf61610161629f0203ffff", CborFault.MALFORMED),
    ("7f657374726561646d696e67ff", CborFault.MALFORMED),
]


@pytest.mark.parametrize(("text", "value"), APPENDIX_A)
def test_examples_of_the_standard(text: str, value: Item) -> None:
    """Values and their types."""
    decoded = decode_item(bytes.fromhex(text))
    assert repr(decoded) == repr(value)


@pytest.mark.parametrize(("text", "fault"), APPENDIX_A_REFUSED)
def test_examples_that_no_measurement_is(text: str, fault: CborFault) -> None:
    """Alone, in an array, and in a map."""
    data = bytes.fromhex(text)
    assert fault_of(data) is fault
    assert fault_of(b"\x81" + data) is fault
    assert fault_of(b"\xa1\x01" + data) is fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", CborFault.TRUNCATED),
        ("8201", CborFault.TRUNCATED),
        ("ff", CborFault.MALFORMED),
        ("61ff", CborFault.MALFORMED),
        ("a1f401", CborFault.KEY),  # false
        ("a1f601", CborFault.KEY),  # null
        ("a1410001", CborFault.KEY),  # bytes
        ("a1f93c0001", CborFault.KEY),  # 1.0
        ("a1a001", CborFault.KEY),
        ("a13bffffffffffffffff01", CborFault.INTEGER),
        ("a1c10001", CborFault.TAG),
    ],
)
def test_refused(text: str, fault: CborFault) -> None:
    """What the standard's examples leave out."""
    assert fault_of(bytes.fromhex(text)) is fault


def test_depth_of_four_and_no_more() -> None:
    """Arrays and maps count alike."""
    assert decode_item(bytes.fromhex("8181818100")) == [[[[0]]]]
    assert decode_item(bytes.fromhex("a101a101a101a10100")) == {1: {1: {1: {1: 0}}}}
    assert fault_of(bytes.fromhex("818181818100")) is CborFault.MALFORMED


def test_signed_and_unsigned_64_bits() -> None:
    """From the least signed to the greatest unsigned number."""
    assert decode_item(bytes.fromhex("3b7fffffffffffffff")) == -(2**63)
    assert fault_of(bytes.fromhex("3b8000000000000000")) is CborFault.INTEGER


def test_every_tag_number_of_16_bits_is_refused() -> None:
    """cbor2 interprets some by itself; one that we did not know of would be let through here."""
    faults = set()
    for tag in range(2**16):
        head = bytes([0xC0 | tag]) if tag < 24 else b"\xd9" + tag.to_bytes(2, "big")
        faults.add(fault_of(head + b"\x00"))
    assert faults == {CborFault.TAG}


@given(st.integers(0, 2**64 - 1), strategies.item)
def test_every_tag_on_every_item_is_refused(tag: int, item: Item) -> None:
    """Whatever a tag would make of its item."""
    data = b"\xdb" + tag.to_bytes(8, "big") + cbor2.dumps(item)
    with pytest.raises(StrictCborError):
        decode_item(data, max_bytes=10_000)


def test_length_limit() -> None:
    """A limit of n lets n bytes pass."""
    assert decode_item(b"\x58\xfd" + bytes(253)) == bytes(253)
    assert fault_of(b"\x58\xfe" + bytes(254)) is CborFault.TOO_LONG
    assert decode_item(b"\x58\xfe" + bytes(254), max_bytes=256) == bytes(254)
    with pytest.raises(StrictCborError, match="too_long"):
        decode_sequence(bytes(256))


def test_item_limit_counts_arrays_elements_and_pairs() -> None:
    """31 elements and their array are 32 items; a pair counts once."""
    assert decode_item(b"\x98\x1f" + bytes(31)) == [0] * 31
    assert fault_of(b"\x98\x20" + bytes(32)) is CborFault.TOO_MANY_ITEMS
    pairs = b"".join(bytes([0x18, 100 + key, 0]) for key in range(32))
    assert len(cbor2.loads(b"\xb8\x20" + pairs)) == 32
    assert decode_item(b"\xb8\x1f" + pairs[:-3]) == {100 + key: 0 for key in range(31)}
    assert fault_of(b"\xb8\x20" + pairs) is CborFault.TOO_MANY_ITEMS
    assert fault_of(b"\x81\x81\x80", max_items=2) is CborFault.TOO_MANY_ITEMS


def test_sequence_limits_count_for_all_items_together() -> None:
    """As many items as one array might have, less the array."""
    assert decode_sequence(bytes(32)) == [0] * 32
    with pytest.raises(StrictCborError) as caught:
        decode_sequence(bytes(33))
    assert caught.value.reason is CborFault.TOO_MANY_ITEMS
    assert decode_sequence(b"") == []


def test_sequence_with_a_bad_item_is_refused_whole() -> None:
    """Nobody knows where the next item would begin."""
    with pytest.raises(StrictCborError) as caught:
        decode_sequence(bytes.fromhex("0018"))
    assert caught.value.reason is CborFault.TRUNCATED


@given(strategies.item)
def test_every_item_within_the_limits_is_accepted(item: Item) -> None:
    """Type for type, except that a deep one is refused."""
    data = cbor2.dumps(item)
    if depth(item) > 4:
        assert fault_of(data, max_bytes=10_000) is CborFault.MALFORMED
    else:
        assert repr(decode_item(data, max_bytes=10_000, max_items=1000)) == repr(item)


def depth(item: Item) -> int:
    """Arrays and maps inside each other."""
    match item:
        case list():
            return 1 + max(map(depth, item), default=0)
        case dict():
            return 1 + max(map(depth, item.values()), default=0)
    return 0


def check_agreement(data: bytes) -> None:
    """Refused, or the same value and types as cbor2 gives."""
    try:
        accepted = decode_item(data)
    except StrictCborError:
        return
    assert repr(accepted) == repr(cbor2.loads(data))


@given(st.binary(max_size=64))
def test_whatever_is_accepted_plain_cbor2_reads_the_same(data: bytes) -> None:
    """And nothing but StrictCborError is raised, for any bytes."""
    check_agreement(data)


@given(strategies.item, st.data())
def test_damaged_items_too(item: Item, data: st.DataObject) -> None:
    """Near misses reach deeper than arbitrary bytes."""
    damaged = bytearray(cbor2.dumps(item))
    for _ in range(data.draw(st.integers(1, 3))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    check_agreement(bytes(damaged))


@given(st.lists(strategies.scalar, max_size=8))
def test_sequences(items: list[Item]) -> None:
    """The concatenation of items decodes to them."""
    data = b"".join(map(cbor2.dumps, items))
    assert repr(decode_sequence(data, max_bytes=10_000)) == repr(items)


def test_accepted_numbers_are_finite() -> None:
    """The widest float of each width that is still a number."""
    for text in ("f97bff", "fa7f7fffff", "fb7fefffffffffffff"):
        number = decode_item(bytes.fromhex(text))
        assert isinstance(number, float)
        assert math.isfinite(number)
