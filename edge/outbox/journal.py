"""What the file system writes for the store by itself, so far as that can be known.

A commit leaves size and blocks of the store's files as they are, so its sync writes none of their
metadata. But the time of their last change stands in their inodes, and ext4's journal takes those
along with each of its own commits: one every five seconds in which something was written (ext4(5),
``commit=``). For a store that writes little, that is half of what reaches the card.
"""

import re
from dataclasses import dataclass
from pathlib import Path

from edge.mounts import MOUNTS, mount_of

_USUAL_INTERVAL_S = 5.0
_BLOCK_BYTES = 4096
_BLOCKS = 3
"""Of a journal's commit: a descriptor, the block with the inodes, and the commit itself."""


@dataclass(slots=True)
class Journal:
    """Reckons the commits of a file system's journal. Times are seconds of any steady clock.

    Attributes:
        interval_s: between two of them; 0 if the file system has none that we know of.
    """

    interval_s: float = 0.0
    _written_bytes: int = 0
    _next_at_s: float = 0.0

    def note(self, written_bytes: int) -> None:
        """The store has written."""
        self._written_bytes += written_bytes

    def bytes_until(self, now_s: float) -> int:
        """What the journal has written since it was asked before."""
        if not self.interval_s or not self._written_bytes or now_s < self._next_at_s:
            return 0
        self._written_bytes = 0
        self._next_at_s = now_s + self.interval_s
        return _BLOCKS * _BLOCK_BYTES


def journal_of(directory: Path, mounts: Path = MOUNTS) -> Journal:
    """Find out what file system a directory is on.

    Raises:
        OSError: that cannot be read.
    """
    mount = mount_of(directory, mounts)
    if mount is None or mount.kind != "ext4":
        return Journal()
    asked = re.search(r"\bcommit=(\d+)", mount.options)
    # 0 stands for the usual one.
    return Journal(float(asked[1] if asked else 0) or _USUAL_INTERVAL_S)
