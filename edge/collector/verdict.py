"""What a collector's store says of a frame, and what every store has to do."""

from collections.abc import Sequence
from enum import Enum
from typing import Protocol

from protocol.records.frame_batch import ReadFrame


class Verdict(Enum):
    """Of one frame."""

    NEW = "new"
    REPEAT = "repeat"
    CONFLICT = "conflict"
    """Another frame has the same id: somewhere a gateway has a twin."""


class StoreFailed(Exception):
    """Nothing of the batch counts as stored; worth trying again."""


class FrameStore(Protocol):
    """Keeps frames; blocking, used by one thread."""

    def take(self, frames: Sequence[ReadFrame]) -> list[Verdict]:
        """Store those that are new; all are on the disk when this returns.

        Raises:
            StoreFailed: none of them counts as stored.
        """
        ...

    def close(self) -> None:
        """Close the files."""
        ...
