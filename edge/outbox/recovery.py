"""When the store is damaged: set it aside, go on with a fresh one, bring over what can be read.

The fresh store takes frames within a second. It goes on with the numbers, the marks and the cursors
of the damaged one, under a new epoch; frames follow in small portions while it works.
"""

import json
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.monitoring.metrics import Metrics
from edge.outbox.contents import Contents, insert_pack
from edge.outbox.database import Database
from edge.outbox.errors import StoreError
from edge.outbox.pack import checksum
from edge.outbox.packs import ReadPack
from edge.outbox.quarantine import set_aside
from edge.outbox.ranges import SeqRanges
from edge.outbox.salvage import DamagedStore
from edge.outbox.schema import CLASSES
from edge.outbox.totals import no_totals, pack_size_bytes
from protocol.lora.events import DropReason
from protocol.records.sensor_frame import FrameClass

logger = logging.getLogger(__name__)

_DEAD_LETTERS = "dead_letter"
_NOTHING_MORE = "done"
_SAVE = "REPLACE INTO meta VALUES ('salvage', ?)"


def put_aside(path: Path) -> Path:
    """Rename the damaged store.

    Raises:
        StoreError: it cannot be renamed; it is neither deleted nor written over.
    """
    try:
        return set_aside(path)
    except OSError as error:
        raise StoreError(f"{path} is damaged and cannot be set aside: {error}") from error


async def begin_anew(
    database: Database, contents: Contents, aside: Path, *, newest_seq: int, is_certain: bool
) -> None:
    """Make a fresh database go on where the damaged one was.

    Args:
        contents: what was known of the damaged store; becomes that of the fresh one.
        newest_seq: of frames that upstreams get from memory, or ``contents.last_seq``.
        is_certain: whether it tells how many frames there were.

    Raises:
        StoreError: it cannot be written.
    """
    last = contents.last_seq
    missing = {
        name: cursor.pending - contents.exposed_frames for name, cursor in contents.cursors.items()
    } or {"": contents.frames}
    progress = {
        "file": aside.name,
        "through": last,
        "cursors": {name: cursor.to_text() for name, cursor in contents.cursors.items()},
        "missing": missing if is_certain else None,
        "frames": 0,
        "class": _DEAD_LETTERS,
        "after": 0,
    }
    contents.totals = no_totals()
    contents.applied_seq = last
    contents.unapplied_marks = set(contents.marks)
    contents.unsaved_epochs = list(contents.epochs)
    contents.boots.forget_saved()
    contents.dead_letters = 0
    contents.insertions += 1
    for cursor in contents.cursors.values():
        # Until they are brought over they are not there.
        cursor.begin_anew(last, newest_seq)
    await contents.snapshot(
        database,
        also=[(_SAVE, [(json.dumps(progress),)])],
    )


@dataclass(slots=True)
class Salvage:
    """Brings frames over, in the writer's task, portion by portion; it survives restarts."""

    database: Database
    contents: Contents
    metrics: Metrics
    _damaged: DamagedStore | None = None
    _progress: dict[str, Any] = field(default_factory=dict)

    async def begin(self) -> bool:
        """Find out whether there is something to bring over.

        Raises:
            StoreError: that cannot be read.
        """
        await self.close()
        rows = await self.database.read("SELECT v FROM meta WHERE k = 'salvage'")
        self._progress = json.loads(rows[0][0]) if rows else {}
        return bool(rows)

    async def close(self) -> None:
        """Close the damaged store; what was brought over stays."""
        damaged, self._damaged = self._damaged, None
        if damaged is not None:
            await damaged.close()

    async def bring_some(self) -> bool:
        """Bring one portion over; False when there is nothing more.

        Raises:
            StoreError: it could not be written.
        """
        if not self._progress:
            return False
        if self._damaged is None:
            damaged = DamagedStore(self.database.path.with_name(str(self._progress["file"])))
            if not damaged.path.exists():
                await self._finish(f"{damaged.path} is gone")
                return False
            self._damaged = damaged
            await damaged.open()
        if self._progress["class"] == _DEAD_LETTERS:
            await self._take_dead_letters(self._damaged)
            return True
        frame_class = FrameClass(self._progress["class"])
        packs, after = await self._damaged.next_packs(
            frame_class, self._progress["after"], self._progress["through"] + 1
        )
        await self._take(packs, frame_class, after)
        if self._progress["class"] == _NOTHING_MORE:
            await self._finish("")
            return False
        return True

    async def _take_dead_letters(self, damaged: DamagedStore) -> None:
        rows = await damaged.rows("SELECT * FROM dead_letter") or []
        progress = {**self._progress, "class": CLASSES[0].value}
        await self.contents.snapshot(
            self.database,
            also=[
                ("REPLACE INTO dead_letter VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows),
                (_SAVE, [(json.dumps(progress),)]),
            ],
        )
        self.contents.dead_letters += len(rows)
        self._progress = progress

    async def _take(self, packs: list[ReadPack], frame_class: FrameClass, after: int) -> None:
        """Put packs where they were; cursors get back what they had not acknowledged."""
        contents, totals = self.contents, dict(self.contents.totals)
        progress = {**self._progress, "after": after}
        if after > self._progress["through"]:
            following = [*CLASSES, None][CLASSES.index(frame_class) + 1]
            progress |= {"after": 0, "class": following.value if following else _NOTHING_MORE}
        rows = []
        for pack in packs:
            head = pack.head
            crc = checksum(head, pack.body)
            row = head.seq, head.frames, head.boot, head.boottime_us, crc, None, pack.body
            rows.append(row)
            size_bytes = pack_size_bytes(pack.bodies)
            totals[frame_class] = totals[frame_class].plus(head.frames, size_bytes)
        before, contents.totals = contents.totals, totals
        progress["frames"] = self._progress["frames"] + sum(pack.head.frames for pack in packs)
        restored = [
            (cursor, first, last)
            for name, cursor in contents.cursors.items()
            for first, last in self._missing(name, packs)
        ]
        progress["missing"] = self._still_missing(packs)
        for cursor, first, last in restored:
            cursor.restored(first, last)
        try:
            await contents.snapshot(
                self.database,
                also=[(insert_pack(frame_class), rows), (_SAVE, [(json.dumps(progress),)])],
            )
        except BaseException:
            contents.totals = before
            for cursor, first, last in restored:
                cursor.acknowledge(first, last)
            raise
        self._progress = progress
        contents.insertions += 1
        self.metrics.outbox_salvaged_frames.inc(sum(pack.head.frames for pack in packs))

    def _missing(self, upstream: str, packs: list[ReadPack]) -> Iterator[tuple[int, int]]:
        """What of these packs an upstream had not acknowledged."""
        try:
            acknowledged = SeqRanges.from_text(self._progress["cursors"].get(upstream, ""))
        except ValueError:
            acknowledged = SeqRanges()
        for pack in packs:
            yield from acknowledged.gaps(pack.head.seq, pack.head.last_seq)

    def _still_missing(self, packs: list[ReadPack]) -> dict[str, int] | None:
        """By upstream, how many of the frames that it had not acknowledged are not back yet."""
        missing: dict[str, int] | None = self._progress["missing"]
        if missing is None:
            return None
        return {
            name: count
            - (
                sum(last - first + 1 for first, last in self._missing(name, packs))
                if name
                else sum(pack.head.frames for pack in packs)
            )
            for name, count in missing.items()
        }

    async def _finish(self, fault: str) -> None:
        """Say what became of it, and count what could not be read."""
        progress, self._progress = self._progress, {}
        await self.close()
        through, frames, missing = progress["through"], progress["frames"], progress["missing"]
        if missing is None:  # then nobody knows how many there were
            missing = {"": int(frames < through)}
        lost = max(0, *missing.values(), 0)
        async with self.database.transaction():
            await self.database.write("DELETE FROM meta WHERE k = ?", [("salvage",)])
            await self.database.write(
                "REPLACE INTO hole VALUES (?, ?, ?)", [(1, through, "corrupt")] if through else []
            )
        self.metrics.frames_dropped.labels(DropReason.CORRUPT.value).inc(lost)
        logger.warning(
            "salvaged %d frames from %s; frames that are lost: %s%s",
            frames,
            progress["file"],
            "not known" if progress["missing"] is None else lost,
            f" ({fault})" if fault else "",
        )
