"""Templates at work: hand-written layouts, and the frames of a real Elsys sensor."""

import gzip
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.decoded import Decoded, DecodeFault
from protocol.records.sensor_frame import Measurement
from protocol.records.template import FieldType, Template, TemplateField, validate_template
from protocol.records.template_payload import template_decoder
from tests.protocol.records.elsys import elsys

U8, I8, U16 = FieldType.U8, FieldType.I8, FieldType.U16BE

FIXED = Template(
    "fixed",
    (
        TemplateField("battery", U16, offset=0, exponent=-3, unit="V"),
        TemplateField("levels", U8, offset=3, count=3, unit="m"),
        TemplateField("open", FieldType.BOOL, offset=2),
    ),
)

TAGGED = Template(
    "tagged",
    (
        TemplateField("temperature", FieldType.I16LE, tag=1, exponent=-1, unit="Cel"),
        TemplateField("x", I8, tag=2, offset=0),
        TemplateField("z", I8, tag=2, offset=2),
        TemplateField(tag=3, length=2),
        TemplateField("serial", U16, tag=4, offset=1, length_from=0),
        TemplateField("ratio", FieldType.F32BE, tag=5, length=6),
    ),
)

PORTS = Template(
    "ports",
    (
        TemplateField("data", U8, offset=0, f_port=1),
        TemplateField("settings", U8, offset=0, f_port=2),
        TemplateField("both", U8, offset=1),
    ),
)

ONE_PORT = Template("one-port", (TemplateField("data", U8, offset=0, f_port=1),))


def test_fixed_layout() -> None:
    """3600 mV, a byte that is not zero, three levels; bytes behind them are newer firmware's."""
    decoded = Decoded(
        (
            Measurement("battery", 3.6, "V"),
            Measurement("levels_1", 1, "m"),
            Measurement("levels_2", 2, "m"),
            Measurement("levels_3", 255, "m"),
            Measurement("open", True),
        )
    )
    decode = template_decoder(FIXED)
    assert decode(bytes.fromhex("0e10 02 0102ff"), 5) == decoded
    assert decode(bytes.fromhex("0e10 02 0102ff abcd"), None) == decoded


def test_fixed_layout_cut_short() -> None:
    """What is there is read."""
    assert template_decoder(FIXED)(bytes.fromhex("0e10 00 01"), 5) == Decoded(
        (
            Measurement("battery", 3.6, "V"),
            Measurement("levels_1", 1, "m"),
            Measurement("open", False),
        ),
        DecodeFault.TOO_SHORT,
    )
    assert template_decoder(FIXED)(b"", 5) == Decoded((), DecodeFault.TOO_SHORT)


@pytest.mark.parametrize(
    ("text", "values", "fault"),
    [
        ("", {}, None),
        ("01 c900", {"temperature": 20.1}, None),
        ("02 ff0003 01 ffff", {"x": -1, "z": 3, "temperature": -0.1}, None),
        ("03 abcd 02 010203", {"x": 1, "z": 3}, None),
        ("04 03 123456 01 0000", {"serial": 0x1234, "temperature": 0.0}, None),
        ("04 01 12 01 0a00", {"temperature": 1.0}, DecodeFault.TOO_SHORT),  # serial needs two
        ("05 3fc00000 0000 01 0a00", {"ratio": 1.5, "temperature": 1.0}, None),
        ("05 7fc00000 0000 01 0a00", {"temperature": 1.0}, DecodeFault.RANGE),  # NaN
        ("01 c900 09 01 0000", {"temperature": 20.1}, DecodeFault.UNKNOWN_TAG),
        ("01 c9", {}, DecodeFault.TOO_SHORT),
        ("01", {}, DecodeFault.TOO_SHORT),
        ("04", {}, DecodeFault.TOO_SHORT),
        ("04 05 1234", {}, DecodeFault.TOO_SHORT),
    ],
)
def test_tagged_layout(text: str, values: dict[str, object], fault: DecodeFault | None) -> None:
    """Tags in any order; nothing behind a tag whose length is not known."""
    decoded = template_decoder(TAGGED)(bytes.fromhex(text), 5)
    assert {one.name: one.value for one in decoded.measurements} == values
    assert decoded.error is fault


def test_ports() -> None:
    """Fields of other ports do not count, and a port without any is told."""
    decode = template_decoder(PORTS)
    assert decode(b"\x01\x02", 1) == Decoded((Measurement("data", 1), Measurement("both", 2)))
    assert decode(b"\x01\x02", 2) == Decoded((Measurement("settings", 1), Measurement("both", 2)))
    assert decode(b"\x01\x02", None) == Decoded((Measurement("both", 2),))
    assert template_decoder(ONE_PORT)(b"\x01", 2) == Decoded((), DecodeFault.F_PORT)


@pytest.mark.parametrize("template", [FIXED, TAGGED, PORTS, ONE_PORT])
def test_templates_of_this_file_are_valid(template: Template) -> None:
    """Nothing above is about templates that the service refuses."""
    assert validate_template(template) == []


byte = st.integers(0, 255)
fields = st.builds(
    TemplateField,
    name=st.none() | st.sampled_from(["a", "b", "c"]),
    type=st.none() | st.sampled_from(FieldType),
    tag=st.none() | byte,
    offset=st.none() | st.integers(0, 254),
    exponent=st.integers(-18, 18),
    count=st.integers(1, 255),
    length=st.none() | st.integers(1, 254),
    length_from=st.none() | st.integers(0, 253),
    f_port=st.none() | st.integers(1, 2),
)


@given(st.lists(fields, min_size=1, max_size=3), st.binary(max_size=255), st.integers(1, 3))
def test_no_template_and_no_payload_raises(
    some: list[TemplateField], payload: bytes, f_port: int
) -> None:
    """Even of templates that validation refuses, so that it need not be perfect."""
    decoded = template_decoder(Template("any", tuple(some)))(payload, f_port)
    assert decoded.error is None or decoded.error in DecodeFault


@given(st.sampled_from([FIXED, TAGGED, elsys()]), st.binary(max_size=255))
def test_no_payload_raises(template: Template, payload: bytes) -> None:
    """Valid templates, arbitrary bytes."""
    assert len(template_decoder(template)(payload, 5).measurements) <= 255


def captured() -> Iterator[dict[str, Any]]:
    """The frames of the capture, or a skip that says so."""
    shared = Path(__file__).parents[3].parent / "shared/data/grenoble-tower/frames.ndjson.gz"
    path = Path(os.environ.get("CAPTURE", shared))
    if not path.exists():
        pytest.skip("NOT RUN: no captured traffic; set CAPTURE=frames.ndjson.gz")
    with gzip.open(path, "rt") as lines:
        yield from map(json.loads, lines)


@pytest.mark.capture
def test_real_frames_decode_as_the_maker_decodes_them() -> None:
    """Every value of every frame; two frames hold a tag that this sensor type does not declare."""
    decode = template_decoder(elsys())
    frames = 0
    faults = []
    for frame in captured():
        frames += 1
        decoded = decode(bytes.fromhex(frame["frm_payload_plain"]), frame["f_port"])
        assert {one.name: one.value for one in decoded.measurements} == frame["decoded"]
        faults += [decoded.error] if decoded.error else []
    assert frames == 12_614
    assert faults == [DecodeFault.UNKNOWN_TAG] * 2
