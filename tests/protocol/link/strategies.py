"""Arbitrary messages of the link."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from protocol.link import messages as m
from protocol.lora.register_operations import (
    RegisterOperation,
    RegisterRead,
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)

u8 = st.integers(0, 0xFF)
u16 = st.integers(0, 0xFFFF)
u24 = st.integers(0, 0xFFFFFF)
u32 = st.integers(0, 0xFFFFFFFF)
u64 = st.integers(0, 0xFFFFFFFFFFFFFFFF)
payload = st.binary(max_size=255)
register = st.integers(0, 0x7F)
image = st.lists(st.tuples(register, u8), max_size=60).map(tuple)

operation: SearchStrategy[RegisterOperation] = st.one_of(
    st.builds(RegisterRead, register, u8),
    st.builds(RegisterWrite, register, st.binary(max_size=16)),
    st.builds(RegisterReadModifyWrite, register, u8, u8),
    st.builds(RegisterWait, register, u8, u8, u16),
)

rx_event = st.builds(m.RxEvent, u32, u64, u64, u8, u8, u8, u8, u8, u8, u8, u8, u24, u24, payload)
radio_counts = st.builds(m.RadioCounts, st.sampled_from(m.RadioState), u32, u32, u32, u16, u8)
board_hello = st.builds(
    m.BoardHello,
    nonce=u32,
    boot_id=u64,
    reset_cause=st.sampled_from(m.ResetCause),
    capabilities=st.integers(0, 15).map(m.Capability),
    ring_capacity=u16,
    max_requests=u8,
    transmit_queue=u8,
    first_unacknowledged=u32,
    unique_id=st.binary(max_size=16),
    firmware=st.text(max_size=20),
    radios=st.lists(
        st.builds(m.RadioDescription, u8, u8, st.booleans(), st.booleans()), max_size=8
    ).map(tuple),
    major=u8,
    minor=u8,
)
transmit = st.builds(m.Transmit, u16, st.sampled_from(m.TransmitMode), u64, u32, image, payload)
heartbeat = st.builds(
    m.Heartbeat,
    u64,
    u32,
    u16,
    u16,
    u32,
    u32,
    st.none() | st.integers(-0x7FFF, 0x7FFF),
    st.none() | st.integers(1, 0xFFFF),
    st.lists(radio_counts, max_size=8).map(tuple),
)

message: SearchStrategy[Any] = st.one_of(
    st.builds(m.HostHello, u32, u16, u8, u8),
    board_hello,
    st.builds(m.Acknowledge, u32, u16, st.booleans()),
    st.builds(m.TimeRequest, u32),
    st.builds(m.Time, u32, u64),
    st.builds(m.Registers, st.lists(operation, max_size=20).map(tuple), st.booleans()),
    st.builds(m.ReceiveProfile, st.none() | image),
    transmit,
    st.builds(m.CancelTransmit, u16),
    st.just(m.Reset()),
    st.builds(m.Status, st.sampled_from(m.StatusCode), u8, st.binary(max_size=200)),
    rx_event,
    heartbeat,
    st.builds(m.RadioFault, u8),
    st.builds(m.TransmitDone, u16, st.sampled_from(m.StatusCode), u64, u64),
    st.builds(m.Rejected, u8),
)
envelope = st.builds(m.Envelope, message, u8, u8)
