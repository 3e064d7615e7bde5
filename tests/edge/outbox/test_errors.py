"""SQLite's errors, and those of Python's module, as ours."""

import sqlite3
from pathlib import Path

import pytest

from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt
from tests.edge.outbox.open_store import admission, running


async def test_bytes_that_have_become_text_are_damage(tmp_path: Path) -> None:
    """One bit of a row's header makes TEXT of a BLOB, and Python cannot decode that."""
    path = tmp_path / "outbox.db"
    async with running(path) as outbox:
        await outbox.append(admission(1))
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE telemetry SET body = CAST(x'fffefdfc' AS TEXT)")
    connection.close()

    database = Database(path, 8_000_000)
    await database.open(create=False)
    try:
        with pytest.raises(StoreCorrupt):
            await database.read("SELECT body FROM telemetry")
    finally:
        await database.close()
