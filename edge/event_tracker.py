"""Which events of which board have been seen, and which may be acknowledged.

A board sends an event again until it is acknowledged, and acknowledging number n promises that all
events up to n are committed, merged into a committed frame, or counted as dropped. The tracker
keeps both ends of that promise: it recognises what was sent again (after a restart too, by the
mark that was committed with the frame), and it acknowledges only what is wholly disposed of.
"""

import struct
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from protocol.lora.events import EventOrigin, UplinkReceived

_MARK = struct.Struct("<QII")


@dataclass(frozen=True, slots=True)
class BoardMark:
    """What is committed of one board: its boot, the last event number, its overflow count."""

    boot_id: int
    number: int
    ring_overflow: int

    def to_bytes(self) -> bytes:
        """16 bytes, little-endian."""
        return _MARK.pack(self.boot_id, self.number, self.ring_overflow)

    @classmethod
    def from_bytes(cls, data: bytes) -> "BoardMark":
        """Undo :meth:`to_bytes`.

        Raises:
            struct.error: not 16 bytes.
        """
        return cls(*_MARK.unpack(data))


def mark_key(board_id: bytes) -> str:
    """Name of a board's mark in the outbox."""
    return f"board/{board_id.hex()}"


@dataclass(slots=True)
class BootTracker:
    """Events of one boot of one board, in the board's order and without gaps."""

    boot_id: int
    seen: int = 0
    disposed: int = 0
    newest: int = 0
    ring_overflow: int = 0
    _open: dict[int, UplinkReceived] = field(default_factory=dict)
    _done: set[int] = field(default_factory=set)

    def admit(self, event: UplinkReceived, number: int) -> bool:
        """Note an event; False if it was seen before and must not be taken in again."""
        if number <= self.seen:
            return False
        if not self._open:
            # The board begins behind what an earlier host has acknowledged.
            self.disposed = max(self.disposed, number - 1)
        self.seen = number
        self.newest = max(self.newest, number)
        self._open[number] = event
        return True

    def dispose(self, number: int) -> UplinkReceived | None:
        """An event is safe or counted; returns the latest event to acknowledge, if that moved."""
        self._done.add(number)
        latest = None
        while self.disposed + 1 in self._done:
            self.disposed += 1
            self._done.discard(self.disposed)
            latest = self._open.pop(self.disposed)
        return latest


class EventTracker:
    """All boards; one boot each, because a new boot makes everything older unreachable.

    Args:
        committed_mark: reads a mark that an earlier run may have committed.
    """

    def __init__(self, committed_mark: Callable[[str], bytes | None]) -> None:
        self._committed_mark = committed_mark
        self._boots: dict[bytes, BootTracker] = {}

    def boot(self, origin: EventOrigin) -> tuple[BootTracker, int]:
        """The tracker of the origin's boot, and how many events died with the boot before it.

        The count is what the old boot's heartbeats told of and never arrived here.
        """
        tracker = self._boots.get(origin.board_id) or self._restored(origin.board_id)
        lost = 0
        if tracker is None or tracker.boot_id != origin.boot_id:
            lost = 0 if tracker is None else tracker.newest - tracker.seen
            tracker = BootTracker(origin.boot_id)
        self._boots[origin.board_id] = tracker
        return tracker, lost

    def current(self, origin: EventOrigin) -> BootTracker | None:
        """The tracker of the origin's boot; None once the board has restarted."""
        tracker = self._boots.get(origin.board_id)
        return tracker if tracker is not None and tracker.boot_id == origin.boot_id else None

    def marks(self, events: Iterable[UplinkReceived]) -> dict[str, bytes]:
        """What to commit together with these events: one mark for each board."""
        newest: dict[bytes, BoardMark] = {}
        for event in events:
            origin = event.origin
            tracker = None if origin is None else self.current(origin)
            if origin is None or tracker is None:
                continue
            known = newest.get(origin.board_id)
            number = max(origin.number, known.number if known else 0)
            newest[origin.board_id] = BoardMark(origin.boot_id, number, tracker.ring_overflow)
        return {mark_key(board_id): mark.to_bytes() for board_id, mark in newest.items()}

    def _restored(self, board_id: bytes) -> BootTracker | None:
        stored = self._committed_mark(mark_key(board_id))
        if stored is None:
            return None
        mark = BoardMark.from_bytes(stored)
        return BootTracker(
            mark.boot_id,
            seen=mark.number,
            disposed=mark.number,
            newest=mark.number,
            ring_overflow=mark.ring_overflow,
        )
