"""Transmissions at a time: in their window or not at all, and reception goes on as before."""

import asyncio
from functools import partial

from protocol.link.host_session import NoticeReceived
from protocol.link.messages import (
    CancelTransmit,
    ReceiveProfile,
    Status,
    StatusCode,
    Transmit,
    TransmitDone,
    TransmitMode,
)
from tests.firmware.devices import FirmwareDevice
from tests.firmware.micropython_board import needs_micropython
from tests.scale import SCALE
from tests.simulator.line_host import LineHost, until

pytestmark = needs_micropython

WINDOW_US = 500
EARLY_US = 200
"""The two clocks are compared by receptions, whose interrupts take their time."""

FRAMES = 20 * SCALE
OVERLAY = ((0x33, 0x26), (0x3B, 0x19), (0x1E, 0x70))  # inverted IQ, no CRC: a downlink
NAME = b"downlink"
OK = StatusCode.OK


def transmit(number: int, mode: TransmitMode, at: int = 0, event: int = 0) -> Transmit:
    """A downlink."""
    return Transmit(number, mode, at, event, OVERLAY, NAME)


def done(host: LineHost) -> list[TransmitDone]:
    """All that the board has said of transmissions."""
    notices = [event.notice for event in host.heard if isinstance(event, NoticeReceived)]
    return [notice for notice in notices if isinstance(notice, TransmitDone)]


def _has_told(host: LineHost, count: int) -> bool:
    return len(done(host)) == count


async def event_of(device: FirmwareDevice, host: LineHost) -> tuple[int, int, int]:
    """Let a frame be heard: its event's number, its count, and when it ended on this clock."""
    known = len(host.events())
    ended_us = await device.hear_on(0, b"uplink")
    await until(lambda: len(host.events()) > known)
    event = host.events()[-1]
    return event.number, event.count_us, ended_us


async def offset_us(device: FirmwareDevice, host: LineHost) -> int:
    """From this clock to the board's: from the quickest of some receptions."""
    pairs = [await event_of(device, host) for _ in range(20)]
    return min(count_us - ended_us for _, count_us, ended_us in pairs)


async def settled(device: FirmwareDevice) -> None:
    """Until both radios listen."""
    units = device.board().units
    await until(lambda: all(unit.chip.listening(unit.now_us()) for unit in units), "listening")


def registers(device: FirmwareDevice) -> list[int]:
    """What the first chip is set to; without what changes by itself."""
    unit = device.board().units[0]
    moving = {0x00, 0x0D, 0x10, 0x12, 0x13, *range(0x14, 0x1D), 0x25, 0x28, 0x29, 0x2A, 0x2C}
    return [
        unit.chip.read(address, 1, unit.now_us())[0]
        for address in range(1, 0x43)
        if address not in moving
    ]


async def test_a_frame_starts_in_its_window(device: FirmwareDevice, host: LineHost) -> None:
    """Counted from an uplink, as a network server counts; then everything is as before."""
    offset = await offset_us(device, host)
    before = registers(device)
    sent = device.board().bus.sent
    delay_us = 60_000
    late_us: list[int] = []
    for number in range(1, FRAMES + 1):
        event, count_us, _ = await event_of(device, host)
        request = transmit(number, TransmitMode.AFTER_EVENT, delay_us, event)
        assert (await host.ask(request, 0)).code is StatusCode.OK
        await until(partial(_has_told, host, number), "TRANSMIT_DONE")
        told = done(host)[-1]
        assert told.transmit_id == number
        if told.code is StatusCode.OK:
            index, frame = sent[-1]
            late_us.append(frame.start_us + offset - (count_us + delay_us))
            assert 0 <= told.started_us - (count_us + delay_us) <= 200
            assert told.ended_us - told.started_us >= frame.end_us - frame.start_us
            assert (index, frame.payload, frame.waveform.invert_iq) == (0, NAME, True)
        else:  # the machine was busy elsewhere
            assert told == TransmitDone(number, StatusCode.TOO_LATE, 0, 0)
        assert len(sent) == len(late_us)
        await settled(device)
    print(
        f"{FRAMES} transmissions at a time: {len(sent)} sent, from {min(late_us)} us to"
        f" {max(late_us)} us after the asked time; {FRAMES - len(sent)} refused as too late"
    )
    assert min(late_us) >= -EARLY_US
    assert max(late_us) <= WINDOW_US + EARLY_US
    assert registers(device) == before


async def test_too_late_is_refused_and_nothing_is_sent(
    device: FirmwareDevice, host: LineHost
) -> None:
    """For the past, and for a moment that cannot be met any more."""
    number, _, _ = await event_of(device, host)
    for transmit_id, delay_us in enumerate((0, 1, 2_500, 5_000), 1):
        request = transmit(transmit_id, TransmitMode.AFTER_EVENT, delay_us, number)
        assert (await host.ask(request, 0)).code is StatusCode.TOO_LATE
    assert device.board().bus.sent == []
    assert done(host) == []


async def test_a_board_that_stood_still_sends_nothing_late(
    device: FirmwareDevice, host: LineHost
) -> None:
    """Accepted in time, but the moment passes while nothing runs."""
    number, _, _ = await event_of(device, host)
    request = transmit(1, TransmitMode.AFTER_EVENT, 200_000, number)
    assert (await host.ask(request, 0)).code is StatusCode.OK
    device.board().wedge()
    await asyncio.sleep(0.3)
    device.board().go_on()
    await until(lambda: done(host), "TRANSMIT_DONE")
    assert done(host) == [TransmitDone(1, StatusCode.TOO_LATE, 0, 0)]
    assert device.board().bus.sent == []
    await device.hear_on(0, b"and hears on")
    await until(lambda: b"and hears on" in host.payloads())


async def test_what_cannot_be_accepted_is_refused(device: FirmwareDevice, host: LineHost) -> None:
    """Each with its own code."""
    number, count_us, _ = await event_of(device, host)
    after = TransmitMode.AFTER_EVENT

    async def code(request: Transmit, radio: int = 0) -> StatusCode:
        return (await host.ask(request, radio)).code

    assert await code(transmit(1, after, 1_000_000, number)) is StatusCode.OK
    assert await code(transmit(2, after, 1_010_000, number)) is StatusCode.COLLISION
    assert await code(transmit(3, after, 990_000, number)) is StatusCode.COLLISION
    assert await code(transmit(4, after, 1_020_000, number), 1) is StatusCode.OK
    assert await code(transmit(5, after, 3_600_000_000, number)) is StatusCode.TOO_EARLY
    assert await code(transmit(6, after, 1_000_000, number + 9)) is StatusCode.BAD_REQUEST
    assert await code(transmit(7, TransmitMode.AT_COUNT, count_us)) is StatusCode.TOO_LATE
    assert await code(Transmit(8, after, 500_000, number, (), b"")) is StatusCode.BAD_REQUEST
    owned = Transmit(9, after, 500_000, number, ((0x01, 0x83),), NAME)
    assert await code(owned) is StatusCode.REFUSED
    assert await code(transmit(10, after, 2_000_000, number)) is StatusCode.OK
    assert await code(transmit(11, after, 3_000_000, number)) is StatusCode.OK
    assert await code(transmit(12, after, 4_000_000, number)) is StatusCode.BUSY
    for transmit_id in (1, 4, 10, 11):
        assert await host.ask(CancelTransmit(transmit_id)) == Status(StatusCode.OK)
    await until(lambda: len(done(host)) == 4)
    assert {told.code for told in done(host)} == {StatusCode.REFUSED}
    assert await host.ask(CancelTransmit(1)) == Status(StatusCode.BAD_REQUEST)
    assert await host.ask(ReceiveProfile(None), 1) == Status(StatusCode.OK)
    assert await code(transmit(13, TransmitMode.NOW), 1) is StatusCode.REFUSED
    assert device.board().bus.sent == []


async def test_the_same_id_is_sent_once(device: FirmwareDevice, host: LineHost) -> None:
    """A host repeats a request whose answer was lost."""
    for _ in range(3):
        assert (await host.ask(transmit(7, TransmitMode.NOW), 0)).code is StatusCode.OK
    await until(lambda: done(host))
    await settled(device)
    assert (await host.ask(transmit(7, TransmitMode.NOW), 0)).code is StatusCode.OK
    assert (await host.ask(transmit(8, TransmitMode.NOW), 0)).code is StatusCode.OK
    await until(lambda: len(done(host)) == 2)
    assert [told.transmit_id for told in done(host)] == [7, 8]
    assert len(device.board().bus.sent) == 2


async def test_a_radio_that_does_not_finish_is_reset(
    device: FirmwareDevice, host: LineHost
) -> None:
    """With a spreading factor that there is not, the chip stays in its mode for ever."""
    request = Transmit(1, TransmitMode.NOW, 0, 0, ((0x1E, 0x54),), NAME)
    assert (await host.ask(request, 0)).code is StatusCode.OK
    await until(lambda: done(host), "TRANSMIT_DONE")
    assert done(host) == [TransmitDone(1, StatusCode.RADIO_FAULT, 0, 0)]
    await device.hear_on(0, b"and hears on")
    await until(lambda: b"and hears on" in host.payloads())


async def test_the_other_radio_hears_meanwhile(device: FirmwareDevice, host: LineHost) -> None:
    """A frame of 255 bytes takes 400 ms; 30 others come in on radio 1."""
    request = Transmit(1, TransmitMode.NOW, 0, 0, (), bytes(255))
    assert (await host.ask(request, 0)).code is StatusCode.OK
    sent = [bytes((number,)) for number in range(30)]
    for payload in sent:
        await device.hear_on(1, payload)
    await until(lambda: len(host.payloads()) == len(sent))
    assert host.payloads() == sent
    await until(lambda: done(host))


async def test_a_session_that_ends_takes_its_frames_with_it(device: FirmwareDevice) -> None:
    """A new host knows nothing of what the old one wanted sent."""
    first = LineHost(device.port)
    try:
        await first.set_up(radios=1)
        number, _, _ = await event_of(device, first)
        request = transmit(1, TransmitMode.AFTER_EVENT, 500_000, number)
        assert (await first.ask(request, 0)).code is StatusCode.OK
    finally:
        first.close()
    second = LineHost(device.port)
    try:
        await until(lambda: second.session.open)
        await asyncio.sleep(0.6)
    finally:
        second.close()
    assert device.board().bus.sent == []


async def test_what_is_accepted_for_several_radios_is_sent(
    device: FirmwareDevice, host: LineHost
) -> None:
    """Starts that the board could not meet are refused at once, while the host can still choose."""
    number, count_us, _ = await event_of(device, host)
    after = TransmitMode.AFTER_EVENT
    asked_us = {1: (0, 300_000), 2: (1, 300_000), 3: (1, 309_000), 4: (1, 320_000)}
    codes = {
        transmit_id: (await host.ask(transmit(transmit_id, after, at, number), radio)).code
        for transmit_id, (radio, at) in asked_us.items()
    }
    assert codes == {
        1: StatusCode.OK,
        2: StatusCode.COLLISION,
        3: StatusCode.COLLISION,
        4: StatusCode.OK,
    }
    await until(partial(_has_told, host, 2), "TRANSMIT_DONE")
    for told in done(host):
        if told.code is StatusCode.OK:  # else the machine was busy elsewhere
            _, delay_us = asked_us[told.transmit_id]
            assert 0 <= told.started_us - (count_us + delay_us) <= WINDOW_US
    sent = [told for told in done(host) if told.code is StatusCode.OK]
    assert len(device.board().bus.sent) == len(sent)


async def test_the_end_of_a_frame_is_what_the_chip_says(
    device: FirmwareDevice, host: LineHost
) -> None:
    """Neither an edge too many cuts it off, nor does one too few make a fault of it."""
    bus = device.board().bus
    chip = device.board().units[0].chip
    assert (await host.ask(Transmit(1, TransmitMode.NOW, 0, 0, (), bytes(255)), 0)).code is OK
    await until(lambda: chip.transmitting() is not None, "the frame on the air")
    bus.disturb(0)
    await until(partial(_has_told, host, 1), "TRANSMIT_DONE")
    assert len(bus.sent) == 1
    frame = bus.sent[0][1]
    assert done(host)[0].ended_us - done(host)[0].started_us >= frame.end_us - frame.start_us

    bus.lose_edges = True
    assert (await host.ask(transmit(2, TransmitMode.NOW), 0)).code is OK
    await until(partial(_has_told, host, 2), "TRANSMIT_DONE")
    bus.lose_edges = False
    assert [told.code for told in done(host)] == [OK, OK]
    assert len(bus.sent) == 2
    await device.hear_on(0, b"and hears on")
    await until(lambda: b"and hears on" in host.payloads())
