"""The disk that the store is on: a real one that others fill, and one with the wrong blocks."""

import asyncio
import logging
from dataclasses import replace
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission
from edge.outbox.disk import Disk
from tests.edge.outbox.open_store import AT_ONCE, content, number_of, running
from tests.powercut.loop_device import loop_device, needs_loop_device


@pytest.fixture(autouse=True)
def _loop_device() -> None:
    needs_loop_device()


FRAMES_A_CALL = 20


def big(number: int) -> Admission:
    """A frame of about a page."""
    heard = content(number)
    return Admission.of(replace(heard, receptions=heard.receptions * 40))


async def fill_up(directory: Path) -> Path:
    """Somebody else takes all the room there is."""
    others = directory / "others"

    def write() -> None:
        with others.open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(64 * 1024))
            except OSError:
                return

    await asyncio.to_thread(write)
    return others


async def test_a_disk_that_others_fill(caplog: pytest.LogCaptureFixture) -> None:
    """The ballast goes first, then the oldest frames, counted; every new frame is taken. When
    there is room again, the ballast comes back."""
    metrics = Metrics("test")
    settings = replace(AT_ONCE, keep_acknowledged=0)
    with loop_device() as disk:
        path = disk.directory / "outbox.db"
        async with running(path, settings=settings, metrics=metrics) as outbox:
            await outbox.append(*map(big, range(FRAMES_A_CALL)))
            await until(Path(f"{path}.ballast").exists)
            others = await fill_up(disk.directory)
            count = FRAMES_A_CALL
            while "the ballast was thrown off" not in caplog.text:
                await outbox.append(*map(big, range(count, count + FRAMES_A_CALL)))
                count += FRAMES_A_CALL
            for first in range(count, count + 3_000, FRAMES_A_CALL):
                async with asyncio.timeout(60):
                    await outbox.append(*map(big, range(first, first + FRAMES_A_CALL)))
            count += 3_000
            kept = [number_of(frame.content) for frame in await outbox.frames(limit=count)]
            assert kept == list(range(count - len(kept), count))
            assert len(kept) < count
            value = metrics.registry.get_sample_value
            reason = {"reason": "evicted_bytes"}
            assert value("lora_edge_frames_dropped_total", reason) == count - len(kept)
            others.unlink()
        async with running(path, settings=settings) as outbox:
            await until(Path(f"{path}.ballast").exists)
            frames = await outbox.frames(limit=count)
            assert [number_of(frame.content) for frame in frames] == kept


async def test_blocks_of_another_size_are_told(caplog: pytest.LogCaptureFixture) -> None:
    """With what they risk."""
    with loop_device(block_bytes=1024) as disk, caplog.at_level(logging.WARNING):
        async with running(disk.directory / "outbox.db"):
            pass
    assert "blocks of 1024 bytes" in caplog.text
    assert "damage the whole store" in caplog.text


def test_blocks_of_the_right_size_are_not() -> None:
    with loop_device() as disk:
        assert Disk(disk.directory / "outbox.db").warning() == ""


async def until(is_true: object) -> None:
    """The store looks after itself once a second."""
    assert callable(is_true)
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.05)
