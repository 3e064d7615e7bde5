"""Reads packs: three tables as one sequence, checksums verified."""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt
from edge.outbox.pack import Delta, PackError, PackHead, checksum, decode_delta, split
from edge.outbox.row_shapes import PACK_HEAD, checked
from edge.outbox.schema import CLASSES
from edge.outbox.totals import ROW_BYTES, StoredPack
from protocol.records.sensor_frame import FrameClass

COLUMNS = "seq, n, boot, boottime_us, crc, delta, body"

# The pack in which a number would be begins at or before it. Each part is in the order of its table
# already, so SQLite merges them and reads no more than the limit asks for.
_OF_CLASS = {
    table: f"SELECT '{table}' AS class, {COLUMNS} FROM {table} WHERE seq"
    f" BETWEEN coalesce((SELECT max(seq) FROM {table} WHERE seq <= ?1), ?1) AND ?2"
    " AND seq + n > ?1"
    for table in CLASSES
}
_FIRST = " ORDER BY seq LIMIT ?3"
_RANGE = " UNION ALL ".join(_OF_CLASS.values()) + _FIRST
_HEADS = (
    " UNION ALL ".join(
        f"SELECT seq, n, boot, boottime_us FROM {table} WHERE seq"
        f" BETWEEN coalesce((SELECT max(seq) FROM {table} WHERE seq <= ?1), ?1) AND ?2"
        " AND seq + n > ?1"
        for table in CLASSES
    )
    + " ORDER BY seq LIMIT ?3"
)
_SIZES = _HEADS.replace(
    "SELECT seq, n, boot, boottime_us", "SELECT seq, n, boot, boottime_us, length(body)"
)
_COUNT = " UNION ALL ".join(
    f"SELECT coalesce(sum(min(seq + n - 1, ?2) - max(seq, ?1) + 1), 0) FROM {table} WHERE seq"
    f" BETWEEN coalesce((SELECT max(seq) FROM {table} WHERE seq <= ?1), ?1) AND ?2"
    " AND seq + n > ?1"
    for table in CLASSES
)


@dataclass(frozen=True, slots=True)
class ReadPack:
    """A pack as it was read.

    Attributes:
        bodies: its frames; none if it is damaged.
        damage: why it is not what was written; empty if it is.
    """

    frame_class: FrameClass
    head: PackHead
    delta_bytes: bytes | None
    body: bytes
    bodies: list[bytes]
    damage: str

    @property
    def size_bytes(self) -> int:
        """About what it takes on the disk."""
        return len(self.body) + len(self.delta_bytes or b"") + ROW_BYTES

    def delta(self) -> Delta:
        """Its delta. Raises :class:`PackError`."""
        return Delta() if self.delta_bytes is None else decode_delta(self.delta_bytes)


async def read_packs(
    database: Database, first: int, last: int, limit: int, frame_class: FrameClass | None = None
) -> list[ReadPack]:
    """The first so many packs that have frames from ``first`` to ``last``, damaged ones included.

    Args:
        frame_class: only packs of this class.

    Raises:
        StoreError: they cannot be read.
    """
    query = _RANGE if frame_class is None else _OF_CLASS[frame_class] + _FIRST
    rows = await database.read(query, first, last, limit)
    return [pack_of(row) for row in checked(rows, (str, *PACK_HEAD, object, object, object))]


async def sound_packs(
    database: Database, first: int, last: int, limit: int, frame_class: FrameClass | None = None
) -> list[ReadPack]:
    """As :func:`read_packs`.

    Raises:
        StoreCorrupt: one of them is damaged.
        StoreError: they cannot be read.
    """
    packs = await read_packs(database, first, last, limit, frame_class)
    for pack in packs:
        if pack.damage:
            raise StoreCorrupt(f"{database.path}: pack {pack.head.seq}: {pack.damage}")
    for before, after in pairwise(packs):
        if after.head.seq <= before.head.last_seq:  # a page in the place of another one
            raise StoreCorrupt(f"{database.path}: pack {after.head.seq} is in the wrong place")
    return packs


async def heads(database: Database, first: int, last: int, limit: int) -> list[PackHead]:
    """As :func:`read_packs`, without the frames.

    Raises:
        StoreError: they cannot be read.
    """
    rows = await database.read(_HEADS, first, last, limit)
    return [PackHead(*row) for row in checked(rows, PACK_HEAD)]


async def sizes(
    database: Database, first: int, last: int, limit: int
) -> list[tuple[PackHead, int]]:
    """As :func:`heads`, each with the size of its frames in bytes; they are not read for that.

    Raises:
        StoreError: they cannot be read.
    """
    rows = await database.read(_SIZES, first, last, limit)
    return [(PackHead(*head), size) for *head, size in checked(rows, (*PACK_HEAD, int))]


async def count_frames(database: Database, first: int, last: int) -> int:
    """Count frames in a range. Reads all of it: for what happens once.

    Raises:
        StoreError: they cannot be read.
    """
    return sum(row[0] for row in await database.read(_COUNT, first, last))


async def oldest_packs(
    database: Database, frame_class: FrameClass, limit: int, through: int
) -> list[StoredPack]:
    """The oldest packs of a class that begin at or before a number.

    Raises:
        StoreError: they cannot be read.
    """
    rows = await database.read(
        "SELECT seq, n, boot, boottime_us, length(body) + coalesce(length(delta), 0)"
        f" FROM {frame_class} WHERE seq <= ? ORDER BY seq LIMIT ?",
        through,
        limit,
    )
    return [
        StoredPack(PackHead(*head), size + ROW_BYTES)
        for *head, size in checked(rows, (*PACK_HEAD, int))
    ]


def class_tables() -> Iterator[FrameClass]:
    """Classes, least important first: the order in which they make room."""
    return reversed(CLASSES)


def pack_of(row: Sequence[Any]) -> ReadPack:
    """A row: its class, then the columns of its table."""
    table, seq, frames, boot, boottime_us, crc, delta, body = row
    head, bodies, damage = PackHead(seq, frames, boot, boottime_us), list[bytes](), ""
    try:
        if checksum(head, body) != crc:
            raise PackError("its checksum is wrong")
        bodies = split(body, frames)
    except (PackError, TypeError, struct.error) as error:  # of a damaged row anything may be wrong
        damage = str(error)
    return ReadPack(FrameClass(table), head, delta, body, bodies, damage)
