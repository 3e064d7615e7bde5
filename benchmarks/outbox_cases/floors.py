"""What nobody can beat on this disk: the bare file, and SQLite with nothing around it.

SQLite runs with the store's own pragmas and a WAL that is grown in advance. Its rows are as narrow
as they can be (a number and the frame), so that the comparison is never in our favour.
"""

import asyncio
import itertools
import os
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import partial

import aiosqlite

from benchmarks.outbox_cases.frames import FRAME_BYTES, blobs
from benchmarks.outbox_cases.rate import Case, Figures, Options, produce, repeat

GROUPS = (1, 10, 100, 1000)
RAW_GROUPS = (1, 100, 1000)

_FILE_BYTES = 32 << 20
_CHECKPOINT_PAGES = 250
_WAL_BYTES = 4096 * (_CHECKPOINT_PAGES + 128)
_PRAGMAS = (
    "page_size=4096",
    "locking_mode=EXCLUSIVE",
    "journal_mode=WAL",
    "synchronous=FULL",
    f"wal_autocheckpoint={_CHECKPOINT_PAGES}",
    "journal_size_limit=-1",
    "secure_delete=0",
    "cache_size=-4096",
)
_GROWTH = (
    "CREATE TABLE frame(seq INTEGER PRIMARY KEY, body BLOB NOT NULL)",
    "CREATE TABLE growth(b)",
    f"INSERT INTO growth VALUES (zeroblob({_WAL_BYTES}))",
    "DROP TABLE growth",
    "PRAGMA wal_checkpoint(RESTART)",
)
_INSERT = "INSERT INTO frame VALUES (?, ?)"


def _raw(group: int, options: Options) -> Figures:
    """Write into a file whose blocks all exist, and flush; it never changes its size."""
    bodies, chunk_bytes = blobs(group), group * FRAME_BYTES
    places = itertools.cycle(range(0, _FILE_BYTES - chunk_bytes, chunk_bytes))
    with (options.directory / "raw").open("wb+", buffering=0) as file:
        for _ in range(_FILE_BYTES >> 20):
            file.write(bytes(1 << 20))
        os.fsync(file.fileno())

        def commit() -> None:
            os.pwrite(file.fileno(), b"".join(bodies), next(places))
            os.fdatasync(file.fileno())

        return repeat(options.seconds, group, commit)


def _sqlite3(group: int, options: Options) -> Figures:
    with closing(_connect(options)) as connection:
        bodies, numbers = blobs(group), itertools.count(1)

        def commit() -> None:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany(_INSERT, zip(itertools.islice(numbers, group), bodies))  # noqa: B905
            connection.execute("COMMIT")

        return repeat(options.seconds, group, commit)


def _pack(group: int, options: Options) -> Figures:
    """The same frames as one row. No queue of rows is this fast, so it is not a floor."""
    with closing(_connect(options)) as connection:
        bodies, numbers = blobs(group), itertools.count(1, group)

        def commit() -> None:
            connection.execute(_INSERT, (next(numbers), b"".join(bodies)))

        return repeat(options.seconds, group, commit)


def _aiosqlite(group: int, options: Options) -> Figures:
    return asyncio.run(_aiosqlite_rate(group, options))


async def _aiosqlite_rate(group: int, options: Options) -> Figures:
    async with aiosqlite.connect(_uri(options), uri=True, isolation_level=None) as connection:
        for statement in (*(f"PRAGMA {pragma}" for pragma in _PRAGMAS), *_GROWTH):
            await connection.execute_fetchall(statement)
        bodies, numbers = blobs(group), itertools.count(1)

        async def append() -> None:
            rows = zip(itertools.islice(numbers, group), bodies)  # noqa: B905
            await connection.execute("BEGIN IMMEDIATE")
            await connection.executemany(_INSERT, rows)
            await connection.commit()

        return await produce(options.seconds, 1, group, append)


def _connect(options: Options) -> sqlite3.Connection:
    connection = sqlite3.connect(_uri(options), uri=True, isolation_level=None)
    for statement in (*(f"PRAGMA {pragma}" for pragma in _PRAGMAS), *_GROWTH):
        connection.execute(statement).fetchall()
    return connection


def _uri(options: Options) -> str:
    return f"file:{options.directory}/floor.db?psow=0"


def _each(
    name: str, case: Callable[[int, Options], Figures], groups: tuple[int, ...]
) -> dict[str, Case]:
    return {f"{name}-{group}": partial(case, group) for group in groups}


CASES: dict[str, Case] = {
    **_each("raw", _raw, RAW_GROUPS),
    **_each("sqlite3", _sqlite3, GROUPS),
    **_each("aiosqlite", _aiosqlite, GROUPS),
    **_each("pack", _pack, GROUPS),
}
