"""What the outbox promises, on real files."""

import asyncio
import itertools
import logging
import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreBusy, StoreClosed, StoreError
from edge.outbox.ring import MAX_FRAMES
from edge.outbox.store import open_outbox
from protocol.records.sensor_frame import FrameClass, WallTime
from tests.edge.outbox.open_store import (
    AT_ONCE,
    GATEWAY,
    StillClock,
    admission,
    content,
    number_of,
    numbers,
    pending,
    running,
)

LONG_LINGER = OutboxSettings(commit_linger_s=3600, upstreams={"city": UpstreamLimits()})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


async def test_frames_keep_content_and_order(path: Path) -> None:
    """What is appended is read again, numbered from 1 in order of commit."""
    heard = [content(n, device=f"flood-{n}") for n in range(5)]
    async with running(path) as outbox:
        frame_ids = await outbox.append(*map(Admission.of, heard))
        frames = await outbox.frames()
    assert [frame.content for frame in frames] == heard
    assert [frame.frame_id for frame in frames] == list(frame_ids)
    assert [frame_id.seq for frame_id in frame_ids] == [1, 2, 3, 4, 5]
    assert {frame_id.gateway for frame_id in frame_ids} == {GATEWAY}


async def test_everything_survives_a_restart(path: Path) -> None:
    """Frames, marks, epoch, and what was acknowledged when the outbox was stopped."""
    async with running(path) as outbox:
        epoch = outbox.epoch
        frame_ids = await outbox.append(*map(admission, range(6)))
        await outbox.append(admission(6, board=b"\x01"), admission(7, board=b"\x02"))
        await outbox.acknowledge("city", [frame_ids[4], frame_ids[0], frame_ids[1]])
    async with running(path) as outbox:
        assert outbox.epoch == epoch
        assert outbox.mark("board") == b"\x02"
        assert outbox.mark("other") is None
        assert await numbers(outbox) == list(range(8))
        assert await pending(outbox) == [2, 3, 5, 6, 7]
        [frame_id] = await outbox.append(admission(8))
    assert (frame_id.epoch, frame_id.seq) == (epoch, 9)


def test_what_cannot_be_stored_is_refused_before_it_waits() -> None:
    """On the caller's account: a frame that cannot be stored never takes its neighbours along."""
    with pytest.raises(ValueError, match="not a time"):
        Admission.of(content(2, received_us=1 << 63))
    with pytest.raises(ValueError, match="cannot be stored"):
        Admission.of(content(2, device="x" * 70_000))


async def test_classes_share_a_commit(path: Path) -> None:
    """Each caller learns its own numbers, and marks of all classes are kept."""
    classes = list(FrameClass)
    async with running(path) as outbox:
        mixed = [
            Admission.of(content(n, frame_class=classes[n % 3]), {f"mark-{n}": bytes([n])})
            for n in range(9)
        ]
        frame_ids = await outbox.append(*mixed)
        assert sorted(frame_id.seq for frame_id in frame_ids) == list(range(1, 10))
    async with running(path) as outbox:
        frames = {frame.frame_id: number_of(frame.content) for frame in await outbox.frames()}
        assert [frames[frame_id] for frame_id in frame_ids] == list(range(9))
        assert [outbox.mark(f"mark-{n}") for n in range(9)] == [bytes([n]) for n in range(9)]


async def test_heard_before_the_host_booted(path: Path) -> None:
    """The board kept it meanwhile, so its time on CLOCK_BOOTTIME is negative."""
    early = content(1, received_us=-5_000_000)
    async with running(path) as outbox:
        await outbox.append(Admission.of(early))
        [frame] = await outbox.frames()
    assert frame.content == early


async def test_nothing_is_appended_without_frames(path: Path) -> None:
    """No frames, no transaction, no number."""
    async with running(path) as outbox:
        assert await outbox.append() == ()
        assert await numbers(outbox) == []


class TestGroupCommit:
    """When a group is committed, and that its callers wait for that."""

    async def test_linger_waits_for_company(self, path: Path) -> None:
        """A lone frame is not safe before the linger is over; a stop does not wait for it."""
        async with running(path, settings=LONG_LINGER) as outbox, asyncio.TaskGroup() as group:
            appending = group.create_task(outbox.append(admission(1)))
            await asyncio.sleep(0.05)
            assert await outbox.frames() == []
            assert not appending.done()
            assert outbox.statistics().uncommitted == 1
            outbox.stop()
            [frame_id] = await appending
        assert frame_id.seq == 1
        async with running(path) as outbox:
            assert await numbers(outbox) == [1]

    async def test_64_frames_do_not_wait(self, path: Path) -> None:
        """Waiting longer would gain little."""
        metrics = Metrics("test")
        async with (
            running(path, settings=LONG_LINGER, metrics=metrics) as outbox,
            asyncio.TaskGroup() as group,
        ):
            for number in range(64):
                group.create_task(outbox.append(admission(number)))
        value = metrics.registry.get_sample_value
        assert value("lora_edge_outbox_commit_frames_sum") == 64
        assert value("lora_edge_outbox_commit_frames_count") == 1
        assert value("lora_edge_frames_stored_total", {"class": "telemetry"}) == 64

    async def test_alarms_do_not_wait(self, path: Path) -> None:
        """And they take along whatever waits, which is numbered after them."""
        alarm = Admission.of(content(2, frame_class=FrameClass.ALARM))
        async with running(path, settings=LONG_LINGER) as outbox, asyncio.TaskGroup() as group:
            appending = group.create_task(outbox.append(admission(1)))
            await asyncio.sleep(0)
            await outbox.append(alarm)
            await appending
            assert await numbers(outbox) == [2, 1]

    async def test_numbers_follow_the_calls(self, path: Path) -> None:
        """Callers that share a commit get each their own numbers."""
        async with running(path) as outbox, asyncio.TaskGroup() as group:
            tasks = {
                size: group.create_task(outbox.append(*map(admission, range(size))))
                for size in (3, 1, 4)
            }
        seqs = {size: [i.seq for i in task.result()] for size, task in tasks.items()}
        assert seqs == {3: [1, 2, 3], 1: [4], 4: [5, 6, 7, 8]}

    async def test_more_callers_than_may_wait(self, path: Path) -> None:
        """The queue is bounded; those beyond it wait for their turn, and nobody is lost."""
        count = 3 * MAX_FRAMES
        async with running(path) as outbox, asyncio.TaskGroup() as group:
            for number in range(count):
                group.create_task(outbox.append(admission(number)))
            await asyncio.sleep(0)
            assert outbox.statistics().uncommitted <= MAX_FRAMES
        async with running(path) as outbox:
            assert sorted(await numbers(outbox)) == list(range(count))


class TestCancellation:
    """Callers and writer may be cancelled at any moment."""

    async def test_a_cancelled_caller_harms_nobody(self, path: Path) -> None:
        """Its frame may be stored; the transaction of the others is not its business."""
        async with running(path) as outbox, asyncio.TaskGroup() as group:
            tasks = [group.create_task(outbox.append(admission(n))) for n in range(50)]
            await asyncio.sleep(0)
            for task in tasks[::2]:
                task.cancel()
            await outbox.append(admission(99))
            stored = await numbers(outbox)
            assert len(stored) == len(set(stored))
            assert set(stored) >= {99, *range(1, 50, 2)}
        for task in tasks[1::2]:
            assert len(task.result()) == 1

    @pytest.mark.parametrize("steps", range(0, 30, 2))
    async def test_a_cancelled_writer_keeps_its_promises(self, path: Path, steps: int) -> None:
        """Whatever was promised is there; whoever was not told so is told that it is unknown."""
        promised: list[int] = []
        refused: list[int] = []

        async def put(number: int) -> None:
            try:
                await outbox.append(admission(number))
                promised.append(number)
            except StoreClosed:
                refused.append(number)

        async with asyncio.TaskGroup() as group, running(path, crash=True) as outbox:
            for number in range(20):
                group.create_task(put(number))
                await asyncio.sleep(0.0001 * (number % 3))
            for _ in range(steps):
                await asyncio.sleep(0)
        assert sorted(promised + refused) == list(range(20))
        async with running(path) as outbox:
            stored = await numbers(outbox)
            assert len(stored) == len(set(stored))
            assert set(stored) >= set(promised)
            assert await outbox.append(admission(20))

    async def test_a_cancelled_reader_harms_nobody(self, path: Path) -> None:
        """Its query is not run, or its rows are dropped."""
        async with running(path) as outbox, asyncio.TaskGroup() as group:
            await outbox.append(admission(1))
            readers = [group.create_task(outbox.frames()) for _ in range(10)]
            await asyncio.sleep(0)
            for reader in readers:
                reader.cancel()
            assert await numbers(outbox) == [1]


class TestStopped:
    """After a stop everything says so instead of waiting for ever."""

    async def test_nothing_is_taken(self, path: Path) -> None:
        """Neither before nor after the writer has ended."""
        async with running(path) as outbox:
            frame_ids = await outbox.append(admission(1))
            outbox.stop()
            with pytest.raises(StoreClosed):
                await outbox.append(admission(2))
        with pytest.raises(StoreClosed):
            await outbox.append(admission(3))
        with pytest.raises(StoreClosed):
            await outbox.pending("city", limit=1)
        with pytest.raises(StoreClosed):
            await outbox.acknowledge("city", frame_ids)
        async with running(path) as outbox:
            assert await numbers(outbox) == [1]

    async def test_waiters_are_woken(self, path: Path) -> None:
        """Those for frames to send, those for frames to show, and those for their turn."""
        errors: list[StoreClosed] = []

        async def expect_closed(waiting: object) -> None:
            assert asyncio.iscoroutine(waiting)
            with pytest.raises(StoreClosed) as caught:
                await waiting
            errors.append(caught.value)

        async with asyncio.TaskGroup() as group, running(path) as outbox:
            group.create_task(expect_closed(outbox.wait_pending("city")))
            group.create_task(expect_closed(outbox.wait_after(0)))
            await asyncio.sleep(0)
        assert len(errors) == 2


class TestForwarding:
    """What an upstream is given."""

    async def test_wait_pending(self, path: Path) -> None:
        """Wakes with the commit, and is quiet once everything is acknowledged."""
        async with running(path) as outbox, asyncio.TaskGroup() as group:
            waiting = group.create_task(outbox.wait_pending("city"))
            await asyncio.sleep(0)
            assert not waiting.done()
            frame_ids = await outbox.append(admission(1))
            await waiting
            await outbox.acknowledge("city", frame_ids)
            waiting = group.create_task(outbox.wait_pending("city"))
            await asyncio.sleep(0)
            assert not waiting.done()
            waiting.cancel()

    async def test_upstreams_are_independent(self, path: Path) -> None:
        """What one has acknowledged the other still gets."""
        settings = replace(AT_ONCE, upstreams={"city": UpstreamLimits(), "lab": UpstreamLimits()})
        async with running(path, settings=settings) as outbox:
            frame_ids = await outbox.append(*map(admission, range(3)))
            await outbox.acknowledge("city", frame_ids)
            assert await pending(outbox, "city") == []
            assert await pending(outbox, "lab", limit=2) == [0, 1]
            assert outbox.statistics().pending == {"city": 0, "lab": 3}

    async def test_live_before_backlog(self, path: Path) -> None:
        """Frames that come after the upstream connected overtake those it missed."""
        async with running(path) as outbox:
            await outbox.append(*map(admission, range(4)))
            outbox.connected("city")
            live = await outbox.append(admission(4), admission(5))
            assert await pending(outbox) == [4, 5]
            await outbox.acknowledge("city", live)
            assert await pending(outbox) == [0, 1, 2, 3]

    async def test_a_new_upstream_gets_what_is_kept(self, path: Path, caplog: object) -> None:
        """And one that is no longer configured is forgotten: if it returns, it begins anew."""
        async with running(path) as outbox:
            frame_ids = await outbox.append(*map(admission, range(3)))
            await outbox.acknowledge("city", frame_ids)
        async with running(
            path, settings=replace(AT_ONCE, upstreams={"lab": UpstreamLimits()})
        ) as outbox:
            assert await pending(outbox, "lab") == [0, 1, 2]
        assert isinstance(caplog, pytest.LogCaptureFixture)
        assert "no longer configured, and forgotten by the outbox: city" in caplog.text
        async with running(path) as outbox:
            assert await pending(outbox) == [0, 1, 2]

    async def test_tools_leave_the_cursors_alone(self, path: Path) -> None:
        """Who opens the store only to look need not know the upstreams."""
        async with running(path) as outbox:
            frame_ids = await outbox.append(*map(admission, range(3)))
            await outbox.acknowledge("city", frame_ids[:2])
        async with running(path, settings=OutboxSettings()) as outbox:
            assert outbox.statistics().pending == {"city": 1}
        async with running(path) as outbox:
            assert await pending(outbox) == [2]

    async def test_foreign_identities_acknowledge_nothing(self, path: Path) -> None:
        """A receiver that answers for another store or for what was never sent is not believed."""
        async with running(path) as outbox:
            [frame_id] = await outbox.append(admission(1))
            other_epoch = frame_id._replace(epoch=bytes(8))
            await outbox.acknowledge("city", [other_epoch, frame_id._replace(seq=2)])
            assert await pending(outbox) == [1]
            await outbox.append(admission(2))
            assert await pending(outbox) == [1, 2]

    async def test_acknowledgements_are_committed_without_frames(self, path: Path) -> None:
        """Within about a second, so that a crash repeats little."""
        async with running(path, crash=True) as outbox:
            frame_ids = await outbox.append(*map(admission, range(3)))
            await outbox.acknowledge("city", frame_ids[:2])
            await asyncio.sleep(1.5)  # the bound is in real time, as is SQLite
        async with running(path) as outbox:
            assert await pending(outbox) == [2]


class TestTools:
    """What people look at."""

    async def test_slices(self, path: Path) -> None:
        """Both directions, both bounds, a limit, more than one chunk."""
        async with running(path) as outbox:
            await outbox.append(*map(admission, range(1, 701)))

            async def shown(**which: int | bool) -> list[int]:
                frames = await outbox.frames(**which)  # type: ignore[arg-type]
                return [number_of(frame.content) for frame in frames]

            assert await shown() == list(range(1, 501))
            assert await shown(limit=1000) == list(range(1, 701))
            assert await shown(after_seq=690) == list(range(691, 701))
            assert await shown(before_seq=4) == [1, 2, 3]
            assert await shown(after_seq=2, before_seq=5) == [3, 4]
            assert await shown(newest_first=True, limit=300) == list(range(700, 400, -1))
            assert await shown(after_seq=700) == []

    async def test_by_device(self, path: Path) -> None:
        """A rare device is found behind many others."""
        async with running(path) as outbox:
            others = [Admission.of(content(n, device="light")) for n in range(600)]
            await outbox.append(Admission.of(content(7, device="flood")), *others)
            frames = await outbox.frames(device="flood", newest_first=True, limit=5)
        assert [number_of(frame.content) for frame in frames] == [7]

    async def test_follow(self, path: Path) -> None:
        """Waits for frames after the last one shown."""
        async with running(path) as outbox, asyncio.TaskGroup() as group:
            [frame_id] = await outbox.append(admission(1))
            await outbox.wait_after(0)
            waiting = group.create_task(outbox.wait_after(frame_id.seq))
            await asyncio.sleep(0)
            assert not waiting.done()
            await outbox.append(admission(2))
            await waiting


class TestIdentity:
    """Epochs, gateways, boots."""

    async def test_another_gateway_begins_an_epoch(self, path: Path) -> None:
        """Earlier frames keep the identity they were stored under; numbers go on."""
        async with running(path) as outbox:
            [before] = await outbox.append(admission(1))
        async with running(path, gateway=bytes(8)) as outbox:
            [after] = await outbox.append(admission(2))
            assert [frame.frame_id for frame in await outbox.frames()] == [before, after]
            assert after.gateway == bytes(8)
            assert after.epoch != before.epoch
            assert after.seq == before.seq + 1
            await outbox.acknowledge("city", [before])
            assert await pending(outbox) == [2]

    async def test_stores_have_epochs_of_their_own(self, tmp_path: Path) -> None:
        """64 random bits each."""
        epochs = set()
        for name in ("a", "b"):
            async with running(tmp_path / name) as outbox:
                epochs.add(outbox.epoch)
        assert len(epochs) == 2
        assert {len(epoch) for epoch in epochs} == {8}

    async def test_time_is_filled_in_when_it_is_known(self, path: Path) -> None:
        """Also for frames that were stored before the clock was synchronised."""
        clock = StillClock(now_us=50_000_000)
        early = Admission.of(content(1, received_us=40_000_000))
        async with running(path, clock=clock) as outbox:
            await outbox.append(early)
            assert [frame.received_at for frame in await outbox.frames()] == [None]
        clock.wall_time = WallTime(1_790_000_050_000_000, 500)
        async with running(path, clock=clock) as outbox:
            await outbox.append(admission(2))
        async with running(path, clock=StillClock(boot_id=b"another boot 16b")) as outbox:
            [first, _] = await outbox.frames()
        assert first.received_at == WallTime(1_790_000_040_000_000, 500 + 1_000)  # 10 s at 100 ppm


class TestFile:
    """The database file itself, as seen from outside."""

    async def test_a_second_process_is_told(self, path: Path) -> None:
        """Plain words instead of two writers."""
        async with running(path):
            with pytest.raises(StoreBusy, match=r"outbox\.db: database is locked"):
                async with open_outbox(
                    path,
                    gateway=GATEWAY,
                    clock=StillClock(),
                    settings=AT_ONCE,
                    metrics=Metrics("test"),
                ):
                    pass

    async def test_settings_hold(self, path: Path) -> None:
        """What a power cut and a card need, read back from SQLite or from the file."""
        async with running(path) as outbox:
            await outbox.append(admission(1))
            wanted = {
                "journal_mode": "wal",
                "synchronous": 2,
                "page_size": 4096,
                "locking_mode": "exclusive",
                "wal_autocheckpoint": 600,
                "secure_delete": 0,
                "cache_size": -4096,
                "auto_vacuum": 0,
            }
            found = {}
            for pragma in wanted:
                [(found[pragma],)] = await outbox._database.read(f"PRAGMA {pragma}")
        assert found == wanted

    async def test_the_wal_does_not_grow(self, path: Path) -> None:
        """A growing file triples what reaches the card: grown at the start, kept from then on."""
        wal = Path(f"{path}-wal")
        async with running(path) as outbox:
            grown = wal.stat().st_size
            assert grown > 250 * 4096
            for number in range(400):
                await outbox.append(admission(number))
            assert wal.stat().st_size == grown

    async def test_a_missing_directory_is_an_error(self, tmp_path: Path) -> None:
        """Not a store somewhere else."""
        with pytest.raises(StoreError, match="No such file or directory"):
            async with running(tmp_path / "no" / "outbox.db"):
                pass

    async def test_odd_names(self, tmp_path: Path) -> None:
        """A path is not a URI: no character of it means anything."""
        path = tmp_path / "50% off?mode=memory#x.db"
        async with running(path) as outbox:
            await outbox.append(admission(1))
        assert path.exists()

    async def test_no_secondary_index(self, path: Path) -> None:
        """Each would cost a page with every commit; only the small table of boots has one."""
        async with running(path) as outbox:
            await outbox.append(admission(1))
        with sqlite3.connect(path) as connection:
            indexed = connection.execute("SELECT tbl_name FROM sqlite_master WHERE type = 'index'")
            assert indexed.fetchall() == [("boot",)]
        connection.close()


async def test_statistics_and_gauges(path: Path) -> None:
    """Counted by arithmetic, and the same in the metrics."""
    metrics = Metrics("test")
    clock = StillClock(now_us=100_000_000)
    async with running(path, metrics=metrics, clock=clock) as outbox:
        frame_ids = await outbox.append(*map(admission, range(2)))
        clock.now_us += 10_000_000
        frame_ids += await outbox.append(*map(admission, range(2, 5)))
        await outbox.acknowledge("city", frame_ids[:2])
        clock.now_us += 88_000_000
        await asyncio.sleep(1.2)  # ages are looked at once a second
        statistics = outbox.statistics()
    assert statistics.frames == 5
    assert statistics.pending == {"city": 3}
    assert statistics.oldest_pending_age_s == {"city": 88.0}
    assert statistics.bytes == path.stat().st_size
    value = metrics.registry.get_sample_value
    assert value("lora_edge_outbox_pending_frames", {"upstream": "city"}) == 3
    assert value("lora_edge_outbox_oldest_pending_age_seconds", {"upstream": "city"}) == 88
    assert value("lora_edge_outbox_stored_frames") == 5
    assert value("lora_edge_outbox_uncommitted_frames") == 0
    assert value("lora_edge_outbox_degraded") == 0
    assert value("lora_edge_outbox_limit_bytes") == 2_000_000_000


async def test_the_writer_beats(path: Path) -> None:
    """The watchdog sees it also when nothing happens."""
    beats: list[float] = []
    loop = asyncio.get_running_loop()
    async with (
        open_outbox(
            path, gateway=GATEWAY, clock=StillClock(), settings=AT_ONCE, metrics=Metrics("test")
        ) as outbox,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(outbox.run(lambda: beats.append(loop.time())))
        await asyncio.sleep(2.5)
        outbox.stop()
    assert len(beats) >= 3
    assert max(b - a for a, b in itertools.pairwise(beats)) < 2


async def test_what_is_no_frame_is_passed_over(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are stored well but that we cannot read are counted; others are delivered."""
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        await outbox.append(admission(0), Admission(b"\xff\x00"), admission(2), admission(3))
        with caplog.at_level(logging.ERROR):
            assert await pending(outbox) == [0, 2, 3]
        assert "stored frame 2 is damaged" in caplog.text
        await outbox.wait_pending("city")
        assert await pending(outbox) == [0, 2, 3]
        assert outbox.statistics().pending == {"city": 3}
    dropped = metrics.registry.get_sample_value
    assert dropped("lora_edge_frames_dropped_total", {"reason": "corrupt"}) == 1
