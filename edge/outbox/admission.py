"""What is put into the outbox, how much it may hold, and what it tells about itself."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from edge.outbox.pack import MAX_BODY_BYTES
from protocol.records.sensor_frame import FrameClass, FrameContent
from protocol.records.sensor_frame_codec import encode_content

MIN_BYTES = 8_000_000
"""Below this the space kept free for the next group would be most of the store."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One frame as it is stored, and the marks that are committed in its own transaction.

    Attributes:
        body: what :func:`protocol.records.sensor_frame_codec.encode_content` made of it.
    """

    body: bytes
    frame_class: FrameClass = FrameClass.TELEMETRY
    marks: Mapping[str, bytes] = field(default_factory=dict)

    @classmethod
    def of(cls, content: FrameContent, marks: Mapping[str, bytes] | None = None) -> Self:
        """Encode on the caller's account, so that what cannot be stored never reaches the writer.

        Raises:
            ValueError: the reception time does not fit 64 bits, or the frame or its payload is too
                long.
        """
        if abs(content.received_boottime_us) >= 1 << 63:
            raise ValueError(f"not a time: {content.received_boottime_us} us")
        body = encode_content(content)
        if len(body) > MAX_BODY_BYTES:
            raise ValueError(f"a frame of {len(body)} bytes cannot be stored")
        return cls(body, content.frame_class, marks or {})


@dataclass(frozen=True, slots=True)
class ClassLimits:
    """Bounds of one class of frames, within those of the whole store."""

    max_bytes: int | None = None
    max_age_s: float = math.inf


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamLimits:
    """How an upstream is attached, and how long frames are kept for it alone.

    Attributes:
        start: of an upstream that the store does not know yet: ``oldest`` (all that is kept),
            ``now``, or a sequence number.
        max_pending: beyond so many frames the oldest are no longer kept for this upstream.
    """

    start: str | int = "oldest"
    max_pending: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """Bounds of the store, and who has to get its frames.

    Attributes:
        max_bytes: size of the database file.
        max_age_s: frames that are certainly older are dropped; see :mod:`edge.outbox.boots`.
        classes: narrower bounds of single classes.
        commit_linger_s: longest wait of telemetry for company before a commit; alarms do not wait.
        bulk_linger_s: the same for bulk frames; whatever is committed earlier takes them along.
        acknowledge_linger_s: longest time until what upstreams acknowledged is on the disk.
        keep_acknowledged: how many of the newest frames stay although every upstream has them,
            for the tools; without upstreams everything stays until the other bounds.
        check_interval_s: uptime between two checks of the whole store; infinity = none is made.
        max_dead_letters: how many frames that upstreams refused are kept for a person to look at.
        upstreams: the configured upstreams: what others had acknowledged is forgotten. None
            leaves the stored ones as they are, for tools that only look.
    """

    max_bytes: int = 2_000_000_000
    max_age_s: float = 30 * 86_400
    classes: Mapping[FrameClass, ClassLimits] = field(default_factory=dict)
    commit_linger_s: float = 0.25
    bulk_linger_s: float = 0.25
    acknowledge_linger_s: float = 1.0
    keep_acknowledged: int = 10_000
    check_interval_s: float = 86_400
    max_dead_letters: int = 1_000
    upstreams: Mapping[str, UpstreamLimits] | None = None

    def __post_init__(self) -> None:
        if self.max_bytes < MIN_BYTES:
            raise ValueError(f"the outbox needs at least {MIN_BYTES} bytes, not {self.max_bytes}")

    def linger_s(self, frame_class: FrameClass) -> float:
        """How long a frame of this class may wait for company."""
        match frame_class:
            case FrameClass.ALARM:
                return 0.0
            case FrameClass.TELEMETRY:
                return self.commit_linger_s
            case FrameClass.BULK:
                return max(self.commit_linger_s, self.bulk_linger_s)

    def limits(self, frame_class: FrameClass) -> ClassLimits:
        """Bounds of a class."""
        return self.classes.get(frame_class, ClassLimits())


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """Attributes:
    frames: how many are kept, acknowledged or not.
    bytes: size of the database file.
    uncommitted: frames that would be lost here (not on the boards) if the power went now.
    pending: by upstream, how many frames it has not acknowledged.
    held: by upstream, how many it has acknowledged that are kept in case it forgets them.
    oldest_pending_age_s: by upstream, how old the oldest of them is at least; 0 if none.
    by_class: frames and bytes that are kept of each class.
    dead_letters: frames that upstreams refused, kept for a person to look at.
    """

    frames: int
    bytes: int
    uncommitted: int
    pending: Mapping[str, int]
    held: Mapping[str, int]
    oldest_pending_age_s: Mapping[str, float]
    by_class: Mapping[FrameClass, tuple[int, int]]
    dead_letters: int
