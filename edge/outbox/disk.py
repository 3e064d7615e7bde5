"""The disk that the store is on: how much room is left, and a ballast to throw off.

On a full disk SQLite cannot even delete, because deleting is written to the WAL first. So 8 MB are
set aside in a file of their own while there is room, and given back when there is none: then the
oldest frames can make room for new ones. Besides, the store stops growing while there is still a
reserve, for logs and updates. All calls block: they belong on a thread.
"""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

from edge.outbox.journal import Journal, journal_of

BLOCK_BYTES = 4096
_RESERVE_BYTES = 32_000_000
_BALLAST_BYTES = 8_000_000
_LEAST_BALLAST_BYTES = 4_000_000
"""So much the WAL may hold that has no place in the database yet."""

_SMALL_DISK = 32
"""On a small disk, reserve and ballast are at most this part of it."""


@dataclass(frozen=True, slots=True)
class Room:
    """Attributes:
    free_bytes: what an unprivileged process may still write.
    reserve_bytes: what the store leaves free.
    has_ballast: whether there is something to throw off.
    wal_bytes: size of the store's WAL.
    """

    free_bytes: int
    reserve_bytes: int
    has_ballast: bool
    wal_bytes: int

    @property
    def growth_bytes(self) -> int:
        """How much the store may grow."""
        return max(0, self.free_bytes - self.reserve_bytes)


class Disk:
    """Knows the file system of one store."""

    def __init__(self, store: Path) -> None:
        self._directory = store.parent
        self._wal = store.with_name(f"{store.name}-wal")
        self._ballast = store.with_name(f"{store.name}.ballast")

    def warning(self) -> str:
        """What is wrong with the file system for this purpose; empty if nothing is.

        Raises:
            OSError: it cannot be asked.
        """
        block_bytes = os.statvfs(self._directory).f_bsize
        if block_bytes >= BLOCK_BYTES:
            return ""
        return (
            f"{self._directory} is on a file system with blocks of {block_bytes} bytes: at a power"
            f" cut it can tear pages of {BLOCK_BYTES} bytes and damage the whole store; make it"
            f" anew with blocks of {BLOCK_BYTES} bytes (mkfs.ext4 -b {BLOCK_BYTES})"
        )

    def room(self) -> Room:
        """Look how much room there is.

        Raises:
            OSError: the disk cannot be asked.
        """
        disk = os.statvfs(self._directory)
        share_bytes = disk.f_blocks * disk.f_frsize // _SMALL_DISK
        return Room(
            free_bytes=disk.f_bavail * disk.f_frsize,
            reserve_bytes=min(_RESERVE_BYTES, share_bytes),
            has_ballast=self._ballast.exists(),
            wal_bytes=self._wal.stat().st_size if self._wal.exists() else 0,
        )

    def journal(self) -> Journal:
        """The journal of the file system, if it is one whose habits are known.

        Raises:
            OSError: the disk cannot be asked.
        """
        return journal_of(self._directory)

    def load_ballast(self) -> bool:
        """Set the ballast aside if there is plenty of room; False if there is none afterwards.

        Raises:
            OSError: the disk cannot be asked.
        """
        room = self.room()
        size_bytes = min(_BALLAST_BYTES, max(_LEAST_BALLAST_BYTES, room.reserve_bytes))
        if room.has_ballast:
            return True
        if room.free_bytes < room.reserve_bytes + 2 * size_bytes:
            return False
        try:
            with self._ballast.open("xb") as file:
                os.posix_fallocate(file.fileno(), 0, size_bytes)
        except OSError:  # no room after all, or a file system that cannot set room aside
            with contextlib.suppress(OSError):
                self._ballast.unlink()
            return False
        return True

    def relieve(self) -> bool:
        """Throw the ballast off; False if there is none.

        Raises:
            OSError: it cannot be removed.
        """
        if not self._ballast.exists():
            return False
        self._ballast.unlink(missing_ok=True)
        return True
