"""Declared layouts: how numbers lie in bytes, and which declarations are refused."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.decoded import Label
from protocol.records.template import (
    FieldType,
    Layout,
    Template,
    TemplateField,
    validate_template,
)
from tests.protocol.records.elsys import elsys

# The struct module's letters for the same layouts.
STRUCT = {
    "u8": ">B", "i8": ">b", "u16be": ">H", "u16le": "<H", "i16be": ">h", "i16le": "<h",
    "u32be": ">I", "u32le": "<I", "i32be": ">i", "i32le": "<i", "f32be": ">f", "f32le": "<f",
    "bool": ">?",
}  # fmt: skip


@given(st.binary(min_size=4, max_size=4))
def test_types_read_as_struct_does(raw: bytes) -> None:
    """NaN included, so compared as text."""
    for name, letters in STRUCT.items():
        kind = FieldType(name)
        (expected,) = struct.unpack_from(letters, raw)
        assert kind.size == struct.calcsize(letters)
        assert repr(kind.read(raw[: kind.size])) == repr(expected)


@given(st.binary(min_size=3, max_size=3))
def test_24_bits_are_the_upper_bits_of_32(raw: bytes) -> None:
    """Read as 32 bits with a zero byte at the low end, then shifted."""
    for name, letters, padded in (
        ("u24be", ">I", raw + b"\x00"),
        ("i24be", ">i", raw + b"\x00"),
        ("u24le", "<I", b"\x00" + raw),
        ("i24le", "<i", b"\x00" + raw),
    ):
        (wide,) = struct.unpack(letters, padded)
        assert FieldType(name).size == 3
        assert FieldType(name).read(raw) == wide >> 8


def test_every_type_is_tested() -> None:
    """The two tests above have them all."""
    assert {*STRUCT, "u24be", "u24le", "i24be", "i24le"} == set(FieldType)


U8, I16 = FieldType.U8, FieldType.I16BE


def faults(*fields: TemplateField) -> list[str]:
    """What is wrong with a template of these fields."""
    return validate_template(Template("test", fields))


def test_layouts() -> None:
    """The first field tells."""
    assert Template("t", (TemplateField("a", U8, tag=0, offset=1),)).layout is Layout.TAGS
    assert Template("t", (TemplateField("a", U8, offset=0),)).layout is Layout.OFFSETS
    assert Template("t", (TemplateField("a"),)).layout is Layout.ORDER
    assert elsys().layout is Layout.TAGS


def test_labels_of_an_ordered_template() -> None:
    """Names, exponents and units as they are declared."""
    fields = (TemplateField("a", exponent=-2, unit="m"), TemplateField("b"))
    assert faults(*fields) == []
    assert Template("t", fields).labels() == (Label("a", -2, "m"), Label("b"))


@pytest.mark.parametrize(
    "fields",
    [
        (TemplateField("a", U8, offset=254, count=255, exponent=-18, f_port=255),),
        (TemplateField("a", U8, offset=0, f_port=1), TemplateField("a", I16, offset=0, f_port=2)),
        (TemplateField("a", U8, tag=0), TemplateField(tag=255, length=254)),
        (TemplateField("a", U8, tag=1, length=3), TemplateField("b", U8, tag=1, offset=2)),
        (TemplateField("a", U8, tag=1, length=3), TemplateField("b", U8, tag=1, length=3)),
        (TemplateField("a", U8, tag=1, offset=1, length_from=0),),
        (TemplateField(None, U8, tag=1),),
        elsys().fields,
    ],
)
def test_templates_that_can_be_used(fields: tuple[TemplateField, ...]) -> None:
    """Limits, ports, and tags that are only skipped."""
    assert faults(*fields) == []


@pytest.mark.parametrize(
    ("field", "fault"),
    [
        (TemplateField("độ", U8, offset=0), "letters"),
        (TemplateField("", U8, offset=0), "letters"),
        (TemplateField("a", U8, offset=0, exponent=19), "exponent must be -18 to 18"),
        (TemplateField("a", FieldType.BOOL, offset=0, exponent=1), "a bool has no exponent"),
        (TemplateField("a", U8, tag=256), "tag must be 0 to 255"),
        (TemplateField("a", U8, offset=-1), "offset must be 0 to 254"),
        (TemplateField("a", U8, offset=255), "offset must be 0 to 254"),
        (TemplateField("a", U8, offset=0, count=0), "count must be 1 to 255"),
        (TemplateField("a", U8, offset=0, f_port=0), "f_port must be 1 to 255"),
        (TemplateField(tag=1, length=0), "length must be 1 to 254"),
        (TemplateField(tag=1, length_from=254), "length_from must be 0 to 253"),
        (TemplateField("a", U8, offset=0, length=1), "belong to fields with a tag"),
        (TemplateField("a", U8, offset=0, length_from=1), "belong to fields with a tag"),
        (TemplateField("a", offset=0), "needs a type"),
        (TemplateField(None, U8, offset=0), "needs a name"),
        (TemplateField(), "needs a name"),
        (TemplateField("a", U8), "have no type, count or f_port"),
        (TemplateField("a", count=2), "have no type, count or f_port"),
        (TemplateField("a", f_port=2), "have no type, count or f_port"),
        (TemplateField("a", tag=1), "needs a type"),
        (TemplateField(tag=1), "needs a type, length or length_from"),
        (TemplateField("a", tag=1, length=1), "needs a type"),
        (TemplateField(tag=1, length=1, length_from=1), "both length and length_from"),
        (TemplateField("a", I16, tag=1, length=1), "does not fit"),
        (TemplateField("a", U8, tag=1, offset=1, length=1), "does not fit"),
        (TemplateField("a", U8, tag=1, count=2, length=1), "does not fit"),
    ],
)
def test_faults_of_one_field(field: TemplateField, fault: str) -> None:
    """Each is told, with the field's place and name."""
    told = faults(field)
    assert any(fault in line for line in told), told
    assert all(line.startswith(f"field 1 ({field.name or 'without a name'}): ") for line in told)


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ((), "has no fields"),
        ((TemplateField("a", U8, tag=1), TemplateField("b", U8, offset=0)), "field 2 (b): has no"),
        ((TemplateField("a", U8, offset=0), TemplateField("b", U8, tag=1)), "field 2 (b): either"),
        ((TemplateField("a", U8, offset=0), TemplateField("b", U8)), "field 2 (b): either"),
        ((TemplateField("a"), TemplateField("b", U8, offset=0)), "field 2 (b): either"),
        ((TemplateField("a"), TemplateField("a")), "the name a is given twice"),
        (
            (TemplateField("a", U8, offset=0), TemplateField("a", U8, offset=0, f_port=1)),
            "the name a is given twice",
        ),
        (
            (TemplateField("a", U8, offset=0, f_port=1), TemplateField("a", U8, offset=0)),
            "the name a is given twice",
        ),
        (
            (TemplateField("a", U8, tag=1, length=1), TemplateField("b", U8, tag=1, length=2)),
            "tag 1: its fields state different lengths",
        ),
        (
            (TemplateField("a", U8, tag=1, length=1), TemplateField("b", U8, tag=1, length_from=0)),
            "tag 1: its fields state different lengths",
        ),
    ],
)
def test_faults_between_fields(fields: tuple[TemplateField, ...], fault: str) -> None:
    """Exactly what does not go together."""
    told = faults(*fields)
    assert len(told) == 1
    assert fault in told[0]
