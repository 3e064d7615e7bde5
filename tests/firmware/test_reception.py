"""Frames from the simulated air through the firmware: none lost, each dated."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from protocol.lora.events import LinkState, UplinkReceived
from tests.drivers.conformance import Listener
from tests.firmware.devices import FirmwareDevice, firmware_device
from tests.firmware.micropython_board import needs_micropython
from tests.scale import SCALE
from tests.simulator.line_host import LineHost, until

pytestmark = needs_micropython

FRAMES = 1000 * SCALE
USUAL_BOUND_US = 20_000
"""Of 99 in 100 time stamps. Here an interrupt is a thread that the kernel has to wake."""

BOUND_US = 250_000
"""Of all of them: a machine that runs other things may let a process wait."""


@pytest.fixture
async def device(tmp_path: Path) -> AsyncIterator[FirmwareDevice]:
    """A board with two radios."""
    async with firmware_device(tmp_path) as running:
        yield running


def numbered(radio: int, number: int) -> bytes:
    """A payload that no other frame has."""
    return bytes((radio,)) + number.to_bytes(4, "big") + bytes(number % 200)


async def test_frames_of_two_radios_arrive_dated(device: FirmwareDevice) -> None:
    """Nothing is lost or twice, and each time stamp is within the bound."""
    ended_us: dict[bytes, int] = {}

    async def sensor(radio: int) -> None:
        for number in range(FRAMES // 2):
            payload = numbered(radio, number)
            ended_us[payload] = await device.hear_on(radio, payload)

    received: list[UplinkReceived] = []
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
    assert all(0 < event.valid_header_us <= event.count_us for event in host.events())
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


def _number(event: UplinkReceived) -> int:
    assert event.origin is not None
    return event.origin.number
