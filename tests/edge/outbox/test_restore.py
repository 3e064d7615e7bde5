"""Restoring is all or nothing, at whatever moment it is cut short."""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from edge.outbox.backup import backup
from edge.outbox.backup_file import BackupFile
from edge.outbox.errors import StoreBusy, StoreError
from edge.outbox.restore import restore
from tests.edge.outbox.open_store import admission, numbers, running
from tests.edge.outbox.test_verification import findings_of

# Dies at the n-th step that changes a file's name or opens a file.
CHILD = """
import os, sys
from pathlib import Path
from edge.outbox.restore import restore
left = [int(sys.argv[3])]
def watch(event, arguments):
    if event in ("os.rename", "os.link", "os.remove", "open", "sqlite3.connect"):
        left[0] -= 1
        if left[0] == 0:
            os._exit(9)
sys.addaudithook(watch)
restore(Path(sys.argv[1]), Path(sys.argv[2]), replace=True, take=lambda _: None)
"""


async def make(path: Path, first: int, copy: Path | None = None) -> None:
    """A store of three frames, and perhaps a backup of it."""
    async with running(path) as outbox:
        for number in range(first, first + 3):
            await outbox.append(admission(number))
        if copy is not None:
            with BackupFile(copy) as file:
                async for answer in backup(outbox):
                    file.take(answer)
                file.finish()


async def make_and_kill(path: Path) -> None:
    """A store of three frames, as a dead process leaves it."""
    alive = path.with_name("alive.db")
    async with running(alive) as outbox:
        for number in range(1, 4):
            await outbox.append(admission(number))
        for part in ("", "-wal"):
            shutil.copyfile(f"{alive}{part}", f"{path}{part}")


async def read(path: Path) -> list[int]:
    async with running(path) as outbox:
        return await numbers(outbox)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A backup of frames 10 to 12."""
    asyncio.run(make(tmp_path / "other.db", 10, tmp_path / "copy.db"))
    return tmp_path / "copy.db"


def put(copy: Path, store: Path, *, replace: bool = False) -> Path | None:
    return restore(copy, store, replace=replace, take=lambda _: None).replaced


def test_without_a_store_it_is_simply_put_there(copy: Path, tmp_path: Path) -> None:
    directory = tmp_path / "state"
    directory.mkdir()

    assert put(copy, directory / "outbox.db") is None

    assert [path.name for path in directory.iterdir()] == ["outbox.db"]
    assert asyncio.run(read(directory / "outbox.db")) == [10, 11, 12]


def test_a_journal_without_its_store_does_not_meet_another(copy: Path, tmp_path: Path) -> None:
    store = tmp_path / "outbox.db"
    Path(f"{store}-wal").write_bytes(b"of a store that is gone")

    assert put(copy, store) == tmp_path / "outbox.db.replaced-1"

    assert Path(f"{store}.replaced-1-wal").read_bytes() == b"of a store that is gone"
    assert asyncio.run(read(store)) == [10, 11, 12]


def test_the_present_one_is_put_aside_with_what_its_wal_holds(copy: Path, tmp_path: Path) -> None:
    store = tmp_path / "outbox.db"
    asyncio.run(make(store, 1))
    for number in (1, 2):
        aside = put(copy, store, replace=True)
        assert aside == tmp_path / f"outbox.db.replaced-{number}"
    assert findings_of(tmp_path / "outbox.db.replaced-1") == []
    assert asyncio.run(read(tmp_path / "outbox.db.replaced-1")) == [1, 2, 3]
    assert asyncio.run(read(store)) == [10, 11, 12]


def test_a_damaged_one_is_put_aside_as_it_is(copy: Path, tmp_path: Path) -> None:
    store = tmp_path / "outbox.db"
    rubbish = b"this is no database, but long enough to be looked at" * 100
    store.write_bytes(rubbish)

    aside = put(copy, store, replace=True)

    assert aside is not None
    assert aside.read_bytes() == rubbish
    assert asyncio.run(read(store)) == [10, 11, 12]


async def test_a_store_in_use_stays(tmp_path: Path) -> None:
    store, copy = tmp_path / "outbox.db", tmp_path / "copy.db"
    await make(tmp_path / "other.db", 10, copy)
    code = CHILD.replace("os._exit(9)", "pass")
    async with running(store) as outbox:
        await outbox.append(admission(1))
        # Another process: locks do not keep a process from itself.
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, str(copy), str(store), "0", stderr=subprocess.PIPE
        )
        _, errors = await child.communicate()
        assert StoreBusy.__name__ in errors.decode()
        await outbox.append(admission(2))
        assert await numbers(outbox) == [1, 2]
    assert await read(store) == [1, 2]


def test_the_store_itself_is_no_backup(tmp_path: Path) -> None:
    store = tmp_path / "outbox.db"
    asyncio.run(make(store, 1))

    with pytest.raises(StoreError, match="the store itself"):
        put(store, store, replace=True)


def test_killed_at_any_step_it_leaves_one_of_the_two(copy: Path, tmp_path: Path) -> None:
    """The present store is one whose service was killed: its frames are in the WAL."""
    original = tmp_path / "original.db"
    asyncio.run(make_and_kill(original))
    outcomes = []
    for step in range(1, 200):
        directory = tmp_path / f"{step}"
        directory.mkdir()
        store = directory / "outbox.db"
        for part in ("", "-wal"):
            shutil.copyfile(f"{original}{part}", f"{store}{part}")
        child = subprocess.run(
            [sys.executable, "-c", CHILD, str(copy), str(store), str(step)],
            check=False,
            capture_output=True,
        )
        found = asyncio.run(read(store))
        outcomes.append(found)
        assert found in ([1, 2, 3], [10, 11, 12])
        for aside in directory.glob("outbox.db.replaced-1"):
            assert aside.samefile(store) or asyncio.run(read(aside)) == [1, 2, 3]
        if child.returncode == 0:
            break
        assert child.returncode == 9, child.stderr.decode()
    assert len(outcomes) > 10
    assert outcomes[0] == [1, 2, 3]
    assert outcomes[-1] == [10, 11, 12]
