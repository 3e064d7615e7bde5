"""Brings what is still readable out of a damaged store into the fresh one, in small portions.

Frames keep their epoch and their number; the fresh store's own numbers begin behind them. Where the
way to a row leads over a damaged page, the search goes on behind it: first in growing steps, then
by halves, so that no more is left out than the damage covers. A checksum decides whether a pack is
what was written.
"""

import contextlib
import json
import logging
import sqlite3
from pathlib import Path
from typing import Any
from urllib.parse import quote

import aiosqlite

from edge.outbox.contents import Epoch
from edge.outbox.errors import StoreError
from edge.outbox.loading import Loaded, read_boots
from edge.outbox.pack import PackError
from edge.outbox.packs import COLUMNS, ReadPack, pack_of
from edge.outbox.row_shapes import CURSOR, EPOCH, MARK, PACK_HEAD, Shape, fitting
from edge.outbox.schema import CLASSES
from edge.outbox.totals import Totals, no_totals
from protocol.records.sensor_frame import FrameClass

logger = logging.getLogger(__name__)

_PORTION_PACKS = 64
_LEAST_FRAME_BYTES = 20
_RECENT_FRAMES = 2048


class DamagedStore:
    """A database that was set aside, opened to be read as far as that goes."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._connection: aiosqlite.Connection | None = None

    async def open(self) -> None:
        """Open it; what its WAL holds is read too.

        Raises:
            StoreError: it is not there.
        """
        if not self.path.exists():
            raise StoreError(f"{self.path} is gone")
        uri = f"file:{quote(str(self.path))}?mode=rw"
        with contextlib.suppress(sqlite3.Error):
            self._connection = await aiosqlite.connect(uri, uri=True, isolation_level=None)
            await self._connection.execute_fetchall("PRAGMA locking_mode=EXCLUSIVE")

    async def close(self) -> None:
        """Close it."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(sqlite3.Error):
                await connection.close()

    async def rows(self, sql: str, *parameters: object) -> list[tuple[Any, ...]] | None:
        """Run a query; None if the way to its rows is damaged."""
        if self._connection is None:
            return None
        try:
            rows = await self._connection.execute_fetchall(sql, parameters)
        except (sqlite3.Error, UnicodeDecodeError, ValueError):
            return None
        return [tuple(row) for row in rows]

    async def state(self) -> tuple[Loaded, bool]:
        """What can be read of the store's state; whatever cannot is as in an empty store.

        Returns:
            The state, and whether it is certain: then it tells how many frames there were.
        """
        meta = dict(await self._fitting("SELECT k, v FROM meta", (str, object)))
        state = _object(meta.get("state"))
        loaded = Loaded(
            last_seq=0,
            applied_seq=0,
            epochs=[
                Epoch(*row)
                for row in await self._fitting("SELECT * FROM epoch ORDER BY first_seq", EPOCH)
            ],
            boots=await read_boots(self._readable, fitting),
            marks=dict(await self._fitting("SELECT k, v FROM mark", MARK)),
            cursors={
                name: (text, pending)
                for name, text, pending in await self._fitting("SELECT * FROM cursor", CURSOR)
            },
            totals=no_totals(),
            dead_letters=0,
            clean=False,
            restored=False,
            exposed=False,
        )
        applied = state.get("applied")
        is_certain = isinstance(applied, int)
        with contextlib.suppress(KeyError, TypeError, ValueError, AttributeError):
            loaded.totals = {FrameClass(c): Totals(*t) for c, t in state["classes"].items()}
        is_certain &= await self._apply_deltas(loaded, applied if is_certain else None)
        return loaded, is_certain

    async def next_packs(
        self, frame_class: FrameClass, after: int, before: int
    ) -> tuple[list[ReadPack], int]:
        """The next sound packs between two numbers.

        Returns:
            The packs, and the number after which to go on; there are no more if it is ``before``.
        """
        rows = await self._after(frame_class, after, before, _PORTION_PACKS)
        if rows is None:
            rows = await self._after(frame_class, after, before, 1)
        if rows is None:
            after = await self._behind_damage(frame_class, after, before)
            return [], after
        if not rows:
            return [], before
        packs = [pack_of(row) for row in fitting(rows, (str, *PACK_HEAD, object, object, object))]
        if not packs:
            return [], after + 1
        return [pack for pack in packs if not pack.damage], packs[-1].head.seq

    async def _after(
        self, frame_class: FrameClass, after: int, before: int, limit: int
    ) -> list[tuple[Any, ...]] | None:
        return await self.rows(
            f"SELECT '{frame_class}', {COLUMNS} FROM {frame_class}"
            # Not "> after": that begins its search in the page that may hold "after" itself.
            " WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?",
            after + 1,
            before,
            limit,
        )

    async def _behind_damage(self, frame_class: FrameClass, bad: int, before: int) -> int:
        """The lowest number from which rows can be read again."""
        step, good = 1, bad
        while good < before:
            good = min(before, bad + step)
            step *= 2
            if await self._after(frame_class, good, before, 1) is not None:
                break
        while good - bad > 1:
            middle = (good + bad) // 2
            if await self._after(frame_class, middle, before, 1) is None:
                bad = middle
            else:
                good = middle
        return good

    async def _readable(self, sql: str) -> list[tuple[Any, ...]]:
        return await self.rows(sql) or []

    async def _fitting(self, sql: str, shape: Shape) -> list[tuple[Any, ...]]:
        return fitting(await self._readable(sql), shape)

    async def _apply_deltas(self, loaded: Loaded, applied: int | None) -> bool:
        """Bring marks and cursors as far as there are readable packs, and find the newest one.

        Where that cannot be read, numbers go on behind all that could be in a file of this size.
        """
        bound = self._size_bytes() // _LEAST_FRAME_BYTES
        newest = [await self.rows(f"SELECT max(seq) FROM {table}") for table in CLASSES]
        last_seq = max((rows[0][0] or 0 for rows in newest if rows), default=0)
        is_certain = applied is not None and None not in newest
        loaded.last_seq = max(last_seq - _RECENT_FRAMES, 0) if applied is None else applied
        before = max(last_seq, loaded.last_seq) + 1
        packs: list[ReadPack] = []
        for frame_class in CLASSES:
            after = loaded.last_seq
            while after < before:
                found, after = await self.next_packs(frame_class, after, before)
                is_certain &= bool(found) or after == before
                packs += found
        for pack in sorted(packs, key=lambda pack: pack.head.seq):
            with contextlib.suppress(PackError):
                delta = pack.delta()
                loaded.marks.update(delta.marks)
                loaded.cursors.update(delta.cursors)
            loaded.cursors = {
                name: (text, (pending or 0) + pack.head.frames)
                for name, (text, pending) in loaded.cursors.items()
            }
            totals = loaded.totals[pack.frame_class]
            loaded.totals[pack.frame_class] = totals.plus(pack.head.frames, pack.size_bytes)
            loaded.last_seq = max(loaded.last_seq, pack.head.last_seq)
        if not is_certain:
            loaded.last_seq = max(last_seq, loaded.last_seq) + bound
        return is_certain

    def _size_bytes(self) -> int:
        try:
            return self.path.stat().st_size
        except OSError:
            return 0


def _object(text: object) -> dict[str, Any]:
    try:
        value = json.loads(str(text)) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
