"""Decoders ``cbor`` and ``cbor-seq``: what our own sensors send.

``cbor`` is one item: a map from names or configured integer labels to values, or a SenML pack
(RFC 8428). ``cbor-seq`` is a CBOR sequence (RFC 8742) whose fields are declared in order: a byte
less for each value. A null says that there is no reading.
"""

from collections.abc import Mapping, Sequence

from protocol.records.decoded import Decoded, DecodeFault, Label, PayloadDecoder, Readings
from protocol.records.senml import SenmlError, resolve
from protocol.records.strict_cbor import Item, StrictCborError, decode_item, decode_sequence


def cbor_decoder(labels: Mapping[int, Label]) -> PayloadDecoder:
    """A decoder of maps and packs; ``labels`` are the integers that maps may use as keys."""

    def decode(payload: bytes, _f_port: int | None) -> Decoded:
        readings = Readings()
        try:
            item = decode_item(payload)
        except StrictCborError:
            readings.fault(DecodeFault.CBOR)
            return readings.decoded()
        if isinstance(item, dict):
            _read_map(readings, item, labels)
        elif isinstance(item, list):
            _read_pack(readings, item)
        else:
            readings.fault(DecodeFault.SHAPE)
        return readings.decoded()

    return decode


def sequence_decoder(fields: Sequence[Label]) -> PayloadDecoder:
    """A decoder of sequences whose n-th item is ``fields[n]``; items at the end may be left out."""

    def decode(payload: bytes, _f_port: int | None) -> Decoded:
        readings = Readings()
        try:
            items = decode_sequence(payload)
        except StrictCborError:
            readings.fault(DecodeFault.CBOR)
            return readings.decoded()
        for label, value in zip(fields, items, strict=False):
            _read_value(readings, label, value)
        if len(items) > len(fields):
            readings.fault(DecodeFault.TOO_MANY)
        return readings.decoded()

    return decode


def _read_map(readings: Readings, item: dict[int | str, Item], labels: Mapping[int, Label]) -> None:
    for key, value in item.items():
        label = Label(key) if isinstance(key, str) else labels.get(key)
        if label is None:
            readings.fault(DecodeFault.UNKNOWN_LABEL)
        else:
            _read_value(readings, label, value)


def _read_value(readings: Readings, label: Label, value: Item) -> None:
    if isinstance(value, list | dict):
        readings.fault(DecodeFault.SHAPE)
    elif value is not None:
        readings.add(label, value)


def _read_pack(readings: Readings, pack: list[Item]) -> None:
    try:
        for measurement in resolve(pack):
            readings.add(Label(measurement.name, unit=measurement.unit), measurement.value)
    except SenmlError:
        readings.fault(DecodeFault.SENML)
