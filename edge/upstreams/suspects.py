"""Finds frames at which the connection breaks again and again, and takes no outage for one.

When a connection breaks, nobody says at which frame. So frames are narrowed down:

1. After two broken batches, those that were not acknowledged are *doubtful*: each goes alone.
2. One that breaks a connection alone is the first on the next connection (some receivers close
   after so many bytes, whatever they are). If that breaks as well, the next frame behind it is
   tried.
3. As soon as one gets through, those before it are *suspects*: they are passed by, and tried alone
   after 15 s, then after 30 s, 60 s and so on. If the connection breaks at one, on a fresh
   connection, and the next frame tried gets through on the next, that counts against it.
4. What five times has counted against is *poison*: the caller sets it aside.

An outage breaks whatever is sent: after the suspect the other frame too, or the connecting, and
then nothing counts. Only outages that begin with a suspect and are over before the very next frame
would count, and it would take five of those in a row. What gets through is no longer suspected.

Pure: ids and times (microseconds of CLOCK_BOOTTIME) in, what to send next out.
"""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from protocol.records.sensor_frame import FrameId

Sender = bytes | None

TRIES = 5
FIRST_WAIT_US = 15_000_000
_BETWEEN_TRIES_US = 5_000_000  # however many suspects there are
_CONFIRM_WITHIN_US = 600_000_000  # parked upstreams are tried again after 5 min
_BROKEN_BATCHES = 2
MAX_SUSPECTS = 256


@dataclass(frozen=True, slots=True)
class Choice:
    """What to do next.

    Attributes:
        batch: what to send; empty = nothing can be sent now.
        reconnect: a suspect is due, which has to be the first frame of a connection.
        again_at_us: when nothing can be sent: when that changes, unless new frames come.
    """

    batch: Sequence[FrameId] = ()
    reconnect: bool = False
    again_at_us: int | None = None


@dataclass(slots=True)
class _Suspect:
    """Attributes:
    tries: how often it counted against it.
    """

    due_us: int
    reason: str
    tries: int = 0


@dataclass(frozen=True, slots=True)
class _Unconfirmed:
    """The connection broke at a frame alone; whether that was an outage is not known yet."""

    frame_id: FrameId
    reason: str
    at_us: int


@dataclass(slots=True)
class Suspects:
    """Told of everything that becomes of one upstream's frames, asked what to send."""

    _doubtful: dict[FrameId, None] = field(default_factory=dict)
    _suspects: dict[FrameId, _Suspect] = field(default_factory=dict)
    _broken: set[FrameId] = field(default_factory=set)
    _again: FrameId | None = None
    _unconfirmed: _Unconfirmed | None = None
    _broken_batches: int = 0
    _next_try_us: int = 0

    @property
    def count(self) -> int:
        """How many frames are passed by."""
        return len(self._suspects)

    @property
    def more_to_read(self) -> int:
        """How many frames beyond a batch have to be looked at, because some are passed by."""
        return len(self._suspects) + len(self._broken)

    def poison(self) -> dict[FrameId, str]:
        """What has to be set aside, each with its reason; :meth:`forget` it then."""
        return {
            frame_id: f"the connection broke at it {suspect.tries} times, while others got"
            f" through: {suspect.reason}"
            for frame_id, suspect in self._suspects.items()
            if suspect.tries >= TRIES
        }

    def choose(
        self, pending: Mapping[FrameId, Sender], limit: int, *, fresh: bool, now_us: int
    ) -> Choice:
        """Choose of what is pending.

        Args:
            pending: oldest first, each with its sender if the order of that one's frames counts:
                then none of them overtakes one that is passed by.
            limit: as many go into a batch.
            fresh: nothing was sent on this connection yet.
        """
        if fresh and self._again is not None and self._again in pending:
            return Choice((self._again,))
        candidates = self._candidates(pending)
        # While it is not known what broke the connection, another frame is owed its turn.
        due = self._due(pending, now_us) if not (candidates and self._unconfirmed) else None
        if due is not None:
            if fresh or not self._suspects[due].tries:
                return Choice((due,))
            return Choice(reconnect=True)
        if not candidates:
            waits = [self._suspects[i].due_us for i in pending if i in self._suspects]
            again_at_us = max(min(waits), self._next_try_us) if waits else None
            return Choice(again_at_us=again_at_us)
        if self._unconfirmed is not None or candidates[0] in self._doubtful:
            return Choice(candidates[:1])
        batch = candidates[:limit]
        if self._doubtful:
            end = next((n for n, i in enumerate(batch) if i in self._doubtful), len(batch))
            batch = batch[:end]
        return Choice(batch)

    def passed(self, frame_ids: Iterable[FrameId], *, fresh: bool, now_us: int) -> None:
        """The receiver answered for these, whatever it said; nothing broke."""
        passed = set(frame_ids)
        if not passed:
            return
        unconfirmed, self._unconfirmed = self._unconfirmed, None
        if unconfirmed is not None and fresh and unconfirmed.frame_id not in passed:
            self._confirm(unconfirmed, now_us)
        self.forget(passed)
        self._pass_by_broken(now_us)
        self._broken_batches = 0

    def broke(
        self,
        sent: Sequence[FrameId],
        acknowledged: Iterable[FrameId],
        reason: str,
        *,
        fresh: bool,
        now_us: int,
    ) -> None:
        """The connection broke while these were sent."""
        done = set(acknowledged)
        self.forget(done)
        self._unconfirmed = None  # if another breaks as well, that tells nothing of either
        rest = [frame_id for frame_id in sent if frame_id not in done]
        if not rest:
            return
        if len(sent) > 1:
            self._broken_batches = 1 if done else self._broken_batches + 1
            if self._broken_batches >= _BROKEN_BATCHES:
                self._doubt(rest)
            return
        [frame_id] = rest
        if frame_id in self._suspects:
            self._put_off(frame_id, reason, now_us)
        if fresh and (frame_id in self._suspects or frame_id == self._again):
            self._again = None
            self._broken.add(frame_id)
            self._unconfirmed = _Unconfirmed(frame_id, reason, now_us)
        else:
            self._again = frame_id
            self._doubt(rest)

    def connection_failed(self) -> None:
        """Connecting failed, or the connection went while nothing was sent: an outage."""
        self._unconfirmed = None

    def forget(self, frame_ids: Iterable[FrameId]) -> None:
        """These are done with."""
        for frame_id in frame_ids:
            self._doubtful.pop(frame_id, None)
            self._suspects.pop(frame_id, None)
            self._broken.discard(frame_id)
            if self._again == frame_id:
                self._again = None

    def _due(self, pending: Iterable[FrameId], now_us: int) -> FrameId | None:
        """A suspect whose time has come."""
        if not self._suspects or now_us < self._next_try_us:
            return None
        due = (i for i in pending if i in self._suspects and self._suspects[i].due_us <= now_us)
        return next(due, None)

    def _candidates(self, pending: Mapping[FrameId, Sender]) -> list[FrameId]:
        """What is not passed by; those at which it has broken just now come again at the end."""
        if not self._suspects and not self._broken:
            return list(pending)
        allowed = _without(pending, self._suspects)
        candidates = _without(allowed, self._broken)
        if allowed and not candidates:
            self._broken.clear()
            return list(allowed)
        return list(candidates)

    def _confirm(self, unconfirmed: _Unconfirmed, now_us: int) -> None:
        """Another frame got through right after it: it was no outage."""
        if now_us - unconfirmed.at_us > _CONFIRM_WITHIN_US:
            return
        suspect = self._suspects.get(unconfirmed.frame_id)
        if suspect is not None:
            suspect.tries += 1
            suspect.due_us = now_us + (FIRST_WAIT_US << suspect.tries)

    def _pass_by_broken(self, now_us: int) -> None:
        """Something got through: those at which it broke before may wait a little."""
        for frame_id in sorted(self._broken):
            if frame_id not in self._suspects and len(self._suspects) < MAX_SUSPECTS:
                self._doubtful.pop(frame_id, None)
                self._suspects[frame_id] = _Suspect(now_us + FIRST_WAIT_US, "")
        self._broken.clear()

    def _put_off(self, frame_id: FrameId, reason: str, now_us: int) -> None:
        suspect = self._suspects[frame_id]
        suspect.reason = reason
        suspect.due_us = now_us + (FIRST_WAIT_US << suspect.tries)
        self._next_try_us = now_us + _BETWEEN_TRIES_US

    def _doubt(self, frame_ids: Iterable[FrameId]) -> None:
        for frame_id in frame_ids:
            if len(self._doubtful) < MAX_SUSPECTS:
                self._doubtful[frame_id] = None


def _without(
    pending: Mapping[FrameId, Sender], passed_by: Container[FrameId]
) -> dict[FrameId, Sender]:
    """Leave out some frames, and others of their senders."""
    waiting = {sender for frame_id, sender in pending.items() if frame_id in passed_by} - {None}
    return {
        frame_id: sender
        for frame_id, sender in pending.items()
        if frame_id not in passed_by and sender not in waiting
    }
