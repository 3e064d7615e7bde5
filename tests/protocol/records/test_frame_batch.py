"""Bodies of several frames: read by the standard library and cbor2, and whatever else comes in."""

import json
from io import BytesIO
from typing import Any

import cbor2
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from protocol.records.frame_batch import (
    CONTENT_TYPES,
    BatchFormat,
    ReadFrame,
    RefusedFrame,
    decode_batch,
    encode_batch,
)
from protocol.records.sensor_frame import SensorFrameError
from protocol.records.sensor_frame_codec import encode
from tests.edge.upstreams.frames import check_cbor, check_json, frame, frames, ids
from tests.scale import SCALE

FORMATS = pytest.mark.parametrize("batch_format", list(BatchFormat))


def objects(count: int = 3) -> list[dict[str, Any]]:
    """Frames as the standard library reads them from a JSON body."""
    found: list[dict[str, Any]] = json.loads(encode_batch(frames(1, count), BatchFormat.JSON))
    return found


def as_json(*documents: object) -> bytes:
    return json.dumps(documents).encode()


def test_a_json_array() -> None:
    assert [check_json(one, one["seq"]) for one in objects()] == ids(frames(1, 3))


def test_json_lines() -> None:
    body = encode_batch(frames(1, 3), BatchFormat.JSON_LINES)
    assert body.endswith(b"}\n")
    lines = [json.loads(line) for line in body.splitlines()]
    assert [check_json(one, one["seq"]) for one in lines] == ids(frames(1, 3))


def test_a_cbor_sequence() -> None:
    """RFC 8742: items one after the other, nothing between them."""
    body = encode_batch(frames(1, 3), BatchFormat.CBOR)
    stream, found = BytesIO(body), []
    decoder = cbor2.CBORDecoder(stream)
    while stream.tell() < len(body):
        item = decoder.decode()
        found.append(check_cbor(item, item[3]))
    assert found == ids(frames(1, 3))


def test_registered_content_types() -> None:
    """RFC 8259 section 11, RFC 8742 section 7.1."""
    assert CONTENT_TYPES[BatchFormat.JSON] == "application/json"
    assert CONTENT_TYPES[BatchFormat.CBOR] == "application/cbor-seq"


@FORMATS
@pytest.mark.parametrize("count", [0, 1, 3])
def test_what_was_written_is_read(batch_format: BatchFormat, count: int) -> None:
    """With the same CBOR, whatever the body's format was."""
    read = decode_batch(encode_batch(frames(1, count), batch_format), batch_format, max_frames=3)
    assert read == [ReadFrame(one, encode(one)) for one in frames(1, count)]


@FORMATS
def test_too_many_frames(batch_format: BatchFormat) -> None:
    body = encode_batch(frames(1, 4), batch_format)
    with pytest.raises(SensorFrameError, match="4 frames: at most 3"):
        decode_batch(body, batch_format, max_frames=3)


def test_a_single_object_is_a_batch_of_one() -> None:
    body = json.dumps(objects()[0]).encode()
    [read] = decode_batch(body, BatchFormat.JSON, max_frames=9)
    assert read == ReadFrame(frame(1), encode(frame(1)))


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"seq": 7},
        {"device": "\ud800"},
        {"colour": "red"},
        {"received_boottime_us": float("nan")},
        {"receptions": []},
    ],
)
def test_a_bad_object_costs_only_itself(change: dict[str, object]) -> None:
    first, second, third = objects()
    body = as_json(first, second | change, third)
    read = decode_batch(body, BatchFormat.JSON, max_frames=9)
    assert read[0] == ReadFrame(frame(1), encode(frame(1)))
    assert read[2] == ReadFrame(frame(3), encode(frame(3)))
    assert isinstance(read[1], RefusedFrame)
    assert str(read[1].frame_id) == second["frame_id"]
    assert read[1].reason


def test_a_bad_item_costs_only_itself() -> None:
    item = cbor2.loads(encode(frame(2))) | {99: 1}
    body = encode(frame(1)) + cbor2.dumps(item) + encode(frame(3))
    first, second, third = decode_batch(body, BatchFormat.CBOR, max_frames=9)
    assert [first, third] == [ReadFrame(one, encode(one)) for one in (frame(1), frame(3))]
    assert isinstance(second, RefusedFrame)
    assert second.frame_id == frame(2).frame_id


@pytest.mark.parametrize(
    ("batch_format", "body"),
    [
        (BatchFormat.JSON, b"["),
        (BatchFormat.JSON, b"\xff"),
        (BatchFormat.JSON, b"[" * 100_000),
        (BatchFormat.JSON, b"[1]"),
        (BatchFormat.JSON, b'[{"frame_id": 1}]'),
        (BatchFormat.JSON, b'[{"frame_id": "1-2-3"}]'),
        (BatchFormat.JSON, b"9" * 10_000),
        (BatchFormat.JSON_LINES, b"{}\nx\n"),
        (BatchFormat.CBOR, b"\x01"),
        (BatchFormat.CBOR, b"\xa0\xff"),
        (BatchFormat.CBOR, b"\xa3\x01\x41\x00\x02\x41\x00\x03\x01"),  # ids of one byte each
        (BatchFormat.CBOR, cbor2.dumps({1: bytes(8), 2: bytes(8), 3: True})),
    ],
)
def test_what_names_no_frame_is_refused_as_a_whole(batch_format: BatchFormat, body: bytes) -> None:
    with pytest.raises(SensorFrameError):
        decode_batch(body, batch_format, max_frames=9)


@settings(max_examples=300 * SCALE, deadline=None)
@given(
    st.sampled_from(list(BatchFormat)),
    st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
            lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        ).map(lambda value: json.dumps(value).encode()),
    ),
)
@example(BatchFormat.CBOR, b"\x9b\xff\xff\xff\xff\xff\xff\xff\xff")
def test_hostile_bytes(batch_format: BatchFormat, body: bytes) -> None:
    """Either a list or the one documented error."""
    try:
        read = decode_batch(body, batch_format, max_frames=9)
    except SensorFrameError:
        return
    assert len(read) <= 9


@settings(max_examples=300 * SCALE, deadline=None)
@given(st.sampled_from(list(BatchFormat)), st.data())
def test_torn_and_flipped_bodies(batch_format: BatchFormat, data: st.DataObject) -> None:
    """A changed byte gives another frame or an error, never another exception."""
    body = bytearray(encode_batch(frames(1, 2), batch_format))
    place = data.draw(st.integers(0, len(body) - 1))
    body[place] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(body)))
    for changed in (bytes(body), bytes(body[:cut])):
        try:
            decode_batch(changed, batch_format, max_frames=9)
        except SensorFrameError:
            continue
