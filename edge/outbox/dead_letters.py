"""Frames that an upstream will never take: kept, with the reason, until a person has looked.

The table is bounded; when it overflows, the oldest go and are counted as dropped.
"""

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edge.outbox.contents import Contents, insert_pack
from edge.outbox.database import Database, Row
from edge.outbox.errors import StoreError
from edge.outbox.pack import PackHead, checksum, join
from edge.outbox.packs import heads, read_packs
from edge.outbox.totals import pack_size_bytes
from protocol.records.sensor_frame import FrameClass, SensorFrameError
from protocol.records.sensor_frame_codec import decode_content


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """Attributes:
    number: by which a person names it.
    seq: number of the frame.
    boot / boottime_us: when it was set aside.
    reason: what the upstream answered.
    """

    number: int
    upstream: str
    seq: int
    frame_class: FrameClass
    boot: int
    boottime_us: int
    reason: str
    body: bytes


async def bury(
    database: Database,
    contents: Contents,
    upstream: str,
    reasons: Mapping[int, str],
    *,
    now_us: int,
    max_dead_letters: int,
) -> int:
    """Set frames aside that an upstream refuses; it counts them as acknowledged from then on.

    Args:
        reasons: by number of the frame, why.

    Returns:
        How many older ones had to go.

    Raises:
        StoreError: they could not be written, or are not committed yet; nothing has changed.
    """
    if any(seq > contents.last_seq for seq in reasons):
        # From memory, because the store fails: there is nowhere to set it aside now.
        raise StoreError("a refused frame is not committed yet")
    boot = contents.boots.current
    rows = []
    for seq, reason in reasons.items():
        for pack in await read_packs(database, seq, seq, 1):
            if pack.bodies:
                body = pack.bodies[seq - pack.head.seq]
                rows.append((upstream, seq, pack.frame_class.value, boot, now_us, reason, body))
    async with database.transaction():
        # An attempt that failed at its very end, or a crash right after, may have left it there.
        await database.write(
            "DELETE FROM dead_letter WHERE upstream = ? AND seq = ?",
            [(upstream, seq) for _, seq, *_ in rows],
        )
        gone = max(0, await _count(database) + len(rows) - max_dead_letters)
        await database.write(
            "INSERT INTO dead_letter(upstream, seq, class, boot, boottime_us, reason, body)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            rows,
        )
        await database.write(
            "DELETE FROM dead_letter WHERE id IN (SELECT id FROM dead_letter ORDER BY id LIMIT ?)",
            [(gone,)],
        )
    contents.dead_letters = await _count(database)
    for seq in reasons:
        contents.cursors[upstream].acknowledge(seq, seq)
    return gone


async def dead_letters(database: Database, after: int, limit: int) -> list[DeadLetter]:
    """Read them, oldest first.

    Raises:
        StoreError: they cannot be read.
    """
    rows = await database.read(
        "SELECT id, upstream, seq, class, boot, boottime_us, reason, body FROM dead_letter"
        " WHERE id > ? ORDER BY id LIMIT ?",
        after,
        limit,
    )
    return [
        DeadLetter(number, upstream, seq, FrameClass(table), boot, boottime_us, reason, body)
        for number, upstream, seq, table, boot, boottime_us, reason, body in rows
    ]


async def requeue(database: Database, contents: Contents, letter: DeadLetter) -> bool:
    """Send a frame to its upstream again, under its own identity.

    Returns:
        False if the upstream is no longer configured: then it stays where it is.

    Raises:
        StoreError: nothing has changed.
    """
    cursor = contents.cursors.get(letter.upstream)
    if cursor is None:
        return False
    if await database.read("SELECT 1 FROM meta WHERE k = 'salvage'"):
        # Its pack may be yet to come; then its number would be in two packs.
        raise StoreError("frames are being brought over from a damaged store: try again later")
    also: list[tuple[str, Sequence[Row]]] = [
        ("DELETE FROM dead_letter WHERE id = ?", [(letter.number,)])
    ]
    before = contents.totals[letter.frame_class]
    if not await heads(database, letter.seq, letter.seq, 1):
        # It was removed: the others had it, or it was counted as dropped.
        head, body = PackHead(letter.seq, 1, letter.boot, letter.boottime_us), join([letter.body])
        row = head.seq, 1, head.boot, head.boottime_us, checksum(head, body), None, body
        also.append((insert_pack(letter.frame_class), [row]))
        contents.totals[letter.frame_class] = before.plus(1, pack_size_bytes([letter.body]))
        for each in contents.cursors.values():
            each.pass_over(letter.seq, letter.seq)
    # After a crash it may be pending already: that it was buried was not committed.
    added = cursor.restored(letter.seq, letter.seq)
    try:
        await contents.snapshot(database, also=also)
    except BaseException:
        if added:
            cursor.acknowledge(letter.seq, letter.seq)
        contents.totals[letter.frame_class] = before
        raise
    contents.dead_letters = await _count(database)
    contents.insertions += 1
    return True


async def discard(database: Database, contents: Contents, letter: DeadLetter) -> bool:
    """Throw a frame away that was set aside.

    Returns:
        False if it is no longer there.

    Raises:
        StoreError: nothing has changed.
    """
    before = await _count(database)
    async with database.transaction():
        await database.write("DELETE FROM dead_letter WHERE id = ?", [(letter.number,)])
    contents.dead_letters = await _count(database)
    return contents.dead_letters < before


async def _count(database: Database) -> int:
    [(count,)] = await database.read("SELECT count(*) FROM dead_letter")
    return int(count)


async def boots_of_dead_letters(database: Database) -> set[bytes]:
    """Boots in which frames were received that are set aside.

    Raises:
        StoreError: they cannot be read.
    """
    found = set()
    for (body,) in await database.read("SELECT body FROM dead_letter"):
        with contextlib.suppress(SensorFrameError):  # what cannot be read has no time to lose
            found.add(decode_content(body).boot_id)
    return found
