"""The store fails, and the gateway goes on: from memory, under numbers that stay what they were."""

import asyncio
from pathlib import Path

import pytest

from protocol.records.sensor_frame import FrameClass, FrameId
from tests.edge.outbox.degraded_site import FAULTS, RETRY_S, of_class, site
from tests.edge.outbox.failing_store import Fault
from tests.edge.outbox.open_store import (
    admission,
)
from tests.edge.outbox.still_loop import StillLoop, advance, settle, still


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
