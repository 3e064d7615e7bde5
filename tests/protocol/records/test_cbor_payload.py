"""CBOR payloads: maps, packs and sequences."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.cbor_payload import cbor_decoder, sequence_decoder
from protocol.records.decoded import Decoded, DecodeFault, Label
from protocol.records.sensor_frame import Measurement
from protocol.records.strict_cbor import Item
from tests.protocol.records import strategies

LABELS = {1: Label("water_level", -2, "m"), 2: Label("temperature", -1, "Cel"), -1: Label("low")}
FIELDS = (Label("water_level", -2, "m"), Label("temperature", -1, "Cel"), Label("door"))

decode_map = cbor_decoder(LABELS)
decode_sequence = sequence_decoder(FIELDS)


def test_labels_and_names_in_one_map() -> None:
    """{1: 294, 2: -12, "battery": 3.6, -1: true}, bytes written by hand after RFC 8949."""
    payload = bytes.fromhex("a4 01 190126 02 2b 67 62617474657279 fb400ccccccccccccd 20 f5")
    assert decode_map(payload, 5) == Decoded(
        (
            Measurement("water_level", 2.94, "m"),
            Measurement("temperature", -1.2, "Cel"),
            Measurement("battery", 3.6),
            Measurement("low", True),
        )
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("a2 01 190126 09 01", DecodeFault.UNKNOWN_LABEL),
        ("a2 09 01 01 190126", DecodeFault.UNKNOWN_LABEL),
        ("a2 01 190126 6161 80", DecodeFault.SHAPE),
        ("a2 01 190126 6161 a0", DecodeFault.SHAPE),
        ("a2 01 190126 02 1bffffffffffffffff", None),
        ("a2 01 190126 20 f6", None),  # null: no reading
        ("a2 01 190126 62c490 01", DecodeFault.NAME),
    ],
)
def test_what_cannot_be_read_does_not_hide_the_rest(text: str, fault: DecodeFault | None) -> None:
    """A sensor may learn a label before the gateway does."""
    decoded = decode_map(bytes.fromhex(text), 5)
    assert Measurement("water_level", 2.94, "m") in decoded.measurements
    assert decoded.error is fault


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", DecodeFault.CBOR),
        ("a101", DecodeFault.CBOR),
        ("a1011901260000", DecodeFault.CBOR),
        ("05", DecodeFault.SHAPE),
        ("6161", DecodeFault.SHAPE),
        ("8101", DecodeFault.SENML),
        ("81a20061780200 00", DecodeFault.CBOR),
    ],
)
def test_nothing_to_read(text: str, fault: DecodeFault) -> None:
    """Neither a map nor a pack."""
    assert decode_map(bytes.fromhex(text), None) == Decoded((), fault)


def test_pack() -> None:
    """[{bn: "a:", bu: "Cel", n: "t", v: 20}, {n: "open", vb: true}], RFC 8428 section 6."""
    payload = bytes.fromhex("82 a4 21 62613a 23 6343656c 00 6174 02 14 a2 00 646f70656e 04 f5")
    assert decode_map(payload, 5) == Decoded(
        (Measurement("a:t", 20, "Cel"), Measurement("a:open", True, "Cel"))
    )


def test_pack_with_a_bad_record() -> None:
    """Records before it stand."""
    payload = cbor2.dumps([{0: "a", 2: 1}, {0: "b", 2: 1, 6: -60}, {0: "c", 2: 1}])
    assert decode_map(payload, 5) == Decoded((Measurement("a", 1),), DecodeFault.SENML)


def test_pack_whose_sum_leaves_64_bits() -> None:
    """The base value is the sender's too."""
    payload = cbor2.dumps([{0: "a", 2: 2**64 - 1, -5: 1}])
    assert decode_map(payload, 5) == Decoded((), DecodeFault.RANGE)


def test_sequence() -> None:
    """294, -12, true."""
    assert decode_sequence(bytes.fromhex("190126 2b f5"), 5) == Decoded(
        (
            Measurement("water_level", 2.94, "m"),
            Measurement("temperature", -1.2, "Cel"),
            Measurement("door", True),
        )
    )


def test_sequence_may_leave_out() -> None:
    """Null holds a place, and the end may come early."""
    assert decode_sequence(bytes.fromhex("f6 2b"), 5) == Decoded(
        (Measurement("temperature", -1.2, "Cel"),)
    )
    assert decode_sequence(b"", 5) == Decoded(())


@pytest.mark.parametrize(
    ("text", "kept", "fault"),
    [
        ("00 00 00 00", 3, DecodeFault.TOO_MANY),
        ("00 80 00", 2, DecodeFault.SHAPE),
        ("00 18", 0, DecodeFault.CBOR),
        ("00 c100", 0, DecodeFault.CBOR),
    ],
)
def test_sequence_with_faults(text: str, kept: int, fault: DecodeFault) -> None:
    """More items than fields, an item that is no value, bytes that are no item."""
    decoded = decode_sequence(bytes.fromhex(text), 5)
    assert (len(decoded.measurements), decoded.error) == (kept, fault)


@given(st.binary(max_size=255) | strategies.item.map(cbor2.dumps))
def test_nothing_is_ever_raised(payload: bytes) -> None:
    """And faults are only told where something is missing or wrong."""
    for decode in (decode_map, decode_sequence):
        decoded = decode(payload, 1)
        assert decoded.error is None or decoded.error in DecodeFault


@given(st.dictionaries(strategies.name, strategies.scalar, max_size=8))
def test_flat_maps_come_through(item: dict[int | str, Item]) -> None:
    """Every value but null, under its name, in order."""
    decoded = cbor_decoder({})(cbor2.dumps(item)[:255], 1)
    if len(cbor2.dumps(item)) <= 255:
        assert decoded.error is None
        assert {one.name: one.value for one in decoded.measurements} == {
            key: value for key, value in item.items() if value is not None
        }
