"""Which packs leave the store, and why. The oldest leave first, in small portions.

Small, because on a full disk a large delete fails where a small one still succeeds, and because
appends wait meanwhile. What every upstream has leaves first; then, if a bound demands it, the
oldest frames of the least important class.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from edge.outbox.admission import OutboxSettings
from edge.outbox.contents import Contents
from edge.outbox.database import PAGE_BYTES
from edge.outbox.disk import Room
from edge.outbox.packs import class_tables
from protocol.lora.events import DropReason
from protocol.records.sensor_frame import FrameClass

DELIVERED_PACKS = 256
EVICTED_PACKS = 32
DELIVERED_BYTES = 4_000_000
EVICTED_BYTES = 1_000_000
_WORTH_FRAMES = 100
"""Fewer frames that everybody has are not worth a transaction."""

RESERVED_PAGES = 256
"""1 MB kept free within the budget, for the largest groups."""

_LEAST_PAGES = 1024


@dataclass(frozen=True, slots=True)
class Removal:
    """Remove packs of a class that end at or before ``through_seq``, at most so many and so large.

    Without a reason everybody has them.
    """

    frame_class: FrameClass
    through_seq: int
    packs: int
    size_bytes: int
    reason: DropReason | None


def removals(
    contents: Contents,
    settings: OutboxSettings,
    *,
    oldest: Mapping[FrameClass, int],
    full: bool,
    expired: Mapping[FrameClass, int],
) -> Iterator[Removal]:
    """What may be removed next, the best first. It may turn out that there is nothing in one.

    Args:
        oldest: by class, the number of its oldest frame; classes without frames are not there.
        full: there is no more room, in the budget or on the disk.
        expired: by class, the newest of the oldest frames that are over the age.
    """
    keep = 0 if full else settings.keep_acknowledged
    through = min(delivered_through(contents), contents.last_seq - keep)
    worth = 0 if full else _WORTH_FRAMES
    for frame_class in class_tables():
        if frame_class in oldest and through >= oldest[frame_class] + worth:
            yield Removal(frame_class, through, DELIVERED_PACKS, DELIVERED_BYTES, None)
    for frame_class in class_tables():
        if frame_class not in oldest:
            continue
        bound = settings.limits(frame_class).max_bytes
        if full or (bound is not None and contents.totals[frame_class].bytes > bound):
            through, reason = contents.last_seq, DropReason.EVICTED_BYTES
        elif frame_class in expired:
            through, reason = expired[frame_class], DropReason.EVICTED_AGE
        else:
            continue
        yield Removal(frame_class, through, EVICTED_PACKS, EVICTED_BYTES, reason)


def is_full(used_pages: int, page_limit: int) -> bool:
    """Whether the next groups might find no room."""
    return used_pages > page_limit - RESERVED_PAGES


def page_limit(settings: OutboxSettings, file_pages: int, room: Room) -> int:
    """How large the file may become, on a disk that others fill as well.

    What is there already may be used. A store that is still small may take of the reserve, but only
    half of what is free: without any room for it SQLite cannot make use of a larger file.
    """
    least = min(_LEAST_PAGES - file_pages, room.free_bytes // 2 // PAGE_BYTES)
    growth = max(0, least, room.growth_bytes // PAGE_BYTES)
    return min(settings.max_bytes // PAGE_BYTES, file_pages + growth)


def delivered_through(contents: Contents) -> int:
    """Up to where every upstream has everything; without upstreams nothing is delivered."""
    return min(
        (cursor.delivered_through(contents.last_seq) for cursor in contents.cursors.values()),
        default=0,
    )
