"""A copy of the whole store, told piece by piece while the store goes on working.

First come the dead letters, then the packs in order of their numbers, a bounded portion in each
turn of the writer's task. The last portion and the state are taken in one turn, so they belong
together, and what changed before that turn does no harm. A frame that was appended meanwhile comes
with a later portion. One that was removed before its turn is missing, and the state says that it
was removed; one that was removed after its turn is there once more than needed. Only what was put
in below the place reached would be missed: then everything is told once more.

What comes out are objects for JSON, bytes in base64; :mod:`edge.outbox.backup_file` makes a store
of them again.
"""

from base64 import b64encode
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from functools import partial

from edge.outbox.checking import next_packs
from edge.outbox.contents import Contents
from edge.outbox.cursor import Cursor
from edge.outbox.database import Database
from edge.outbox.dead_letters import DeadLetter, dead_letters
from edge.outbox.errors import StoreCorrupt, StoreError
from edge.outbox.loading import read_boots
from edge.outbox.pack import checksum
from edge.outbox.packs import ReadPack
from edge.outbox.ranges import SeqRanges
from edge.outbox.row_shapes import checked
from edge.outbox.verification import StoreAccess
from protocol.records.sensor_frame import SEQ_MAX

TURN_PACKS = 256
TURN_BYTES = 500_000
"""Read in one go, and a line of the answer: meanwhile nothing is committed."""

_ATTEMPTS = 5
_LETTERS_AT_ONCE = 16
_ROWS_IN_A_LINE = 500

Answer = dict[str, object]


@dataclass(frozen=True, slots=True)
class _Turn:
    """What one turn of the writer's task brought.

    Attributes:
        position: from where the next one reads.
        is_last: there are no more packs.
        state: lines with everything else; none if it is not the last, or it was in vain.
    """

    packs: Sequence[ReadPack]
    position: int
    is_last: bool
    state: Sequence[Answer]


async def backup(store: StoreAccess, *, turn_packs: int = TURN_PACKS) -> AsyncIterator[Answer]:
    """Tell everything that the store holds.

    Args:
        turn_packs: at most so many at once.

    Raises:
        StoreCorrupt: a pack is damaged.
        StoreError: it cannot be read, or holds only a part yet: frames are being salvaged.
    """
    for _ in range(_ATTEMPTS):
        insertions = await store.with_store(_insertions)
        yield {"begin": True}
        letters: dict[int, tuple[str, int]] = {}
        while page := await store.with_store(partial(_letters, after=max(letters, default=0))):
            letters |= {letter.number: (letter.upstream, letter.seq) for letter in page}
            yield {"dead_letters": [_letter_row(letter) for letter in page]}
        turn = _Turn([], 1, is_last=False, state=[])
        while not turn.is_last:
            take = partial(
                _take_turn,
                position=turn.position,
                turn_packs=turn_packs,
                insertions=insertions,
                letters=letters,
            )
            turn = await store.with_store(take)
            if turn.packs:
                yield {"packs": [_pack_row(pack) for pack in turn.packs]}
        for answer in turn.state:
            yield answer
        if turn.state:
            return
    raise StoreError("frames are put back into the store again and again: try again later")


async def _letters(database: Database, _contents: Contents, after: int) -> list[DeadLetter]:
    return await dead_letters(database, after, _LETTERS_AT_ONCE)


async def _insertions(database: Database, contents: Contents) -> int:
    if await database.read("SELECT k FROM meta WHERE k = 'salvage'"):
        raise StoreError(
            "frames are still being salvaged from a damaged store: try again when the journal says"
            " how many were"
        )
    return contents.insertions


async def _take_turn(
    database: Database,
    contents: Contents,
    *,
    position: int,
    turn_packs: int,
    insertions: int,
    letters: Mapping[int, tuple[str, int]],
) -> _Turn:
    packs, is_last = await next_packs(database, position, turn_packs, TURN_BYTES)
    for pack in packs:
        if pack.damage:
            raise StoreCorrupt(f"{database.path}: pack {pack.head.seq}: {pack.damage}")
    state: list[Answer] = []
    if is_last and await _insertions(database, contents) == insertions:
        state = [answer async for answer in _state(database, contents, letters)]
    return _Turn(packs, packs[-1].head.seq + 1 if packs else position, is_last, state)


async def _state(
    database: Database, contents: Contents, told: Mapping[int, tuple[str, int]]
) -> AsyncIterator[Answer]:
    """Everything but the packs, as of now, and without what is not committed.

    Args:
        told: dead letters that have been told already; their numbers may be given again.
    """
    rows = await database.read("SELECT id, upstream, seq FROM dead_letter ORDER BY id")
    for number, upstream, seq in rows:
        if told.get(number) != (upstream, seq):
            for letter in await dead_letters(database, number - 1, 1):
                yield {"dead_letters": [_letter_row(letter)]}
    boots = [
        [b.number, b.boot_id.hex(), b.last_boottime_us, [astuple(anchor) for anchor in b.anchors]]
        for b in await read_boots(database.read, checked)
    ]
    holes = [list(row) for row in await database.read("SELECT * FROM hole")]
    marks = [[key, _text(value)] for key, value in contents.marks.items()]
    for name, values in (("boots", boots), ("holes", holes), ("marks", marks)):
        for begin in range(0, len(values), _ROWS_IN_A_LINE):
            yield {name: values[begin : begin + _ROWS_IN_A_LINE]}
    yield {
        "state": {
            "last_seq": contents.last_seq,
            "removed_through": {c.value: t.removed_through for c, t in contents.totals.items()},
            "epochs": [
                [epoch.first_seq, epoch.gateway.hex(), epoch.epoch.hex()]
                for epoch in contents.epochs
                if epoch not in contents.unsaved_epochs
            ],
            "cursors": {
                name: _acknowledged(cursor, contents.last_seq)
                for name, cursor in contents.cursors.items()
            },
            "dead_letters": [number for number, _, _ in rows],
        }
    }


def _acknowledged(cursor: Cursor, last_seq: int) -> str:
    """What an upstream has, without frames that are in memory only."""
    ranges = SeqRanges.from_text(cursor.to_text())
    ranges.discard(last_seq + 1, SEQ_MAX)
    return ranges.to_text(len(ranges))


def _pack_row(pack: ReadPack) -> list[object]:
    head = pack.head
    delta = None if pack.delta_bytes is None else _text(pack.delta_bytes)
    place = [pack.frame_class.value, head.seq, head.frames, head.boot, head.boottime_us]
    return [*place, checksum(head, pack.body), delta, _text(pack.body)]


def _letter_row(letter: DeadLetter) -> list[object]:
    place = [letter.number, letter.upstream, letter.seq, letter.frame_class.value]
    return [*place, letter.boot, letter.boottime_us, letter.reason, _text(letter.body)]


def _text(data: bytes) -> str:
    return b64encode(data).decode()
