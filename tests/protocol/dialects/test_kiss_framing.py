"""KISS framing: whole, in pieces, in noise; nothing good is lost and nothing grows."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.kiss_framing import FEND, FESC, KissDecoder, KissReject, encode_frame

bodies = st.lists(st.binary(min_size=1, max_size=40), max_size=8)


@pytest.mark.parametrize(
    ("body", "frame"),
    [
        ("01 36eb72c0", "c0 01 36 eb 72 db dc c0"),  # 921.4 MHz ends in a FEND
        ("24 c0", "c0 24 db dc c0"),
        ("00 c0 db 01", "c0 00 db dc db dd 01 c0"),
        ("23 3d", "c0 23 3d c0"),
    ],
)
def test_golden_frames(body: str, frame: str) -> None:
    assert encode_frame(bytes.fromhex(body)) == bytes.fromhex(frame)
    assert KissDecoder(64).feed(bytes.fromhex(frame)) == [bytes.fromhex(body)]


@given(bodies, st.integers(1, 7))
def test_any_cut_gives_the_same_bodies(sent: list[bytes], size: int) -> None:
    """A stream has no borders."""
    stream = b"".join(map(encode_frame, sent))
    decoder = KissDecoder(64)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert [body for piece in pieces for body in decoder.feed(piece)] == sent
    assert not decoder.rejects


def test_one_fend_may_end_and_begin() -> None:
    """Modems save one; a lost one costs nothing either."""
    stream = encode_frame(b"one")[:-1] + encode_frame(b"two")
    assert KissDecoder(64).feed(stream) == [b"one", b"two"]


def test_text_before_the_first_frame_is_no_frame() -> None:
    """Boot messages."""
    decoder = KissDecoder(64)
    assert decoder.feed(b"rst:0x1 (POWERON_RESET)\r\n" + encode_frame(b"x")) == [b"x"]


@pytest.mark.parametrize(
    ("noise", "reason"),
    [
        (bytes([FEND, 1, FESC, 7, 9]), KissReject.BAD_ESCAPE),
        (bytes([FEND, 1, FESC]), KissReject.BAD_ESCAPE),
        (bytes([FEND]) + bytes(65), KissReject.TOO_LONG),
    ],
)
def test_bad_frames_are_counted_and_cost_no_other(noise: bytes, reason: KissReject) -> None:
    decoder = KissDecoder(64)
    assert decoder.feed(noise + encode_frame(b"good")) == [b"good"]
    assert decoder.rejects == {reason: 1}


def test_the_longest_frame_is_accepted() -> None:
    assert KissDecoder(4).feed(encode_frame(b"1234")) == [b"1234"]
