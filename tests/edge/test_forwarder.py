"""From the outbox to a receiver that fails in every way the contract knows."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from edge.backoff import Backoff
from edge.forwarder import run_forwarder
from edge.monitoring.metrics import Metrics
from edge.outbox.store import Outbox
from edge.upstreams.base import (
    Batch,
    Lane,
    PermanentUpstreamError,
    SendResult,
    TransientUpstreamError,
    Upstream,
    UpstreamError,
)
from protocol.records.sensor_frame import FrameId, WallTime
from tests.edge.outbox.open_store import StillClock, admission, number_of, pending, running

MAX_BATCH = 4
SECOND_US = 1_000_000

Step = Callable[[Batch], Awaitable[SendResult]]


async def take_all(batch: Batch) -> SendResult:
    return SendResult(frozenset(frame.frame_id for frame in batch))


def takes(count: int) -> Step:
    """Acknowledges the first frames of a batch."""

    async def step(batch: Batch) -> SendResult:
        return await take_all(batch[:count])

    return step


def fails(error: Callable[[str, frozenset[FrameId]], Exception], acknowledged: int = 0) -> Step:
    """Breaks after so many frames."""

    async def step(batch: Batch) -> SendResult:
        raise error("broke", (await take_all(batch[:acknowledged])).acknowledged)

    return step


async def reject_first(batch: Batch) -> SendResult:
    first, *rest = batch
    return SendResult((await take_all(rest)).acknowledged, {first.frame_id: "payload format"})


@dataclass
class Receiver:
    """The far side, which outlives connections; a script says what becomes of each batch."""

    connects: list[Exception | None] = field(default_factory=list)
    sends: list[Step] = field(default_factory=list)
    otherwise: Step = take_all
    ticks: list[Exception | None] = field(default_factory=list)
    batches: list[list[int]] = field(default_factory=list)
    ticked_at_us: list[int] = field(default_factory=list)
    acknowledged: set[FrameId] = field(default_factory=set)
    connections: int = 0
    open_connections: int = 0
    reached: Callable[[str], Awaitable[object]] | None = None

    async def reach(self, place: str) -> None:
        if self.reached is not None:
            await self.reached(place)

    def numbers(self) -> Counter[int]:
        """How often each frame was sent."""
        return Counter(number for batch in self.batches for number in batch)


class Connection:
    """One life of an upstream, as the contract has it."""

    max_batch = MAX_BATCH

    def __init__(self, receiver: Receiver, clock: StillClock) -> None:
        self._receiver = receiver
        self._clock = clock

    async def __aenter__(self) -> Self:
        self._receiver.connections += 1
        await self._receiver.reach("connecting")
        fault = self._receiver.connects.pop(0) if self._receiver.connects else None
        if fault is not None:
            raise fault
        self._receiver.open_connections += 1
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._receiver.open_connections -= 1
        await self._receiver.reach("closing")

    async def send(self, batch: Batch) -> SendResult:
        await self._receiver.reach("before the batch arrived")
        self._receiver.batches.append([number_of(frame.content) for frame in batch])
        step = self._receiver.sends.pop(0) if self._receiver.sends else self._receiver.otherwise
        try:
            result = await step(batch)
        except UpstreamError as error:
            self._receiver.acknowledged |= error.acknowledged
            raise
        self._receiver.acknowledged |= result.acknowledged
        await self._receiver.reach("before the answer arrived")
        return result

    async def tick(self) -> None:
        self._receiver.ticked_at_us.append(self._clock.now_us)
        await self._receiver.reach("tick")
        fault = self._receiver.ticks.pop(0) if self._receiver.ticks else None
        if fault is not None:
            raise fault


class Site:
    """A store, a receiver and a forwarder, on a clock that only the test moves."""

    def __init__(self, outbox: Outbox, receiver: Receiver) -> None:
        self.outbox = outbox
        self.receiver = receiver
        self.clock = StillClock()
        self.metrics = Metrics("test")
        self.metrics.register_upstream("city")
        self.lane = Lane.DATA
        self.slept_s: list[float] = []
        self.parked_while_asleep: list[float | None] = []
        self._limits: dict[asyncio.Timeout, int] = {}
        self.idle = asyncio.Event()

    async def run(self) -> None:
        await run_forwarder(
            name="city",
            make_upstream=self.connection,
            outbox=self.outbox,
            clock=self.clock,
            metrics=self.metrics,
            backoff=Backoff(lambda: 0.5),
            lane=self.lane,
            sleep=self.sleep,
            wait_limit=self.wait_limit,
        )

    def connection(self) -> Upstream:
        return Connection(self.receiver, self.clock)

    @asynccontextmanager
    async def forwarding(self) -> AsyncIterator[None]:
        """The forwarder runs meanwhile; what it raises fails the test."""
        async with asyncio.TaskGroup() as group:
            task = group.create_task(self.run())
            yield
            task.cancel()

    async def sleep(self, seconds: float) -> None:
        self.slept_s.append(seconds)
        self.parked_while_asleep.append(self.metric("lora_edge_upstream_parked"))
        self.clock.now_us += round(seconds * SECOND_US)
        await asyncio.sleep(0)

    @contextmanager
    def _limit(self, limit: asyncio.Timeout, seconds: float) -> Iterator[None]:
        self._limits[limit] = self.clock.now_us + round(seconds * SECOND_US)
        self.idle.set()
        try:
            yield
        finally:
            del self._limits[limit]
            self.idle.clear()

    @asynccontextmanager
    async def wait_limit(self, seconds: float) -> AsyncIterator[None]:
        async with asyncio.timeout(None) as limit:
            with self._limit(limit, seconds):
                yield

    async def pass_time(self, seconds: float) -> None:
        """Let the clock run while the forwarder waits for frames."""
        await self.idle.wait()
        self.clock.now_us += round(seconds * SECOND_US)
        for limit, due_us in list(self._limits.items()):
            if due_us <= self.clock.now_us:
                limit.reschedule(asyncio.get_running_loop().time())
                self.idle.clear()
        await self.idle.wait()

    async def delivered(self) -> None:
        """Wait until nothing is pending any more."""
        async with asyncio.timeout(20):
            while self.outbox.statistics().pending["city"]:
                await asyncio.sleep(0.001)  # SQLite has a thread of its own

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(name, {"upstream": "city", **labels})

    def dropped(self, reason: str) -> float | None:
        return self.metrics.registry.get_sample_value(
            "lora_edge_frames_dropped_total", {"reason": reason}
        )


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """With nothing to forward yet."""
    async with running(tmp_path / "outbox.db") as outbox:
        yield Site(outbox, Receiver())


async def append(site: Site, count: int) -> None:
    await site.outbox.append(*map(admission, range(count)))


class TestDelivery:
    """What was stored arrives, and the outbox learns of it."""

    async def test_batches_are_bounded_and_in_order(self, site: Site) -> None:
        await append(site, 10)
        site.clock.wall_time = WallTime(1_790_000_000_000_000, 10)
        async with site.forwarding():
            await site.delivered()
        assert site.receiver.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
        assert site.metric("lora_edge_upstream_frames_acknowledged_total") == 10
        assert (
            site.metric("lora_edge_upstream_last_acknowledged_timestamp_seconds") == 1_790_000_000
        )
        assert site.metric("lora_edge_upstream_acknowledge_seconds_count") == 3
        assert site.slept_s == []

    async def test_frames_that_arrive_later_wake_it(self, site: Site) -> None:
        async with site.forwarding():
            await site.idle.wait()
            assert site.metric("lora_edge_upstream_connected") == 1
            await append(site, 1)
            await site.delivered()
        assert site.receiver.batches == [[0]]
        assert site.metric("lora_edge_upstream_connected") == 0
        assert site.receiver.open_connections == 0

    async def test_the_rest_of_a_batch_is_sent_again(self, site: Site) -> None:
        await append(site, 4)
        site.receiver.sends = [takes(1), takes(2)]
        async with site.forwarding():
            await site.delivered()
        assert site.receiver.batches == [[0, 1, 2, 3], [1, 2, 3], [3]]
        assert site.slept_s == []
        assert site.metric("lora_edge_upstream_frames_acknowledged_total") == 4

    async def test_what_an_error_acknowledges_is_not_sent_again(self, site: Site) -> None:
        await append(site, 4)
        site.receiver.sends = [fails(TransientUpstreamError, acknowledged=3)]
        async with site.forwarding():
            await site.delivered()
        assert site.receiver.batches == [[0, 1, 2, 3], [3]]
        assert site.receiver.connections == 2
        assert site.metric("lora_edge_upstream_errors_total", kind="transient") == 1
        assert site.metric("lora_edge_upstream_frames_acknowledged_total") == 4

    async def test_rejected_frames_are_counted_and_set_aside(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        await append(site, 6)
        site.receiver.sends = [reject_first, reject_first]
        async with site.forwarding():
            await site.delivered()
        assert site.receiver.batches == [[0, 1, 2, 3], [4, 5]]
        assert site.metric("lora_edge_upstream_frames_rejected_total") == 2
        assert site.metric("lora_edge_upstream_frames_acknowledged_total") == 4
        assert site.outbox.statistics().dead_letters == 2
        assert site.dropped("dead_letter") == 0
        assert "rejected frames name=city frames=1" in caplog.text
        assert "reason='payload format'" in caplog.text
        assert await pending(site.outbox) == []


async def pass_over_odd(batch: Batch) -> SendResult:
    """A kind that does not carry every second frame."""
    odd = frozenset(f.frame_id for f in batch if number_of(f.content) % 2)
    rest = frozenset(f.frame_id for f in batch) - odd
    return SendResult(rest, passed_over=odd, sent_bytes=100)


class TestLanes:
    """What goes before what, and what does not go at all."""

    @pytest.mark.parametrize(
        ("lane", "order"),
        [(Lane.DATA, [3, 4, 5, 1, 2]), (Lane.NETWORK_SERVER, [1, 2, 3, 4, 5])],
    )
    async def test_after_an_outage(self, site: Site, lane: Lane, order: list[int]) -> None:
        """Three came in the connection's life, before the two of the outage could be sent."""
        site.lane = lane
        await append(site, 3)

        async def more_come(where: str) -> None:
            if where == "before the batch arrived" and not site.receiver.batches:
                await site.outbox.append(*map(admission, (3, 4, 5)))

        site.receiver.sends = [takes(1)]
        site.receiver.reached = more_come
        async with site.forwarding():
            await site.delivered()
        assert [n for batch in site.receiver.batches[1:] for n in batch] == order

    async def test_what_a_kind_does_not_carry_is_done_with(self, site: Site) -> None:
        await append(site, 7)
        site.receiver.otherwise = pass_over_odd
        async with site.forwarding():
            await site.delivered()
        assert site.receiver.numbers() == dict.fromkeys(range(7), 1)
        assert site.metric("lora_edge_upstream_frames_acknowledged_total") == 4
        assert site.metric("lora_edge_upstream_frames_passed_over_total") == 3
        assert site.metric("lora_edge_upstream_sent_bytes_total") == 200
        assert site.slept_s == []

    async def test_a_batch_of_nothing_that_it_carries_is_no_fault(self, site: Site) -> None:
        await append(site, 6)

        async def none_of_it(batch: Batch) -> SendResult:
            return SendResult(frozenset(), passed_over=(await take_all(batch)).acknowledged)

        site.receiver.otherwise = none_of_it
        async with site.forwarding():
            await site.delivered()
        assert site.slept_s == []
        assert site.metric("lora_edge_upstream_frames_passed_over_total") == 6
        assert site.metric("lora_edge_upstream_last_acknowledged_timestamp_seconds") is None


class TestFaults:
    """Each kind of fault is waited out in its way."""

    async def test_back_off_doubles_and_begins_anew_after_success(self, site: Site) -> None:
        away = TransientUpstreamError("no route to host")
        site.receiver.connects = [away, away, away, away]
        await append(site, 8)
        site.receiver.sends = [take_all, fails(TransientUpstreamError)]
        async with site.forwarding():
            await site.delivered()
        # Half of each span that begins with 1 s and ends at 2, 4, 8, 16 s; waited in 5 s steps.
        assert site.slept_s == [1.5, 2.5, 4.5, 5.0, 3.5, 1.5]
        assert site.metric("lora_edge_upstream_errors_total", kind="transient") == 5

    async def test_who_acknowledges_nothing_is_not_sent_to_in_a_tight_loop(
        self, site: Site
    ) -> None:
        await append(site, 2)
        site.receiver.sends = [takes(0)] * 6
        async with site.forwarding():
            await site.delivered()
        assert site.receiver.batches == [[0, 1]] * 7
        # 1.5, 2.5, 4.5, 8.5, 16.5, 32.5 s: one wait before each new attempt.
        assert sum(site.slept_s) == 1.5 + 2.5 + 4.5 + 8.5 + 16.5 + 32.5

    async def test_a_permanent_fault_parks_and_is_tried_every_five_minutes(
        self, site: Site
    ) -> None:
        site.receiver.connects = [PermanentUpstreamError("bad password")] * 2
        await append(site, 3)
        async with site.forwarding():
            await site.delivered()
        assert sum(site.slept_s) == 600
        assert set(site.parked_while_asleep) == {1}
        assert site.metric("lora_edge_upstream_parked") == 0
        assert site.metric("lora_edge_upstream_errors_total", kind="permanent") == 2
        assert site.receiver.batches == [[0, 1, 2]]

    async def test_a_permanent_fault_in_a_send_keeps_what_was_acknowledged(
        self, site: Site
    ) -> None:
        await append(site, 3)
        site.receiver.sends = [fails(PermanentUpstreamError, acknowledged=1)]
        async with site.forwarding():
            await site.delivered()
        assert site.receiver.batches == [[0, 1, 2], [1, 2]]
        assert set(site.parked_while_asleep) == {1}

    async def test_a_fault_of_ours_parks_this_upstream_alone(
        self, site: Site, caplog: pytest.LogCaptureFixture
    ) -> None:
        """It is logged with its traceback, nothing is acknowledged, and it is tried again."""
        await append(site, 1)

        async def broken(_batch: Batch) -> SendResult:
            raise KeyError("ours")

        site.receiver.sends = [broken]
        async with site.forwarding():
            await site.delivered()
        assert set(site.parked_while_asleep) == {1}
        assert site.metric("lora_edge_upstream_errors_total", kind="permanent") == 1
        assert "KeyError: 'ours'" in caplog.text
        assert await pending(site.outbox) == []


class TestTick:
    """An upstream gets its turn also when there is nothing to send, and when there is much."""

    async def test_at_once_and_every_five_seconds_while_idle(self, site: Site) -> None:
        began_us = site.clock.now_us
        async with site.forwarding():
            for _ in range(48):
                await site.pass_time(0.25)
        ticks_s = [(at_us - began_us) / SECOND_US for at_us in site.receiver.ticked_at_us]
        assert ticks_s == [0, 5, 10]

    async def test_between_batches(self, site: Site) -> None:
        """A backlog of hours must not keep it from saying that it lives; nor be slowed down."""

        async def slowly(batch: Batch) -> SendResult:
            site.clock.now_us += 900_000
            return await take_all(batch)

        site.receiver.otherwise = slowly
        await append(site, 30 * MAX_BATCH)
        async with site.forwarding():
            await site.delivered()
        gaps_s = [(b - a) / SECOND_US for a, b in pairwise(site.receiver.ticked_at_us)]
        assert len(gaps_s) >= 4
        assert set(gaps_s) == {5.4}  # six sends of 0.9 s are the first that last 5 s

    async def test_a_lost_connection_is_noticed_while_idle(self, site: Site) -> None:
        site.receiver.ticks = [None, TransientUpstreamError("gone")]
        async with site.forwarding():
            await site.pass_time(5)
            await site.idle.wait()
            assert site.receiver.connections == 2
            assert site.slept_s == [1.5]
            await append(site, 2)
            await site.delivered()
        assert site.receiver.batches == [[0, 1]]

    async def test_a_wait_that_ends_loses_no_frame(self, site: Site) -> None:
        """The wait's end and a frame's arrival may fall together."""
        async with site.forwarding():
            for number in range(20):
                await site.idle.wait()
                async with asyncio.TaskGroup() as group:
                    group.create_task(site.outbox.append(admission(number)))
                    group.create_task(site.pass_time(5))
                await site.delivered()
        assert site.receiver.numbers() == dict.fromkeys(range(20), 1)


PLACES = (
    "connecting",
    "tick",
    "before the batch arrived",
    "before the answer arrived",
    "closing",
)


class TestCancellation:
    """A stop may come at any moment: afterwards nothing is lost and the store is consistent."""

    @pytest.mark.parametrize("place", PLACES)
    @pytest.mark.parametrize("visit", [1, 2, 3])
    async def test_at_each_place_where_an_upstream_waits(
        self, tmp_path: Path, place: str, visit: int
    ) -> None:
        path = tmp_path / "outbox.db"
        receiver = Receiver()
        broken = fails(TransientUpstreamError, acknowledged=1)
        receiver.sends = [takes(2), broken, take_all, broken, take_all, broken]
        visits = Counter[str]()
        stopped = asyncio.Event()

        async def reached(where: str) -> None:
            visits[where] += 1
            if where == place and visits[where] == visit:
                stopped.set()
                await asyncio.Event().wait()

        receiver.reached = reached
        async with running(path) as outbox:
            site = Site(outbox, receiver)
            await append(site, 15)
            async with site.forwarding():
                await stopped.wait()
            assert receiver.open_connections == 0
        await self.check_the_rest(path, receiver)

    @pytest.mark.parametrize("crash", [False, True])
    async def test_after_any_number_of_steps(self, tmp_path: Path, crash: bool) -> None:
        """Of the event loop: between any two of them; with and without the store's goodbye."""
        for steps in range(0, 60, 2):
            path = tmp_path / f"{steps}.db"
            receiver = Receiver()
            receiver.sends = [takes(1), fails(TransientUpstreamError, acknowledged=1)]
            async with running(path, crash=crash) as outbox:
                site = Site(outbox, receiver)
                await append(site, 9)
                async with site.forwarding():
                    for _ in range(steps):
                        await asyncio.sleep(0)
                assert receiver.open_connections == 0
            await self.check_the_rest(path, receiver)

    async def check_the_rest(self, path: Path, receiver: Receiver) -> None:
        """A new forwarder delivers what is missing, and only frames that were not acknowledged."""
        receiver.reached = None
        async with running(path) as outbox:
            frames = await outbox.frames()
            everything = {number_of(frame.content) for frame in frames}
            owed = set(await pending(outbox, limit=100))
            taken = {number_of(f.content) for f in frames if f.frame_id in receiver.acknowledged}
            # What the store calls delivered, the receiver has taken.
            assert everything - owed <= taken
            receiver.sends = []
            receiver.batches = []
            site = Site(outbox, receiver)
            async with site.forwarding():
                await site.delivered()
            assert set(receiver.numbers()) == owed
            assert await pending(outbox) == []
