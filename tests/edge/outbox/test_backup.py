"""A backup is the store, whatever goes on in it meanwhile."""

import asyncio
import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import aclosing, closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.backup import backup
from edge.outbox.backup_file import BackupFile
from edge.outbox.errors import StoreCorrupt, StoreError
from edge.outbox.store import Outbox
from edge.outbox.store_file import StoreFile
from protocol.records.sensor_frame import FrameClass, FrameId
from tests.edge.outbox.open_store import admission, content, running
from tests.edge.outbox.test_verification import act, live, steps, verified
from tests.scale import SCALE

SMALL = OutboxSettings(
    commit_linger_s=0,
    keep_acknowledged=0,
    upstreams={"city": UpstreamLimits(), "state": UpstreamLimits()},
)


async def written(outbox: Outbox, path: Path) -> dict[str, int]:
    """Make a backup, with the answers as they come over a socket."""
    with BackupFile(path) as file:
        async for answer in backup(outbox):
            file.take(json.loads(json.dumps(answer)))
        return file.finish()


async def everything(outbox: Outbox) -> dict[str, Any]:
    """What a person or an upstream can see of a store."""
    contents = outbox._contents
    return {
        "frames": {f.frame_id: f.content for f in await outbox.frames(limit=100_000)},
        "marks": dict(contents.marks),
        "letters": [
            (letter.upstream, letter.seq, letter.reason, letter.body)
            for letter in await outbox.dead_letters(limit=10_000)
        ],
        "pending": await unacknowledged(outbox),
        "last": contents.last_seq,
    }


async def unacknowledged(outbox: Outbox) -> dict[str, set[FrameId]]:
    """By upstream, what it is still to get."""
    frames = [frame.frame_id for frame in await outbox.frames(limit=100_000)]
    cursors = outbox._contents.cursors.items()
    return {name: {i for i in frames if i.seq not in c.acknowledged} for name, c in cursors}


def includes(copy: dict[str, Any], store: dict[str, Any]) -> bool:
    """Whether a copy is a store, but for frames that the store has removed meanwhile."""
    return bool(
        copy["frames"].items() >= store["frames"].items()
        and copy["last"] == store["last"]
        and copy["letters"] == store["letters"]
        and all(copy["pending"][name] >= ids for name, ids in store["pending"].items())
    )


@settings(max_examples=20 * SCALE, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, max_size=16))
def test_of_a_store_that_stands_still_it_is_that_store(history: list[tuple[str, Any]]) -> None:
    async def copied(path: Path, copy: Path) -> None:
        await live(path, history)
        async with running(path, settings=SMALL) as outbox:
            await outbox.append(admission(7, board=b"\0\xff"))
            await written(outbox, copy)
            before = await everything(outbox)
        assert (await verified(StoreFile(copy)))[0] == []
        async with running(copy, settings=SMALL) as outbox:
            assert await everything(outbox) == before
            counts = outbox.statistics().pending
            assert counts == {name: len(ids) for name, ids in before["pending"].items()}

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(copied(Path(directory) / "outbox.db", Path(directory) / "copy.db"))


@settings(max_examples=20 * SCALE, deadline=None, suppress_health_check=list(HealthCheck))
@given(first=st.lists(steps, max_size=8), meanwhile=st.lists(steps, max_size=16))
def test_while_the_store_goes_on_nothing_is_missed(
    first: list[tuple[str, Any]], meanwhile: list[tuple[str, Any]]
) -> None:
    """What the store had at the end is in it, and whatever is pending is pending in it too.

    Its end is the turn of the last packs; if that had none, the one before the other lines.
    """

    async def copied(path: Path, copy: Path) -> None:
        await live(path, first)
        async with running(path, settings=SMALL) as outbox:
            with BackupFile(copy) as file:
                todo, ends = iter(meanwhile), list[dict[str, Any]]()
                async for answer in backup(outbox, turn_packs=2):
                    file.take(json.loads(json.dumps(answer)))
                    if answer.keys() & {"begin", "packs"}:
                        ends = [await everything(outbox)]
                        for step in todo:
                            await act(outbox, *step)
                            break
                    elif len(ends) == 1:
                        ends.append(await everything(outbox))
                file.finish()
        assert (await verified(StoreFile(copy)))[0] == []
        async with running(copy, settings=SMALL) as outbox:
            there = await everything(outbox)
        assert any(includes(there, end) for end in ends)

    with tempfile.TemporaryDirectory() as directory:
        asyncio.run(copied(Path(directory) / "outbox.db", Path(directory) / "copy.db"))


async def test_what_is_put_back_meanwhile_is_told_in_a_second_round(tmp_path: Path) -> None:
    path, copy = tmp_path / "outbox.db", tmp_path / "copy.db"
    async with running(path) as outbox:
        for number in range(6):
            await outbox.append(admission(number))
        [frame] = await outbox.pending("city", limit=1)
        await outbox.bury("city", {frame.frame_id: "no"})
        begins = 0
        with BackupFile(copy) as file:
            async for answer in backup(outbox, turn_packs=2):
                begins += "begin" in answer
                file.take(answer)
                if "packs" in answer and begins == 1:
                    for letter in await outbox.dead_letters():
                        await outbox.requeue(letter)
            pending = file.finish()
    assert begins == 2
    assert pending == {"city": 6}
    assert (await verified(StoreFile(copy)))[0] == []


async def test_a_damaged_pack_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with running(path) as outbox:
        for number in range(3):
            await outbox.append(admission(number))
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("UPDATE telemetry SET crc = crc + 1 WHERE seq = 1")
    async with running(path) as outbox:
        with pytest.raises(StoreCorrupt):
            await written(outbox, tmp_path / "copy.db")
    assert not (tmp_path / "copy.db").exists()
    assert not (tmp_path / "copy.db.partial").exists()


async def test_a_store_that_is_being_salvaged_is_not_copied(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with running(path) as outbox:
        await outbox.append(admission(1))

        async def pretend(database: Any, _contents: Any) -> None:
            await database.commit("REPLACE INTO meta VALUES ('salvage', ?)", ('{"through": 1}',))

        await outbox.with_store(pretend)
        with pytest.raises(StoreError, match="salvaged"):
            await written(outbox, tmp_path / "copy.db")


async def test_what_breaks_off_leaves_nothing(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with running(tmp_path / "outbox.db") as outbox:
        await outbox.append(admission(1))
        answers: AsyncIterator[Any] = backup(outbox)
        with BackupFile(copy) as file:
            async with aclosing(answers) as some:  # type: ignore[type-var]
                file.take(await anext(some))
            with pytest.raises(OSError, match="broke off"):
                file.finish()
    assert not list(tmp_path.glob("copy*"))


async def test_large_frames_and_every_class_survive(tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with running(tmp_path / "outbox.db") as outbox:
        for frame_class in FrameClass:
            one = content(5, frame_class=frame_class, size=255)
            await outbox.append(*[Admission.of(one)] * 300)
        await written(outbox, copy)
        before = await everything(outbox)
    assert (await verified(StoreFile(copy)))[0] == []
    async with running(copy) as outbox:
        assert await everything(outbox) == before
