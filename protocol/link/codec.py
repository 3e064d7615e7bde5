"""Bytes of the link's messages: one writer and one reader each, in one table.

``docs/CONCENTRATOR-LINK.md`` sections 3 to 8. All integers are little-endian. A receiver ignores
bytes after the fields that it knows, so that a message can grow within one major version.
"""

from collections.abc import Callable
from typing import Any

from protocol.link import messages as m
from protocol.link.errors import MalformedMessage
from protocol.link.fields import Reader, Writer
from protocol.link.messages import Envelope, MessageType
from protocol.link.register_lists import (
    read_image,
    read_operations,
    write_image,
    write_operations,
)

_UNKNOWN_TEMPERATURE = 0x8000
_UNKNOWN_SUPPLY = 0


def serialize(envelope: Envelope) -> bytes:
    """Make the body of a frame.

    Raises:
        LocalLinkError: a field does not fit its width.
    """
    message_type, write, _ = _CODECS[type(envelope.message)]
    writer = Writer().u8(message_type).u8(envelope.radio).u8(envelope.request)
    write(writer, envelope.message)
    return writer.getvalue()


def parse(body: bytes) -> Envelope:
    """Read the body of a frame.

    Raises:
        MalformedMessage: the type is unknown or the fields break the specification.
    """
    reader = Reader(body)
    message_type, radio, request = reader.u8(), reader.u8(), reader.u8()
    read = _READERS.get(message_type)
    if read is None:
        raise MalformedMessage(f"message type 0x{message_type:02x} is unknown")
    try:
        return Envelope(read(reader), radio, request)
    except ValueError as error:  # an enumeration's value, or text that is not UTF-8
        raise MalformedMessage(str(error)) from None


def _write_host_hello(w: Writer, x: m.HostHello) -> None:
    w.raw(m.MAGIC).u8(x.major).u8(x.minor).u32(x.nonce).u16(x.lease_ms)


def _read_host_hello(r: Reader) -> m.HostHello:
    major, minor = _read_version(r)
    return m.HostHello(r.u32(), r.u16(), major, minor)


def _read_version(r: Reader) -> tuple[int, int]:
    if r.raw(len(m.MAGIC)) != m.MAGIC:
        raise MalformedMessage("the hello does not begin with the link's magic")
    return r.u8(), r.u8()


def _write_board_hello(w: Writer, x: m.BoardHello) -> None:
    w.raw(m.MAGIC).u8(x.major).u8(x.minor).u32(x.nonce).u64(x.boot_id)
    w.u8(x.reset_cause).u32(x.capabilities).u16(x.ring_capacity)
    w.u8(x.max_requests).u8(x.transmit_queue).u32(x.first_unacknowledged)
    w.short(x.unique_id).short(x.firmware.encode())
    w.u8(len(x.radios))
    for radio in x.radios:
        w.u8(radio.chip).u8(radio.version).u8(radio.tcxo | radio.pa_boost << 1)


def _read_board_hello(r: Reader) -> m.BoardHello:
    major, minor = _read_version(r)
    return m.BoardHello(
        nonce=r.u32(),
        boot_id=r.u64(),
        reset_cause=m.ResetCause(r.u8()),
        capabilities=m.Capability(r.u32()),
        ring_capacity=r.u16(),
        max_requests=r.u8(),
        transmit_queue=r.u8(),
        first_unacknowledged=r.u32(),
        unique_id=r.short(),
        firmware=r.short().decode(),
        radios=tuple(_read_radio_description(r) for _ in range(r.u8())),
        major=major,
        minor=minor,
    )


def _read_radio_description(r: Reader) -> m.RadioDescription:
    chip, version, wiring = r.u8(), r.u8(), r.u8()
    return m.RadioDescription(chip, version, bool(wiring & 1), bool(wiring & 2))


def _write_acknowledge(w: Writer, x: m.Acknowledge) -> None:
    w.u32(x.number).u16(x.window).u8(x.go_back)


def _read_acknowledge(r: Reader) -> m.Acknowledge:
    return m.Acknowledge(r.u32(), r.u16(), bool(r.u8() & 1))


def _write_registers(w: Writer, x: m.Registers) -> None:
    w.u8(x.skip_if_receiving)
    write_operations(w, x.operations)


def _read_registers(r: Reader) -> m.Registers:
    skip_if_receiving = bool(r.u8() & 1)
    return m.Registers(read_operations(r), skip_if_receiving)


def _write_receive_profile(w: Writer, x: m.ReceiveProfile) -> None:
    w.u8(x.image is not None)
    write_image(w, x.image or ())


def _read_receive_profile(r: Reader) -> m.ReceiveProfile:
    enabled = bool(r.u8() & 1)
    image = read_image(r)
    return m.ReceiveProfile(image if enabled else None)


def _write_transmit(w: Writer, x: m.Transmit) -> None:
    w.u16(x.transmit_id).u8(x.mode).u64(x.at_count_us).u32(x.after_event)
    write_image(w, x.overlay)
    w.short(x.payload)


def _read_transmit(r: Reader) -> m.Transmit:
    return m.Transmit(r.u16(), m.TransmitMode(r.u8()), r.u64(), r.u32(), read_image(r), r.short())


def _write_status(w: Writer, x: m.Status) -> None:
    w.u8(x.code).u8(x.index).raw(x.data)


def _read_status(r: Reader) -> m.Status:
    return m.Status(m.StatusCode(r.u8()), r.u8(), r.rest())


def _write_rx_event(w: Writer, x: m.RxEvent) -> None:
    w.u32(x.number).u64(x.count_us).u64(x.valid_header_us)
    w.u8(x.irq_flags).u8(x.modem_status).u8(x.hop_channel)
    w.u8(x.packet_snr).u8(x.packet_rssi).u8(x.rssi)
    w.u8(x.modem_config_1).u8(x.modem_config_2)
    w.u24(x.frequency_error).u24(x.frf).short(x.payload)


def _read_rx_event(r: Reader) -> m.RxEvent:
    return m.RxEvent(
        number=r.u32(),
        count_us=r.u64(),
        valid_header_us=r.u64(),
        irq_flags=r.u8(),
        modem_status=r.u8(),
        hop_channel=r.u8(),
        packet_snr=r.u8(),
        packet_rssi=r.u8(),
        rssi=r.u8(),
        modem_config_1=r.u8(),
        modem_config_2=r.u8(),
        frequency_error=r.u24(),
        frf=r.u24(),
        payload=r.short(),
    )


def _write_heartbeat(w: Writer, x: m.Heartbeat) -> None:
    temperature = x.temperature_centi_c
    w.u64(x.count_us).u32(x.last_number).u16(x.ring_used).u16(x.ring_high_water)
    w.u32(x.ring_overflow).u32(x.link_errors)
    w.u16(_UNKNOWN_TEMPERATURE if temperature is None else temperature & 0xFFFF)
    w.u16(_UNKNOWN_SUPPLY if x.supply_mv is None else x.supply_mv)
    w.u8(len(x.radios))
    for radio in x.radios:
        w.u8(radio.state).u32(radio.received).u32(radio.crc_errors)
        w.u32(radio.transmitted).u16(radio.faults).u8(radio.noise_rssi)


def _read_heartbeat(r: Reader) -> m.Heartbeat:
    count_us, last_number, ring_used, ring_high_water = r.u64(), r.u32(), r.u16(), r.u16()
    ring_overflow, link_errors = r.u32(), r.u32()
    temperature, supply = r.u16(), r.u16()
    return m.Heartbeat(
        count_us,
        last_number,
        ring_used,
        ring_high_water,
        ring_overflow,
        link_errors,
        None if temperature == _UNKNOWN_TEMPERATURE else (temperature ^ 0x8000) - 0x8000,
        None if supply == _UNKNOWN_SUPPLY else supply,
        tuple(_read_radio_counts(r) for _ in range(r.u8())),
    )


def _read_radio_counts(r: Reader) -> m.RadioCounts:
    return m.RadioCounts(m.RadioState(r.u8()), r.u32(), r.u32(), r.u32(), r.u16(), r.u8())


def _write_transmit_done(w: Writer, x: m.TransmitDone) -> None:
    w.u16(x.transmit_id).u8(x.code).u64(x.started_us).u64(x.ended_us)


def _read_transmit_done(r: Reader) -> m.TransmitDone:
    return m.TransmitDone(r.u16(), m.StatusCode(r.u8()), r.u64(), r.u64())


# Each writer takes exactly its own message class; the table's key guarantees it, which the
# type system cannot express, hence Any.
_CODECS: dict[
    type, tuple[MessageType, Callable[[Writer, Any], object], Callable[[Reader], Any]]
] = {
    m.HostHello: (MessageType.HOST_HELLO, _write_host_hello, _read_host_hello),
    m.BoardHello: (MessageType.BOARD_HELLO, _write_board_hello, _read_board_hello),
    m.Acknowledge: (MessageType.ACKNOWLEDGE, _write_acknowledge, _read_acknowledge),
    m.TimeRequest: (
        MessageType.TIME_REQUEST,
        lambda w, x: w.u32(x.nonce),
        lambda r: m.TimeRequest(r.u32()),
    ),
    m.Time: (
        MessageType.TIME,
        lambda w, x: w.u32(x.nonce).u64(x.count_us),
        lambda r: m.Time(r.u32(), r.u64()),
    ),
    m.Registers: (MessageType.REGISTERS, _write_registers, _read_registers),
    m.ReceiveProfile: (MessageType.RECEIVE_PROFILE, _write_receive_profile, _read_receive_profile),
    m.Transmit: (MessageType.TRANSMIT, _write_transmit, _read_transmit),
    m.CancelTransmit: (
        MessageType.CANCEL_TRANSMIT,
        lambda w, x: w.u16(x.transmit_id),
        lambda r: m.CancelTransmit(r.u16()),
    ),
    m.Reset: (MessageType.RESET, lambda _w, _x: None, lambda _r: m.Reset()),
    m.Status: (MessageType.STATUS, _write_status, _read_status),
    m.RxEvent: (MessageType.RX_EVENT, _write_rx_event, _read_rx_event),
    m.Heartbeat: (MessageType.HEARTBEAT, _write_heartbeat, _read_heartbeat),
    m.RadioFault: (
        MessageType.RADIO_FAULT,
        lambda w, x: w.u8(x.detail),
        lambda r: m.RadioFault(r.u8()),
    ),
    m.TransmitDone: (MessageType.TRANSMIT_DONE, _write_transmit_done, _read_transmit_done),
    m.Rejected: (
        MessageType.REJECTED,
        lambda w, x: w.u8(x.message_type),
        lambda r: m.Rejected(r.u8()),
    ),
}
_READERS = {int(message_type): read for message_type, _, read in _CODECS.values()}
