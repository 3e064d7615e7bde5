"""Frames from the simulated air through the firmware: none lost, each dated."""

import asyncio
from pathlib import Path

import pytest

from protocol.lora.events import LinkState, UplinkReceived
from simulator.simulated_site import Arrival
from tests.drivers.conformance import Listener
from tests.firmware.devices import FirmwareDevice, firmware_device
from tests.firmware.micropython_board import needs_micropython
from tests.scale import SCALE
from tests.simulator.line_host import LineHost, until

pytestmark = needs_micropython

FRAMES = 1000 * SCALE
ROOM = 200
"""So many frames may be on their way: this air is faster than any line, and the ring takes 256."""

USUAL_BOUND_US = 20_000
"""Of 99 in 100 time stamps. Here an interrupt is a thread that the kernel has to wake."""

BOUND_US = 250_000
"""Of all of them: a machine that runs other things may let a process wait."""


def numbered(radio: int, number: int) -> bytes:
    """A payload that no other frame has."""
    return bytes((radio,)) + number.to_bytes(4, "big") + bytes(number % 200)


async def test_frames_of_two_radios_arrive_dated(device: FirmwareDevice) -> None:
    """Nothing is lost or twice, and each time stamp is within the bound."""
    ended_us: dict[bytes, int] = {}
    received: list[UplinkReceived] = []

    async def sensor(radio: int) -> None:
        for number in range(FRAMES // 2):
            while len(ended_us) - len(received) > ROOM:
                await asyncio.sleep(0.001)
            payload = numbered(radio, number)
            ended_us[payload] = await device.hear_on(radio, payload)

    async with device.new_driver() as driver:
        await Listener(driver).state(LinkState.UP)
        async with asyncio.timeout(60 * SCALE), asyncio.TaskGroup() as group:
            group.create_task(sensor(0))
            group.create_task(sensor(1))
            async for event in driver.events():
                if isinstance(event, UplinkReceived):
                    received.append(event)
                    driver.acknowledge(event)
                if len(received) == FRAMES:
                    break
    assert sorted(event.payload for event in received) == sorted(ended_us)
    for radio in (0, 1):
        of_radio = [event.payload for event in received if event.radio == radio]
        assert of_radio == [numbered(radio, number) for number in range(FRAMES // 2)]
    errors_us = sorted(abs(event.received_at_us - ended_us[event.payload]) for event in received)
    print(
        f"{FRAMES} frames on 2 radios, time stamps wrong by: median {errors_us[FRAMES // 2]} us,"
        f" 99 % {errors_us[FRAMES * 99 // 100]} us, worst {errors_us[-1]} us"
    )
    assert errors_us[FRAMES * 99 // 100] < USUAL_BOUND_US
    assert errors_us[-1] < BOUND_US


async def test_the_ring_is_replayed_after_a_host_crash(device: FirmwareDevice) -> None:
    """What was heard before, during and after a crash arrives, each frame once by its number."""
    sent = [numbered(0, number) for number in range(60)]
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for payload in sent[:20]:
            await device.hear(payload)
        before = await listener.uplinks(20)
        driver.acknowledge(before[9])
    for payload in sent[20:40]:  # nobody has the port open
        await device.hear(payload)
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.uplinks(30)
        for payload in sent[40:]:
            await device.hear(payload)
        last = await listener.until_payload(sent[-1])
    by_number = {_number(event): event.payload for event in (*before, *last)}
    assert list(by_number.values()) == sent
    assert list(by_number) == list(range(1, 61))


@pytest.mark.parametrize("radios", [1, 4])
async def test_as_many_radios_as_are_fitted(tmp_path: Path, radios: int) -> None:
    """From one to four, all at once."""
    async with firmware_device(tmp_path, radios=radios) as device:
        host = LineHost(device.port)
        try:
            await host.set_up(radios=radios)
            sent = [numbered(number % radios, number) for number in range(40)]
            for payload in sent:
                await device.hear_on(payload[0], payload)
            await until(lambda: len(host.payloads()) == len(sent))
        finally:
            host.close()
    # These frames take no time on the air, so the two edges may be looked at in either order, or
    # the first one not any more: then it is 0, unknown.
    headers = [(event.valid_header_us, event.count_us) for event in host.events()]
    known = [header_us - count_us for header_us, count_us in headers if header_us]
    assert max(known) < 250_000
    assert len(known) > len(headers) // 2
    # Each radio has its own order; between radios an edge may be looked at a little later.
    assert sorted(host.payloads()) == sorted(sent)
    assert len(host.opened()[0].hello.radios) == radios


async def test_a_full_ring_drops_the_new_and_counts_it(device: FirmwareDevice) -> None:
    """The oldest 256 stay, and the heartbeat tells of the rest."""
    sent = [numbered(0, number) for number in range(260)]
    async with device.new_driver() as driver:
        await Listener(driver).state(LinkState.UP)
    for payload in sent:
        await device.hear(payload)
    received: list[UplinkReceived] = []
    async with device.new_driver() as driver, asyncio.timeout(30):
        async for event in driver.events():
            if isinstance(event, UplinkReceived):
                received.append(event)
                driver.acknowledge(event)
            if len(received) == 256:
                break
        assert [event.payload for event in received] == sent[:256]
        listener = Listener(driver)
        await device.hear(b"room again")
        assert (await listener.until_payload(b"room again"))[-1].payload == b"room again"
        heartbeat = await listener.heartbeat()
    assert heartbeat.ring_overflow == 4


async def test_events_are_numbered_in_the_order_of_their_times(device: FirmwareDevice) -> None:
    """Whichever radio heard first, also when several packets wait for the loop."""
    site, board = device.site, device.board()
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        board.wedge()
        for radio, payload in ((1, b"first"), (0, b"second")):
            arrival = Arrival(payload, rssi_dbm=-100.0, snr_db=5.0, crc_ok=True)
            site.whole_frame(0, "board", board.radios[radio], arrival)
        board.go_on()
        heard = await listener.uplinks(2)
    assert [event.payload for event in heard] == [b"first", b"second"]
    assert [_number(event) for event in heard] == [1, 2]


async def test_a_packet_whose_edge_was_missed_is_dated_too(device: FirmwareDevice) -> None:
    """The loop looks at the pin itself, so that not a second goes by until the next scrub."""
    device.board().bus.lose_edges = True
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for number in range(5):
            ended_us = await device.hear_on(0, numbered(0, number))
            event = (await listener.uplinks(number + 1))[-1]
            assert event.payload == numbered(0, number)
            assert abs(event.received_at_us - ended_us) < BOUND_US


def _number(event: UplinkReceived) -> int:
    assert event.origin is not None
    return event.origin.number
