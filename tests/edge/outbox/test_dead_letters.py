"""What is buried and sent again: counts stay exact, and nobody else gets it by that."""

import asyncio
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from edge.outbox.admission import UpstreamLimits
from edge.outbox.database import PAGE_BYTES
from edge.outbox.errors import StoreError
from tests.edge.outbox.open_store import (
    AT_ONCE,
    StillClock,
    admission,
    numbers,
    pending,
    running,
)
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


def damage_anchors(path: Path) -> None:
    """Garble a table that every start reads, and that holds nothing here."""
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'anchor'"
        [(page,)] = connection.execute(query).fetchall()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)


async def test_not_requeued_before_its_pack_is_brought_over(path: Path) -> None:
    """The frame would be there twice, and two packs with one number damage the store anew."""
    async with running(path) as outbox:
        ids = await outbox.append(*map(admission, range(5)))
        await outbox.bury("city", {ids[2]: "refused"})
        [letter] = await outbox.dead_letters()
    damage_anchors(path)
    async with running(path) as outbox:
        with pytest.raises(StoreError, match="brought over"):
            await outbox.requeue(letter)
        async with asyncio.timeout(20):
            while outbox.is_salvaging:
                await asyncio.sleep(0.01)
        assert await pending(outbox) == [0, 1, 3, 4]
        assert await outbox.requeue(letter)
        assert await pending(outbox) == [0, 1, 2, 3, 4]
        assert await outbox.dead_letters() == []
    async with running(path) as outbox:
        assert await numbers(outbox) == [0, 1, 2, 3, 4]
        assert outbox.statistics().frames == 5
    assert len(list(path.parent.glob("*.corrupt-*"))) == 1
