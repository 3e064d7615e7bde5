"""Reads what the store holds when it is opened: the snapshot, and the deltas that came after it."""

import json
import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from edge.outbox.admission import UpstreamLimits
from edge.outbox.anchors import Anchor
from edge.outbox.boots import Boot, Boots
from edge.outbox.contents import Contents, Epoch
from edge.outbox.cursor import MAX_RANGES, Cursor
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt, StoreError, StoreFull, StoreReadOnly
from edge.outbox.pack import PackError
from edge.outbox.packs import count_frames, sound_packs
from edge.outbox.ranges import SeqRanges
from edge.outbox.row_shapes import ANCHOR, BOOT, CURSOR, EPOCH, MARK, Shape, checked
from edge.outbox.schema import CLASSES
from edge.outbox.totals import ROW_BYTES, Totals, no_totals
from protocol.records.sensor_frame import SEQ_MAX, FrameClass

logger = logging.getLogger(__name__)

_ROWS_AT_ONCE = 64

CursorState = tuple[str, int | None]
"""What an upstream has acknowledged, as text, and how many frames are pending, if that is known."""


@dataclass(slots=True)
class Loaded:
    """What the disk holds, before it is made to fit the present gateway and upstreams.

    Attributes:
        clean: the store was closed as it should be.
        restored: the store was put in place by ``frames restore``.
        exposed: the process died while the store failed, or soon after: it may have given numbers
            of this epoch to frames that it could not commit.
    """

    last_seq: int
    applied_seq: int
    epochs: list[Epoch]
    boots: list[Boot]
    marks: dict[str, bytes]
    cursors: dict[str, CursorState]
    totals: dict[FrameClass, Totals]
    dead_letters: int
    clean: bool
    restored: bool
    exposed: bool


async def read_store(database: Database) -> Loaded:
    """Read the state, and verify the packs that came after the last snapshot.

    Raises:
        StoreError: it cannot be read, or is damaged.
    """
    meta = dict(await database.read("SELECT k, v FROM meta"))
    epochs = await database.read("SELECT * FROM epoch ORDER BY first_seq")
    marks = await database.read("SELECT k, v FROM mark")
    cursors = await database.read("SELECT upstream, acknowledged, pending FROM cursor")
    state = _parse(meta.get("state"))
    loaded = Loaded(
        last_seq=0,
        applied_seq=0,
        epochs=[Epoch(*row) for row in checked(epochs, EPOCH)],
        boots=await read_boots(database.read, checked),
        marks=dict(checked(marks, MARK)),
        cursors={name: (text, pending) for name, text, pending in checked(cursors, CURSOR)},
        totals=no_totals(),
        dead_letters=(await database.read("SELECT count(*) FROM dead_letter"))[0][0],
        clean=bool(state.get("clean", True)),
        restored=bool(meta.get("restored")),
        exposed=bool(meta.get("exposed")),
    )
    if state:
        loaded.applied_seq = loaded.last_seq = int(state["applied"])
        loaded.totals = {FrameClass(c): Totals(*t) for c, t in state["classes"].items()}
        await _apply_deltas(database, loaded, _parse(meta.get("cursors")))
    else:
        await _count(database, loaded, int(meta.get("last_seq") or 0))
    return loaded


async def attach(
    database: Database,
    loaded: Loaded,
    *,
    gateway: bytes,
    boot_id: bytes,
    upstreams: Mapping[str, UpstreamLimits] | None,
    new_epoch: bool,
) -> Contents:
    """Make what was read fit the present gateway and upstreams.

    Raises:
        StoreError: it cannot be read or written.
    """
    contents = Contents(
        last_seq=loaded.last_seq,
        applied_seq=loaded.applied_seq,
        epochs=loaded.epochs,
        boots=Boots(loaded.boots, boot_id),
        marks=loaded.marks,
        cursors={},
        totals=loaded.totals,
        dead_letters=loaded.dead_letters,
        clean=loaded.clean,
        unapplied_marks=set(loaded.marks),
    )
    new_epoch |= loaded.restored or loaded.exposed
    _begin_epoch(contents, gateway, new_epoch=new_epoch)
    names = list(loaded.cursors) if upstreams is None else upstreams
    for name in names:
        limits = UpstreamLimits() if upstreams is None else upstreams[name]
        contents.cursors[name] = await _cursor(database, loaded, name, limits)
    if upstreams is not None:
        await _forget(database, contents, loaded, names)
    return contents


async def save_attached(database: Database, contents: Contents) -> None:
    """Write what :func:`attach` has changed. If that is not possible it is written later.

    Raises:
        StoreCorrupt: the store is damaged.
    """
    contents.saved_changes = dict.fromkeys(contents.cursors, -1)
    try:
        await contents.snapshot(
            database, also=[("DELETE FROM meta WHERE k = ?", [("restored",), ("last_seq",)])]
        )
    except StoreCorrupt:
        raise
    except StoreError as error:
        # It can be read, and forwarding is what relieves a full store.
        logger.error("the store cannot be written: %s", error)


def _begin_epoch(contents: Contents, gateway: bytes, *, new_epoch: bool) -> None:
    """Begin an epoch if asked to, or if the store is fresh or another's; numbers just go on."""
    epochs, next_seq = contents.epochs, contents.last_seq + 1
    if epochs and epochs[-1].gateway == gateway and not new_epoch:
        return
    if epochs and epochs[-1].gateway != gateway:
        logger.warning(
            "the store was written by gateway %s, this is %s: a new epoch begins at frame %d",
            epochs[-1].gateway.hex(),
            gateway.hex(),
            next_seq,
        )
    elif epochs:
        logger.warning("a new epoch begins at frame %d", next_seq)
    begin_epoch(contents, gateway, next_seq)


def begin_epoch(contents: Contents, gateway: bytes, first_seq: int) -> None:
    """Frames from a number on get another identity; it is on the disk with the next commit."""
    present = Epoch(first_seq, gateway, secrets.token_bytes(8))
    contents.epochs = [epoch for epoch in contents.epochs if epoch.first_seq < first_seq]
    contents.epochs.append(present)
    contents.unsaved_epochs = [e for e in contents.unsaved_epochs if e.first_seq < first_seq]
    contents.unsaved_epochs.append(present)


async def _cursor(database: Database, loaded: Loaded, name: str, limits: UpstreamLimits) -> Cursor:
    """The cursor of an upstream; a new one begins where its configuration says."""
    text, pending = loaded.cursors.get(name, ("", None))
    acknowledged = SeqRanges()
    if name in loaded.cursors:
        try:
            acknowledged = SeqRanges.from_text(text)
        except ValueError:
            logger.error("the cursor of %s is damaged: everything is sent again", name)
            pending = None
        if any(last > loaded.last_seq for _, last in acknowledged):
            # Of frames that died in memory, but were forwarded: others get their numbers.
            acknowledged.discard(loaded.last_seq + 1, SEQ_MAX)
            pending = None
    else:
        acknowledged.add(1, _start(limits.start, loaded.last_seq))
    if pending is None or len(acknowledged) >= MAX_RANGES:
        gaps = list(acknowledged.gaps(1, loaded.last_seq))
        pending = sum([await count_frames(database, first, last) for first, last in gaps])
    return Cursor(acknowledged, live_from=loaded.last_seq + 1, pending=pending)


def _start(start: str | int, last_seq: int) -> int:
    """Up to which number a new upstream is not sent anything."""
    match start:
        case "now":
            return last_seq
        case int(seq):
            return min(seq - 1, last_seq)
        case _:
            return 0


async def _forget(
    database: Database, contents: Contents, loaded: Loaded, names: Sequence[str] | Mapping[str, Any]
) -> None:
    gone = loaded.cursors.keys() - set(names)
    if not gone:
        return
    for name in sorted(gone):
        cursor = await _cursor(database, loaded, name, UpstreamLimits())
        logger.warning(
            "no longer configured, and forgotten by the outbox: %s; %d frames are no longer kept"
            " for it",
            name,
            cursor.pending,
        )
        contents.released[name] = cursor.pending
    # A disk that cannot be written now: they are forgotten by the next start.
    with suppress(StoreFull, StoreReadOnly):
        async with database.transaction():
            await database.write("DELETE FROM cursor WHERE upstream = ?", [(n,) for n in gone])


async def read_boots(
    read: Callable[[str], Awaitable[list[tuple[Any, ...]]]],
    check: Callable[[list[tuple[Any, ...]], Shape], list[tuple[Any, ...]]],
) -> list[Boot]:
    """Boots with their anchors.

    Args:
        read: runs a query.
        check: :func:`checked`, or :func:`fitting` where some may be missing.
    """
    anchors: dict[int, list[Anchor]] = {}
    rows = await read("SELECT * FROM anchor ORDER BY boot, boottime_us")
    for boot, at_us, offset_us, uncertainty_us, held in check(rows, ANCHOR):
        anchor = Anchor(at_us, offset_us, uncertainty_us, bool(held))
        anchors.setdefault(boot, []).append(anchor)
    rows = await read("SELECT id, boot_id, last_boottime_us FROM boot")
    return [
        Boot(number, boot_id, last_boottime_us, tuple(anchors.get(number, ())))
        for number, boot_id, last_boottime_us in check(rows, BOOT)
    ]


async def _apply_deltas(
    database: Database, loaded: Loaded, without_frames: Mapping[str, Any]
) -> None:
    """Bring the state from the snapshot to the last commit.

    What was acknowledged since without frames being committed stands between two packs.
    """
    between = int(without_frames.get("seq", SEQ_MAX))
    while packs := await sound_packs(database, loaded.last_seq + 1, SEQ_MAX, _ROWS_AT_ONCE):
        for pack in packs:
            if between < pack.head.seq:
                _take_cursors(loaded, without_frames["cursors"])
                between = SEQ_MAX
            try:
                delta = pack.delta()
            except PackError as error:
                raise StoreCorrupt(f"{database.path}: pack {pack.head.seq}: {error}") from error
            loaded.marks.update(delta.marks)
            _take_cursors(loaded, delta.cursors)
            loaded.cursors = {
                name: (text, None if pending is None else pending + pack.head.frames)
                for name, (text, pending) in loaded.cursors.items()
            }
            totals = loaded.totals[pack.frame_class]
            loaded.totals[pack.frame_class] = totals.plus(pack.head.frames, pack.size_bytes)
            loaded.last_seq = pack.head.last_seq
    if between < SEQ_MAX:
        _take_cursors(loaded, without_frames["cursors"])


def _take_cursors(loaded: Loaded, cursors: Mapping[str, Sequence[Any]]) -> None:
    for name, (text, pending) in cursors.items():
        loaded.cursors[name] = text, pending


async def _count(database: Database, loaded: Loaded, last_seq: int) -> None:
    """Without a snapshot (a fresh store, or one of an older schema) everything is counted."""
    for frame_class in CLASSES:
        [(frames, size_bytes, last)] = await database.read(
            "SELECT coalesce(sum(n), 0), coalesce(sum(length(body) + ?), 0),"
            f" coalesce(max(seq + n - 1), 0) FROM {frame_class}",
            ROW_BYTES,
        )
        loaded.totals[frame_class] = Totals(frames, size_bytes)
        last_seq = max(last_seq, last)
    loaded.applied_seq = loaded.last_seq = last_seq


def _parse(text: object) -> dict[str, Any]:
    try:
        value = json.loads(str(text)) if text else {}
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}
