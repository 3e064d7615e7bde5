"""Which file system holds a directory, as the kernel tells it (proc(5), ``mountinfo``)."""

import os
from dataclasses import dataclass
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")


@dataclass(frozen=True, slots=True)
class Mount:
    """``kind`` as ``ext4``; ``options`` of the file system itself, as they were mounted."""

    kind: str
    options: str


def mount_of(directory: Path, table: Path = MOUNTS) -> Mount | None:
    """The file system of a directory; None = the kernel does not tell.

    Raises:
        OSError: the directory or the table cannot be read.
    """
    device = directory.stat().st_dev
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in table.read_text(errors="replace").splitlines():
        place, _, source = line.partition(" - ")
        if place.split()[2:3] == [number]:
            kind, _, options = source.split()[:3]
            return Mount(kind, options)
    return None
