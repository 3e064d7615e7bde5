"""The store fails for long: boards are told what is only in memory, and the memory fills up."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from edge.outbox import ring
from protocol.records.sensor_frame import FrameClass, FrameId
from tests.edge.outbox.degraded_site import FAULTS, RETRY_S, TWO, Site, of_class, site
from tests.edge.outbox.failing_store import Fault
from tests.edge.outbox.open_store import (
    admission,
    numbers,
)
from tests.edge.outbox.still_loop import advance, settle, still


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


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
