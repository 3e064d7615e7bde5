"""Framing against the published COBS and CRC implementations, and against noise."""

import fastcrc
import pytest
from cobs import cobs
from hypothesis import example, given
from hypothesis import strategies as st

from protocol.link.errors import LocalLinkError, RejectReason
from protocol.link.framing import (
    MAX_BODY,
    MAX_ENCODED,
    FrameDecoder,
    cobs_decode,
    cobs_encode,
    crc16,
    encode_frame,
)

bodies = st.binary(min_size=3, max_size=300)


def test_crc_check_value() -> None:
    """The check value of CRC-16/IBM-3740 in the RevEng catalogue."""
    assert crc16(b"123456789") == 0x29B1


@given(st.binary(max_size=600))
def test_crc_agrees_with_fastcrc(data: bytes) -> None:
    """An independent implementation gives the same."""
    assert crc16(data) == fastcrc.crc16.ibm_3740(data)


@given(st.binary(max_size=1200))
@example(bytes(range(1, 255)))
@example(b"\x01" * 254 + b"\x00")
@example(b"\x01" * 508)
@example(b"\x00" * 300)
def test_cobs_agrees_with_the_published_package(data: bytes) -> None:
    """Encoding is byte-equal, decoding undoes it."""
    assert cobs_encode(data) == cobs.encode(data)
    assert cobs_decode(cobs.encode(data)) == data


@given(st.binary(max_size=300).map(lambda data: data.replace(b"\x00", b"\x07")))
def test_cobs_refuses_what_the_published_package_refuses(data: bytes) -> None:
    """Decoding arbitrary bytes (no zero in them: the delimiter was cut off) agrees as well."""
    try:
        expected = cobs.decode(data) if data else None
    except cobs.DecodeError:
        expected = None
    assert cobs_decode(data) == expected


def test_zero_inside_an_encoded_block_is_refused() -> None:
    """A zero can only be the delimiter."""
    assert cobs_decode(b"\x03\x01\x02\x00\x01") is None


@pytest.mark.parametrize("size", [0, 2, MAX_BODY + 1])
def test_body_of_impossible_size_is_our_own_mistake(size: int) -> None:
    """It raises instead of sending what the peer must refuse."""
    with pytest.raises(LocalLinkError):
        encode_frame(bytes(size))


@given(st.lists(bodies, max_size=5), st.data())
def test_frames_arrive_in_any_split(frames: list[bytes], data: st.DataObject) -> None:
    """Bytes may come one by one or all at once."""
    stream = b"".join(map(encode_frame, frames))
    decoder = FrameDecoder()
    received = []
    while stream:
        cut = data.draw(st.integers(1, len(stream)))
        received += decoder.feed(stream[:cut])
        stream = stream[cut:]
    assert received == frames
    assert sum(decoder.rejects.values()) == 0


@given(st.binary(max_size=3000), bodies)
def test_a_frame_behind_garbage_is_never_lost(garbage: bytes, body: bytes) -> None:
    """Whatever stood on the line costs at most itself."""
    decoder = FrameDecoder()
    decoder.feed(garbage)
    assert decoder.feed(encode_frame(body))[-1] == body


@given(bodies, st.data())
def test_every_single_damaged_byte_is_noticed(body: bytes, data: st.DataObject) -> None:
    """One changed byte inside a frame never yields another body."""
    frame = bytearray(encode_frame(body))
    position = data.draw(st.integers(1, len(frame) - 2))
    frame[position] ^= data.draw(st.integers(1, 255))
    decoder = FrameDecoder()
    assert body not in decoder.feed(bytes(frame))
    assert sum(decoder.rejects.values()) >= 1


def test_an_endless_frame_is_counted_once_and_held_by_nobody() -> None:
    """A stuck line cannot fill the memory."""
    decoder = FrameDecoder()
    for _ in range(20):
        assert decoder.feed(b"\x01" * (MAX_ENCODED // 2 + 1)) == []
    body = b"after"
    assert decoder.feed(b"\x00" + encode_frame(body)) == [body]
    assert decoder.rejects[RejectReason.TOO_LONG] == 1


def test_reasons_of_rejection() -> None:
    """Each kind of damage has its own count."""
    decoder = FrameDecoder()
    decoder.feed(b"\x05\x01\x00")  # a block longer than what there is
    decoder.feed(cobs.encode(b"\x01\x02") + b"\x00")
    decoder.feed(cobs.encode(b"abcdefgh") + b"\x00")
    assert decoder.rejects[RejectReason.COBS] == 1
    assert decoder.rejects[RejectReason.TOO_SHORT] == 1
    assert decoder.rejects[RejectReason.CRC] == 1
