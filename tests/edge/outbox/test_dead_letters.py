"""What is buried and sent again: counts stay exact, and nobody else gets it by that."""

from dataclasses import replace
from pathlib import Path

import pytest

from edge.outbox.admission import UpstreamLimits
from tests.edge.outbox.open_store import AT_ONCE, StillClock, admission, pending, running
from tests.edge.outbox.still_loop import advance, still


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


@still
async def test_requeued_while_it_is_pending(path: Path) -> None:
    """After a crash that kept the letter but not that it was buried: it is pending once."""
    async with running(path, crash=True) as outbox:
        [frame_id] = await outbox.append(admission(0))
        await outbox.bury("city", {frame_id: "refused"})
    async with running(path) as outbox:
        [letter] = await outbox.dead_letters()
        assert outbox.statistics().pending == {"city": 1}
        assert await outbox.requeue(letter)
        assert outbox.statistics().pending == {"city": 1}
        await outbox.acknowledge("city", [frame_id])
        assert outbox.statistics().pending == {"city": 0}


@still
async def test_requeued_when_it_had_been_dropped_for_another(path: Path) -> None:
    """Counted as dropped is dropped: only the upstream that refused it gets it again."""
    upstreams = {"city": UpstreamLimits(), "lab": UpstreamLimits()}
    settings = replace(AT_ONCE, upstreams=upstreams, max_age_s=100)
    clock = StillClock()
    async with running(path, settings=settings, clock=clock) as outbox:
        [frame_id] = await outbox.append(admission(0))
        await outbox.bury("city", {frame_id: "refused"})
        clock.now_us += 200_000_000
        await advance(outbox, 2.0)
        assert outbox.statistics().frames == 0
        [letter] = await outbox.dead_letters()
        assert await outbox.requeue(letter)
        assert outbox.statistics().pending == {"city": 1, "lab": 0}
        assert await pending(outbox, "lab") == []
        assert await pending(outbox, "city") == [0]
