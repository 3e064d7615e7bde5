"""What an outbox must hold, in memory: frames, who has acknowledged them, what comes next.

The model knows what was promised, and what is only possible: a crash leaves open whether the last
second's acknowledgements were committed, and a caller that was never answered does not know whether
its frames are stored. Everything else is exact.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.records.sensor_frame import FrameClass, FrameId


@dataclass(slots=True)
class Frame:
    """One frame that was offered.

    Attributes:
        number: counts in the order of the calls.
        key: of the mark that it brought; its value is the number.
        frame_id: once somebody was told.
        at_us: uptime of all boots together, when it was committed.
    """

    number: int
    frame_class: FrameClass
    key: str
    frame_id: FrameId | None = None
    at_us: int = 0


@dataclass(slots=True)
class Upstream:
    """Attributes:
    acknowledged: numbers that it has, or does not have to get any more.
    certain: those of them that no crash takes back.
    live: numbers that came after it had connected.
    batch: what it was handed out last.
    """

    acknowledged: set[int] = field(default_factory=set)
    certain: set[int] = field(default_factory=set)
    live: set[int] = field(default_factory=set)
    batch: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Model:
    """Attributes:
    kept: committed frames that have not been removed.
    exposed: frames in memory only that upstreams get all the same.
    letters: upstream and number of what was buried, oldest first.
    """

    frames: dict[int, Frame] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    exposed: set[int] = field(default_factory=set)
    upstreams: dict[str, Upstream] = field(default_factory=dict)
    identities: dict[FrameId, int] = field(default_factory=dict)
    marks: dict[str, int] = field(default_factory=dict)
    letters: list[tuple[str, int, int]] = field(default_factory=list)

    def new(self, frame_class: FrameClass, key: str) -> Frame:
        """One more frame."""
        frame = Frame(len(self.frames), frame_class, key)
        self.frames[frame.number] = frame
        return frame

    def identify(self, number: int, frame_id: FrameId) -> None:
        """Somebody was told: an identity belongs to one frame for ever, a frame has one."""
        frame = self.frames[number]
        assert self.identities.setdefault(frame_id, number) == number
        assert frame.frame_id in (None, frame_id)
        frame.frame_id = frame_id

    def committed(self, numbers: Iterable[int], at_us: int) -> None:
        """They are on the disk, and so are their marks."""
        for number in numbers:
            frame = self.frames[number]
            frame.at_us = at_us
            self.kept.add(number)
            self.exposed.discard(number)
            self.marks[frame.key] = max(number, self.marks.get(frame.key, 0))

    def connected(self, name: str) -> None:
        """What comes from now on is live."""
        self.upstreams[name].live.clear()

    def offered(self, numbers: Iterable[int]) -> None:
        """Frames that the store has been handed: they will be live."""
        for upstream in self.upstreams.values():
            upstream.live.update(numbers)

    def seq(self, number: int) -> int:
        """Its number in the store."""
        frame_id = self.frames[number].frame_id
        assert frame_id is not None
        return frame_id.seq

    def in_order(self, numbers: Iterable[int]) -> list[int]:
        """Oldest first."""
        return sorted(numbers, key=self.seq)

    def pending(self, name: str) -> list[int]:
        """All that an upstream has not got, oldest first."""
        return self.in_order((self.kept | self.exposed) - self.upstreams[name].acknowledged)

    def next_batch(self, name: str, limit: int) -> list[int]:
        """Live first; oldest first within live and within backlog."""
        pending, live = self.pending(name), self.upstreams[name].live
        lane = [n for n in pending if n in live] or pending
        return lane[:limit]

    def is_lost(self, number: int) -> bool:
        """Whether somebody would miss it."""
        return not self.upstreams or any(
            number not in upstream.acknowledged for upstream in self.upstreams.values()
        )

    def may_be_lost(self, number: int) -> bool:
        """The same, if all that is not certain was taken back."""
        return not self.upstreams or any(
            number not in upstream.certain for upstream in self.upstreams.values()
        )
