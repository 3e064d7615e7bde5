"""Which frames leave the store, and why. The oldest leave first, in small ranges.

Small, because on a full disk a large delete fails where a small one still succeeds, and because
appends wait while a range is being removed.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from edge.outbox.admission import OutboxSettings
from edge.outbox.contents import Contents
from edge.outbox.database import PAGE_BYTES
from protocol.lora.events import DropReason

TRIM_FRAMES = 100
_RESERVED_PAGES = 512
"""2 MB kept free within the budget: for the WAL's growth at a start, and for the largest group."""


@dataclass(frozen=True, slots=True)
class Trim:
    """Remove frames up to ``through_seq``; without a reason they are acknowledged by everybody."""

    through_seq: int
    reason: DropReason | None


def plan_trim(
    contents: Contents, settings: OutboxSettings, used_pages: int, expired_through: int
) -> Trim | None:
    """Decide what to remove next, if anything.

    Args:
        used_pages: of the database file.
        expired_through: newest of the oldest frames that are over the age; 0 if there are none.
    """
    if contents.first_seq > contents.last_seq:
        return None
    oldest = contents.first_seq + TRIM_FRAMES - 1
    if min(_delivered_through(contents), contents.last_seq - settings.keep_acknowledged) >= oldest:
        return Trim(oldest, None)
    if used_pages > settings.max_bytes // PAGE_BYTES - _RESERVED_PAGES:
        return Trim(min(oldest, contents.last_seq), DropReason.EVICTED_BYTES)
    if expired_through >= contents.first_seq:
        return Trim(expired_through, DropReason.EVICTED_AGE)
    return None


def undelivered(contents: Contents, seqs: Iterable[int]) -> int:
    """Count frames that some upstream has not acknowledged; without upstreams all are."""
    cursors = contents.cursors.values()
    if not cursors:
        return sum(1 for _ in seqs)
    return sum(any(seq not in cursor.acknowledged for cursor in cursors) for seq in seqs)


def _delivered_through(contents: Contents) -> int:
    """Up to where every upstream has everything; without upstreams nothing is delivered."""
    return min(
        (
            cursor.oldest_pending(contents.first_seq, contents.last_seq) - 1
            for cursor in contents.cursors.values()
        ),
        default=0,
    )
