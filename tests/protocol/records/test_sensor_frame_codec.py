"""CBOR of sensor frames: a frame written by hand, an independent encoder, and round trips."""

from dataclasses import replace

import cbor2
import pytest
from cddl_verifier.cbor import encode as encode_independently
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.sensor_frame import FrameContent, SensorFrame, SensorFrameError
from protocol.records.sensor_frame_codec import decode, decode_content, encode, encode_content
from tests.protocol.records import strategies
from tests.protocol.records.example import CONTENT_MAP, FRAME, FRAME_MAP


def test_example_is_what_an_independent_encoder_makes_of_the_schema() -> None:
    """RFC 8949 section 4.2.1, to the byte."""
    assert encode(FRAME) == encode_independently(FRAME_MAP, canonical=True)
    assert encode_content(FRAME.content) == encode_independently(CONTENT_MAP, canonical=True)


def test_example_is_read_back() -> None:
    """From the independent encoder's bytes."""
    assert decode(encode_independently(FRAME_MAP, canonical=True)) == FRAME
    assert decode_content(encode_independently(CONTENT_MAP, canonical=True)) == FRAME.content


@given(strategies.sensor_frame)
def test_frame_round_trip(frame: SensorFrame) -> None:
    """Compared as text, which tells True from 1 and 0.0 from -0.0."""
    assert repr(decode(encode(frame))) == repr(frame)


@given(strategies.content)
def test_content_round_trip(content: FrameContent) -> None:
    """What the store keeps."""
    assert repr(decode_content(encode_content(content))) == repr(content)


def test_integers_for_floats_are_written_as_floats() -> None:
    """A driver may say -120 for -120.0; both must give the same bytes."""
    (reception,) = FRAME.content.receptions
    members = {slot: getattr(reception, slot) for slot in reception.__slots__}
    loose, exact = (
        type(reception)(**{**members, "rssi_dbm": rssi, "snr_db": snr})
        for rssi, snr in ((-120, 3), (-120.0, 3.0))
    )
    contents = [encode_content(FrameContent(b"b" * 16, 0, (one,), b"")) for one in (loose, exact)]
    assert contents[0] == contents[1]


def test_what_could_not_be_read_is_not_written() -> None:
    """The longest that a device reports is; with one byte more it is an error of the caller."""
    longest = replace(FRAME.content, phy_payload=bytes(508))
    assert decode_content(encode_content(longest)) == longest
    with pytest.raises(ValueError, match="at most 508 bytes, not 509"):
        encode_content(replace(longest, phy_payload=bytes(509)))
    with pytest.raises(ValueError, match="at most 508 bytes, not 509"):
        encode(replace(FRAME, content=replace(longest, phy_payload=bytes(509))))


@given(st.binary(max_size=64))
def test_arbitrary_bytes_are_refused(data: bytes) -> None:
    """With the one error."""
    for read in (decode, decode_content):
        with pytest.raises(SensorFrameError):
            read(data)


@given(strategies.sensor_frame, st.data())
def test_damaged_frames_are_refused_or_read_as_what_they_say(
    frame: SensorFrame, data: st.DataObject
) -> None:
    """One byte changed: either refused, or another frame whose members are all valid."""
    damaged = bytearray(encode(frame))
    damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    try:
        other = decode(bytes(damaged))
    except SensorFrameError:
        return
    assert repr(decode(encode(other))) == repr(other)


def test_trailing_bytes_and_tags_are_refused() -> None:
    """Strict, though they are our own records: the store may be damaged."""
    with pytest.raises(SensorFrameError, match="trailing"):
        decode(encode(FRAME) + b"\x00")
    with pytest.raises(SensorFrameError, match="tag"):
        decode(b"\xd9\xd9\xf7" + encode(FRAME))


def test_long_records_have_no_limit() -> None:
    """255 measurements with long names, as a template may declare."""
    records = [{0: f"{number}{'x' * 60}", 2: number} for number in range(1_000)]
    content = decode_content(cbor2.dumps({**CONTENT_MAP, 21: records}))
    assert [one.value for one in content.measurements] == list(range(1_000))
