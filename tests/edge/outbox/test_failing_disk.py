"""A disk that is full, or that fails: frames wait, and nothing that was promised is lost."""

import asyncio
import logging
import resource
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import MIN_BYTES, Admission, OutboxSettings
from edge.outbox.errors import StoreClosed, StoreError, StoreFull, StoreReadOnly, store_errors
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameId
from tests.edge.outbox.open_store import (
    AT_ONCE,
    StillClock,
    admission,
    content,
    number_of,
    numbers,
    pending,
    running,
)
from tests.edge.outbox.still_loop import advance, still

SMALL = replace(AT_ONCE, max_bytes=MIN_BYTES, keep_acknowledged=0)
RADIOS = 80  # that heard the same frame: it takes a page of its own


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


@contextmanager
def writes_fail() -> Iterator[None]:
    """Every write beyond a file's first bytes gives EFBIG, as setrlimit(2) has it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def limit_pages(outbox: Outbox, pages: int) -> None:
    """SQLite's own limit, which gives the same error as a full disk (SQLITE_FULL)."""
    await outbox._database.read(f"PRAGMA max_page_count={pages}")


def big(number: int) -> Admission:
    heard = content(number)
    return Admission.of(replace(heard, receptions=heard.receptions * RADIOS))


def dropped(metrics: Metrics, reason: str) -> float | None:
    return metrics.registry.get_sample_value("lora_edge_frames_dropped_total", {"reason": reason})


def degraded(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("lora_edge_outbox_degraded")


async def until_degraded(metrics: Metrics, value: int) -> None:
    async with asyncio.timeout(10):
        while degraded(metrics) != value:
            await asyncio.sleep(0.01)


class TestFailing:
    """Writing gives errors for a while."""

    async def test_frames_wait_until_it_works_again(
        self, path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox, asyncio.TaskGroup() as group:
            await outbox.append(admission(0, board=b"0"))
            with writes_fail():
                held = group.create_task(outbox.append(admission(1, board=b"1")))
                await until_degraded(metrics, 1)
                assert outbox.mark("board") == b"0"
                assert outbox.statistics().uncommitted == 1
                assert not held.done()
            [frame_id] = await held
            assert frame_id.seq == 2
            assert outbox.mark("board") == b"1"
            await until_degraded(metrics, 0)
            assert await numbers(outbox) == [0, 1]
        assert caplog.text.count("the store fails, frames wait") == 1
        assert "the store works again" in caplog.text

    async def test_what_was_committed_can_be_forwarded_meanwhile(self, path: Path) -> None:
        """Forwarding is what relieves a full store, so reading must not need writing."""
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox, asyncio.TaskGroup() as group:
            sent = await outbox.append(admission(0), admission(1))
            with writes_fail():
                held = group.create_task(outbox.append(admission(2)))
                await until_degraded(metrics, 1)
                async with asyncio.timeout(5):
                    await outbox.acknowledge("city", sent[:1])
                    assert await pending(outbox) == [1]
            await held
            assert await pending(outbox) == [1, 2]

    async def test_a_stop_does_not_wait_for_it(self, path: Path) -> None:
        """Who waits is told that nothing became of it; the board keeps its frame."""
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox:
            await outbox.append(admission(0))
            with writes_fail():
                held = asyncio.create_task(outbox.append(admission(1)))
                await until_degraded(metrics, 1)
                outbox.stop()
                with pytest.raises(StoreClosed):
                    await asyncio.wait_for(held, 5)
        async with running(path) as outbox:
            assert await numbers(outbox) == [0]

    async def test_a_file_that_vanished_is_not_replaced(self, path: Path) -> None:
        """An unmounted card: a fresh store in its place would hide what the old one holds."""
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox, asyncio.TaskGroup() as group:
            await outbox.append(admission(0))
            with writes_fail():
                held = group.create_task(outbox.append(admission(1)))
                await until_degraded(metrics, 1)
                path.rename(path.with_suffix(".away"))
            await asyncio.sleep(1.2)  # longer than until the next attempt
            assert degraded(metrics) == 1
            assert not path.exists()
            path.with_suffix(".away").rename(path)
            await held
            assert await numbers(outbox) == [0, 1]


class TestFull:
    """There is no room, neither by the configured bound nor on the disk."""

    async def test_with_nothing_to_drop_frames_wait(self, path: Path) -> None:
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox, asyncio.TaskGroup() as group:
            [(pages,)] = await outbox._database.read("PRAGMA page_count")
            await limit_pages(outbox, pages)
            held = group.create_task(outbox.append(*map(big, range(500))))
            await until_degraded(metrics, 1)
            assert not held.done()
            assert await numbers(outbox) == []
            await limit_pages(outbox, pages + 5_000)
            await held
            assert await numbers(outbox) == list(range(500))
        assert dropped(metrics, "evicted_bytes") == 0

    async def test_the_oldest_make_room(self, path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Counted, and the newest is there: what happened last matters most."""
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox:
            await outbox.append(*map(big, range(500)))
            [(pages,)] = await outbox._database.read("PRAGMA page_count")
            await limit_pages(outbox, pages)
            await outbox.append(*map(big, range(500, 600)))
            kept = await numbers(outbox)
            assert kept == list(range(600 - len(kept), 600))
            assert 100 <= len(kept) < 600
            assert degraded(metrics) == 0
            assert await pending(outbox) == kept
        assert dropped(metrics, "evicted_bytes") == 600 - len(kept)
        assert "dropped the oldest frames reason=evicted_bytes" in caplog.text

    async def test_the_configured_size_is_kept(self, path: Path) -> None:
        """For ever more frames that nobody fetches; numbers go on."""
        metrics = Metrics("test")
        count = 4_000  # twice what fits
        async with running(path, settings=SMALL, metrics=metrics) as outbox:
            for first in range(0, count, 250):
                await outbox.append(*map(big, range(first, first + 250)))
                assert path.stat().st_size <= MIN_BYTES
            kept = [number_of(frame.content) for frame in await outbox.frames(limit=count)]
            assert kept == list(range(count - len(kept), count))
            assert len(kept) > 500
            lost = dropped(metrics, "evicted_bytes")
            assert lost == count - len(kept)
        async with running(path, settings=SMALL) as outbox:
            [frame_id] = await outbox.append(big(count))
            assert frame_id.seq == count + 1

    async def test_what_was_delivered_goes_without_being_counted(self, path: Path) -> None:
        """Nobody lost anything."""
        metrics = Metrics("test")
        async with running(path, settings=SMALL, metrics=metrics) as outbox:
            sent: list[FrameId] = []
            for first in range(0, 1_000, 50):
                sent += await outbox.append(*map(big, range(first, first + 50)))
            await outbox.acknowledge("city", sent[:-1])
            async with asyncio.timeout(10):
                while outbox.statistics().frames > 200:
                    await asyncio.sleep(0.05)
            assert await pending(outbox) == [999]
        assert dropped(metrics, "evicted_bytes") == 0
        # When all rows have gone, numbers still go on.
        async with running(path, settings=SMALL) as outbox:
            [frame_id] = await outbox.append(big(0))
            assert frame_id.seq == 1_001

    def test_too_small_a_bound_is_refused(self) -> None:
        with pytest.raises(ValueError, match="at least 8000000 bytes, not 7999999"):
            OutboxSettings(max_bytes=MIN_BYTES - 1)


@still
async def test_what_was_dropped_is_not_sent(path: Path) -> None:
    """Although its pack was read before, because the upstream had asked for a part of it."""
    metrics = Metrics("test")
    clock = StillClock(now_us=0)
    settings = replace(AT_ONCE, max_age_s=100)
    async with running(path, settings=settings, metrics=metrics, clock=clock) as outbox:
        await outbox.append(*map(admission, range(5)))
        assert await pending(outbox, limit=2) == [0, 1]
        clock.now_us = 200_000_000
        await outbox.append(admission(5))
        await advance(outbox, 1.0)
        assert dropped(metrics, "evicted_age") == 5
        assert await pending(outbox) == [5]
        assert outbox.statistics().pending == {"city": 1}


async def test_old_frames_are_dropped_by_age(path: Path) -> None:
    """Only those that are certainly older, by the uptime since their commit; they are counted."""
    metrics = Metrics("test")
    clock = StillClock(now_us=0)
    settings = replace(AT_ONCE, max_age_s=100)
    async with running(path, settings=settings, metrics=metrics, clock=clock) as outbox:
        for number, time_s in enumerate((1, 2, 3, 60, 70)):
            clock.now_us = time_s * 1_000_000
            await outbox.append(admission(number))
        clock.now_us = 104_000_000
        async with asyncio.timeout(10):
            while outbox.statistics().frames != 2:
                await asyncio.sleep(0.05)
        assert await numbers(outbox) == [3, 4]
    assert dropped(metrics, "evicted_age") == 3


class TestErrors:
    """SQLite's errors become ours by their code."""

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (sqlite3.SQLITE_FULL, StoreFull),
            (sqlite3.SQLITE_IOERR_WRITE, StoreError),
            (sqlite3.SQLITE_READONLY, StoreReadOnly),
        ],
    )
    def test_kind(self, code: int, kind: type[StoreError]) -> None:
        error = sqlite3.OperationalError("as SQLite says it")
        error.sqlite_errorcode = code
        with (
            pytest.raises(StoreError, match=r"/x\.db: as SQLite says it") as caught,
            store_errors(Path("/x.db")),
        ):
            raise error
        assert type(caught.value) is kind


async def test_logs_name_the_store(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever reads them knows which file is meant."""
    with caplog.at_level(logging.ERROR):
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox, asyncio.TaskGroup() as group:
            with writes_fail():
                held = group.create_task(outbox.append(admission(1)))
                await until_degraded(metrics, 1)
            await held
    assert str(path) in caplog.text
