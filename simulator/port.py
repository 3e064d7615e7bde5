"""The serial end of a simulated board: a pty behind a stable link, paced to the line rate.

The link plays ``/dev/serial/by-id``: unplugging removes it, plugging in again makes it point to
another tty. Faults act here, on the line, where the board cannot help.
"""

import asyncio
import os
import tty
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from protocol.link.board_session import OutgoingFrame

CHUNK = 512
_BITS_PER_BYTE = 10  # 8N1
_USUAL_BAUD = 115_200
_MAX_PENDING = 256  # noise on a line that nobody reads goes nowhere


class PtyPort:
    """One pty master; ``on_data`` gets what the host writes, ``pull`` gives what to send next.

    Args:
        link: path of the stable symbolic link.
        baud: line rate that paces sending; 0 = as fast as the pty takes it.
        on_written: told the event number of each frame that was wholly written to the pty.

    Attributes:
        distort: what the line does to every frame while it is set.
        spoil_next: what it does to the next frame with an event, once.
    """

    def __init__(
        self,
        link: Path,
        *,
        baud: int,
        on_data: Callable[[bytes], None],
        pull: Callable[[], OutgoingFrame | None],
        on_written: Callable[[int], None],
    ) -> None:
        self._link = link
        self._baud = baud
        self._on_data = on_data
        self._pull = pull
        self._on_written = on_written
        self._master: int | None = None
        self._slave: int | None = None
        self._last_device: str | None = None
        self._pending: deque[tuple[bytes, int | None]] = deque()
        self._handle: asyncio.Handle | None = None
        self._busy_until = 0.0
        self.chunk = CHUNK
        self.slowdown = 1.0
        self.stalled = False
        self.distort: Callable[[bytes], bytes] | None = None
        self.spoil_next: Callable[[bytes], bytes] | None = None

    @property
    def plugged(self) -> bool:
        """Whether the device exists."""
        return self._master is not None

    @property
    def device(self) -> str | None:
        """Path of the tty behind the link."""
        return None if self._slave is None else os.ttyname(self._slave)

    def plug(self) -> None:
        """Make the device appear, under a tty that is not the previous one's."""
        if self.plugged:
            return
        master, slave = self._open()
        # Our own hold on the slave keeps the master from failing while no host has it open.
        tty.setraw(slave)
        os.set_blocking(master, False)
        self._master, self._slave = master, slave
        temporary = self._link.with_name(f".{self._link.name}.new")
        temporary.unlink(missing_ok=True)
        temporary.symlink_to(os.ttyname(slave))
        temporary.rename(self._link)
        asyncio.get_running_loop().add_reader(master, self._read)
        self.kick()

    def unplug(self) -> None:
        """Make the device vanish; bytes not yet written are gone."""
        if self._master is None or self._slave is None:
            return
        asyncio.get_running_loop().remove_reader(self._master)
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        self._link.unlink(missing_ok=True)
        os.close(self._slave)
        os.close(self._master)
        self._master = self._slave = None
        self._pending.clear()

    def cut(self) -> None:
        """Forget what was to be sent: the firmware that made it is gone."""
        self._pending.clear()

    def inject(self, data: bytes) -> None:
        """Put bytes on the line between frames: noise, a boot banner, a last answer."""
        if self.plugged and data and len(self._pending) < _MAX_PENDING:
            self._pending.append((data, None))
            self.kick()

    def kick(self) -> None:
        """Send what there is to send; to be called after anything that may have made output."""
        if self._handle is None and self._master is not None and not self.stalled:
            self._write()

    def _open(self) -> tuple[int, int]:
        """A new pty; the kernel would give the number that was freed last once more."""
        master, slave = os.openpty()
        if os.ttyname(slave) == self._last_device:
            other = os.openpty()
            os.close(master)
            os.close(slave)
            master, slave = other
        self._last_device = os.ttyname(slave)
        return master, slave

    def _read(self) -> None:
        assert self._master is not None
        data = b""
        with suppress(OSError):  # gone again before we came to it
            data = os.read(self._master, 65_536)
        if data and not self.stalled:
            self._on_data(data)
            self.kick()

    def _write(self) -> None:
        """Write one chunk, then wait as long as the line would take for it."""
        self._handle = None
        if self._master is None or self.stalled:
            return
        if not self._pending:
            frame = self._pull()
            if frame is None:
                return
            self._pending.append((self._on_the_line(frame), frame.event_number))
        data, number = self._pending.popleft()
        written = self._write_some(data[: self.chunk])
        if written < len(data):
            self._pending.appendleft((data[written:], number))
        elif number is not None:
            self._on_written(number)
        self._schedule(written)

    def _on_the_line(self, frame: OutgoingFrame) -> bytes:
        """What arrives of a frame."""
        data = frame.data
        if self.spoil_next is not None and frame.event_number is not None:
            data, self.spoil_next = self.spoil_next(data), None
        return data if self.distort is None else self.distort(data)

    def _write_some(self, data: bytes) -> int:
        assert self._master is not None
        with suppress(BlockingIOError):
            return os.write(self._master, data)
        return 0

    def _schedule(self, written: int) -> None:
        loop = asyncio.get_running_loop()
        if not written:
            # The pty's 4 KiB are full: nobody reads. Its master is always writable for select.
            self._handle = loop.call_later(0.005, self._write)
        elif not self._baud and self.slowdown == 1:
            self._handle = loop.call_soon(self._write)
        else:
            line_s = written * _BITS_PER_BYTE / (self._baud or _USUAL_BAUD) * self.slowdown
            self._busy_until = max(self._busy_until, loop.time()) + line_s
            self._handle = loop.call_at(self._busy_until, self._write)
