"""Makes a store file of what :mod:`edge.outbox.backup` tells; nothing of it stays in memory.

It grows as ``FILE.partial`` and gets its name when it is complete and on the disk. All calls block.
"""

import contextlib
import json
import os
import sqlite3
from base64 import b64decode
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

from edge.outbox.database import PAGE_BYTES
from edge.outbox.ranges import SeqRanges
from edge.outbox.schema import CLASSES, MIGRATIONS, SCHEMA_VERSION
from edge.outbox.totals import ROW_BYTES

_TABLES = (*CLASSES, "meta", "epoch", "boot", "anchor", "cursor", "mark", "hole", "dead_letter")
# If it is not completed it is thrown away, so nothing of it needs to be safe before its end.
_PRAGMAS = (f"page_size={PAGE_BYTES}", "journal_mode=OFF", "synchronous=OFF", "cache_size=-4096")


class BackupFile:
    """The file while it is being written; a context manager that throws away what is not whole.

    Attributes:
        frames: how many it holds so far.

    Raises:
        OSError: it cannot be made.
        sqlite3.Error: it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.frames = 0
        self._path = path
        self._partial = path.with_name(f"{path.name}.partial")
        self._is_complete = False

    def __enter__(self) -> "BackupFile":
        self._partial.unlink(missing_ok=True)
        os.close(os.open(self._partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        try:
            self._connection = sqlite3.connect(
                f"file:{quote(str(self._partial))}?mode=rw", uri=True, isolation_level=None
            )
            self._make_tables()
        except BaseException:
            self._throw_away()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._throw_away()

    def take(self, answer: Mapping[str, Any]) -> None:
        """Write one piece."""
        for name, value in answer.items():
            match name:
                case "begin":
                    self._begin()
                case "packs":
                    self._take_packs(value)
                case "dead_letters":
                    rows = ([*row[:-1], b64decode(row[-1])] for row in value)
                    self._write("dead_letter", 8, rows)
                case "boots":
                    self._take_boots(value)
                case "holes":
                    self._write("hole", 3, value)
                case "marks":
                    self._write("mark", 2, ((key, b64decode(data)) for key, data in value))
                case "state":
                    self._take_state(value)

    def finish(self) -> dict[str, int]:
        """Have it on the disk, under its name.

        Returns:
            By upstream, how many of its frames are pending.

        Raises:
            OSError: it is not whole, or cannot be brought to the disk.
        """
        if not self._is_complete:
            raise OSError("the answer broke off")
        pending = dict(
            self._connection.execute("SELECT upstream, pending FROM cursor ORDER BY upstream")
        )
        self._connection.execute("COMMIT")
        self._connection.close()
        sync(self._partial, os.O_RDONLY)
        self._partial.replace(self._path)
        sync(self._path.parent, os.O_RDONLY | os.O_DIRECTORY)
        return pending

    def _throw_away(self) -> None:
        with contextlib.suppress(AttributeError, sqlite3.Error):
            self._connection.close()
        self._partial.unlink(missing_ok=True)

    def _make_tables(self) -> None:
        for pragma in _PRAGMAS:
            self._connection.execute(f"PRAGMA {pragma}")
        for statement in (part for migration in MIGRATIONS for part in migration):
            self._connection.execute(statement)
        self._connection.execute("DROP TABLE IF EXISTS frame")  # of schema 1
        self._connection.execute(f"PRAGMA user_version={SCHEMA_VERSION}")
        self._connection.execute("BEGIN")

    def _begin(self) -> None:
        """All that was told so far is told once more."""
        for table in _TABLES:
            self._connection.execute(f"DELETE FROM {table}")
        self.frames = 0

    def _take_packs(self, packs: Iterable[list[Any]]) -> None:
        for table, seq, frames, boot, boottime_us, crc, delta, body in packs:
            delta_bytes = None if delta is None else b64decode(delta)
            row = seq, frames, boot, boottime_us, crc, delta_bytes, b64decode(body)
            self._write(_class_table(table), 7, [row])
            self.frames += frames

    def _take_boots(self, boots: Iterable[list[Any]]) -> None:
        for number, boot_id, last_boottime_us, anchors in boots:
            self._write("boot", 3, [(number, bytes.fromhex(boot_id), last_boottime_us)])
            self._write("anchor", 5, [(number, *anchor) for anchor in anchors])

    def _take_state(self, state: Mapping[str, Any]) -> None:
        epochs = (
            (first_seq, bytes.fromhex(gateway), bytes.fromhex(epoch))
            for first_seq, gateway, epoch in state["epochs"]
        )
        self._write("epoch", 3, epochs)
        self._write("cursor", 3, self._cursors(state["cursors"]))
        kept = json.dumps(state["dead_letters"])
        self._connection.execute(
            "DELETE FROM dead_letter WHERE id NOT IN (SELECT value FROM json_each(?))", (kept,)
        )
        text = {
            "applied": state["last_seq"],
            "clean": True,
            "classes": {
                table.value: [*self._totals(table), state["removed_through"][table]]
                for table in CLASSES
            },
        }
        self._write("meta", 2, [("state", json.dumps(text))])
        self._is_complete = True

    def _cursors(self, acknowledged: Mapping[str, str]) -> list[tuple[str, str, int]]:
        """Of what this file holds, which may be more than the store still had at the end."""
        ranges = {name: SeqRanges.from_text(text) for name, text in acknowledged.items()}
        pending = dict.fromkeys(ranges, 0)
        for table in CLASSES:
            for seq, frames in self._connection.execute(f"SELECT seq, n FROM {table}"):
                for name, has in ranges.items():
                    gaps = has.gaps(seq, seq + frames - 1)
                    pending[name] += sum(last - first + 1 for first, last in gaps)
        return [(name, text, pending[name]) for name, text in acknowledged.items()]

    def _totals(self, table: str) -> tuple[int, int]:
        row: tuple[int, int] = self._connection.execute(
            "SELECT coalesce(sum(n), 0),"
            " coalesce(sum(length(body) + coalesce(length(delta), 0) + ?), 0)"
            f" FROM {table}",
            (ROW_BYTES,),
        ).fetchone()
        return row

    def _write(self, table: str, columns: int, rows: Iterable[Any]) -> None:
        places = ", ".join("?" * columns)
        self._connection.executemany(f"REPLACE INTO {table} VALUES ({places})", rows)


def _class_table(name: str) -> str:
    """The table of a class; what came over a socket is not trusted to be SQL."""
    return next(frame_class.value for frame_class in CLASSES if frame_class.value == name)


def sync(path: Path, flags: int) -> None:
    """Have a file, or the names in a directory, on the disk.

    Args:
        flags: with which to open it.
    """
    descriptor = os.open(path, flags)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
