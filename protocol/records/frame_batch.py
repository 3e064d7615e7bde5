"""Several sensor frames in one body, as HTTP carries them.

A body is a JSON array, JSON lines, or a CBOR sequence (RFC 8742). Reading judges each frame alone,
so that one that is wrong never costs the others: it is refused under its id, with the reason.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

import cbor2

from protocol.records.sensor_frame import FrameId, SensorFrame, SensorFrameError
from protocol.records.sensor_frame_codec import encode
from protocol.records.sensor_frame_json import encode_json, from_json_object
from protocol.records.sensor_frame_reader import read_frame
from protocol.records.strict_cbor import Item, StrictCborError, decode_sequence

_ID_KEYS = (1, 2, 3)


class BatchFormat(StrEnum):
    """How a body is written."""

    JSON = "json"
    JSON_LINES = "json-lines"
    CBOR = "cbor"


CONTENT_TYPES = {
    BatchFormat.JSON: "application/json",
    BatchFormat.JSON_LINES: "application/x-ndjson",
    BatchFormat.CBOR: "application/cbor-seq",
}
"""RFC 8259, github.com/ndjson/ndjson-spec and RFC 8742."""


@dataclass(frozen=True, slots=True)
class ReadFrame:
    """A frame of a body, and its CBOR, which is the same whatever the body's format was."""

    frame: SensorFrame
    encoded: bytes


@dataclass(frozen=True, slots=True)
class RefusedFrame:
    """Something in a body that names itself a frame, but is none."""

    frame_id: FrameId
    reason: str


def encode_batch(frames: Sequence[SensorFrame], batch_format: BatchFormat) -> bytes:
    """The body. Raises ValueError as :func:`protocol.records.sensor_frame_codec.encode` does."""
    if batch_format is BatchFormat.CBOR:
        return b"".join(map(encode, frames))
    lines = [encode_json(frame) for frame in frames]
    if batch_format is BatchFormat.JSON:
        return b"[" + b",\n".join(lines) + b"]\n"
    return b"".join(line + b"\n" for line in lines)


def decode_batch(
    body: bytes, batch_format: BatchFormat, *, max_frames: int
) -> list[ReadFrame | RefusedFrame]:
    """The frames of a body, in their order.

    Raises:
        SensorFrameError: it has more frames than may be, or is not of that format, or holds
            something that does not even say which frame it is.
    """
    records = list(_SPLITTERS[batch_format](body))
    if len(records) > max_frames:
        raise SensorFrameError(f"{len(records)} frames: at most {max_frames} in one body")
    if batch_format is BatchFormat.CBOR:
        return [_judged(record, read_frame, _id_of_item) for record in records]
    return [_judged(record, _read_object, _id_of_object) for record in records]


def _split_cbor(body: bytes) -> Iterator[Item]:
    try:
        # An item takes a byte at least, so these limits are the caller's: the body's length.
        yield from decode_sequence(body, max_bytes=len(body), max_items=len(body))
    except StrictCborError as error:
        raise SensorFrameError(f"not a CBOR sequence of frames: {error}") from error


def _split_json(body: bytes) -> Iterator[Item]:
    records = _load(body)
    # A single object is a batch of one: that is what people try first, by hand.
    yield from records if isinstance(records, list) else [records]


def _split_json_lines(body: bytes) -> Iterator[Item]:
    yield from (_load(line) for line in body.split(b"\n") if line.strip())


_SPLITTERS: dict[BatchFormat, Callable[[bytes], Iterator[Item]]] = {
    BatchFormat.JSON: _split_json,
    BatchFormat.JSON_LINES: _split_json_lines,
    BatchFormat.CBOR: _split_cbor,
}


def _load(text: bytes) -> Item:
    try:
        item: Item = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise SensorFrameError(f"not JSON: {error}") from error
    return item


def _judged(
    record: Item, read: Callable[[Item], SensorFrame], identify: Callable[[Item], FrameId]
) -> ReadFrame | RefusedFrame:
    frame_id = identify(record)
    try:
        frame = read(record)
        return ReadFrame(frame, encode(frame))
    except (SensorFrameError, cbor2.CBOREncodeError, UnicodeEncodeError) as error:
        return RefusedFrame(frame_id, str(error))


def _read_object(record: Item) -> SensorFrame:
    # What JSON can hold and CBOR cannot, such as half a surrogate pair, shows when it is encoded.
    assert isinstance(record, dict)
    return from_json_object({str(name): value for name, value in record.items()})


def _id_of_item(record: Item) -> FrameId:
    members = record if isinstance(record, dict) else {}
    match [members.get(key) for key in _ID_KEYS]:
        case [bytes(gateway), bytes(epoch), int(seq)]:
            return FrameId.parse(str(FrameId(gateway, epoch, seq)))
    raise SensorFrameError("an item that does not say which frame it is")


def _id_of_object(record: Item) -> FrameId:
    name = record.get("frame_id") if isinstance(record, dict) else None
    if not isinstance(name, str):
        raise SensorFrameError("a value without a frame_id")
    return FrameId.parse(name)
