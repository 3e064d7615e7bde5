"""Looks whether the store holds what was written, pack by pack, while it goes on working.

A walk goes over all packs once, in order of their numbers, a bounded portion in each turn; between
two turns frames may be committed and removed. Of a pack the checksums tell whether it is as it was
written. Packs of all classes together have to follow each other without overlap, and a number that
is missing has to be explained: its frame was removed, or the table ``hole`` has it.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum

from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt
from edge.outbox.packs import COLUMNS, ReadPack, pack_of
from edge.outbox.ranges import SeqRanges
from edge.outbox.schema import CLASSES
from protocol.records.sensor_frame import FrameClass, SensorFrameError
from protocol.records.sensor_frame_codec import decode_content

_SIZES = (
    " UNION ALL ".join(
        f"SELECT seq, coalesce(length(body), 0) + coalesce(length(delta), 0) FROM {table}"
        " WHERE seq >= ?1"
        for table in CLASSES
    )
    + " ORDER BY seq LIMIT ?2"
)
# Unlike edge.outbox.packs, from where a pack begins: of a damaged one nobody knows where it ends.
_ROWS = (
    " UNION ALL ".join(
        f"SELECT '{table}' AS class, {COLUMNS} FROM {table} WHERE seq >= ?1" for table in CLASSES
    )
    + " ORDER BY seq LIMIT ?2"
)


class Fault(StrEnum):
    """What may be wrong."""

    DAMAGED = "damaged"
    HOLE = "hole"
    OVERLAP = "overlap"
    CONTENT = "content"
    STATE = "state"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        first / last: numbers of the frames it is about; 0 if it is about none in particular.
        text: what it is, for a person.
    """

    fault: Fault
    first: int
    last: int
    text: str


@dataclass(slots=True)
class Counted:
    """What was seen of one class."""

    packs: int = 0
    frames: int = 0
    bytes: int = 0


@dataclass(frozen=True, slots=True)
class Portion:
    """What one turn brought.

    Attributes:
        packs: those that were read, damaged ones included.
        is_last: there are no more.
    """

    packs: Sequence[ReadPack]
    findings: Sequence[Finding]
    is_last: bool


@dataclass(slots=True)
class Walk:
    """One walk over all packs; every turn runs in the task that owns the database.

    Attributes:
        contents: what the store says of itself.
        position: the number from which the next turn reads.
        has_state: whether ``contents`` could be read, and packs can be compared with it.
    """

    database: Database
    contents: Contents
    position: int = 1
    has_state: bool = True
    counted: dict[FrameClass, Counted] = field(
        default_factory=lambda: {frame_class: Counted() for frame_class in CLASSES}
    )
    first_seq: int = 0
    last_seq: int = 0
    _expected: int | None = 1
    _pending: dict[str, int] = field(default_factory=dict)
    _before: dict[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.position > 1:
            self._expected = None  # somewhere in the middle
        self._pending = dict.fromkeys(self.contents.cursors, 0)
        self._before = _changes(self.contents)

    async def turn(self, packs: int, size_bytes: int) -> Portion:
        """Look at the next packs: at most so many, and, beyond the first, at most so many bytes.

        Raises:
            StoreCorrupt: the way to them is damaged; see :meth:`skip`.
            StoreError: they cannot be read.
        """
        read, is_last = await next_packs(self.database, self.position, packs, size_bytes)
        findings: list[Finding] = []
        gaps: list[tuple[int, int]] = []
        for pack in read:
            findings += self._look_at(pack, gaps)
            self.position = pack.head.seq + 1
        if is_last and self._expected is not None:
            gaps.append((self._expected, self.contents.last_seq))
        if self.has_state:
            findings += await self._unexplained(gaps)
            if is_last:
                findings += self._state_faults()
        return Portion(read, findings, is_last)

    async def skip(self) -> Portion:
        """Go on behind rows that cannot be read.

        Raises:
            StoreError: nothing more can be read for another reason.
        """
        first, step = self.position, 1
        while step < 1 << 62:
            try:
                read, _ = await next_packs(self.database, first + step - 1, 1, 1)
            except StoreCorrupt:
                step *= 2
                continue
            after = read[0].head.seq if read else self.contents.last_seq + 1
            self.position, self._expected = max(first + step - 1, 1), None
            text = f"rows between numbers {first} and {after} cannot be read"
            break
        else:
            self.position, self._expected = 1 << 62, None
            text = f"from number {first} on nothing can be read"
        # What was not seen cannot be compared either.
        self.has_state = False
        return Portion([], [Finding(Fault.DAMAGED, first, first, text)], is_last=False)

    def _look_at(self, pack: ReadPack, gaps: list[tuple[int, int]]) -> Iterable[Finding]:
        head = pack.head
        if pack.damage:
            self._expected = None
            text = f"the pack of {pack.frame_class} at number {head.seq} is damaged: {pack.damage}"
            yield Finding(Fault.DAMAGED, head.seq, head.seq, text)
            return
        if self._expected is not None:
            if head.seq < self._expected:
                text = f"frames {head.seq} to {self._expected - 1} are there twice"
                yield Finding(Fault.OVERLAP, head.seq, self._expected - 1, text)
            elif head.seq > self._expected:
                gaps.append((self._expected, head.seq - 1))
        self._expected = max(self._expected or 0, head.last_seq + 1)
        self._count(pack)
        try:
            pack.delta()
        except (ValueError, TypeError, AttributeError) as error:
            text = f"the marks beside frame {head.seq} are damaged: {error}"
            yield Finding(Fault.DAMAGED, head.seq, head.last_seq, text)

    def _count(self, pack: ReadPack) -> None:
        head, counted = pack.head, self.counted[pack.frame_class]
        counted.packs += 1
        counted.frames += head.frames
        counted.bytes += pack.size_bytes
        self.first_seq = self.first_seq or head.seq
        self.last_seq = max(self.last_seq, head.last_seq)
        for name, cursor in self.contents.cursors.items():
            if name in self._pending:
                self._pending[name] += _frames(cursor.acknowledged.gaps(head.seq, head.last_seq))

    async def _unexplained(self, gaps: Sequence[tuple[int, int]]) -> list[Finding]:
        findings = []
        removed_through = max(t.removed_through for t in self.contents.totals.values())
        for first, last in gaps:
            if removed_through == 0 and first == 1:
                # Stores of before schema 2 do not tell what they have removed, only ever from the
                # oldest end. If frames of this one are missing there, the totals disagree.
                continue
            for begin, end in await unexplained(self.database, first, last, removed_through):
                text = f"frames {begin} to {end} are missing, and nothing explains it"
                findings.append(Finding(Fault.HOLE, begin, end, text))
        return findings

    def _state_faults(self) -> Iterable[Finding]:
        """What the store says of itself, against what was counted.

        Only what has not changed in the course of the walk can be compared.
        """
        contents, now = self.contents, _changes(self.contents)
        if self.last_seq > contents.last_seq:
            text = f"there are frames up to {self.last_seq}, the state ends at {contents.last_seq}"
            yield Finding(Fault.STATE, contents.last_seq + 1, self.last_seq, text)
        if contents.epochs and 0 < self.first_seq < contents.epochs[0].first_seq:
            text = f"frames before {contents.epochs[0].first_seq} belong to no epoch"
            yield Finding(Fault.STATE, self.first_seq, contents.epochs[0].first_seq - 1, text)
        if not self._is_unchanged(now):
            return
        for frame_class, totals in contents.totals.items():
            counted = self.counted[frame_class]
            if (counted.frames, counted.bytes) != (totals.frames, totals.bytes):
                text = (
                    f"the state counts {totals.frames} frames of {frame_class} in"
                    f" {totals.bytes} bytes, there are {counted.frames} in {counted.bytes}"
                )
                yield Finding(Fault.STATE, 0, 0, text)
        for name, pending in self._pending.items():
            if not contents.exposed_frames and self._is_unchanged(now, name):
                yield from self._cursor_faults(name, pending)

    def _cursor_faults(self, name: str, pending: int) -> Iterable[Finding]:
        cursor, last_seq = self.contents.cursors[name], self.contents.last_seq
        if cursor.pending != pending:
            text = f"the state counts {cursor.pending} frames pending for {name}, it is {pending}"
            yield Finding(Fault.STATE, 0, 0, text)
        beyond = max((last for _, last in cursor.acknowledged), default=0)
        if beyond > last_seq:
            text = f"{name} has acknowledged frames up to {beyond} that are not there"
            yield Finding(Fault.STATE, last_seq + 1, beyond, text)

    def _is_unchanged(self, now: Mapping[str, int], upstream: str = "") -> bool:
        keys = ("insertions", "removals", *([f"cursor {upstream}"] if upstream else []))
        return all(self._before.get(key) == now.get(key) for key in keys)


async def next_packs(
    database: Database, first: int, packs: int, size_bytes: int
) -> tuple[list[ReadPack], bool]:
    """Packs that begin at or behind a number, damaged ones included.

    Args:
        packs: at most so many.
        size_bytes: and, beyond the first, no more than fit into this.

    Returns:
        The packs, and whether there are no more.

    Raises:
        StoreError: they cannot be read.
    """
    sizes = await database.read(_SIZES, first, packs)
    count = total_bytes = 0
    for _, pack_bytes in sizes:
        total_bytes += pack_bytes
        if count and total_bytes > size_bytes:
            break
        count += 1
    rows = await database.read(_ROWS, first, count) if count else []
    return [pack_of(row) for row in rows], count == len(sizes) < packs


async def unexplained(
    database: Database, first: int, last: int, removed_through: int
) -> list[tuple[int, int]]:
    """Parts of a range of missing numbers that nothing in the store explains.

    Args:
        removed_through: frames of some class were removed up to there. Of which class a missing
            frame was, nobody can tell.

    Raises:
        StoreError: it cannot be read.
    """
    explained = SeqRanges()
    explained.add(1, removed_through)
    holes = "SELECT first_seq, last_seq FROM hole WHERE first_seq <= ? AND last_seq >= ?"
    if first <= last and removed_through < last:
        for hole in await database.read(holes, last, first):
            explained.add(*hole)
        # What is still being salvaged is not there yet.
        salvage = "SELECT json_extract(v, '$.through') FROM meta WHERE k = 'salvage'"
        for (through,) in await database.read(salvage):
            explained.add(1, through)
    return list(explained.gaps(first, last))


def content_faults(packs: Sequence[ReadPack]) -> list[Finding]:
    """Frames that are no frames, or stand in the table of another class.

    This takes long, and does not need the database: not for the writer's task.
    """
    findings = []
    for pack in packs:
        for seq, body in enumerate(pack.bodies, start=pack.head.seq):
            try:
                content = decode_content(body)
            except SensorFrameError as error:
                findings.append(Finding(Fault.CONTENT, seq, seq, f"frame {seq} is none: {error}"))
            else:
                if content.frame_class is not pack.frame_class:
                    text = f"frame {seq} of class {content.frame_class} is in {pack.frame_class}"
                    findings.append(Finding(Fault.CONTENT, seq, seq, text))
    return findings


def _changes(contents: Contents) -> dict[str, int]:
    """What changes when anything but an append happens."""
    changes = {f"cursor {name}": cursor.changes for name, cursor in contents.cursors.items()}
    return {**changes, "insertions": contents.insertions, "removals": contents.removals}


def _frames(ranges: Iterable[tuple[int, int]]) -> int:
    return sum(last - first + 1 for first, last in ranges)
