"""Decoder ``template:<name>``: reads payloads as a declared template says."""

from collections.abc import Sequence

from protocol.records.decoded import Decoded, DecodeFault, Label, PayloadDecoder, Readings
from protocol.records.template import Layout, Template, TemplateField


def template_decoder(template: Template) -> PayloadDecoder:
    """A decoder for a valid template of offsets or tags.

    Bytes behind the last field of a fixed layout are left alone: newer firmware appends. An
    unknown tag ends decoding, because nobody knows how long its value is.
    """
    read = _read_tags if template.layout is Layout.TAGS else _read_fields

    def decode(payload: bytes, f_port: int | None) -> Decoded:
        readings = Readings()
        fields = [field for field in template.fields if field.f_port in (None, f_port)]
        if fields:
            read(readings, fields, payload)
        else:
            readings.fault(DecodeFault.F_PORT)
        return readings.decoded()

    return decode


def _read_tags(readings: Readings, fields: Sequence[TemplateField], payload: bytes) -> None:
    position = 0
    while position < len(payload):
        tagged = [field for field in fields if field.tag == payload[position]]
        if not tagged:
            readings.fault(DecodeFault.UNKNOWN_TAG)
            return
        start = position + 1
        position = start + _value_length(tagged, payload[start:])
        if position > len(payload):
            readings.fault(DecodeFault.TOO_SHORT)
            return
        _read_fields(readings, tagged, payload[start:position])


def _value_length(tagged: Sequence[TemplateField], rest: bytes) -> int:
    """Bytes of a tag's value; more than there are where the payload ends before."""
    for field in tagged:
        if field.length is not None:
            return field.length
        if field.length_from is not None:
            return field.length_from + 1 + sum(rest[field.length_from : field.length_from + 1])
    return max(field.end for field in tagged)


def _read_fields(readings: Readings, fields: Sequence[TemplateField], value: bytes) -> None:
    for field in fields:
        if field.name is not None and field.type is not None:
            _read_field(readings, field, field.name, value)


def _read_field(readings: Readings, field: TemplateField, name: str, value: bytes) -> None:
    assert field.type is not None
    for index in range(field.count):
        start = (field.offset or 0) + index * field.type.size
        raw = value[start : start + field.type.size]
        if len(raw) < field.type.size:
            readings.fault(DecodeFault.TOO_SHORT)
            return
        full_name = name if field.count == 1 else f"{name}_{index + 1}"
        readings.add(Label(full_name, field.exponent, field.unit), field.type.read(raw))
