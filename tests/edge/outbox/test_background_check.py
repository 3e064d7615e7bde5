"""The daily check: when it begins, how little it does at once, and what it does about a finding."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings, UpstreamLimits
from edge.outbox.background_check import TURN_PACKS, Checker
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt
from edge.outbox.loading import attach, read_store
from protocol.records.sensor_frame import WallTime
from tests.edge.outbox.open_store import BOOT, GATEWAY, StillClock, admission, running

SETTINGS = OutboxSettings(commit_linger_s=0, upstreams={"city": UpstreamLimits()})
DAY_US = 86_400_000_000


@dataclass
class Checked:
    """A store with its checker, without a writer."""

    checker: Checker
    contents: Contents
    clock: StillClock
    metrics: Metrics
    database: Database

    def metric(self, name: str, **labels: str) -> float | None:
        return self.metrics.registry.get_sample_value(f"lora_edge_{name}", labels)


@asynccontextmanager
async def checked(
    path: Path, *, clean: bool = True, settings: OutboxSettings = SETTINGS
) -> AsyncIterator[Checked]:
    """Open the store, and hand out its checker."""
    database, clock, metrics = Database(path, 80_000_000), StillClock(), Metrics("test")
    clock.wall_time = WallTime(1_790_000_000_000_000, 1000)
    try:
        await database.open(create=False)
        contents = await attach(
            database,
            await read_store(database),
            gateway=GATEWAY,
            boot_id=BOOT,
            upstreams=settings.upstreams,
            new_epoch=False,
        )
        contents.clean = clean
        checker = Checker(database, contents, clock, settings, metrics)
        yield Checked(checker, contents, clock, metrics, database)
    finally:
        await database.close()


async def fill(path: Path, count: int) -> None:
    async with running(path) as outbox:
        for number in range(count):
            await outbox.append(admission(number))


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of a little more packs than two turns look at."""
    path = tmp_path / "outbox.db"
    asyncio.run(fill(path, 2 * TURN_PACKS + 3))
    return path


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


async def test_after_an_unclean_stop_it_begins_at_once_and_in_portions(path: Path) -> None:
    async with checked(path, clean=False) as store:
        counts = []
        for _ in range(4):
            await store.checker.turn()
            counts.append(store.metric("outbox_checked_packs_total"))

        assert counts == [64, 128, 131, 131]
        assert not store.checker.is_owed
        assert store.metric("outbox_last_check_timestamp_seconds") == 1_790_000_000


async def test_after_a_clean_stop_it_begins_a_day_of_uptime_after_the_last_one(path: Path) -> None:
    async with checked(path) as store:
        await store.checker.turn()
        store.clock.now_us += DAY_US // 2
        await store.checker.turn()
        assert store.metric("outbox_checked_packs_total") == 0
    async with checked(path) as store:  # a restart does not begin the day anew
        store.clock.now_us += DAY_US // 2
        await store.checker.turn()
        assert store.metric("outbox_checked_packs_total") == 0
        store.clock.now_us += DAY_US // 2
        for _ in range(10):
            await store.checker.turn()
        assert store.metric("outbox_checked_packs_total") == 131
        store.clock.now_us += DAY_US
        await store.checker.turn()
        assert store.metric("outbox_checked_packs_total") == 131 + 64


async def test_a_tool_checks_nothing(path: Path) -> None:
    settings = OutboxSettings(check_interval_s=float("inf"), upstreams={"city": UpstreamLimits()})
    async with checked(path, clean=False, settings=settings) as store:
        await store.checker.turn()

        assert store.metric("outbox_checked_packs_total") == 0
        assert store.checker.is_owed


async def test_a_damaged_pack_ends_the_store(path: Path) -> None:
    change(path, "UPDATE telemetry SET crc = crc + 1 WHERE seq = 70")
    async with checked(path, clean=False) as store:
        await store.checker.turn()
        with pytest.raises(StoreCorrupt, match="number 70"):
            await store.checker.turn()


async def test_a_damaged_small_table_ends_the_store(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        [(page,)] = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'hole'")
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)
    async with checked(path, clean=False) as store:
        with pytest.raises(StoreCorrupt, match="hole"):
            await store.checker.turn()


async def test_a_missing_frame_is_counted_once(path: Path) -> None:
    change(path, "DELETE FROM telemetry WHERE seq BETWEEN 60 AND 70")
    async with checked(path, clean=False) as store:
        cursor = store.contents.cursors["city"]
        cursor.acknowledge(61, 64)
        pending = cursor.pending
        for _ in range(5):
            await store.checker.turn()
        assert store.metric("frames_dropped_total", reason="corrupt") == 7
        assert cursor.pending == pending - 7
        assert await store.database.read("SELECT * FROM hole") == [(60, 70, "corrupt")]
    async with checked(path, clean=False) as store:
        for _ in range(5):
            await store.checker.turn()
        assert store.metric("frames_dropped_total", reason="corrupt") == 0


async def test_a_running_outbox_sets_a_damaged_store_aside(path: Path) -> None:
    """As `frames verify` has it do."""
    change(path, "UPDATE telemetry SET crc = crc + 1 WHERE seq = 70")
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox, asyncio.timeout(20):
        outbox.check_at(70)
        while not metrics.registry.get_sample_value("lora_edge_outbox_recoveries_total"):
            await outbox.append(admission(1000))
        while outbox.is_salvaging:
            await outbox.append(admission(1000))
        frames = await outbox.frames(limit=1000)
    assert {frame.frame_id.seq for frame in frames} >= set(range(1, 132)) - {70}


async def test_a_check_that_an_unclean_stop_made_necessary_survives_a_restart(path: Path) -> None:
    async with running(path, crash=True) as outbox:
        await outbox.append(admission(1))
    async with running(path):
        pass  # too short for a whole check
    with closing(sqlite3.connect(path)) as connection:
        [(state,)] = connection.execute("SELECT v FROM meta WHERE k = 'state'")
    assert '"clean": false' in state
