"""Bytes of messages: golden ones written by hand from the specification, and all others there and
back."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.link import messages as m
from protocol.link.codec import parse, serialize
from protocol.link.errors import LocalLinkError, MalformedMessage
from protocol.lora.register_operations import (
    RegisterRead,
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)
from tests.protocol.link.strategies import envelope

GOLDEN: dict[str, tuple[str, m.Envelope]] = {
    "host hello": (
        "01 ff 00  4c6f5261 01 00  78563412  1027",
        m.Envelope(m.HostHello(nonce=0x12345678, lease_ms=10_000)),
    ),
    "board hello": (
        ("81 ff 00  4c6f5261 01 00  78563412  8877665544332211  01  05000000  0002 04 08"
        "  07000000  03 aabbcc  02 6677  02  4c 12 02  4f 12 01"),
        m.Envelope(
            m.BoardHello(
                nonce=0x12345678,
                boot_id=0x1122334455667788,
                reset_cause=m.ResetCause.POWER_ON,
                capabilities=m.Capability.TRANSMIT_NOW | m.Capability.VALID_HEADER_TIME,
                ring_capacity=512,
                max_requests=4,
                transmit_queue=8,
                first_unacknowledged=7,
                unique_id=b"\xaa\xbb\xcc",
                firmware="fw",
                radios=(
                    m.RadioDescription(76, 0x12, tcxo=False, pa_boost=True),
                    m.RadioDescription(79, 0x12, tcxo=True, pa_boost=False),
                ),
            )
        ),
    ),
    "acknowledge": ("02 ff 00  2a000000 0001 01", m.Envelope(m.Acknowledge(42, 256, True))),
    "time request": ("03 ff 00  01000000", m.Envelope(m.TimeRequest(1))),
    "time": ("83 ff 00  01000000 40420f0000000000", m.Envelope(m.Time(1, 1_000_000))),
    "registers": (
        "04 01 09  01 04  00 42 01  01 06 03 e6599a  02 3b 40 40  03 3b 20 00 0a00",
        m.Envelope(
            m.Registers(
                (
                    RegisterRead(0x42, 1),
                    RegisterWrite(0x06, b"\xe6\x59\x9a"),
                    RegisterReadModifyWrite(0x3B, 0x40, 0x40),
                    RegisterWait(0x3B, 0x20, 0x00, 10),
                ),
                skip_if_receiving=True,
            ),
            radio=1,
            request=9,
        ),
    ),
    "receive profile": (
        "05 00 0a  01 02  39 34  1d 72",
        m.Envelope(m.ReceiveProfile(((0x39, 0x34), (0x1D, 0x72))), 0, 10),
    ),
    "radio off": ("05 02 0b  00 00", m.Envelope(m.ReceiveProfile(None), 2, 11)),
    "transmit": (
        "06 00 0c  0300  01  40420f0000000000  00000000  01 33 26  02 abcd",
        m.Envelope(
            m.Transmit(3, m.TransmitMode.AT_COUNT, 1_000_000, 0, ((0x33, 0x26),), b"\xab\xcd"),
            0,
            12,
        ),
    ),
    "cancel transmit": ("07 00 0d  0300", m.Envelope(m.CancelTransmit(3), 0, 13)),
    "reset": ("08 ff 0e", m.Envelope(m.Reset(), m.BOARD, 14)),
    "status": ("84 01 09  00 00 12", m.Envelope(m.Status(m.StatusCode.OK, 0, b"\x12"), 1, 9)),
    "rx event": (
        ("41 01 00  05000000  40420f0000000000  0000000000000000"
        "  40 04 40 20 3d 2a 72 74  ffff0f  9a59e6  03 40dabb"),
        m.Envelope(
            m.RxEvent(
                number=5,
                count_us=1_000_000,
                valid_header_us=0,
                irq_flags=0x40,
                modem_status=0x04,
                hop_channel=0x40,
                packet_snr=0x20,
                packet_rssi=0x3D,
                rssi=0x2A,
                modem_config_1=0x72,
                modem_config_2=0x74,
                frequency_error=0x0FFFFF,
                frf=0xE6599A,
                payload=b"\x40\xda\xbb",
            ),
            radio=1,
        ),
    ),
    "heartbeat": (
        ("42 ff 00  40420f0000000000  05000000 0100 0200  03000000 04000000  9cff 8813"
        "  01  01 06000000 07000000 08000000 0900 2a"),
        m.Envelope(
            m.Heartbeat(
                1_000_000, 5, 1, 2, 3, 4, -100, 5000,
                (m.RadioCounts(m.RadioState.RECEIVING, 6, 7, 8, 9, 0x2A),),
            )
        ),
    ),
    "radio fault": ("43 01 00  39", m.Envelope(m.RadioFault(0x39), 1)),
    "transmit done": (
        "44 00 00  0300 06  0000000000000000 0000000000000000",
        m.Envelope(m.TransmitDone(3, m.StatusCode.TOO_LATE, 0, 0), 0),
    ),
    "rejected": ("45 ff 00  77", m.Envelope(m.Rejected(0x77))),
}  # fmt: skip


@pytest.mark.parametrize("name", GOLDEN)
def test_golden_bytes(name: str) -> None:
    """The bytes that docs/CONCENTRATOR-LINK.md gives as examples."""
    text, value = GOLDEN[name]
    assert serialize(value).hex() == text.replace(" ", "")
    assert parse(bytes.fromhex(text)) == value


@given(envelope)
def test_there_and_back(value: m.Envelope) -> None:
    """Every message survives its bytes."""
    assert parse(serialize(value)) == value


@given(envelope.filter(lambda e: not isinstance(e.message, m.Status)), st.binary(max_size=9))
def test_later_fields_are_ignored(value: m.Envelope, later: bytes) -> None:
    """A newer minor version may append fields (Status ends with open data, so it cannot)."""
    assert parse(serialize(value) + later) == value


@given(st.binary(min_size=3, max_size=400))
def test_arbitrary_bodies_raise_only_malformed(body: bytes) -> None:
    """Noise that passes a CRC is still only noise."""
    try:
        value = parse(body)
    except MalformedMessage:
        return
    assert parse(serialize(value)) == value


@given(envelope, st.data())
def test_a_cut_message_is_malformed_or_another_whole_one(
    value: m.Envelope, data: st.DataObject
) -> None:
    """Missing fields never read as zeros."""
    body = serialize(value)
    cut = data.draw(st.integers(3, len(body)))
    try:
        parsed = parse(body[:cut])
    except MalformedMessage:
        return
    assert isinstance(value.message, m.Status) or parsed == value


@pytest.mark.parametrize(
    "body",
    [
        "99ff00",  # a type that does not exist
        "01ff00 58585858 01 00 00000000 0000",  # not our magic
        "040109 00 01 07 42 01",  # an operation that does not exist
        "040109 00 01 00 82 01",  # a register that does not exist
        "050001 01 01 80 00",  # likewise in an image
        "840109 63",  # a status that does not exist
        "84",
    ],
)
def test_malformed(body: str) -> None:
    """What breaks the specification is named as such."""
    with pytest.raises(MalformedMessage):
        parse(bytes.fromhex(body))


@pytest.mark.parametrize("message", [m.TimeRequest(-1), m.TimeRequest(1 << 32), m.RadioFault(256)])
def test_a_value_that_does_not_fit_is_our_own_mistake(message: Any) -> None:
    """It raises instead of sending another value."""
    with pytest.raises(LocalLinkError):
        serialize(m.Envelope(message))
