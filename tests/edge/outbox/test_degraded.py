"""The store fails, and the gateway goes on: from memory, under numbers that stay what they were.

How long a fault lasts is a matter of the loop's clock, which only these tests move.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox import ring
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreClosed, StoreError, StoreFull
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameClass, FrameId
from tests.edge.outbox.failing_store import Failing, Fault
from tests.edge.outbox.open_store import (
    StillClock,
    admission,
    content,
    number_of,
    numbers,
    pending,
    running,
)
from tests.edge.outbox.still_loop import StillLoop, advance, settle, still
from tests.edge.test_ingest import DataPath, data_path, event, heartbeat

TWO = OutboxSettings(
    commit_linger_s=0,
    bulk_linger_s=0,
    upstreams={"city": UpstreamLimits(), "lab": UpstreamLimits()},
)
FAULTS = pytest.mark.parametrize("fault", list(Fault))
RETRY_S = 31.0  # longer than the longest time between two attempts


@dataclass
class Site:
    """A store that can fail, and the callers that wait for it."""

    outbox: Outbox
    failing: Failing
    metrics: Metrics
    calls: list["asyncio.Task[tuple[FrameId, ...]]"]

    async def call(self, *admissions: Admission) -> "asyncio.Task[tuple[FrameId, ...]]":
        """Append, and let the store try."""
        call = asyncio.get_running_loop().create_task(self.outbox.append(*admissions))
        self.calls.append(call)
        await settle(self.outbox)
        return call

    async def degrade(self, fault: Fault, *admissions: Admission) -> "asyncio.Task[object]":
        """Append while the store fails, until upstreams get that from memory."""
        self.failing.fault = fault
        call = await self.call(*admissions)
        await advance(self.outbox, 1.0)
        assert self.outbox.fault is not None
        return call

    async def heal(self) -> None:
        """Writes work again, and the next attempt is made."""
        self.failing.fault = None
        await advance(self.outbox, RETRY_S)
        assert self.outbox.fault is None

    async def ids(self, upstream: str = "city") -> dict[int, FrameId]:
        """By number, what an upstream gets next."""
        frames = await self.outbox.pending(upstream, limit=1_000)
        return {number_of(frame.content): frame.frame_id for frame in frames}

    async def stored(self) -> dict[int, FrameId]:
        """By number, what is committed."""
        frames = await self.outbox.frames(limit=1_000)
        return {number_of(frame.content): frame.frame_id for frame in frames}

    async def deliver(self, *upstreams: str) -> dict[int, FrameId]:
        """Send everything to upstreams; returns what it was."""
        sent: dict[int, FrameId] = {}
        for upstream in upstreams:
            while ids := await self.ids(upstream):
                await self.outbox.acknowledge(upstream, ids.values())
                sent |= ids
        await settle(self.outbox)
        return sent

    async def check_pending(self) -> None:
        """As many frames are pending as come when they are asked for."""
        for upstream, count in self.outbox.statistics().pending.items():
            assert count == len(await self.deliver(upstream))

    def count(self, name: str, **labels: str) -> float:
        """Value of a metric."""
        value = self.metrics.registry.get_sample_value(f"lora_edge_{name}", labels)
        assert value is not None, name
        return value


@asynccontextmanager
async def site(
    path: Path,
    *,
    settings: OutboxSettings = TWO,
    clock: StillClock | None = None,
    crash: bool = False,
) -> AsyncIterator[Site]:
    """Opened, and left by a stop or in its tracks; callers that still wait are told."""
    metrics = Metrics("test")
    calls: list[asyncio.Task[tuple[FrameId, ...]]] = []
    here: Site | None = None
    try:
        async with running(
            path, settings=settings, clock=clock, metrics=metrics, crash=crash
        ) as outbox:
            here = Site(outbox, Failing(outbox._database), metrics, calls)
            await settle(outbox)
            try:
                yield here
            finally:
                here.failing.fault = None
    finally:
        results = await asyncio.gather(*calls, return_exceptions=True)
        if here is not None:
            here.failing.leave()
    for result in results:
        assert isinstance(result, tuple | StoreClosed)


def of_class(number: int, frame_class: FrameClass, **marks: bytes) -> Admission:
    return Admission.of(content(number, frame_class=frame_class), marks)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


@FAULTS
@still
async def test_forwarded_from_memory_from_the_second_failure_on(path: Path, fault: Fault) -> None:
    """Under an epoch of its own. The caller hears when all upstreams have the frame."""
    async with site(path) as here:
        [first] = await here.outbox.append(admission(0))
        here.failing.fault = fault
        call = await here.call(admission(1, board=b"1"))
        assert await here.ids() == {0: first}
        await advance(here.outbox, 1.0)
        shown = await here.ids()
        assert list(shown) == [0, 1]
        assert shown[1].epoch != first.epoch
        assert shown[1].seq == first.seq + 1
        assert here.outbox.statistics().pending == {"city": 2, "lab": 2}
        await here.outbox.acknowledge("city", [shown[1]])
        await settle(here.outbox)
        assert not call.done()
        await here.outbox.acknowledge("lab", [shown[1]])
        assert await call == (shown[1],)
        assert here.outbox.mark("board") is None
        await here.heal()
        assert await here.stored() == shown
        assert here.outbox.mark("board") == b"1"
        assert here.outbox.statistics().pending == {"city": 1, "lab": 1}
        assert here.count("outbox_acknowledged_uncommitted_frames_total") == 0
    async with site(path) as here:
        assert await here.stored() == shown
        assert await here.ids() == {0: first}


@FAULTS
@still
async def test_a_fault_that_the_next_attempt_gets_over(path: Path, fault: Fault) -> None:
    """Nobody saw anything of it: no epoch begins."""
    async with site(path) as here:
        here.failing.fault = fault
        call = await here.call(admission(0))
        await here.heal()
        [frame_id] = await call
        assert frame_id.epoch == here.outbox.epoch
        assert await here.stored() == {0: frame_id}
    async with site(path) as again:
        assert again.outbox.epoch == frame_id.epoch


@FAULTS
@still
async def test_order_and_numbers_stay(path: Path, fault: Fault) -> None:
    """Frames of all classes that come while the store fails, in many calls."""
    classes = list(FrameClass)
    async with site(path) as here:
        await here.outbox.append(admission(0))
        await here.degrade(fault, *(of_class(n, classes[n % 3]) for n in range(1, 8)))
        for number in range(8, 40):
            await here.call(of_class(number, classes[number % 3]))
        shown = await here.ids()
        assert sorted(shown) == list(range(40))
        seqs = [frame_id.seq for frame_id in shown.values()]
        assert seqs == list(range(1, 41))
        await here.outbox.acknowledge("city", list(shown.values())[10:20])
        await here.heal()
        assert await here.stored() == shown
        assert [call.result() for call in here.calls[1:]] == [(shown[n],) for n in range(8, 40)]
        [after] = await here.outbox.append(admission(40))
        assert after.seq == 41
        assert here.outbox.statistics().pending == {"city": 31, "lab": 41}
    async with site(path) as here:
        left = {n: i for n, i in [*shown.items(), (40, after)] if i.seq not in range(11, 21)}
        assert await here.ids() == left


@FAULTS
@pytest.mark.parametrize("passing", range(5))
@pytest.mark.parametrize("acknowledged", [False, True])
@still
async def test_no_identity_is_given_twice(
    path: Path, fault: Fault, passing: int, *, acknowledged: bool
) -> None:
    """The process dies when so many of the writes that heal the store have passed. What was
    forwarded from memory and is gone keeps its numbers; what comes then is sent all the same."""
    shown: dict[int, FrameId] = {}
    async with site(path, crash=True) as here:
        await here.outbox.append(admission(0))
        await here.degrade(fault, admission(1))
        for number in range(2, 6):
            await here.call(of_class(number, list(FrameClass)[number % 3]))
        if acknowledged:
            shown = await here.deliver("city", "lab")
        shown |= await here.ids()
        here.failing.passing = passing
        await advance(here.outbox, RETRY_S)
        assert here.outbox.fault is not None
        for number in range(100, 103):  # no attempt ever came to them
            await here.call(admission(number))
        shown |= await here.ids()
    async with site(path) as here:
        kept = await here.stored()
        later = {}
        for number in range(6, 12):
            [later[number]] = await here.outbox.append(admission(number))
        assert not set(later.values()) & set(shown.values())
        assert await here.stored() == kept | later
        assert set(await here.ids()) >= set(later)
        await here.check_pending()


class TestRelease:
    """A board is about to lose frames, so it is told that they are taken although they are not."""

    @FAULTS
    @still
    async def test_callers_hear_and_it_is_counted(self, path: Path, fault: Fault) -> None:
        async with site(path) as here:
            call = await here.degrade(fault, admission(0), admission(1))
            second = await here.call(admission(2))
            shown = await here.ids()
            here.outbox.release_uncommitted()
            assert await call == (shown[0], shown[1])
            assert await second == (shown[2],)
            assert here.count("outbox_acknowledged_uncommitted_frames_total") == 3
            assert here.outbox.statistics().uncommitted == 3
            here.outbox.release_uncommitted()
            assert here.count("outbox_acknowledged_uncommitted_frames_total") == 3
            await here.heal()
            assert await here.stored() == shown

    @FAULTS
    @still
    async def test_after_the_first_failure_already(self, path: Path, fault: Fault) -> None:
        """All that waits, and what callers were told stays true."""
        async with site(path) as here:
            here.failing.fault = fault
            first = await here.call(admission(0))
            second = await here.call(admission(1))
            here.outbox.release_uncommitted()
            told = [*(await first), *(await second)]
            await advance(here.outbox, 2.0)
            assert list((await here.ids()).values()) == told
            await here.heal()
            assert list((await here.stored()).values()) == told

    @still
    async def test_while_the_store_works_it_does_nothing(self, path: Path) -> None:
        settings = replace(TWO, commit_linger_s=3600)
        async with site(path, settings=settings) as here:
            call = await here.call(admission(0))
            here.outbox.release_uncommitted()
            await settle(here.outbox)
            assert not call.done()
            assert here.count("outbox_acknowledged_uncommitted_frames_total") == 0

    @FAULTS
    @still
    async def test_without_upstreams(self, path: Path, fault: Fault) -> None:
        """Nobody gets the frames; so they wait for the store, or for a board that runs over."""
        async with site(path, settings=replace(TWO, upstreams={})) as here:
            await here.degrade(fault, admission(0))
            await here.call(admission(1))
            await advance(here.outbox, RETRY_S)
            assert not any(call.done() for call in here.calls)
            here.outbox.release_uncommitted()
            await settle(here.outbox)
            assert all(call.done() for call in here.calls)
            assert here.count("outbox_acknowledged_uncommitted_frames_total") == 2
            await here.heal()
            told = [call.result()[0] for call in here.calls]
            assert list((await here.stored()).values()) == told

    @FAULTS
    @still
    async def test_without_upstreams_and_then_a_crash(self, path: Path, fault: Fault) -> None:
        """What callers were told is not told to others."""
        alone = replace(TWO, upstreams={})
        async with site(path, settings=alone, crash=True) as here:
            call = await here.degrade(Fault.BEFORE, admission(0))
            here.failing.fault = fault
            here.outbox.release_uncommitted()
            told = await call
        async with site(path, settings=alone) as here:
            assert await here.outbox.append(admission(1)) != told


class TestFullMemory:
    """There is no room in memory either."""

    @pytest.fixture(autouse=True)
    def small(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """21 frames instead of 5,000."""
        monkeypatch.setattr(ring, "MAX_FRAMES", 21)

    async def fill(self, here: Site, fault: Fault) -> dict[int, FrameId]:
        """20 frames in memory, whose callers were told."""
        await here.degrade(
            fault,
            *(of_class(n, FrameClass.ALARM, mark=b"%d" % n) for n in range(3)),
            *(of_class(n, FrameClass.TELEMETRY, mark=b"%d" % n) for n in range(3, 8)),
        )
        await here.call(*(of_class(n, FrameClass.BULK, mark=b"%d" % n) for n in range(8, 14)))
        await here.call(*(of_class(n, FrameClass.BULK, mark=b"%d" % n) for n in range(14, 20)))
        shown = await here.ids()
        here.outbox.release_uncommitted()
        await settle(here.outbox)
        assert here.outbox.statistics().uncommitted == 20
        return shown

    @FAULTS
    @still
    async def test_the_least_important_oldest_go(self, path: Path, fault: Fault) -> None:
        """Counted; the rest is committed under its numbers, and the next ones go on behind."""
        async with site(path) as here:
            shown = await self.fill(here, fault)
            await here.call(admission(20), admission(21))
            left = [*range(8), *range(14, 22)]
            shown |= await here.ids()
            assert sorted(await here.ids()) == left
            assert here.count("frames_dropped_total", reason="evicted_bytes") == 6
            assert here.outbox.statistics().pending == {"city": 16, "lab": 16}
            await here.heal()
            assert await here.stored() == {n: shown[n] for n in left}
            assert here.outbox.mark("mark") == b"19"
            assert here.outbox.statistics().pending == {"city": 16, "lab": 16}
            [after] = await here.outbox.append(admission(22))
            assert after.seq == 23
        async with site(path) as here:
            assert await here.ids() == {n: shown[n] for n in left} | {22: after}
            assert here.outbox.statistics().pending == {"city": 17, "lab": 17}
            assert here.outbox.statistics().frames == 17

    @FAULTS
    @still
    async def test_nobody_waits_for_what_has_gone(self, path: Path, fault: Fault) -> None:
        """Upstreams that have everything else have nothing to do."""
        async with site(path) as here:
            await self.fill(here, fault)
            call = await here.call(admission(20))
            await here.deliver("city", "lab")
            assert call.done()
            assert here.outbox.statistics().pending == {"city": 0, "lab": 0}
            loop = asyncio.get_running_loop()
            for upstream in ("city", "lab"):  # to one of them that was being sent, not to the other
                waiting = loop.create_task(here.outbox.wait_pending(upstream))
                await settle(here.outbox)
                assert not waiting.done()
                waiting.cancel()
            await here.heal()
            assert await here.deliver("city", "lab") == {}

    @FAULTS
    @still
    async def test_the_newest_of_a_group_are_gone_at_a_crash(
        self, path: Path, fault: Fault
    ) -> None:
        """Their numbers stay theirs, and what comes next is sent."""
        async with site(path, crash=True) as here:
            shown = await self.fill(here, fault)
            await here.call(admission(20))
            await here.call(admission(21))
            shown |= await here.deliver("city", "lab")
            here.failing.fault, here.failing.passing = Fault.BEFORE, 1
            await advance(here.outbox, RETRY_S)
        async with site(path) as here:
            kept = await here.stored()
            [after] = await here.outbox.append(admission(22))
            assert after not in shown.values()
            assert await here.stored() == kept | {22: after}
            assert 22 in await here.ids()
            await here.check_pending()

    @FAULTS
    @still
    async def test_what_nobody_was_shown_yet(self, path: Path, fault: Fault) -> None:
        """After one failure: told to the board, not yet forwarded, and in the way of alarms."""
        async with site(path) as here:
            await here.outbox.append(admission(99))
            here.failing.fault = fault
            await here.call(*(of_class(n, FrameClass.BULK) for n in range(21)))
            here.outbox.release_uncommitted()
            await here.call(of_class(21, FrameClass.ALARM))
            await advance(here.outbox, 2.0)
            assert list(await here.ids()) == [99, 21]
            assert here.outbox.statistics().pending == {"city": 2, "lab": 2}
            assert here.count("frames_dropped_total", reason="evicted_bytes") == 21
            await here.heal()
            assert list(await here.stored()) == [99, 21]
            assert here.outbox.statistics().pending == {"city": 2, "lab": 2}
            assert here.outbox.statistics().frames == 2

    @FAULTS
    @still
    async def test_what_boards_still_keep_is_not_dropped(self, path: Path, fault: Fault) -> None:
        """Callers that were not told wait, and further ones do not get in."""
        async with site(path) as here:
            await here.degrade(fault, *map(admission, range(21)))
            late = await here.call(admission(21))
            await advance(here.outbox, RETRY_S)
            assert here.outbox.statistics().uncommitted == 21
            assert here.count("frames_dropped_total", reason="evicted_bytes") == 0
            await here.heal()
            [frame_id] = await late
            assert frame_id.seq == 22
            assert await numbers(here.outbox) == list(range(22))


class TestReading:
    """Forwarding is what relieves a store, so it goes on whatever writing does."""

    @FAULTS
    @still
    async def test_committed_frames_go_on_being_forwarded(self, path: Path, fault: Fault) -> None:
        async with site(path) as here:
            await here.outbox.append(*map(admission, range(5)))
            await here.degrade(fault, admission(5))
            sent = await here.deliver("city")
            assert list(sent) == [0, 1, 2, 3, 4, 5]
            assert await pending(here.outbox, "lab") == [0, 1, 2, 3, 4, 5]

    @FAULTS
    @still
    async def test_with_a_connection_that_cannot_be_opened_again(
        self, path: Path, fault: Fault
    ) -> None:
        """What is in memory goes at least; nothing is passed over meanwhile."""
        async with site(path) as here:
            await here.outbox.append(*map(admission, range(3)))
            here.outbox.connected("city")
            here.failing.no_reopening = True
            await here.degrade(fault, admission(3))
            await here.call(admission(4))
            await advance(here.outbox, RETRY_S)
            shown = await here.ids()
            assert list(shown) == [3, 4]
            await here.outbox.acknowledge("city", shown.values())
            here.failing.no_reopening = False
            await here.heal()
            assert await pending(here.outbox) == [0, 1, 2]
            assert {n: i for n, i in (await here.stored()).items() if n > 2} == shown
            assert here.outbox.statistics().pending == {"city": 3, "lab": 5}

    @still
    async def test_on_a_full_disk_with_nothing_to_drop(self, path: Path) -> None:
        """SQLite's own limit gives the same error as a full disk."""
        async with site(path) as here:
            database = here.outbox._database

            async def fill_up() -> None:
                usage = await database.usage()
                free_bytes = (usage.file_pages - usage.used_pages) * 4_096
                await database.read("CREATE TABLE other(b)")
                await database.read("INSERT INTO other VALUES (zeroblob(?))", free_bytes)
                await database.limit_pages((await database.usage()).file_pages)

            async def make_room() -> None:
                await database.limit_pages(100_000)

            await here.outbox._do(fill_up)
            admissions = [replace(admission(n), body=bytes(6_000)) for n in range(3)]
            call = await here.call(*admissions, admission(3))
            await advance(here.outbox, 1.0)
            assert isinstance(here.outbox.fault, StoreFull)
            assert [seq for seq, _ in await here.outbox.pending_bodies("city", limit=9)] == [
                1,
                2,
                3,
                4,
            ]
            await here.outbox.acknowledge_seqs("city", [1, 2, 3, 4])
            assert not call.done()
            await here.outbox.acknowledge_seqs("lab", [1, 2, 3, 4])
            await settle(here.outbox)
            assert call.done()
            await here.outbox._do(make_room)
            await here.heal()
            assert here.outbox.statistics().frames == 4
            assert here.outbox.statistics().pending == {"city": 0, "lab": 0}


class TestRemoving:
    """What is removed is removed once, whatever the attempt before has done."""

    @FAULTS
    @still
    async def test_counted_once(self, path: Path, fault: Fault) -> None:
        clock = StillClock()
        settings = replace(TWO, max_age_s=100)
        async with site(path, settings=settings, clock=clock) as here:
            old = await here.outbox.append(*map(admission, range(5)))
            await here.outbox.acknowledge("city", old[:2])
            clock.now_us += 200_000_000
            await here.outbox.append(*map(admission, range(5, 8)))
            await advance(here.outbox, 0.5)
            here.failing.fault = fault
            await advance(here.outbox, 1.0)
            assert here.outbox.fault is not None
            await here.heal()
            await advance(here.outbox, 1.0)
            assert list(await here.stored()) == [5, 6, 7]
            assert here.outbox.statistics().frames == 3
            assert here.outbox.statistics().by_class[FrameClass.BULK] == (0, 0)
            assert here.outbox.statistics().pending == {"city": 3, "lab": 3}
            assert here.count("frames_dropped_total", reason="evicted_age") == 5
        async with site(path, settings=settings, clock=clock) as here:
            assert here.outbox.statistics().frames == 3
            assert here.outbox.statistics().pending == {"city": 3, "lab": 3}

    @FAULTS
    @still
    async def test_letters(self, path: Path, fault: Fault) -> None:
        """Whoever buries or requeues hears of the fault, and does it again."""
        async with site(path) as here:
            [frame_id] = await here.outbox.append(admission(0))
            here.failing.fault = fault
            with pytest.raises(StoreError):
                await here.outbox.bury("city", {frame_id: "refused"})
            here.failing.fault = None
            await here.outbox.bury("city", {frame_id: "refused"})
            letters = await here.outbox.dead_letters()
            assert here.outbox.statistics().dead_letters == len(letters)
            here.failing.fault = fault
            with pytest.raises(StoreError):
                await here.outbox.requeue(letters[0])
            here.failing.fault = None
            assert await here.outbox.requeue(letters[0])
            letters = await here.outbox.dead_letters()
            assert here.outbox.statistics().dead_letters == len(letters)
            assert here.outbox.statistics().pending == {"city": 1, "lab": 1}


class TestBoards:
    """What the board hears, through ingest."""

    @staticmethod
    async def feed(path: DataPath, *numbers: int) -> None:
        """Take events in; what becomes of them is another matter."""
        for number in numbers:
            await path.ingest.events.put(event(number))
        await settle(path.outbox)

    @FAULTS
    @still
    async def test_acknowledged_when_all_upstreams_have_it(
        self, tmp_path: Path, fault: Fault
    ) -> None:
        """Late, but before the store works again."""
        async with data_path(tmp_path) as path:
            failing = Failing(path.outbox._database)
            await self.feed(path, 1)
            assert path.driver.acknowledged == [1]
            failing.fault = fault
            await self.feed(path, 2, 3)
            await advance(path.outbox, 1.0)
            assert path.driver.acknowledged == [1]
            frames = await path.outbox.pending("city", limit=10)
            assert [f.content.phy_payload for f in frames] == [b"frame 1", b"frame 2", b"frame 3"]
            await path.outbox.acknowledge("city", [frame.frame_id for frame in frames[:2]])
            await settle(path.outbox)
            assert path.driver.acknowledged[-1] == 2
            await path.outbox.acknowledge("city", [frames[2].frame_id])
            await settle(path.outbox)
            assert path.driver.acknowledged[-1] == 3
            failing.fault = None
            await advance(path.outbox, RETRY_S)
            assert await path.stored() == [b"frame 1", b"frame 2", b"frame 3"]

    @FAULTS
    @still
    async def test_acknowledged_early_when_its_ring_fills(
        self, tmp_path: Path, fault: Fault
    ) -> None:
        """At three quarters, and counted: what is only in memory may be lost now."""
        async with data_path(tmp_path) as path:
            path.ingest.relieve = path.outbox.release_uncommitted
            failing = Failing(path.outbox._database)
            failing.fault = fault
            await self.feed(path, 1, 2, 3)
            await advance(path.outbox, 1.0)
            for used, acknowledged in ((5, []), (6, [3])):
                sign = replace(heartbeat(3), ring_used=used, ring_capacity=8)
                path.ingest.take(sign, path.clock.now_us)
                await settle(path.outbox)
                assert path.driver.acknowledged[-1:] == acknowledged
            assert path.count("outbox_acknowledged_uncommitted_frames_total") == 3
            failing.fault = None
            await advance(path.outbox, RETRY_S)
            assert await path.stored() == [b"frame 1", b"frame 2", b"frame 3"]
            await self.feed(path, 4)
            assert path.driver.acknowledged[-1] == 4


@still
async def test_the_loop_stands_still() -> None:
    """A timer that is not due does not ring, however long one waits for others."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StillLoop)
    rung: list[float] = []
    loop.call_later(1.0, lambda: rung.append(loop.time()))
    await asyncio.to_thread(lambda: None)
    assert rung == []
    loop.now_s += 1.0
    await asyncio.to_thread(lambda: None)
    assert rung == [loop.now_s]
