"""A disk of one's own: a loop device, so that its counters count nobody else's writes.

Direct I/O, so that what the device is told is not kept back; ext4 made without lazy initialisation,
which would go on writing for minutes; ``noatime``, because reading is not to be counted.
"""

import ctypes
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

_SECTOR_BYTES = 512
_WRITTEN_SECTORS, _FLUSH_REQUESTS = 6, 15  # Documentation/block/stat.rst, counted from 0
_UNMOUNT_TRIES = 50
_LIBC = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class Disk:
    """A mounted file system, and the counter of the device below it."""

    directory: Path
    counter: Path


@dataclass(frozen=True, slots=True)
class Written:
    """What has reached the device so far."""

    bytes: int
    flushes: int

    def __sub__(self, before: "Written") -> "Written":
        return Written(self.bytes - before.bytes, self.flushes - before.flushes)


def why_not() -> str | None:
    """Why there can be no loop device here, or None."""
    if os.geteuid() != 0:
        return "a loop device needs root"
    missing = [tool for tool in ("losetup", "mkfs.ext4", "mount") if shutil.which(tool) is None]
    return f"there is no {', '.join(missing)}" if missing else None


@contextmanager
def own_disk(megabytes: int) -> Iterator[Disk]:
    """Mount a fresh ext4 of that size; everything is undone at the end, whatever happens.

    Raises:
        subprocess.CalledProcessError: a tool failed; its message has been printed.
    """
    with ExitStack() as stack:
        work = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lora-edge-disk-")))
        image = work / "image"
        with image.open("wb") as file:  # no holes: the file below must not grow either
            for _ in range(megabytes):
                file.write(bytes(1 << 20))
            os.fsync(file.fileno())
        device = _run("losetup", "--find", "--show", "--direct-io=on", str(image))
        stack.callback(_run, "losetup", "--detach", device)
        lazy = "lazy_itable_init=0,lazy_journal_init=0"
        _run("mkfs.ext4", "-q", "-b", "4096", "-E", lazy, device)
        directory = work / "disk"
        directory.mkdir()
        _run("mount", "-o", "noatime", device, str(directory))
        stack.callback(_unmount, directory)
        yield Disk(directory, Path("/sys/block", Path(device).name, "stat"))


def written(directory: Path, counter: Path) -> Written:
    """Have everything written that is still in memory, and read the device's counter.

    Args:
        directory: any on the file system that lies on the device.
    """
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        if _LIBC.syncfs(descriptor) != 0:
            raise OSError(ctypes.get_errno(), f"syncfs of {directory}")
    finally:
        os.close(descriptor)
    fields = counter.read_text().split()
    return Written(int(fields[_WRITTEN_SECTORS]) * _SECTOR_BYTES, int(fields[_FLUSH_REQUESTS]))


def _unmount(directory: Path) -> None:
    """A process that was killed just now may take a moment to let go of its files."""
    for _ in range(_UNMOUNT_TRIES):
        quiet = subprocess.run(["umount", str(directory)], capture_output=True, check=False)
        if quiet.returncode == 0:
            return
        time.sleep(0.1)
    _run("umount", "--lazy", str(directory))


def _run(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
