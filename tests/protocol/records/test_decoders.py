"""The registry: every name, every refusal, and the promise that nothing is raised."""

import cbor2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.decoded import Decoded, DecodeFault, Label
from protocol.records.decoders import UnknownDecoder, decoder
from protocol.records.sensor_frame import Measurement
from protocol.records.template import FieldType, Template, TemplateField
from tests.protocol.records import strategies
from tests.protocol.records.elsys import elsys

LABELS = {1: Label("water_level", -2, "m"), 2: Label("temperature", -1, "Cel"), 4: Label("far")}
ORDERED = Template("ordered", (TemplateField("door"), TemplateField("level", exponent=-2)))
BROKEN = Template("broken", (TemplateField("a", FieldType.U8, offset=300),))
TEMPLATES = (elsys(), ORDERED, BROKEN)

NAMES = ("cbor", "cbor-seq", "cbor-seq:ordered", "cayenne-lpp", "template:elsys", "none")


@pytest.mark.parametrize(
    ("name", "text", "measurements"),
    [
        ("cbor", "a101190126", [Measurement("water_level", 2.94, "m")]),
        (
            "cbor-seq",
            "190126 2b",
            [Measurement("water_level", 2.94, "m"), Measurement("temperature", -1.2, "Cel")],
        ),
        ("cbor-seq:ordered", "f5 05", [Measurement("door", True), Measurement("level", 0.05)]),
        ("cayenne-lpp", "036700ff", [Measurement("temperature_3", 25.5, "Cel")]),
        ("template:elsys", "010046", [Measurement("temperature", 7.0, "Cel")]),
        ("none", "a101190126", []),
    ],
)
def test_names(name: str, text: str, measurements: list[Measurement]) -> None:
    """Each finds its decoder."""
    decode = decoder(name, labels=LABELS, templates=TEMPLATES)
    assert decode(bytes.fromhex(text), 5) == Decoded(tuple(measurements))
    assert decode(bytes.fromhex(text), None) == Decoded(tuple(measurements))


def test_labels_of_a_plain_sequence_end_at_the_first_gap() -> None:
    """Label 4 is behind one."""
    decode = decoder("cbor-seq", labels=LABELS, templates=())
    assert decode(bytes.fromhex("000000"), 5).error is DecodeFault.TOO_MANY


@pytest.mark.parametrize("name", NAMES)
def test_port_0_is_never_decoded(name: str) -> None:
    """It carries MAC commands, whatever the bytes look like."""
    decode = decoder(name, labels=LABELS, templates=TEMPLATES)
    assert decode(bytes.fromhex("a101190126"), 0) == Decoded((), DecodeFault.F_PORT)


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("", "a decoder is cbor"),
        ("CBOR", "a decoder is cbor"),
        ("cbor:elsys", "a decoder is cbor"),
        ("none:", "a decoder is cbor"),
        ("template", "a decoder is cbor"),
        ("template:", "there is no template"),
        ("template:other", "there is no template other"),
        ("cbor-seq:other", "there is no template other"),
        ("template:ordered", "use cbor-seq:ordered"),
        ("cbor-seq:elsys", "use template:elsys"),
        ("template:broken", "offset must be 0 to 254"),
    ],
)
def test_refused_names(name: str, says: str) -> None:
    """With a word on what to write instead."""
    with pytest.raises(UnknownDecoder, match=says):
        decoder(name, labels=LABELS, templates=TEMPLATES)


def test_refused_labels() -> None:
    """A sequence without labels, and labels that no frame can carry."""
    with pytest.raises(UnknownDecoder, match="needs a label 1"):
        decoder("cbor-seq", labels={2: Label("x")}, templates=())
    for name in ("cbor", "cbor-seq"):
        with pytest.raises(UnknownDecoder, match=r"label 1: .*exponent"):
            decoder(name, labels={1: Label("x", 99)}, templates=())


@given(
    st.sampled_from(NAMES),
    st.binary(max_size=255) | strategies.item.map(cbor2.dumps),
    st.none() | st.integers(0, 255),
)
def test_no_bytes_raise(name: str, payload: bytes, f_port: int | None) -> None:
    """And all that comes out fits a sensor frame."""
    decode = decoder(name, labels=LABELS, templates=TEMPLATES)
    decoded = decode(payload, f_port)
    for measurement in decoded.measurements:
        if isinstance(measurement.value, int):
            assert -(2**63) <= measurement.value < 2**64
        if isinstance(measurement.value, float):
            assert abs(measurement.value) < float("inf")
