"""Frame shapes against vectors, the standard's lengths, real traffic, and noise."""

import gzip
import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.lorawan.frame import (
    DataFrame,
    Direction,
    Frame,
    FrameError,
    FrameFault,
    JoinAccept,
    JoinRequest,
    MessageType,
    Proprietary,
    RejoinRequest,
    parse,
    serialize,
)
from tests.protocol.lorawan.vectors import DATA, DOWN, JOIN_ACCEPT, JOIN_REQUEST, DataVector

ROOT = Path(__file__).parents[3]
DATA_TYPES = [kind for kind in MessageType if "_data_" in kind]

data_frames = st.builds(
    DataFrame,
    message_type=st.sampled_from(DATA_TYPES),
    dev_addr=st.binary(min_size=4, max_size=4),
    adr=st.booleans(),
    adr_ack_req=st.booleans(),
    ack=st.booleans(),
    class_b_or_pending=st.booleans(),
    f_cnt=st.integers(0, 0xFFFF),
    f_opts=st.binary(max_size=15),
    f_port=st.integers(0, 255),
    frm_payload=st.binary(max_size=227),
    mic=st.binary(min_size=4, max_size=4),
)
portless_frames = data_frames.map(lambda frame: replace(frame, f_port=None, frm_payload=b""))
mics = st.binary(min_size=4, max_size=4)
euis = st.binary(min_size=8, max_size=8)
frames: st.SearchStrategy[Frame] = st.one_of(
    data_frames,
    portless_frames,
    st.builds(JoinRequest, euis, euis, st.integers(0, 0xFFFF), mics),
    st.builds(
        JoinAccept, st.binary(min_size=16, max_size=16) | st.binary(min_size=32, max_size=32)
    ),
    st.builds(RejoinRequest, st.sampled_from((0, 2)), st.binary(min_size=13, max_size=13), mics),
    st.builds(RejoinRequest, st.just(1), st.binary(min_size=18, max_size=18), mics),
    st.builds(Proprietary, st.binary(max_size=254)),
)


@pytest.mark.parametrize("vector", DATA, ids=lambda vector: vector.name)
def test_data_vectors(vector: DataVector) -> None:
    """Every field is where two independent libraries see it."""
    frame = parse(vector.phy_payload)
    assert isinstance(frame, DataFrame)
    assert frame.message_type == vector.message_type
    assert frame.dev_addr == vector.dev_addr
    assert frame.adr == bool(vector.f_ctrl & 0x80)
    assert frame.adr_ack_req == bool(vector.f_ctrl & 0x40)
    assert frame.ack == bool(vector.f_ctrl & 0x20)
    assert frame.class_b_or_pending == bool(vector.f_ctrl & 0x10)
    assert frame.f_cnt == vector.f_cnt & 0xFFFF
    assert frame.f_opts == vector.f_opts
    assert frame.f_port == vector.f_port
    assert len(frame.frm_payload) == len(vector.plaintext)
    assert frame.mic == vector.mic
    assert frame.uplink == (vector is not DOWN)
    assert frame.direction is (Direction.DOWN if vector is DOWN else Direction.UP)
    assert serialize(frame) == vector.phy_payload


def test_join_request_vector() -> None:
    """Identifiers come out as people print them, most significant byte first."""
    phy_payload = bytes.fromhex(JOIN_REQUEST["phy"])
    frame = parse(phy_payload)
    assert frame == JoinRequest(
        join_eui=bytes.fromhex(JOIN_REQUEST["join_eui"]),
        dev_eui=bytes.fromhex(JOIN_REQUEST["dev_eui"]),
        dev_nonce=int(JOIN_REQUEST["dev_nonce"], 16),
        mic=bytes.fromhex(JOIN_REQUEST["mic"]),
    )
    assert frame.message_type is MessageType.JOIN_REQUEST
    assert serialize(frame) == phy_payload


def test_join_accept_vector() -> None:
    """Without a key it is 32 sealed bytes."""
    phy_payload = bytes.fromhex(JOIN_ACCEPT["phy"])
    frame = parse(phy_payload)
    assert frame == JoinAccept(phy_payload[1:])
    assert frame.message_type is MessageType.JOIN_ACCEPT
    assert serialize(frame) == phy_payload


@pytest.mark.parametrize("rejoin_type", [0, 2])
def test_rejoin_request_with_net_id(rejoin_type: int) -> None:
    """LoRaWAN 1.1 section 6.2.4: type, NetID 3, DevEUI 8, RJcount0 2, MIC 4."""
    body = bytes(range(3 + 8 + 2))
    frame = parse(bytes([0xC0, rejoin_type]) + body + b"\xaa\xbb\xcc\xdd")
    assert frame == RejoinRequest(rejoin_type, body, b"\xaa\xbb\xcc\xdd")
    assert frame.message_type is MessageType.REJOIN_REQUEST


def test_rejoin_request_with_join_eui() -> None:
    """LoRaWAN 1.1 section 6.2.4: type 1, JoinEUI 8, DevEUI 8, RJcount1 2, MIC 4."""
    body = bytes(range(8 + 8 + 2))
    assert parse(b"\xc0\x01" + body + b"\xaa\xbb\xcc\xdd") == RejoinRequest(
        1, body, b"\xaa\xbb\xcc\xdd"
    )


def test_proprietary_may_be_anything() -> None:
    """Even nothing."""
    frame = parse(b"\xe0")
    assert frame == Proprietary(b"")
    assert frame.message_type is MessageType.PROPRIETARY
    assert parse(b"\xe0\x00\xff") == Proprietary(b"\x00\xff")


def test_absent_port_and_empty_payload_differ() -> None:
    """An empty MACPayload has no FPort; FPort alone is a payload of no bytes."""
    fhdr = bytes.fromhex("da1b012600" + "0700")
    without = parse(b"\x40" + fhdr + b"micX")
    empty = parse(b"\x40" + fhdr + b"\x0a" + b"micX")
    assert isinstance(without, DataFrame)
    assert isinstance(empty, DataFrame)
    assert (without.f_port, without.frm_payload, without.mic) == (None, b"", b"micX")
    assert (empty.f_port, empty.frm_payload, empty.mic) == (10, b"", b"micX")


@pytest.mark.parametrize(
    ("phy_payload", "reason"),
    [
        ("", FrameFault.TOO_SHORT),
        ("40" + "00" * 10, FrameFault.TOO_SHORT),
        ("e0" + "00" * 255, FrameFault.BAD_LENGTH),
        ("41" + "00" * 11, FrameFault.UNSUPPORTED_MAJOR),
        ("e3", FrameFault.UNSUPPORTED_MAJOR),
        ("44" + "00" * 11, FrameFault.RESERVED),
        ("f0", FrameFault.RESERVED),
        ("40" + "00000000" + "01" + "0000" + "00000000", FrameFault.BAD_LENGTH),
        ("40" + "00000000" + "0f" + "0000" + "00" * 18, FrameFault.BAD_LENGTH),
        ("00" + "00" * 21, FrameFault.BAD_LENGTH),
        ("00" + "00" * 23, FrameFault.BAD_LENGTH),
        ("20" + "00" * 15, FrameFault.BAD_LENGTH),
        ("20" + "00" * 24, FrameFault.BAD_LENGTH),
        ("c0", FrameFault.TOO_SHORT),
        ("c003" + "00" * 17, FrameFault.RESERVED),
        ("c000" + "00" * 22, FrameFault.BAD_LENGTH),
        ("c001" + "00" * 17, FrameFault.BAD_LENGTH),
    ],
)
def test_refusals(phy_payload: str, reason: FrameFault) -> None:
    """Each with its own reason."""
    with pytest.raises(FrameError) as raised:
        parse(bytes.fromhex(phy_payload))
    assert raised.value.reason is reason
    assert str(raised.value) == reason


def lengths_of(mhdr: int) -> set[int]:
    """Lengths that a PHY payload of zeros may have, from the tables of the standard."""
    if mhdr & 0x1F:
        return set()
    match mhdr >> 5:
        case 0:
            return {1 + 8 + 8 + 2 + 4}
        case 1:
            return {1 + 3 + 3 + 4 + 1 + 1 + 4, 1 + 3 + 3 + 4 + 1 + 1 + 16 + 4}
        case 6:
            return {1 + 1 + 3 + 8 + 2 + 4}
        case 7:
            return set(range(1, 256))
        case _:
            return set(range(1 + 7 + 4, 256))


def test_every_header_with_every_length() -> None:
    """Exactly the lengths of the standard are accepted."""
    for mhdr in range(256):
        accepted = set()
        for length in range(1, 301):
            try:
                parse(bytes([mhdr]) + bytes(length - 1))
            except FrameError:
                continue
            accepted.add(length)
        assert accepted == lengths_of(mhdr), f"{mhdr:#04x}"


@given(frames)
def test_round_trip_of_values(frame: Frame) -> None:
    """What is written is read back the same."""
    phy_payload = serialize(frame)
    assert len(phy_payload) <= 255
    assert parse(phy_payload) == frame


@settings(max_examples=2000)
@given(
    st.binary(max_size=300)
    | st.builds(
        lambda code, rest: bytes([code << 5]) + rest, st.integers(0, 7), st.binary(max_size=60)
    )
)
def test_noise_raises_frame_error_only_and_round_trips(phy_payload: bytes) -> None:
    """Whatever is accepted is also reproduced bit for bit."""
    try:
        frame = parse(phy_payload)
    except FrameError:
        return
    assert serialize(frame) == phy_payload


@given(data_frames, st.integers(0, 260))
def test_a_cut_frame_never_crashes(frame: DataFrame, length: int) -> None:
    """Frames that end early are refused or read as shorter frames, bit for bit."""
    cut = serialize(frame)[:length]
    try:
        read = parse(cut)
    except FrameError:
        return
    assert serialize(read) == cut


@pytest.mark.parametrize(
    "change",
    [
        {"message_type": MessageType.JOIN_REQUEST},
        {"dev_addr": b"\x01\x02\x03"},
        {"mic": b"\x01\x02\x03\x04\x05"},
        {"f_cnt": -1},
        {"f_cnt": 0x10000},
        {"f_port": None},
        {"f_port": 256},
        {"f_port": -1},
        {"f_opts": bytes(16)},
        {"frm_payload": bytes(243)},
        {"frm_payload": bytes(242), "f_opts": b"\x02"},
    ],
    ids=str,
)
def test_a_field_that_does_not_fit_is_our_own_mistake(change: dict[str, Any]) -> None:
    """A value that exists can be sent."""
    frame = parse(DOWN.phy_payload)
    assert isinstance(frame, DataFrame)
    with pytest.raises(ValueError, match=r"data message|bytes|bits|f_port|too long"):
        replace(frame, **change)


def test_the_longest_frame() -> None:
    """255 bytes: 242 of payload without options."""
    frame = parse(DOWN.phy_payload)
    assert isinstance(frame, DataFrame)
    assert len(serialize(replace(frame, frm_payload=bytes(242)))) == 255


def capture_file() -> Path:
    """The captured traffic: from the environment, else beside the repository."""
    default = ROOT.parent / "shared/data/grenoble-tower/frames.ndjson.gz"
    path = Path(os.environ.get("CAPTURE", default))
    if not path.exists():
        pytest.skip(f"NOT RUN: no captured traffic at {path}; set CAPTURE=FILE")
    return path


@pytest.mark.capture
def test_captured_traffic() -> None:
    """Real uplinks of a real sensor, with what a network server read in them."""
    wrong = []
    count = 0
    with gzip.open(capture_file(), "rt") as lines:
        for line in lines:
            expected = json.loads(line)
            phy_payload = bytes.fromhex(expected["phy_payload"])
            frame = parse(phy_payload)
            assert isinstance(frame, DataFrame)
            count += 1
            read = (frame.dev_addr.hex(), frame.f_cnt, frame.f_port, len(frame.frm_payload))
            told = (
                expected["dev_addr"],
                expected["f_cnt"] & 0xFFFF,
                expected["f_port"],
                len(expected["frm_payload_plain"]) // 2,
            )
            if read != told or not frame.uplink or serialize(frame) != phy_payload:
                wrong.append((read, told))
    assert count > 0
    assert wrong == []
