"""Payload decoders by the name that a ``[[device]]`` table gives them."""

from collections.abc import Iterable, Mapping
from itertools import count, takewhile

from protocol.records.cayenne_lpp import decode_cayenne_lpp
from protocol.records.cbor_payload import cbor_decoder, sequence_decoder
from protocol.records.decoded import Decoded, DecodeFault, Label, PayloadDecoder, label_faults
from protocol.records.template import Layout, Template, validate_template
from protocol.records.template_payload import template_decoder


class UnknownDecoder(ValueError):
    """No decoder has this name, or what it names cannot be used; the text says what to change."""


def decoder(
    name: str, *, labels: Mapping[int, Label], templates: Iterable[Template]
) -> PayloadDecoder:
    """The decoder for ``cbor``, ``cbor-seq``, ``cayenne-lpp``, ``none``, ``template:<template>``
    or ``cbor-seq:<template>``.

    It never raises, whatever the payload; and on FPort 0, which carries MAC commands (LoRaWAN
    1.0.4 section 4.3.2), it never looks at it. Raises :class:`UnknownDecoder`.
    """
    decode = _find(name, labels, templates)

    def application_only(payload: bytes, f_port: int | None) -> Decoded:
        return Decoded((), DecodeFault.F_PORT) if f_port == 0 else decode(payload, f_port)

    return application_only


def _find(name: str, labels: Mapping[int, Label], templates: Iterable[Template]) -> PayloadDecoder:
    match name.split(":", 1):
        case ["none"]:
            return _decode_nothing
        case ["cayenne-lpp"]:
            return decode_cayenne_lpp
        case ["cbor"]:
            return cbor_decoder(_valid_labels(labels))
        case ["cbor-seq"]:
            return sequence_decoder(_consecutive(_valid_labels(labels)))
        case ["cbor-seq", template]:
            found = _template(template, templates)
            if found.layout is Layout.ORDER:
                return sequence_decoder(found.labels())
            raise UnknownDecoder(
                f"template {template} has tags or offsets: use template:{template}"
            )
        case ["template", template]:
            found = _template(template, templates)
            if found.layout is not Layout.ORDER:
                return template_decoder(found)
            raise UnknownDecoder(
                f"template {template} has no tags or offsets: use cbor-seq:{template}"
            )
    raise UnknownDecoder(
        f"{name}: a decoder is cbor, cbor-seq, cbor-seq:<template>, cayenne-lpp, "
        "template:<template> or none"
    )


def _decode_nothing(_payload: bytes, _f_port: int | None) -> Decoded:
    return Decoded(())


def _valid_labels(labels: Mapping[int, Label]) -> Mapping[int, Label]:
    for number, label in labels.items():
        if faults := label_faults(label):
            raise UnknownDecoder(f"label {number}: {'; '.join(faults)}")
    return labels


def _consecutive(labels: Mapping[int, Label]) -> tuple[Label, ...]:
    """The labels 1, 2, ... up to the first number that is not used."""
    numbers = takewhile(lambda number: number in labels, count(1))
    fields = tuple(labels[number] for number in numbers)
    if not fields:
        raise UnknownDecoder("cbor-seq needs a label 1, or use cbor-seq:<template>")
    return fields


def _template(name: str, templates: Iterable[Template]) -> Template:
    for template in templates:
        if template.name == name:
            if faults := validate_template(template):
                raise UnknownDecoder(f"template {name}: {'; '.join(faults)}")
            return template
    raise UnknownDecoder(f"there is no template {name}")
