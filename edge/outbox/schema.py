"""Tables of the store and how older ones become today's.

A database is at the version in its ``user_version``; each migration below takes it one further.
Migrations are only ever added. What takes long is done in small transactions of its own after them
(:func:`convert`), so that a start which is cut short goes on where it was.
"""

from itertools import groupby

import aiosqlite

from edge.outbox.errors import StoreTooNew
from edge.outbox.pack import PackHead, checksum, join
from protocol.records.sensor_frame import FrameClass

CLASSES = (FrameClass.ALARM, FrameClass.TELEMETRY, FrameClass.BULK)
"""Most important first. Each class has a table of packs under its own name."""

_PACKS = (
    # Frames without gaps from seq on; the delta before the body, so that reading it is cheap.
    # No AUTOINCREMENT and no index: each would write one page more with every commit.
    "CREATE TABLE {}(seq INTEGER PRIMARY KEY, n INTEGER NOT NULL, boot INTEGER NOT NULL,"
    " boottime_us INTEGER NOT NULL, crc INTEGER NOT NULL, delta BLOB, body BLOB NOT NULL)"
)

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        "CREATE TABLE meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
        # Frames from first_seq on belong to this epoch; the newest epoch is the present one.
        "CREATE TABLE epoch(first_seq INTEGER PRIMARY KEY, gateway BLOB NOT NULL,"
        " epoch BLOB NOT NULL)",
        "CREATE TABLE frame(seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL,"
        " boottime_us INTEGER NOT NULL, class INTEGER NOT NULL, body BLOB NOT NULL)",
        "CREATE TABLE boot(id INTEGER PRIMARY KEY, boot_id BLOB NOT NULL UNIQUE,"
        " offset_us INTEGER, uncertainty_us INTEGER)",
        "CREATE TABLE cursor(upstream TEXT PRIMARY KEY, acknowledged TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE mark(k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
    ),
    (
        *(_PACKS.format(table) for table in CLASSES),
        # What is not there any more although nothing that is kept explains it.
        "CREATE TABLE hole(first_seq INTEGER PRIMARY KEY, last_seq INTEGER NOT NULL,"
        " reason TEXT NOT NULL)",
        "CREATE TABLE dead_letter(id INTEGER PRIMARY KEY, upstream TEXT NOT NULL,"
        " seq INTEGER NOT NULL, class TEXT NOT NULL, boot INTEGER NOT NULL,"
        " boottime_us INTEGER NOT NULL, reason TEXT NOT NULL, body BLOB NOT NULL)",
        # Pending frames are carried along instead of being counted; null = to be counted once.
        "ALTER TABLE cursor ADD COLUMN pending INTEGER",
        "CREATE TABLE anchor(boot INTEGER NOT NULL, boottime_us INTEGER NOT NULL,"
        " offset_us INTEGER NOT NULL, uncertainty_us INTEGER NOT NULL, held INTEGER NOT NULL,"
        " PRIMARY KEY(boot, boottime_us)) WITHOUT ROWID",
        "INSERT INTO anchor SELECT id, 0, offset_us, uncertainty_us, 0 FROM boot"
        " WHERE offset_us IS NOT NULL",
        "ALTER TABLE boot DROP COLUMN offset_us",
        "ALTER TABLE boot DROP COLUMN uncertainty_us",
        "ALTER TABLE boot ADD COLUMN last_boottime_us INTEGER NOT NULL DEFAULT 0",
    ),
)
SCHEMA_VERSION = len(MIGRATIONS)

_CONVERT_FRAMES = 256


async def migrate(connection: aiosqlite.Connection) -> None:
    """Bring the database to today's schema, one transaction for each step.

    Raises:
        StoreTooNew: it is already beyond that.
        sqlite3.Error: it could not be written; the step is undone when the connection is closed.
    """
    [(version,)] = await connection.execute_fetchall("PRAGMA user_version")
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"the store was written by a newer version of lora-edge (schema {version}, this one"
            f" knows {SCHEMA_VERSION}): install that version again, or move the file away"
        )
    for number, statements in enumerate(MIGRATIONS[version:], start=version + 1):
        await connection.execute("BEGIN IMMEDIATE")
        for statement in statements:
            await connection.execute(statement)
        await connection.execute(f"PRAGMA user_version={number}")
        await connection.commit()
    await convert(connection)


async def convert(connection: aiosqlite.Connection) -> None:
    """Make packs of the single rows of schema 1; what is converted leaves the old table.

    Raises:
        sqlite3.Error: it could not be written; the next start goes on from there.
    """
    query = "SELECT count(*) FROM sqlite_master WHERE name = 'frame'"
    if not [row for row in await connection.execute_fetchall(query) if row[0]]:
        return
    while rows := [
        tuple(row)
        for row in await connection.execute_fetchall(
            "SELECT seq, boot, boottime_us, class, body FROM frame ORDER BY seq LIMIT ?",
            (_CONVERT_FRAMES,),
        )
    ]:
        await connection.execute("BEGIN IMMEDIATE")
        for table, pack in _packs_of(rows):
            await connection.execute(f"REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, NULL, ?)", pack)
        await connection.execute("DELETE FROM frame WHERE seq <= ?", (rows[-1][0],))
        await connection.commit()
    await connection.execute("DROP TABLE frame")


def _packs_of(
    rows: list[tuple[int, int, int, int, bytes]],
) -> list[tuple[str, tuple[int, int, int, int, int, bytes]]]:
    """One pack for each run of rows of one class and one boot without gaps."""
    packs = []
    for (number, boot, _), run in groupby(
        enumerate(rows), key=lambda item: (item[1][3], item[1][1], item[1][0] - item[0])
    ):
        members = [row for _, row in run]
        body = join([bytes(row[4]) for row in members])
        head = PackHead(members[0][0], len(members), boot, members[0][2])
        row = (head.seq, head.frames, head.boot, head.boottime_us, checksum(head, body), body)
        packs.append((CLASSES[number].value, row))
    return packs
