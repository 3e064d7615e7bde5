"""What every driver has to do, on every kind of bad line: one kit for all device families.

A device family joins by a fixture ``device`` in its own test module and by importing these tests.
No test knows which driver it runs.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator
from contextlib import aclosing
from pathlib import Path

import pytest

from drivers.base import Driver
from drivers.errors import PortLost
from protocol.lora.events import (
    ConcentratorStateChanged,
    CrcStatus,
    LinkState,
    RadioEvent,
    UplinkReceived,
)
from simulator.scenario import FaultKind
from tests.drivers.devices import DEADLINE_S, Device


class Listener:
    """Takes events of a driver until there are enough of them."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.seen: list[RadioEvent] = []
        self._events: AsyncIterator[RadioEvent] = driver.events()

    async def uplinks(self, count: int) -> list[UplinkReceived]:
        """Wait until so many uplinks have arrived in all."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self._uplinks()) < count:
                self.seen.append(await anext(self._events))
        return self._uplinks()

    async def state(self, state: LinkState) -> None:
        """Wait for a change of state."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                event = await anext(self._events)
                self.seen.append(event)
                if isinstance(event, ConcentratorStateChanged) and event.state is state:
                    return

    async def settle(self, device: Device) -> None:
        """Go on until the device has nothing unacknowledged."""
        async with asyncio.timeout(DEADLINE_S):
            while device.waiting():
                self.seen.append(await anext(self._events))

    def _uplinks(self) -> list[UplinkReceived]:
        return [event for event in self.seen if isinstance(event, UplinkReceived)]


def payloads(count: int) -> list[bytes]:
    """Frames with zeros, 0xC0 and 0xDB in them, of all lengths."""
    chance = random.Random(7)
    return [
        bytes([number, 0x00, 0xC0, 0xDB]) + chance.randbytes(number * 6 % 240)
        for number in range(count)
    ]


async def test_frames_arrive_whole_and_in_order(device: Device) -> None:
    """What the radio heard is what the driver yields, with its reception."""
    sent = payloads(40)
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for payload in sent:
            await device.hear(payload)
        received = await listener.uplinks(len(sent))
    assert [event.payload for event in received] == sent
    first = received[0]
    assert first.crc_status is CrcStatus.OK
    assert first.rssi_dbm == pytest.approx(-100, abs=1.0)
    assert first.snr_db == pytest.approx(5.0, abs=0.25)
    assert (first.frequency_hz, first.spreading_factor) == (921_400_000, 9)


async def test_bad_crc_is_told(device: Device) -> None:
    """A damaged frame is yielded as such: ingest counts it."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        await device.hear(b"damaged", crc_ok=False)
        (event,) = await listener.uplinks(1)
    assert event.crc_status is CrcStatus.BAD


async def test_acknowledged_events_are_forgotten_by_the_device(device: Device) -> None:
    """And only those."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for payload in payloads(3):
            await device.hear(payload)
        received = await listener.uplinks(3)
        assert device.waiting() == 3
        driver.acknowledge(received[2])
        await listener.settle(device)


async def test_unacknowledged_events_come_again_on_a_new_connection(device: Device) -> None:
    """The process died between reception and commit."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for payload in payloads(3):
            await device.hear(payload)
        before = await listener.uplinks(3)
        driver.acknowledge(before[0])
    async with device.new_driver() as driver:
        listener = Listener(driver)
        after = await listener.uplinks(2)
    assert (
        [event.origin for event in after]
        in (
            [event.origin for event in before[:2]],  # the acknowledgement was still on its way
            [event.origin for event in before[1:]],
        )
    )


async def test_garbage_between_frames_costs_no_frame(device: Device) -> None:
    """Noise on the line is counted and nothing else."""
    chance = random.Random(3)
    sent = payloads(30)
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for payload in sent:
            device.put_on_line(chance.randbytes(chance.randrange(1, 600)))
            await device.hear(payload)
        received = await listener.uplinks(len(sent))
    assert [event.payload for event in received] == sent


async def test_a_dropped_link_is_told_and_nothing_is_lost(device: Device) -> None:
    """The device keeps its power; a new driver takes up where the old one was."""
    sent = payloads(10)
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        for payload in sent[:5]:
            await device.hear(payload)
        before = await listener.uplinks(5)
        driver.acknowledge(before[-1])
        await listener.settle(device)
        await device.suffer(FaultKind.LINK_DROP, 0)
        for payload in sent[5:]:
            await device.hear(payload)
        with pytest.raises(PortLost):
            await listener.uplinks(10)
    async with device.new_driver() as driver:
        after = await Listener(driver).uplinks(5)
    assert [event.payload for event in (*before, *after)] == sent


async def test_a_reboot_is_noticed_and_the_radios_are_set_up_again(device: Device) -> None:
    """Boot messages on the line included."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        await device.suffer(FaultKind.REBOOT, 0.1)
        await listener.state(LinkState.DOWN)
        await listener.state(LinkState.UP)
        await device.hear(b"after the reboot")
        (event,) = await listener.uplinks(1)
    assert event.payload == b"after the reboot"


async def test_a_second_driver_cannot_take_the_port(device: Device) -> None:
    """Two readers would each get half of every frame."""
    async with device.new_driver():
        with pytest.raises(PortLost, match="in use"):
            await device.new_driver().__aenter__()


async def test_leaving_gives_everything_back(device: Device) -> None:
    """No descriptor stays open, however the driver was left."""

    async def connect() -> None:
        async with device.new_driver() as driver, aclosing(driver.events()) as events:  # type: ignore[type-var]
            await anext(events)

    await connect()
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        await connect()
    assert len(list(Path("/proc/self/fd").iterdir())) == before
    assert os.path.lexists(device.port)
