"""A small ext4 file system of its own, whose power can be cut.

The ``shutdown`` request of ext4 (FS_IOC_SHUTDOWN) ends all writing at once: what the kernel has not
yet sent to the device never gets there, and the next mount replays the journal as after a real
power cut. Needs root, loop devices and the tools of Debian's mount and e2fsprogs.
"""

import fcntl
import functools
import os
import shutil
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_SHUTDOWN = 0x8004587D
_NO_LOG_FLUSH = struct.pack("I", 2)
_BYTES = 64 << 20
_TOOLS = ("losetup", "mkfs.ext4", "mount", "umount")


class LoopDevice:
    """The file system while it is mounted; see :func:`loop_device`."""

    def __init__(self, device: str, mounted: Path) -> None:
        self._device = device
        self.directory = mounted

    def mount(self) -> None:
        """Mount it, and replay its journal if the power was cut."""
        _run("mount", "-t", "ext4", "-o", "noatime", self._device, str(self.directory))

    def unmount(self) -> None:
        """Unmount it; nothing may be open."""
        _run("umount", str(self.directory))

    def cut_power(self) -> None:
        """From here on nothing more reaches the device; who has files open gets errors."""
        descriptor = os.open(self.directory, os.O_RDONLY)
        try:
            fcntl.ioctl(descriptor, _SHUTDOWN, _NO_LOG_FLUSH)
        finally:
            os.close(descriptor)


@contextmanager
def loop_device(*, block_bytes: int = 4096, size_bytes: int = _BYTES) -> Iterator[LoopDevice]:
    """Make a file system and mount it; all is removed again, whatever happens.

    Raises:
        subprocess.CalledProcessError: this machine does not allow it.
    """
    folder = Path(tempfile.mkdtemp(prefix="powercut-"))
    image, mounted = folder / "image", folder / "mounted"
    device = None
    try:
        mounted.mkdir()
        # Written, not sparse: direct I/O to a hole may have to allocate.
        image.write_bytes(bytes(size_bytes))
        device = _run("losetup", "--find", "--show", "--direct-io=on", str(image)).strip()
        _run("mkfs.ext4", "-q", "-b", str(block_bytes), device)
        made = LoopDevice(device, mounted)
        made.mount()
        yield made
    finally:
        if os.path.ismount(mounted):
            subprocess.run(["umount", "--lazy", str(mounted)], check=False)
        if device is not None:
            subprocess.run(["losetup", "--detach", device], check=False)
        shutil.rmtree(folder)


@functools.cache
def why_not() -> str | None:
    """What keeps us from using loop devices here, or None."""
    if os.geteuid() != 0:
        return "needs root, for mounting"
    if missing := [tool for tool in _TOOLS if shutil.which(tool) is None]:
        return f"needs {', '.join(missing)} (Debian packages mount and e2fsprogs)"
    try:
        with loop_device() as device:
            device.cut_power()
    except (OSError, subprocess.CalledProcessError) as error:
        return f"needs loop devices and ext4's shutdown request: {error}"
    return None


def needs_loop_device() -> None:
    """Skip the test where it cannot be run."""
    if reason := why_not():
        pytest.skip(f"NOT RUN: {reason}")


def _run(*command: str) -> str:
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True
    ).stdout
