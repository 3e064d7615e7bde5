"""Binary layouts that the configuration declares (``[[template]]``), and their faults.

The makers of sensors publish JavaScript for their layouts; a gateway runs none of it. A template
says the same in data. Its fields are all of one kind, see :class:`Layout`.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, StrEnum, auto

from protocol.records.decoded import Label, label_faults


class FieldType(StrEnum):
    """How one value lies in bytes: two's complement, IEEE 754, or a byte that is 0 or not."""

    U8 = "u8"
    I8 = "i8"
    U16BE = "u16be"
    U16LE = "u16le"
    I16BE = "i16be"
    I16LE = "i16le"
    U24BE = "u24be"
    U24LE = "u24le"
    I24BE = "i24be"
    I24LE = "i24le"
    U32BE = "u32be"
    U32LE = "u32le"
    I32BE = "i32be"
    I32LE = "i32le"
    F32BE = "f32be"
    F32LE = "f32le"
    BOOL = "bool"

    @property
    def size(self) -> int:
        """Bytes of one value."""
        return 1 if self is FieldType.BOOL else int(self[1:3]) // 8

    def read(self, raw: bytes) -> int | float | bool:
        """The value of exactly :attr:`size` bytes."""
        if self is FieldType.BOOL:
            return raw != b"\x00"
        little = self.endswith("le")
        if self.startswith("f"):
            number: float = struct.unpack("<f" if little else ">f", raw)[0]
            return number
        return int.from_bytes(raw, "little" if little else "big", signed=self.startswith("i"))


class Layout(Enum):
    """How a template finds its fields."""

    OFFSETS = auto()  # each field lies at its own place
    TAGS = auto()  # values follow one-byte tags, in any order; offsets count inside a value
    ORDER = auto()  # items of a CBOR sequence, one after the other


@dataclass(frozen=True, slots=True)
class TemplateField:
    """One value, or an array of them; its reading is the number times ten to ``exponent``.

    Attributes:
        name: of the measurement; of several (``count``) with ``_1``, ``_2`` ... behind. None reads
            nothing: the field only says how long its tag's value is.
        type: None only in a field that reads nothing, and in a :attr:`Layout.ORDER`.
        offset: bytes before the value, in the payload or in the tag's value.
        length: bytes of the tag's value; not needed where the fields of the tag cover it.
        length_from: place in the tag's value of a byte that says how many bytes follow it.
        f_port: the field counts in payloads of this FPort only.
    """

    name: str | None = None
    type: FieldType | None = None
    tag: int | None = None
    offset: int | None = None
    exponent: int = 0
    unit: str | None = None
    count: int = 1
    length: int | None = None
    length_from: int | None = None
    f_port: int | None = None

    @property
    def end(self) -> int:
        """Where the field ends, from the beginning of its payload or of its tag's value."""
        return (self.offset or 0) + (self.type.size * self.count if self.type else 0)


@dataclass(frozen=True, slots=True)
class Template:
    """A declared layout under the name that decoders refer to."""

    name: str
    fields: tuple[TemplateField, ...]

    @property
    def layout(self) -> Layout:
        """The kind of the first field, which all others must share."""
        match self.fields:
            case (TemplateField(tag=int()), *_):
                return Layout.TAGS
            case (TemplateField(offset=int()), *_):
                return Layout.OFFSETS
        return Layout.ORDER

    def labels(self) -> tuple[Label, ...]:
        """What the items of a CBOR sequence mean, for a :attr:`Layout.ORDER`."""
        return tuple(Label(field.name or "", field.exponent, field.unit) for field in self.fields)


def validate_template(template: Template) -> list[str]:
    """What is wrong with a template, in plain words; nothing if it can be used."""
    if not template.fields:
        return ["has no fields"]
    layout = template.layout
    faults = [
        f"field {number} ({field.name or 'without a name'}): {fault}"
        for number, field in enumerate(template.fields, 1)
        for fault in (*_number_faults(field), *_layout_faults(field, layout))
    ]
    return [*faults, *_shared_tag_faults(template), *_name_faults(template)]


def _number_faults(field: TemplateField) -> Iterator[str]:
    if field.name is not None:
        yield from label_faults(Label(field.name, field.exponent))
    if field.exponent and field.type is FieldType.BOOL:
        yield "a bool has no exponent"
    for what, value, low, high in (
        ("tag", field.tag, 0, 255),
        ("offset", field.offset, 0, 254),
        ("count", field.count, 1, 255),
        ("length", field.length, 1, 254),
        ("length_from", field.length_from, 0, 253),
        ("f_port", field.f_port, 1, 255),
    ):
        if value is not None and not low <= value <= high:
            yield f"{what} must be {low} to {high}"


def _layout_faults(field: TemplateField, layout: Layout) -> Iterator[str]:
    if layout is Layout.TAGS:
        yield from _tagged_faults(field)
        return
    if field.tag is not None or (field.offset is None) != (layout is Layout.ORDER):
        yield "either all fields have a tag, or all have an offset, or none has either"
        return
    if field.length is not None or field.length_from is not None:
        yield "length and length_from belong to fields with a tag"
    if field.name is None:
        yield "needs a name"
    if layout is Layout.OFFSETS and field.type is None:
        yield "needs a type"
    if layout is Layout.ORDER and (field.type or field.count != 1 or field.f_port is not None):
        yield "items of a CBOR sequence have no type, count or f_port"


def _tagged_faults(field: TemplateField) -> Iterator[str]:
    sizes = [size for size in (field.type, field.length, field.length_from) if size is not None]
    if field.tag is None:
        yield "has no tag, the first field has one"
    if field.name is not None and field.type is None:
        yield "needs a type"
    if not sizes:
        yield "needs a type, length or length_from, so that its tag can be skipped"
    if field.length is not None and field.length_from is not None:
        yield "has both length and length_from"
    if field.length is not None and field.end > field.length:
        yield "does not fit into its length"


def _shared_tag_faults(template: Template) -> Iterator[str]:
    stated: dict[int | None, TemplateField] = {}
    for field in template.fields:
        if field.length is not None or field.length_from is not None:
            first = stated.setdefault(field.tag, field)
            if (first.length, first.length_from) != (field.length, field.length_from):
                yield f"tag {field.tag}: its fields state different lengths"


def _name_faults(template: Template) -> Iterator[str]:
    ports: dict[str, list[int | None]] = {}
    for field in template.fields:
        if field.name is not None:
            others = ports.setdefault(field.name, [])
            if field.f_port in others or None in others or (field.f_port is None and others):
                yield f"the name {field.name} is given twice"
            others.append(field.f_port)
