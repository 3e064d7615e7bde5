"""A card that Linux has made read-only, and a gateway that was started again on it."""

import asyncio
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.errors import StoreError, StoreReadOnly, StoreTooNew
from edge.outbox.schema import SCHEMA_VERSION
from edge.outbox.store import open_outbox
from tests.edge.outbox.open_store import (
    AT_ONCE,
    GATEWAY,
    StillClock,
    admission,
    numbers,
    pending,
    running,
)

DEADLINE_S = 20.0


@dataclass
class Card:
    """A file system in memory that can be mounted anew."""

    directory: Path

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", str(self.directory)], check=True)

    @property
    def store(self) -> Path:
        return self.directory / "outbox.db"


@pytest.fixture
def card(tmp_path: Path) -> Iterator[Card]:
    directory = tmp_path / "card"
    directory.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(directory)],
        check=False,
        capture_output=True,
    )
    if mounted.returncode:
        pytest.skip("needs root to mount a file system")
    try:
        yield Card(directory)
    finally:
        subprocess.run(["umount", "-l", str(directory)], check=True)


async def leave_as_after_a_cut(path: Path, card: Card, count: int) -> None:
    """What a cut leaves: nothing is folded in, all is in the WAL."""
    async with running(path) as outbox:
        for number in range(count):
            await outbox.append(admission(number, board=bytes([number])))
        await outbox.acknowledge("city", [(await outbox.frames(limit=1))[0].frame_id])
        await outbox.append(admission(count, board=bytes([count])))
        for file in path.parent.glob("outbox.db*"):
            shutil.copy(file, card.directory)


async def until_degraded(metrics: Metrics, value: int) -> None:
    async with asyncio.timeout(DEADLINE_S):
        while metrics.registry.get_sample_value("lora_edge_outbox_degraded") != value:
            await asyncio.sleep(0.01)


async def test_a_start_after_a_cut_knows_everything_and_forwards(
    tmp_path: Path, card: Card, caplog: pytest.LogCaptureFixture
) -> None:
    """Marks and cursors too: boards that send again are recognised."""
    await leave_as_after_a_cut(tmp_path / "outbox.db", card, 3)
    card.remount("ro")
    before = {file.name: file.read_bytes() for file in card.directory.glob("outbox.db*")}
    metrics = Metrics("test")
    async with running(card.store, metrics=metrics) as outbox, asyncio.TaskGroup() as group:
        assert await numbers(outbox) == [0, 1, 2, 3]
        assert await pending(outbox) == [1, 2, 3]
        assert outbox.mark("board") == bytes([3])
        held = group.create_task(outbox.append(admission(4, board=b"4")))
        await until_degraded(metrics, 1)
        async with asyncio.timeout(DEADLINE_S):
            while 4 not in await pending(outbox):
                await asyncio.sleep(0.01)
        assert not held.done()
        assert {f.name: f.read_bytes() for f in card.directory.glob("outbox.db*")} == before
        card.remount("rw")
        [frame_id] = await asyncio.wait_for(held, 60)
        assert frame_id.seq == 5
        assert await numbers(outbox) == [0, 1, 2, 3, 4]
    assert "read-only" in caplog.text
    async with running(card.store) as outbox:
        assert await numbers(outbox) == [0, 1, 2, 3, 4]
        assert outbox.mark("board") == b"4"
        assert (await outbox.frames())[-1].frame_id == frame_id


async def test_what_all_upstreams_have_is_acknowledged_to_its_board(card: Card) -> None:
    """As while a disk fails later: in the hands of all is as good as stored."""
    async with running(card.store) as outbox:
        await outbox.append(admission(0))
    card.remount("ro")
    async with running(card.store) as outbox, asyncio.TaskGroup() as group:
        held = group.create_task(outbox.append(admission(1)))
        async with asyncio.timeout(DEADLINE_S):
            while not held.done():
                frames = await outbox.pending("city", limit=10)
                await outbox.acknowledge("city", [frame.frame_id for frame in frames])
                await asyncio.sleep(0.01)
        [frame_id] = held.result()
        assert frame_id.seq == 2


async def test_an_upstream_that_is_gone_does_not_matter(card: Card) -> None:
    """It is forgotten when that can be written."""
    async with running(card.store) as outbox:
        await outbox.append(admission(0))
    card.remount("ro")
    metrics = Metrics("test")
    without = AT_ONCE.__class__(commit_linger_s=0, upstreams={})
    async with open_outbox(
        card.store, gateway=GATEWAY, clock=StillClock(), settings=without, metrics=metrics
    ) as outbox:
        assert outbox.statistics().frames == 1


async def test_there_is_no_store_yet(card: Card) -> None:
    """Nothing can be begun."""
    card.remount("ro")
    with pytest.raises(StoreReadOnly, match="Read-only"):
        async with running(card.store):
            pass


@pytest.mark.parametrize(
    ("version", "error", "words"),
    [(SCHEMA_VERSION + 1, StoreTooNew, "newer version"), (1, StoreError, "read-only")],
)
async def test_a_store_of_another_version(
    card: Card, version: int, error: type[StoreError], words: str
) -> None:
    """A newer one is refused, an older one cannot be converted there."""
    async with running(card.store) as outbox:
        await outbox._do(lambda: outbox._database.read(f"PRAGMA user_version={version}"))
    card.remount("ro")
    with pytest.raises(error, match=words):
        async with running(card.store):
            pass
