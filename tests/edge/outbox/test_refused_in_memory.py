"""An upstream refuses a frame that it was given from memory, because the store fails."""

import asyncio
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.errors import StoreError
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import SensorFrame
from tests.edge.outbox.open_store import admission, pending, running
from tests.edge.outbox.test_failing_disk import until_degraded, writes_fail


async def from_memory(outbox: Outbox) -> list[SensorFrame]:
    """What the upstream gets, once that is something."""
    async with asyncio.timeout(10):
        await outbox.wait_pending("city")
        return await outbox.pending("city", limit=10)


async def test_it_is_not_forgotten(tmp_path: Path) -> None:
    """There is nowhere to set it aside: it stays pending until there is."""
    metrics = Metrics("test")
    path = tmp_path / "outbox.db"
    async with running(path, metrics=metrics) as outbox, asyncio.TaskGroup() as group:
        with writes_fail():
            held = group.create_task(outbox.append(admission(1)))
            await until_degraded(metrics, 1)
            [frame] = await from_memory(outbox)
            with pytest.raises(StoreError, match="not committed"):
                await outbox.bury("city", {frame.frame_id: "no"})
            assert await pending(outbox) == [1]
        assert await held == (frame.frame_id,)

        await outbox.bury("city", {frame.frame_id: "no"})

        assert [letter.reason for letter in await outbox.dead_letters()] == ["no"]
        assert await pending(outbox) == []
