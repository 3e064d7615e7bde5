"""Tables of the store and how older ones become today's.

A database is at the version in its ``user_version``; each migration below takes it one further.
Migrations are only ever added.
"""

import aiosqlite

from edge.outbox.errors import StoreTooNew

MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        # ``last_seq``: the newest number ever given, for when the row that had it is gone.
        "CREATE TABLE meta(k TEXT PRIMARY KEY, v) WITHOUT ROWID",
        # Frames from first_seq on belong to this epoch; the newest epoch is the present one.
        "CREATE TABLE epoch(first_seq INTEGER PRIMARY KEY, gateway BLOB NOT NULL,"
        " epoch BLOB NOT NULL)",
        # No AUTOINCREMENT and no index: each would write one page more with every commit.
        "CREATE TABLE frame(seq INTEGER PRIMARY KEY, boot INTEGER NOT NULL,"
        " boottime_us INTEGER NOT NULL, class INTEGER NOT NULL, body BLOB NOT NULL)",
        "CREATE TABLE boot(id INTEGER PRIMARY KEY, boot_id BLOB NOT NULL UNIQUE,"
        " offset_us INTEGER, uncertainty_us INTEGER)",
        "CREATE TABLE cursor(upstream TEXT PRIMARY KEY, acknowledged TEXT NOT NULL) WITHOUT ROWID",
        "CREATE TABLE mark(k TEXT PRIMARY KEY, v BLOB NOT NULL) WITHOUT ROWID",
    ),
)
SCHEMA_VERSION = len(MIGRATIONS)


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
