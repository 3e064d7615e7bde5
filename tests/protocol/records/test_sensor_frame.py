"""Frame ids and uplink ids."""

import pytest
from hypothesis import given

from protocol.records.sensor_frame import FrameId, SensorFrameError, uplink_id
from tests.protocol.records import strategies

GATEWAY, EPOCH = "b827ebfffe123456", "00112233445566ff"


def test_frame_id_is_written_as_the_contract_says() -> None:
    """16 hex digits, 16 hex digits, decimal."""
    frame_id = FrameId(bytes.fromhex(GATEWAY), bytes.fromhex(EPOCH), 70_000)
    assert str(frame_id) == f"{GATEWAY}-{EPOCH}-70000"


@given(strategies.frame_id)
def test_frame_id_round_trip(frame_id: FrameId) -> None:
    """Any of them."""
    assert FrameId.parse(str(frame_id)) == frame_id


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"{GATEWAY}-{EPOCH}",
        f"{GATEWAY}-{EPOCH}-",
        f"{GATEWAY}-{EPOCH}-01",
        f"{GATEWAY}-{EPOCH}--1",
        f"{GATEWAY}-{EPOCH}-1\n",
        f"{GATEWAY}-{EPOCH}-\u0661",  # a digit, but an Arabic one
        f"{GATEWAY}-{EPOCH}-9223372036854775808",
        f"{GATEWAY.upper()}-{EPOCH}-1",
        f"{GATEWAY[1:]}-{EPOCH}-1",
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    """One id has one text, or it would be no key."""
    with pytest.raises(SensorFrameError, match="not a frame id"):
        FrameId.parse(text)


def test_uplink_id_is_blake2b_of_16_bytes() -> None:
    """Judge: coreutils' b2sum --length=128."""
    assert uplink_id(b"abc").hex() == "cf4ab791c62b8d2b2109c90275287816"
    assert uplink_id(b"").hex() == "cae66941d9efbd404e4d88758ea67670"
