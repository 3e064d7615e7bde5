"""The store takes nothing, and reading, burying and removing go on as far as they can."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge.outbox.errors import StoreError, StoreFull
from protocol.records.sensor_frame import FrameClass
from tests.edge.outbox.degraded_site import FAULTS, RETRY_S, TWO, site
from tests.edge.outbox.failing_store import Fault
from tests.edge.outbox.open_store import (
    StillClock,
    admission,
    pending,
)
from tests.edge.outbox.still_loop import advance, settle, still


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


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
