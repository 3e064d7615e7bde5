"""What is put into the outbox, how much it may hold, and what it tells about itself."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from protocol.records.sensor_frame import FrameContent

MIN_BYTES = 8_000_000
"""Below this the space kept free for the next group would be most of the store."""


@dataclass(frozen=True, slots=True)
class Admission:
    """One frame, and the marks that are committed in its own transaction."""

    content: FrameContent
    marks: Mapping[str, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxSettings:
    """Bounds of the store, and who has to get its frames.

    Attributes:
        max_bytes: size of the database file.
        max_age_s: frames that are certainly older are dropped; see :mod:`edge.outbox.boots`.
        commit_linger_s: longest wait for company before a commit; alarms do not wait.
        keep_acknowledged: how many of the newest frames stay although every upstream has them,
            for the tools; without upstreams everything stays until the other bounds.
        upstreams: names of the configured upstreams: what others had acknowledged is forgotten.
            None leaves the stored ones as they are, for tools that only look.
    """

    max_bytes: int = 2_000_000_000
    max_age_s: float = 30 * 86_400
    commit_linger_s: float = 0.25
    keep_acknowledged: int = 10_000
    upstreams: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        if self.max_bytes < MIN_BYTES:
            raise ValueError(f"the outbox needs at least {MIN_BYTES} bytes, not {self.max_bytes}")


@dataclass(frozen=True, slots=True)
class OutboxStatistics:
    """Attributes:
    frames: how many are kept, acknowledged or not.
    bytes: size of the database file.
    uncommitted: frames that would be lost here (not on the boards) if the power went now.
    pending: by upstream, how many frames it has not acknowledged.
    oldest_pending_age_s: by upstream, how old the oldest of them is at least; 0 if none.
    """

    frames: int
    bytes: int
    uncommitted: int
    pending: Mapping[str, int]
    oldest_pending_age_s: Mapping[str, float]
