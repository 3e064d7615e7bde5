"""The store counts what it writes: all of it, also what removing frames costs."""

import asyncio
from pathlib import Path

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings, UpstreamLimits
from edge.outbox.database import Database
from edge.outbox.opening import open_store
from edge.outbox.writer import TICK_S, Writer
from tests.edge.outbox.open_store import GATEWAY, StillClock, admission

SETTINGS = OutboxSettings(keep_acknowledged=0, upstreams={"city": UpstreamLimits()})


async def test_what_is_written_to_remove_frames_is_counted_as_well(tmp_path: Path) -> None:
    database, clock, metrics = (
        Database(tmp_path / "outbox.db", 16_000_000),
        StillClock(),
        Metrics(""),
    )
    try:
        contents = await open_store(
            database,
            gateway=GATEWAY,
            clock=clock,
            settings=SETTINGS,
            metrics=metrics,
            new_epoch=False,
        )
        writer = Writer(database, contents, clock, SETTINGS, metrics)
        done = asyncio.get_running_loop().create_future()
        writer.ring.put(([admission(number) for number in range(500)], done), lambda: 0.0)
        await writer.work(1, at_once=False)
        assert contents.frames == 500
        contents.cursors["city"].acknowledge(1, 500)
        for turn in range(8, 24):  # between two ticks too, as long as there is more to remove
            await writer.work(turn * TICK_S / 4, at_once=False)
        assert contents.frames == 0

        counted = metrics.registry.get_sample_value("lora_edge_outbox_device_bytes_total") or 0
        # The journal of the file system, if it has one, comes in whole commits on top.
        journal_bytes = counted - (await database.usage()).written_bytes
        assert journal_bytes in (0, 12_288, 24_576)
    finally:
        await database.close()
