"""Groups: the frames of many callers, numbered, ready to be committed together."""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from edge.outbox.admission import Admission
from edge.outbox.pack import PackHead, checksum, join
from edge.outbox.schema import CLASSES
from protocol.records.sensor_frame import FrameClass

_TELEMETRY = FrameClass.TELEMETRY  # a lookup of its own costs more than what it is for
_BULK = FrameClass.BULK

Seqs = Sequence[int]
Append = tuple[Sequence[Admission], asyncio.Future[Seqs]]
"""Frames of one caller, which go into one transaction, and what becomes their numbers when they
are safe. A plain pair: at high rates making anything else would cost as much as storing it."""


@dataclass(frozen=True, slots=True)
class Pack:
    """Frames of one class with numbers without gaps."""

    seq: int
    frame_class: FrameClass
    bodies: Sequence[bytes]

    @property
    def last_seq(self) -> int:
        """Number of its last frame."""
        return self.seq + len(self.bodies) - 1

    def row(self, boot: int, boottime_us: int, delta: bytes | None) -> tuple[object, ...]:
        """Row of the table of its class."""
        head = PackHead(self.seq, len(self.bodies), boot, boottime_us)
        body = join(self.bodies)
        crc = checksum(head, body)
        return head.seq, head.frames, head.boot, head.boottime_us, crc, delta, body


@dataclass(slots=True, eq=False)
class Group:
    """What goes into one transaction. Writing it twice is the same as writing it once.

    Attributes:
        first_of: by class, the number of its first frame.
        exposed: upstreams get its frames from memory, because the store fails.
        holes: numbers of it whose frames were evicted before they could be committed.
    """

    first_seq: int
    last_seq: int
    packs: list[Pack]
    appends: list[Append]
    first_of: dict[FrameClass, int]
    marks: dict[str, bytes] = field(default_factory=dict)
    exposed: bool = False
    holes: list[tuple[int, int]] = field(default_factory=list)

    @property
    def frames(self) -> int:
        """How many there are."""
        return sum(len(pack.bodies) for pack in self.packs)

    def bodies(
        self, first: int, last: int, frame_class: FrameClass | None = None
    ) -> Iterable[tuple[int, bytes]]:
        """Frames by number within a range, perhaps of one class only."""
        for pack in self.packs:
            if frame_class not in (None, pack.frame_class):
                continue
            for seq in range(max(first, pack.seq), min(last, pack.last_seq) + 1):
                yield seq, pack.bodies[seq - pack.seq]

    def answers(self) -> Iterable[tuple[asyncio.Future[Seqs], Seqs]]:
        """What to tell each caller: the numbers of its frames."""
        next_seq = dict(self.first_of)
        for admissions, done in self.appends:
            seqs = []
            for admission in admissions:
                seqs.append(next_seq[admission.frame_class])
                next_seq[admission.frame_class] += 1
            yield done, seqs

    def tell(self) -> None:
        """Give each caller that still waits its numbers."""
        if len(self.first_of) > 1:
            for done, seqs in self.answers():
                if not done.done():
                    done.set_result(seqs)
            return
        seq = self.first_seq  # of one class, as usual, the numbers follow each other
        for admissions, done in self.appends:
            after = seq + len(admissions)
            if not done.done():  # a caller that was cancelled has no use for its numbers
                done.set_result(range(seq, after))
            seq = after


def number(appends: list[Append], first_seq: int) -> Group:
    """Give numbers: by class, within a class in the order of the calls. Of equal marks the last
    one counts.
    """
    alarms: list[bytes] = []
    telemetry: list[bytes] = []
    bulk: list[bytes] = []
    marks: dict[str, bytes] = {}
    for admissions, _ in appends:
        for admission in admissions:
            frame_class = admission.frame_class
            if frame_class is _TELEMETRY:  # by far the usual case
                telemetry.append(admission.body)
            elif frame_class is _BULK:
                bulk.append(admission.body)
            else:
                alarms.append(admission.body)
            if admission.marks:
                marks.update(admission.marks)
    packs: list[Pack] = []
    seq = first_seq
    for frame_class, bodies in zip(CLASSES, (alarms, telemetry, bulk), strict=True):
        if bodies:
            packs.append(Pack(seq, frame_class, bodies))
            seq += len(bodies)
    first_of = {pack.frame_class: pack.seq for pack in packs}
    return Group(first_seq, seq - 1, packs, appends, first_of, marks)
