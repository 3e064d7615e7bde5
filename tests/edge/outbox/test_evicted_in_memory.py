"""Frames that had to leave the memory before they were committed or shown to anybody."""

from pathlib import Path

from edge.monitoring.metrics import Metrics
from edge.outbox.ring import MAX_FRAMES
from tests.edge.outbox.open_store import admission, running
from tests.edge.outbox.test_failing_disk import dropped, until_degraded, writes_fail


async def test_they_leave_nothing_pending_behind(tmp_path: Path) -> None:
    """The store has failed only once, so upstreams do not know of them yet."""
    metrics = Metrics("test")
    path = tmp_path / "outbox.db"
    async with running(path, metrics=metrics) as outbox:
        with writes_fail():
            outbox.offer([admission(0)] * MAX_FRAMES)
            await until_degraded(metrics, 1)
            outbox.release_uncommitted()
            await outbox.room_in_memory()
            kept = outbox.offer([admission(1)])
        assert list(await kept) == [MAX_FRAMES + 1]
        assert dropped(metrics, "evicted_bytes") == MAX_FRAMES
        await outbox.acknowledge_seqs("city", [MAX_FRAMES + 1])
        assert outbox.statistics().pending == {"city": 0}
    async with running(path) as outbox:
        assert outbox.statistics().pending == {"city": 0}
