"""How much the store keeps, by class, and what a pack takes of the disk.

Totals are carried along with every change, because counting would read the whole store.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from edge.outbox.pack import PackHead
from edge.outbox.schema import CLASSES
from protocol.records.sensor_frame import FrameClass

ROW_BYTES = 32
"""About what a pack takes beside its frames."""


@dataclass(frozen=True, slots=True)
class Totals:
    """Of one class: frames and bytes that are kept, and up to which number packs were removed."""

    frames: int = 0
    bytes: int = 0
    removed_through: int = 0

    def plus(self, frames: int, size_bytes: int) -> "Totals":
        """There are more, or, with negative numbers, fewer."""
        return replace(self, frames=self.frames + frames, bytes=self.bytes + size_bytes)


@dataclass(frozen=True, slots=True)
class StoredPack:
    """A pack that may be removed, and its size with what is stored beside its frames."""

    head: PackHead
    size_bytes: int


def pack_size_bytes(bodies: Sequence[bytes]) -> int:
    """About what a pack takes on the disk."""
    return sum(map(len, bodies)) + 2 * len(bodies) + ROW_BYTES


def no_totals() -> dict[FrameClass, Totals]:
    """Of a store without frames."""
    return {frame_class: Totals() for frame_class in CLASSES}
