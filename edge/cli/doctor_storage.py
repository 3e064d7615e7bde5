"""The state directory: rights, room, the file system it is on, and how long a flush takes."""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from edge.cli.doctor_finding import Finding
from edge.cli.output import size
from edge.mounts import mount_of
from edge.outbox.database import PAGE_BYTES

_LEAST_FREE_BYTES = 100_000_000
_FLUSHES = 20
_SLOW_FLUSH_S = 0.1  # a sound card takes 3 to 30 ms
_FORGETFUL = ("tmpfs", "ramfs", "overlay", "squashfs")
_WITHOUT_JOURNAL = ("vfat", "msdos", "exfat")
_FAR = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")


def examine_state(
    directory: Path, max_bytes: int, *, proc: Path = Path("/proc")
) -> Iterator[Finding]:
    """All checks of the directory; ``max_bytes`` = what the outbox may take, 0 = not known."""
    if not directory.is_dir():
        fix = "systemctl start lora-edge makes it; or correct state_dir"
        yield Finding("state", "fault", f"{directory} is no directory", fix)
        return
    if not os.access(directory, os.W_OK | os.X_OK):
        fix = "run this as sudo -u lora-edge; else chown lora-edge: " + str(directory)
        yield Finding("state", "fault", f"{directory} may not be written by this user", fix)
        return
    yield Finding("state", "ok", f"{directory} can be written")
    yield _room(directory, max_bytes)
    yield _file_system(directory, proc)
    yield _flush(directory)


def _room(directory: Path, max_bytes: int) -> Finding:
    free = shutil.disk_usage(directory).free
    used = sum(file.stat().st_size for file in directory.glob("outbox.db*"))
    text = f"{size(free)} free"
    if free < _LEAST_FREE_BYTES:
        fix = f"make room: du -xh {directory} / | sort -h | tail"
        return Finding("disk", "fault", text, fix)
    if free + used < max_bytes:
        fix = f"make room, or set [outbox] max_bytes below {size(free + used)}"
        text = f"{text}, but the outbox may take {size(max_bytes)}"
        return Finding("disk", "warning", text, fix)
    return Finding("disk", "ok", text)


def _file_system(directory: Path, proc: Path) -> Finding:
    kind = mounted_as(directory, proc)
    block = os.statvfs(directory).f_bsize
    text = f"{kind or 'unknown'}, blocks of {block} bytes"
    elsewhere = "put state_dir on ext4, on the card or a disk of its own"
    if kind in _FORGETFUL:
        text = f"{text}: it forgets everything at a power cut"
        return Finding("file system", "fault", text, elsewhere)
    if kind in _FAR:
        return Finding("file system", "fault", f"{text}: SQLite needs a local one", elsewhere)
    if kind in _WITHOUT_JOURNAL:
        return Finding("file system", "warning", f"{text}: a power cut may break it", elsewhere)
    if block < PAGE_BYTES:
        fix = f"make the file system anew with blocks of {PAGE_BYTES} bytes: mkfs.ext4 -b 4096"
        text = f"{text}: a power cut may garble more than the last write"
        return Finding("file system", "warning", text, fix)
    return Finding("file system", "ok", text)


def mounted_as(directory: Path, proc: Path = Path("/proc")) -> str:
    """Kind of the file system that holds a directory; "" = the kernel does not tell."""
    try:
        mount = mount_of(directory, proc / "self/mountinfo")
    except OSError:
        return ""
    return "" if mount is None else mount.kind


def _flush(directory: Path) -> Finding:
    """What each commit has to wait for: a page written in place, and flushed."""
    try:
        with tempfile.NamedTemporaryFile(dir=directory, prefix=".doctor-") as file:
            file.write(bytes(PAGE_BYTES))
            file.flush()
            os.fsync(file.fileno())
            took_s = [_one_flush(file.fileno()) for _ in range(_FLUSHES)]
    except OSError as error:
        fix = "dmesg | grep -iE 'mmc|I/O error': the card may be dying"
        return Finding("flush", "fault", f"a test file in {directory}: {error}", fix)
    middle_s, worst_s = statistics.median(took_s), max(took_s)
    text = f"{middle_s * 1000:.1f} ms, at worst {worst_s * 1000:.1f} ms of {_FLUSHES}"
    if middle_s > _SLOW_FLUSH_S:
        fix = "a sound card takes 3 to 30 ms: iostat -x 1 shows other writers; else replace it"
        return Finding("flush", "warning", text, fix)
    return Finding("flush", "ok", text)


def _one_flush(descriptor: int) -> float:
    began_s = time.monotonic()
    os.pwrite(descriptor, os.urandom(PAGE_BYTES), 0)
    os.fdatasync(descriptor)
    return time.monotonic() - began_s
