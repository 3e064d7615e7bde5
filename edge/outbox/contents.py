"""What the store holds, as far as it is known without reading frames, and how that is kept on disk.

A commit writes one row: a pack with its delta. The tables of marks and cursors, and the totals in
``meta``, are a *snapshot* as of ``applied_seq``; deltas of later packs come on top when it is
loaded (:mod:`edge.outbox.loading`). Removing packs takes a new snapshot in the same transaction, so
no delta is lost with them, and nothing ever has to be counted.
"""

import json
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from edge.outbox.boots import Boot, Boots
from edge.outbox.cursor import Cursor
from edge.outbox.database import Database, Row
from edge.outbox.group import Group
from edge.outbox.pack import Delta, PackHead, encode_delta
from edge.outbox.schema import CLASSES
from edge.outbox.totals import StoredPack, Totals, pack_size_bytes
from protocol.records.sensor_frame import FrameClass, FrameId

_SNAPSHOT_ROWS = 1024
_SNAPSHOT_BYTES = 2_000_000
"""So much at most is read again, and its checksums verified, when the store is opened."""


@dataclass(frozen=True, slots=True)
class Epoch:
    """Frames from ``first_seq`` to the next epoch's have this gateway and epoch as identity."""

    first_seq: int
    gateway: bytes
    epoch: bytes


@dataclass(slots=True)
class Contents:
    """The state that is committed; it changes only after a transaction has.

    Attributes:
        last_seq: newest number ever given to a committed frame.
        exposed_frames: frames in memory only that cursors know of: the store fails, and they are
            forwarded all the same.
        exposed_through: the newest number that such a frame was ever given.
        dead_letters: how many there are.
        clean: whether the store had been closed as it should be when it was opened.
        insertions: how often frames were put in below the newest number.
        removals: how often frames were removed.
        released: by upstreams that are no longer configured, how many frames were kept for them.
    """

    last_seq: int
    applied_seq: int
    epochs: list[Epoch]
    boots: Boots
    marks: dict[str, bytes]
    cursors: dict[str, Cursor]
    totals: dict[FrameClass, Totals]
    dead_letters: int = 0
    clean: bool = True
    insertions: int = 0
    removals: int = 0
    released: dict[str, int] = field(default_factory=dict)
    exposed_frames: int = 0
    exposed_through: int = 0
    unsaved_epochs: list[Epoch] = field(default_factory=list)
    unapplied_marks: set[str] = field(default_factory=set)
    unapplied_rows: int = 0
    unapplied_bytes: int = 0
    saved_changes: dict[str, int] = field(default_factory=dict)

    def frame_id(self, seq: int) -> FrameId:
        """Identity of a frame."""
        present = self.epochs[-1]
        if seq >= present.first_seq:
            return FrameId(present.gateway, present.epoch, seq)
        epoch = self.epochs[bisect_right(self.epochs, seq, key=lambda epoch: epoch.first_seq) - 1]
        return FrameId(epoch.gateway, epoch.epoch, seq)

    @property
    def frames(self) -> int:
        """How many frames are kept."""
        return sum(totals.frames for totals in self.totals.values())

    def cursors_changed(self) -> bool:
        """Whether something acknowledged is not on the disk yet."""
        return any(c.changes != self.saved_changes.get(n, 0) for n, c in self.cursors.items())

    def snapshot_is_due(self) -> bool:
        """Whether so much came after the snapshot that loading it all would take long."""
        return self.unapplied_rows >= _SNAPSHOT_ROWS or self.unapplied_bytes >= _SNAPSHOT_BYTES

    async def save(self, database: Database, group: Group, now_us: int) -> None:
        """Commit a group, with everything else that is not on the disk yet.

        Raises:
            StoreError: not committed; see :meth:`Database.transaction`.
        """
        changed = {
            name: cursor.changes
            for name, cursor in self.cursors.items()
            if cursor.changes != self.saved_changes.get(name, 0)
        }
        delta = encode_delta(Delta(group.marks, self._cursor_states(changed)))
        boot = self.boots.current
        rows = [
            (pack.frame_class, pack.row(boot, now_us, None if index else delta))
            for index, pack in enumerate(group.packs)
        ]
        boots = self.boots.unsaved()
        epochs = list(self.unsaved_epochs)
        if len(rows) == 1 and not boots and not epochs and not group.exposed and not group.holes:
            [(table, row)] = rows
            await database.commit(insert_pack(table), row)
        else:
            async with database.transaction():
                await _write_boots(database, boots)
                await database.write("REPLACE INTO epoch VALUES (?, ?, ?)", map(_epoch_row, epochs))
                if group.exposed:
                    # The epoch outlives this process from now on, unlike frames with its numbers.
                    await database.write("REPLACE INTO meta VALUES ('exposed', ?)", [(1,)])
                await self._write_holes(database, group)
                for table, row in rows:
                    await database.write(insert_pack(table), [row])
        self._saved(group, len(delta or b""), boots, epochs, changed)
        if not rows:  # all of them were evicted from memory, and the marks stay
            await self.snapshot(database)

    async def save_cursors(self, database: Database) -> None:
        """Commit what was acknowledged, without frames: one row, written over each time.

        Raises:
            StoreError: not committed.
        """
        boots = self.boots.unsaved()
        changed = {name: cursor.changes for name, cursor in self.cursors.items()}
        text = json.dumps({"seq": self.last_seq, "cursors": self._cursor_states(changed)})
        statement = "REPLACE INTO meta VALUES ('cursors', ?)"
        if not boots:
            await database.commit(statement, (text,))
        else:
            async with database.transaction():
                await _write_boots(database, boots)
                await database.write(statement, [(text,)])
        self.boots.saved(boots)
        self.saved_changes.update(changed)

    async def snapshot(
        self,
        database: Database,
        *,
        clean: bool = False,
        also: Sequence[tuple[str, Sequence[Row]]] = (),
    ) -> None:
        """Bring the tables up to date.

        Args:
            clean: the store is about to be closed.
            also: statements with their rows that go into the same transaction, before the rest.

        Raises:
            StoreError: not committed.
        """
        boots = self.boots.unsaved()
        changed = {name: cursor.changes for name, cursor in self.cursors.items()}
        epochs = list(self.unsaved_epochs)
        async with database.transaction():
            for statement, rows in also:
                await database.write(statement, rows)
            await _write_boots(database, boots)
            await database.write("REPLACE INTO epoch VALUES (?, ?, ?)", map(_epoch_row, epochs))
            await self._write_snapshot(database, self.totals, {}, clean=clean)
        self.unsaved_epochs = [epoch for epoch in self.unsaved_epochs if epoch not in epochs]
        self._snapshot_taken(boots, changed)

    async def remove(
        self, database: Database, frame_class: FrameClass, packs: Sequence[StoredPack]
    ) -> None:
        """Remove the oldest packs of a class.

        Raises:
            StoreError: not removed.
        """
        heads = [pack.head for pack in packs]
        after = {**self.totals, frame_class: self._totals_without(frame_class, packs)}
        lost = {
            name: sum(_gap_frames(cursor, head) for head in heads)
            for name, cursor in self.cursors.items()
        }
        boots = self.boots.unsaved()
        changed = {name: cursor.changes for name, cursor in self.cursors.items()}
        async with database.transaction():
            await database.write(f"DELETE FROM {frame_class} WHERE seq <= ?", [(heads[-1].seq,)])
            await _write_boots(database, boots)
            await self._write_snapshot(database, after, lost, clean=False)
        self._snapshot_taken(boots, changed)
        self.removed(frame_class, packs)

    def removed(self, frame_class: FrameClass, packs: Sequence[StoredPack]) -> None:
        """Packs have left the disk."""
        self.totals[frame_class] = self._totals_without(frame_class, packs)
        self.removals += 1
        for cursor in self.cursors.values():
            for pack in packs:
                cursor.removed(pack.head.seq, pack.head.last_seq)

    def _totals_without(self, frame_class: FrameClass, packs: Sequence[StoredPack]) -> Totals:
        totals = self.totals[frame_class].plus(
            -sum(pack.head.frames for pack in packs), -sum(pack.size_bytes for pack in packs)
        )
        through = max(totals.removed_through, packs[-1].head.last_seq)
        return replace(totals, removed_through=through)

    def undelivered(self, first: int, last: int) -> int:
        """Count frames of a pack that some upstream has not; without upstreams all of them."""
        cursors = self.cursors.values()
        if not cursors:
            return last - first + 1
        if not any(True for cursor in cursors for _ in cursor.has.gaps(first, last)):
            return 0
        return sum(
            any(seq not in cursor.has for cursor in cursors) for seq in range(first, last + 1)
        )

    async def _write_holes(self, database: Database, group: Group) -> None:
        """An attempt that failed at its very end may have written what was evicted since."""
        await database.write("REPLACE INTO hole VALUES (?, ?, 'evicted')", group.holes)
        for table in CLASSES:
            await database.write(f"DELETE FROM {table} WHERE seq BETWEEN ? AND ?", group.holes)

    def _cursor_states(self, names: Iterable[str]) -> dict[str, tuple[str, int]]:
        """Cursors as they go to the disk; frames that are not there yet are added when loading."""
        return {
            name: (self.cursors[name].to_text(), self.cursors[name].pending - self.exposed_frames)
            for name in names
        }

    def _saved(
        self,
        group: Group,
        delta_bytes: int,
        boots: list[Boot],
        epochs: list[Epoch],
        changed: Mapping[str, int],
    ) -> None:
        self.last_seq = group.last_seq
        self.marks.update(group.marks)
        self.unapplied_marks.update(group.marks)
        self.boots.saved(boots)
        self.unsaved_epochs = [epoch for epoch in self.unsaved_epochs if epoch not in epochs]
        self.saved_changes.update(changed)
        size_bytes = 0
        for index, pack in enumerate(group.packs):
            pack_bytes = pack_size_bytes(pack.bodies) + (0 if index else delta_bytes)
            size_bytes += pack_bytes
            totals = self.totals[pack.frame_class]
            self.totals[pack.frame_class] = totals.plus(len(pack.bodies), pack_bytes)
        self.unapplied_rows += len(group.packs)
        self.unapplied_bytes += size_bytes
        if not group.exposed:
            for cursor in self.cursors.values():
                cursor.appended(group.frames)
        else:
            self.exposed_frames -= group.frames

    async def _write_snapshot(
        self,
        database: Database,
        totals: Mapping[FrameClass, Totals],
        lost: Mapping[str, int],
        *,
        clean: bool,
    ) -> None:
        marks = [(key, self.marks[key]) for key in self.unapplied_marks]
        states = self._cursor_states(self.cursors)
        cursors = [
            (name, text, pending - lost.get(name, 0)) for name, (text, pending) in states.items()
        ]
        state = {
            "applied": self.last_seq,
            "clean": clean,
            "classes": {c.value: [t.frames, t.bytes, t.removed_through] for c, t in totals.items()},
        }
        await database.write("REPLACE INTO mark VALUES (?, ?)", marks)
        await database.write("REPLACE INTO cursor VALUES (?, ?, ?)", cursors)
        await database.write("REPLACE INTO meta VALUES ('state', ?)", [(json.dumps(state),)])
        await database.write("DELETE FROM meta WHERE k = ?", [("cursors",)])
        if self.last_seq >= self.exposed_through:
            await database.write("DELETE FROM meta WHERE k = ?", [("exposed",)])

    def _snapshot_taken(self, boots: list[Boot], changed: Mapping[str, int]) -> None:
        self.applied_seq = self.last_seq
        self.boots.saved(boots)
        self.saved_changes.update(changed)
        self.unapplied_marks.clear()
        self.unapplied_rows = self.unapplied_bytes = 0


def _gap_frames(cursor: Cursor, head: PackHead) -> int:
    gaps = cursor.acknowledged.gaps(head.seq, head.last_seq)
    return sum(end - begin + 1 for begin, end in gaps)


def insert_pack(table: str) -> str:
    """Statement that stores a pack: its head, checksum, delta and body."""
    return f"REPLACE INTO {table} VALUES (?, ?, ?, ?, ?, ?, ?)"


async def _write_boots(database: Database, boots: Sequence[Boot]) -> None:
    for boot in boots:
        row = boot.number, boot.boot_id, boot.last_boottime_us
        anchors = [
            (boot.number, a.boottime_us, a.offset_us, a.uncertainty_us, a.held)
            for a in boot.anchors
        ]
        await database.write("REPLACE INTO boot VALUES (?, ?, ?)", [row])
        await database.write("DELETE FROM anchor WHERE boot = ?", [(boot.number,)])
        await database.write("INSERT INTO anchor VALUES (?, ?, ?, ?, ?)", anchors)


def _epoch_row(epoch: Epoch) -> Row:
    return epoch.first_seq, epoch.gateway, epoch.epoch
