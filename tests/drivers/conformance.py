"""What every driver has to do, on every kind of bad line: one kit for all device families.

A device family joins by a fixture ``device`` in its own test module and by importing these tests.
No test knows which driver it runs: what a family cannot do is one of its traits, and then the test
asserts what holds instead.
"""

import asyncio
import os
import random
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest

from drivers.base import Driver, Metadata
from drivers.errors import PortLost, TransientDriverError, UnsupportedConfiguration
from protocol.lora.events import (
    ConcentratorStateChanged,
    CrcStatus,
    Heartbeat,
    LinkState,
    RadioEvent,
    UplinkReceived,
)
from simulator.scenario import FaultKind
from tests.drivers.devices import DEADLINE_S, Device

Event = TypeVar("Event", bound=RadioEvent)

_HURRY = 60  # a wedged device is found out in a second instead of a minute


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

    async def until_payload(self, payload: bytes) -> list[UplinkReceived]:
        """Wait until an uplink with this payload has arrived; returns all so far."""
        async with asyncio.timeout(DEADLINE_S):
            while payload not in [event.payload for event in self._uplinks()]:
                self.seen.append(await anext(self._events))
        return self._uplinks()

    async def heartbeat(self) -> Heartbeat:
        """Wait for the next heartbeat."""
        return await self.event(Heartbeat)

    async def event(self, kind: type[Event]) -> Event:
        """Wait for the next event of a kind."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                event = await anext(self._events)
                self.seen.append(event)
                if isinstance(event, kind):
                    return event

    def _uplinks(self) -> list[UplinkReceived]:
        return [event for event in self.seen if isinstance(event, UplinkReceived)]


def payloads(count: int, longest: int = 244) -> list[bytes]:
    """Frames with zeros, 0xC0 and 0xDB in them, of all lengths; no two are alike."""
    chance = random.Random(7)
    return [
        bytes([number, 0x00, 0xC0, 0xDB]) + chance.randbytes(number * 6 % (longest - 4))
        for number in range(count)
    ]


def arrived(received: Sequence[UplinkReceived]) -> list[bytes]:
    """Payloads of uplinks."""
    return [event.payload for event in received]


def is_within(wanted: Sequence[bytes], received: Iterable[bytes]) -> bool:
    """Whether all that is wanted was received in its order, whatever else was."""
    rest = iter(received)
    return all(payload in rest for payload in wanted)


@asynccontextmanager
async def connected(device: Device) -> AsyncIterator[Listener]:
    """A driver that has brought the device up."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        yield listener


async def test_frames_arrive_whole_and_in_order(device: Device) -> None:
    """What the radio heard is what the driver yields, with its reception."""
    traits = device.traits
    sent = payloads(40, device.family.longest_payload - 8)
    async with connected(device) as listener:
        for payload in sent:
            await device.hear(payload)
        received = await listener.uplinks(len(sent))
    assert arrived(received) == sent
    first = received[0]
    assert first.crc_status is (CrcStatus.OK if traits.tells_bad_crc else CrcStatus.UNKNOWN)
    assert first.rssi_model == traits.rssi_model
    assert first.rssi_dbm == (
        pytest.approx(traits.rssi_dbm, abs=traits.rssi_tolerance_db) if traits.tells_rssi else None
    )
    assert first.snr_db == (
        pytest.approx(traits.snr_db, abs=traits.snr_tolerance_db) if traits.tells_snr else None
    )
    assert (first.concentrator, first.radio) == ("roof", 0)
    assert first.frequency_hz == traits.frequency_hz
    assert first.spreading_factor == traits.spreading_factor
    assert (first.origin is not None) is traits.acknowledges


async def test_the_longest_frame_arrives(device: Device) -> None:
    """Nothing on the way cuts it."""
    longest = bytes(range(device.family.longest_payload))
    async with connected(device) as listener:
        await device.hear(longest)
        (event,) = await listener.uplinks(1)
    assert event.payload == longest


async def test_capabilities_say_what_is_so(device: Device) -> None:
    """What is claimed and what the kit sees are one."""
    traits = device.traits
    async with connected(device) as listener:
        await device.hear(b"one")
        (event,) = await listener.uplinks(1)
        can = listener.driver.capabilities
    assert can.acknowledges is traits.acknowledges
    assert can.radios >= len(device.options().radios)
    assert can.lorawan is (can.sync_words is None or 0x34 in can.sync_words)
    assert (Metadata.RSSI in can.metadata) is (event.rssi_dbm is not None)
    assert (Metadata.SNR in can.metadata) is (event.snr_db is not None)
    assert (Metadata.FREQUENCY_ERROR in can.metadata) is (event.frequency_error_hz is not None)
    assert (Metadata.TIME in can.metadata) is (event.count_us is not None)
    assert (Metadata.CRC_STATUS in can.metadata) is traits.tells_bad_crc


async def test_a_frame_is_dated_when_it_was_heard(device: Device) -> None:
    """On the host's clock, neither in the future nor long ago."""
    async with connected(device) as listener:
        before_us = device.clock()
        await device.hear(b"now")
        (event,) = await listener.uplinks(1)
        after_us = device.clock()
    assert before_us - 100_000 <= event.received_at_us <= after_us


async def test_a_heartbeat_comes_by_itself(device: Device) -> None:
    """No data is not health: at least each 10 s, with nothing on the air."""
    async with connected(device) as listener:
        heartbeat = await listener.heartbeat()
    assert heartbeat.concentrator == "roof"
    assert len(heartbeat.radios) >= len(device.options().radios)
    assert heartbeat.radios[0].receiving


async def test_bad_crc_is_told_or_kept_from_us(device: Device) -> None:
    """A damaged frame is yielded as such, or not at all; never as a good one."""
    async with connected(device) as listener:
        await device.hear(b"damaged", crc_ok=False)
        await device.hear(b"good")
        received = await listener.uplinks(2 if device.traits.tells_bad_crc else 1)
    assert received[-1].payload == b"good"
    if device.traits.tells_bad_crc:
        assert received[0].crc_status is CrcStatus.BAD
    else:
        assert arrived(received) == [b"good"]


async def test_acknowledged_events_are_forgotten_by_the_device(device: Device) -> None:
    """And only those. Where nothing is kept, an acknowledgement changes nothing."""
    async with connected(device) as listener:
        for payload in payloads(3):
            await device.hear(payload)
        received = await listener.uplinks(3)
        assert device.waiting() == (3 if device.traits.acknowledges else 0)
        listener.driver.acknowledge(received[2])
        await listener.settle(device)
        await device.hear(b"more")
        assert (await listener.uplinks(4))[-1].payload == b"more"


async def test_unacknowledged_events_come_again_on_a_new_connection(device: Device) -> None:
    """The process died between reception and commit; a device without a ring starts afresh."""
    async with connected(device) as listener:
        for payload in payloads(3):
            await device.hear(payload)
        before = await listener.uplinks(3)
        listener.driver.acknowledge(before[0])
    async with connected(device) as listener:
        if not device.traits.acknowledges:
            await device.hear(b"afresh")
            assert arrived(await listener.uplinks(1)) == [b"afresh"]
            return
        after = await listener.uplinks(2)
    assert (
        [event.origin for event in after]
        in (
            [event.origin for event in before[:2]],  # the acknowledgement was still on its way
            [event.origin for event in before[1:]],
        )
    )


async def test_garbage_between_frames_costs_no_frame(device: Device) -> None:
    """Noise on the line is nothing; where frames have no check, some of it may look like one."""
    chance = random.Random(3)
    sent = payloads(30)
    async with connected(device) as listener:
        for payload in sent:
            device.put_on_line(chance.randbytes(chance.randrange(1, 600)))
            await device.hear(payload)
        await device.hear(b"the last")
        received = await listener.until_payload(b"the last")
    if device.traits.frame_check:
        assert arrived(received) == [*sent, b"the last"]
    else:
        assert is_within(sent, arrived(received))


@pytest.mark.parametrize("place", [0.0, 0.3, 0.6, 1.0])
async def test_a_byte_lost_on_the_line_costs_one_frame_at_most(
    device: Device, place: float
) -> None:
    """The damaged frame comes again where there is a ring; every other one arrives in any case."""
    sent = payloads(12)
    async with connected(device) as listener:
        for number, payload in enumerate(sent):
            if number == 5:
                device.spoil_next(partial(_without_byte, place))
            await device.hear(payload)
        received = await listener.until_payload(sent[-1])
    if device.traits.acknowledges:
        assert arrived(received) == sent
    else:
        others = ([*sent[:one], *sent[one + 1 :]] for one in range(len(sent)))
        assert any(is_within(rest, arrived(received)) for rest in others)
        assert len(received) <= len(sent)


async def test_a_frame_said_twice_counts_once_or_is_the_same_frame(device: Device) -> None:
    """Numbered events come once; elsewhere a repetition is all that a repetition brings."""
    sent = payloads(6)
    async with connected(device) as listener:
        for number, payload in enumerate(sent):
            if number == 2:
                device.spoil_next(lambda data: data + data)
            await device.hear(payload)
        received = await listener.until_payload(sent[-1])
    if device.traits.acknowledges:
        assert arrived(received) == sent
    else:
        assert is_within(sent, arrived(received))
        assert set(arrived(received)) == set(sent)
        assert len(received) <= len(sent) + 1


async def test_a_stalled_line_delays_and_loses_nothing(device: Device) -> None:
    """What the device has heard waits until the line moves again."""
    sent = payloads(4)
    async with connected(device) as listener:
        await device.hear(sent[0])
        await listener.uplinks(1)
        stall = asyncio.create_task(device.suffer(FaultKind.STALL, 0.3))
        await asyncio.sleep(0)
        for payload in sent[1:2]:
            await device.hear(payload)
        await stall
        for payload in sent[2:]:
            await device.hear(payload)
        received = await listener.uplinks(len(sent))
    assert arrived(received) == sent


async def test_a_dropped_link_is_told(device: Device) -> None:
    """The device keeps its power; a new driver takes up where the old one was, if there is a ring.

    Elsewhere what is heard while nobody has the port is lost, and what comes later is not.
    """
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
        if device.traits.acknowledges:
            for payload in sent[5:]:
                await device.hear(payload)
        with pytest.raises(PortLost):
            await listener.uplinks(10)
    async with connected(device) as listener:
        if not device.traits.acknowledges:
            for payload in sent[5:]:
                await device.hear(payload)
        after = await listener.uplinks(5)
    assert arrived([*before, *after]) == sent


async def test_an_unplugged_device_is_told_and_comes_back(device: Device) -> None:
    """Without power all that was not said is gone; a new driver sets the device up again."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        await device.suffer(FaultKind.UNPLUG, 0)
        with pytest.raises(PortLost):
            await listener.uplinks(1)
        with pytest.raises(PortLost, match="plugged in"):
            await device.new_driver().__aenter__()
    await device.suffer(FaultKind.REPLUG, 0)
    async with connected(device) as listener:
        await device.hear(b"back again")
        (event,) = await listener.uplinks(1)
    assert event.payload == b"back again"


async def test_a_reboot_is_noticed_and_the_radios_are_set_up_again(device: Device) -> None:
    """Boot messages on the line included."""
    async with connected(device) as listener:
        await device.suffer(FaultKind.REBOOT, 0.1)
        if device.traits.tells_reboot:
            await listener.state(LinkState.DOWN)
            await listener.state(LinkState.UP)
            await device.hear(b"after the reboot")
            (event,) = await listener.uplinks(1)
            assert event.payload == b"after the reboot"
            return
        device.clock.hurry(_HURRY)
        with pytest.raises(TransientDriverError):
            await listener.uplinks(1)
    device.clock.hurry(device.family.hurry)
    async with connected(device) as listener:
        await device.hear(b"after the reboot")
        (event,) = await listener.uplinks(1)
    assert event.payload == b"after the reboot"


async def test_a_wedged_device_is_given_up_and_comes_back_after_a_restart(device: Device) -> None:
    """It holds its port open and says nothing of use any more: silence is not health."""
    async with device.new_driver() as driver:
        listener = Listener(driver)
        await listener.state(LinkState.UP)
        await device.suffer(FaultKind.WEDGE, 0)
        device.clock.hurry(_HURRY)
        with pytest.raises(TransientDriverError):
            await listener.uplinks(1)
        device.clock.hurry(device.family.hurry)
    await device.suffer(FaultKind.REBOOT, 0)
    async with connected(device) as listener:
        await device.hear(b"alive")
        (event,) = await listener.uplinks(1)
    assert event.payload == b"alive"


async def test_a_second_driver_cannot_take_the_port(device: Device) -> None:
    """Two readers would each get half of every frame."""
    async with device.new_driver():
        with pytest.raises(PortLost, match="in use"):
            await device.new_driver().__aenter__()


async def test_impossible_options_are_refused_before_the_port_is_opened(device: Device) -> None:
    """By the same check that needs no device; 2.4 GHz is no SX127x's."""
    radio = replace(device.options().radios[0], frequency_hz=2_400_000_000)
    options = device.options(radios=(radio,), port="/nowhere")
    with pytest.raises(UnsupportedConfiguration, match="radio 0"):
        await device.family.new_driver(options, device.clock).__aenter__()


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


def _without_byte(place: float, data: bytes) -> bytes:
    """``place`` 0 = the first byte, 1 = the last."""
    index = round(place * (len(data) - 1))
    return data[:index] + data[index + 1 :]
