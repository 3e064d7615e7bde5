"""What the store holds, as far as it is known without reading frames, and how that is kept on disk.

Sequence numbers are given without gaps and frames are only removed oldest first, so two numbers
tell which frames there are, and nothing ever has to be counted.
"""

import logging
import secrets
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field

from edge.outbox.admission import Admission
from edge.outbox.boots import Boot, Boots
from edge.outbox.cursor import Cursor
from edge.outbox.database import Database, Row
from edge.outbox.ranges import SeqRanges
from protocol.records.sensor_frame import FrameClass, FrameId
from protocol.records.sensor_frame_codec import encode_content

logger = logging.getLogger(__name__)

_CLASS_NUMBERS = {FrameClass.ALARM: 0, FrameClass.TELEMETRY: 1, FrameClass.BULK: 2}


@dataclass(frozen=True, slots=True)
class Epoch:
    """Frames from ``first_seq`` to the next epoch's have this gateway and epoch as identity."""

    first_seq: int
    gateway: bytes
    epoch: bytes


@dataclass(frozen=True, slots=True)
class Group:
    """What goes into one transaction. Writing it twice is the same as writing it once."""

    first_seq: int
    admissions: Sequence[tuple[Admission, bytes]]

    @property
    def last_seq(self) -> int:
        """Number of the last frame."""
        return self.first_seq + len(self.admissions) - 1

    def frame_rows(self, boots: Boots) -> list[Row]:
        """Rows of the table of frames."""
        return [
            (
                seq,
                boots.boot(admission.content.boot_id).number,
                admission.content.received_boottime_us,
                _CLASS_NUMBERS[admission.content.frame_class],
                body,
            )
            for seq, (admission, body) in enumerate(self.admissions, start=self.first_seq)
        ]

    def marks(self) -> dict[str, bytes]:
        """Marks after this group; of equal keys the last one counts."""
        return {
            key: value for admission, _ in self.admissions for key, value in admission.marks.items()
        }


@dataclass(slots=True)
class Contents:
    """The state that is committed; it changes only after a transaction has.

    ``first_seq`` is ``last_seq + 1`` while there are no frames.
    """

    first_seq: int
    last_seq: int
    epochs: list[Epoch]
    boots: Boots
    marks: dict[str, bytes]
    cursors: dict[str, Cursor]
    saved_cursors: dict[str, str] = field(default_factory=dict)

    def frame_id(self, seq: int) -> FrameId:
        """Identity of a frame."""
        epoch = self.epochs[bisect_right(self.epochs, seq, key=lambda epoch: epoch.first_seq) - 1]
        return FrameId(epoch.gateway, epoch.epoch, seq)

    def unsaved(self) -> bool:
        """Whether a transaction without frames has something to write."""
        return bool(self.boots.unsaved() or self._unsaved_cursors())

    async def save(self, database: Database, group: Group | None) -> None:
        """Commit a group, together with everything else that is not on disk yet.

        Raises:
            StoreError: not committed; see :meth:`Database.transaction`.
        """
        frames = [] if group is None else group.frame_rows(self.boots)
        marks = {} if group is None else group.marks()
        boots = self.boots.unsaved()
        cursors = self._unsaved_cursors()
        async with database.transaction():
            if boots:
                await database.write("REPLACE INTO boot VALUES (?, ?, ?, ?)", map(_boot_row, boots))
            if frames:
                await database.write("REPLACE INTO frame VALUES (?, ?, ?, ?, ?)", frames)
            if marks:
                await database.write("REPLACE INTO mark VALUES (?, ?)", marks.items())
            if cursors:
                await database.write("REPLACE INTO cursor VALUES (?, ?)", cursors.items())
        if group is not None:
            self.last_seq = group.last_seq
        self.marks.update(marks)
        self.boots.saved(boots)
        self.saved_cursors.update(cursors)

    async def remove_through(self, database: Database, seq: int) -> None:
        """Remove the oldest frames, up to this one.

        Raises:
            StoreError: not removed.
        """
        async with database.transaction():
            await database.write("DELETE FROM frame WHERE seq <= ?", [(seq,)])
            await database.write("REPLACE INTO meta VALUES ('last_seq', ?)", [(self.last_seq,)])
        self.first_seq = seq + 1
        for cursor in self.cursors.values():
            cursor.acknowledged.add(1, seq)

    def _unsaved_cursors(self) -> dict[str, str]:
        texts = {name: cursor.to_text() for name, cursor in self.cursors.items()}
        return {name: text for name, text in texts.items() if self.saved_cursors.get(name) != text}


async def load(
    database: Database,
    *,
    gateway: bytes,
    boot_id: bytes,
    upstreams: Sequence[str] | None,
    new_epoch: bool = False,
) -> Contents:
    """Read the state, and make it fit the present gateway and upstreams.

    Raises:
        StoreError: it cannot be read or written.
    """
    [(first, last)] = await database.read(
        # Two queries in one: asked for both ends at once, SQLite reads the whole table.
        "SELECT (SELECT min(seq) FROM frame), (SELECT max(seq) FROM frame)"
    )
    [(last_seq,)] = await database.read(
        "SELECT max(coalesce(max(v), 0), ?) FROM meta WHERE k = 'last_seq'", last or 0
    )
    epochs = [Epoch(*row) for row in await database.read("SELECT * FROM epoch ORDER BY first_seq")]
    boots = [Boot(*row) for row in await database.read("SELECT * FROM boot")]
    marks = {str(k): bytes(v) for k, v in await database.read("SELECT k, v FROM mark")}
    stored = {str(k): str(v) for k, v in await database.read("SELECT * FROM cursor")}
    contents = Contents(
        first_seq=last_seq + 1 if first is None else first,
        last_seq=last_seq,
        epochs=await _present_epochs(database, epochs, gateway, last_seq + 1, new_epoch=new_epoch),
        boots=Boots(boots, boot_id),
        marks=marks,
        cursors={},
        saved_cursors=stored,
    )
    await _attach(database, contents, list(stored) if upstreams is None else upstreams)
    return contents


async def _present_epochs(
    database: Database, epochs: list[Epoch], gateway: bytes, next_seq: int, *, new_epoch: bool
) -> list[Epoch]:
    """Begin an epoch if asked to, or if the store is fresh or another's; numbers just go on."""
    if epochs and epochs[-1].gateway == gateway and not new_epoch:
        return epochs
    if epochs:
        logger.warning(
            "the store was written by gateway %s, this is %s: a new epoch begins at frame %d",
            epochs[-1].gateway.hex(),
            gateway.hex(),
            next_seq,
        )
    present = Epoch(next_seq, gateway, secrets.token_bytes(8))
    async with database.transaction():
        # An epoch without frames gives way.
        await database.write(
            "REPLACE INTO epoch VALUES (?, ?, ?)", [(next_seq, present.gateway, present.epoch)]
        )
    return [epoch for epoch in epochs if epoch.first_seq < next_seq] + [present]


async def _attach(database: Database, contents: Contents, upstreams: Sequence[str]) -> None:
    """Make a cursor for each upstream; a new one begins with the oldest frame that is kept."""
    for name in upstreams:
        acknowledged = _read_ranges(name, contents.saved_cursors.get(name, ""))
        acknowledged.add(1, contents.first_seq - 1)
        contents.cursors[name] = Cursor(acknowledged, live_from=contents.last_seq + 1)
    if gone := contents.saved_cursors.keys() - contents.cursors.keys():
        logger.warning("no longer configured, and forgotten by the outbox: %s", ", ".join(gone))
        async with database.transaction():
            await database.write("DELETE FROM cursor WHERE upstream = ?", [(n,) for n in gone])
        for name in gone:
            del contents.saved_cursors[name]


def _read_ranges(upstream: str, text: str) -> SeqRanges:
    try:
        return SeqRanges.from_text(text)
    except ValueError:
        logger.error("the cursor of %s is damaged: everything is sent again", upstream)
        return SeqRanges()


def _boot_row(boot: Boot) -> Row:
    return boot.number, boot.boot_id, boot.offset_us, boot.uncertainty_us


def encode(admission: Admission) -> tuple[Admission, bytes]:
    """Encode on the caller's account, so that what cannot be stored never reaches the writer.

    Raises:
        ValueError: the reception time does not fit SQLite's 64 bits.
    """
    if abs(admission.content.received_boottime_us) >= 1 << 63:
        raise ValueError(f"not a time: {admission.content.received_boottime_us} us")
    return admission, encode_content(admission.content)
