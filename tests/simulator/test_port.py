"""The serial end of a board on a real pty: order of bytes, pace, unplugging, bad hosts."""

import asyncio
import errno
import os
import random
import time
import tty
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from protocol.link.board_session import OutgoingFrame
from simulator.port import PtyPort
from tests.simulator.line_host import until


class Firmware:
    """What a port moves bytes for."""

    def __init__(self, link: Path, baud: int = 0) -> None:
        self.received = bytearray()
        self.frames: deque[OutgoingFrame] = deque()
        self.written: list[int] = []
        self.port = PtyPort(
            link,
            baud=baud,
            on_data=self.received.extend,
            pull=lambda: self.frames.popleft() if self.frames else None,
            on_written=self.written.append,
        )

    def send(self, data: bytes, number: int | None = None) -> None:
        """Queue a frame."""
        self.frames.append(OutgoingFrame(data, number))
        self.port.kick()


@contextmanager
def open_tty(path: Path) -> Iterator[int]:
    """The host's descriptor of the device."""
    fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
    try:
        tty.setraw(fd)
        yield fd
    finally:
        os.close(fd)


async def read_until(fd: int, count: int) -> bytes:
    """Exactly so many bytes."""
    data = bytearray()

    def enough() -> bool:
        with suppress(BlockingIOError):
            data.extend(os.read(fd, 65_536))
        return len(data) >= count

    await until(enough, f"{count} bytes")
    return bytes(data)


@pytest.fixture
async def firmware(tmp_path: Path) -> Firmware:
    """A plugged port without a pace."""
    firmware = Firmware(tmp_path / "board")
    firmware.port.plug()
    return firmware


@pytest.fixture(autouse=True)
def no_descriptor_is_left(tmp_path: Path) -> Iterator[None]:
    """Every test unplugs in the end; a pty more than before is a leak."""
    before = len(list(Path("/proc/self/fd").iterdir()))
    yield
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


async def test_bytes_pass_unchanged_both_ways(firmware: Firmware) -> None:
    """All 256 values: nothing is echoed, translated or eaten by the terminal's line discipline."""
    every = bytes(range(256)) * 8
    with open_tty(firmware.port._link) as fd:
        os.write(fd, every)
        await until(lambda: len(firmware.received) >= len(every))
        firmware.send(every)
        assert await read_until(fd, len(every)) == every
    assert bytes(firmware.received) == every
    firmware.port.unplug()


async def test_the_link_points_to_the_tty_and_goes_with_it(firmware: Firmware) -> None:
    link = firmware.port._link
    assert firmware.port.plugged
    assert str(link.resolve()) == firmware.port.device
    firmware.port.unplug()
    assert not firmware.port.plugged
    assert firmware.port.device is None
    assert not os.path.lexists(link)


async def test_it_comes_back_under_another_tty(firmware: Firmware) -> None:
    """As USB devices do, even if the old number is free again."""
    seen = [firmware.port.device]
    for _ in range(5):
        firmware.port.unplug()
        firmware.port.plug()
        assert firmware.port.device != seen[-1]
        seen.append(firmware.port.device)
    firmware.port.unplug()


async def test_a_number_that_the_kernel_gives_again_is_not_taken(
    firmware: Firmware, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kernels differ in when they do; here the first pty that is offered has the old number."""
    offered: list[str] = []
    open_pty = os.openpty

    def openpty() -> tuple[int, int]:
        master, slave = open_pty()
        offered.append(os.ttyname(slave))
        firmware.port._last_device = offered[0]
        return master, slave

    firmware.port.unplug()
    monkeypatch.setattr(os, "openpty", openpty)
    firmware.port.plug()
    assert len(offered) == 2
    assert firmware.port.device == offered[1] != offered[0]
    firmware.port.unplug()


async def test_plugging_twice_and_unplugging_twice_change_nothing(firmware: Firmware) -> None:
    device = firmware.port.device
    firmware.port.plug()
    assert firmware.port.device == device
    firmware.port.unplug()
    firmware.port.unplug()
    firmware.port.inject(b"to nobody")
    firmware.port.kick()
    firmware.port.plug()
    with open_tty(firmware.port._link) as fd:
        firmware.send(b"fresh")
        assert await read_until(fd, 5) == b"fresh"
    firmware.port.unplug()


async def test_the_host_sees_the_device_vanish(firmware: Firmware) -> None:
    """End of file or EIO, as the kernel reports a hangup."""
    with open_tty(firmware.port._link) as fd:
        firmware.port.unplug()

        def hung_up() -> bool:
            try:
                return os.read(fd, 1) == b""
            except OSError as error:
                return error.errno == errno.EIO

        await until(hung_up)


async def test_on_written_tells_when_a_frame_is_wholly_out(firmware: Firmware) -> None:
    """In chunks: a number comes with its last byte, and none for what is no event."""
    firmware.port.chunk = 7
    with open_tty(firmware.port._link) as fd:
        firmware.send(b"x" * 100, 1)
        firmware.send(b"control")
        firmware.send(b"y" * 50, 2)
        assert await read_until(fd, 157) == b"x" * 100 + b"control" + b"y" * 50
    assert firmware.written == [1, 2]
    firmware.port.unplug()


async def test_a_host_that_does_not_read_loses_nothing(firmware: Firmware) -> None:
    """The pty holds 4 KiB; the rest waits, and the loop is free meanwhile."""
    sent = [random.Random(number).randbytes(1000) for number in range(40)]
    with open_tty(firmware.port._link) as fd:
        for number, data in enumerate(sent):
            firmware.send(data, number)
        began = time.thread_time()
        await asyncio.sleep(0.2)
        assert time.thread_time() - began < 0.1, "the port spins"
        assert len(firmware.written) < 30
        assert await read_until(fd, 40_000) == b"".join(sent)
    assert firmware.written == list(range(40))
    firmware.port.unplug()


async def test_injected_bytes_go_between_frames(firmware: Firmware) -> None:
    firmware.port.chunk = 3
    with open_tty(firmware.port._link) as fd:
        firmware.send(b"[first frame]")
        firmware.port.inject(b"noise")
        firmware.send(b"[second frame]")
        assert await read_until(fd, 32) == b"[first frame]noise[second frame]"
    firmware.port.unplug()


async def test_noise_that_nobody_reads_is_bounded(firmware: Firmware) -> None:
    for _ in range(10_000):
        firmware.port.inject(bytes(400))
    assert len(firmware.port._pending) <= 256
    firmware.port.unplug()


async def test_cut_forgets_what_was_to_be_sent(firmware: Firmware) -> None:
    with open_tty(firmware.port._link) as fd:
        firmware.port.stalled = True
        firmware.port.inject(b"never said")
        firmware.port.cut()
        firmware.port.stalled = False
        firmware.send(b"said")
        assert await read_until(fd, 4) == b"said"
    firmware.port.unplug()


async def test_a_stalled_line_moves_nothing_either_way(firmware: Firmware) -> None:
    with open_tty(firmware.port._link) as fd:
        firmware.port.stalled = True
        firmware.send(b"held back")
        os.write(fd, b"into the void")
        await asyncio.sleep(0.05)
        with pytest.raises(BlockingIOError):
            os.read(fd, 100)
        firmware.port.stalled = False
        firmware.port.kick()
        assert await read_until(fd, 9) == b"held back"
    assert not firmware.received
    firmware.port.unplug()


async def test_a_stall_stops_in_the_middle_of_a_frame(firmware: Firmware) -> None:
    """And goes on there."""
    firmware.port.chunk = 10
    frame = bytes(range(200))
    with open_tty(firmware.port._link) as fd:
        firmware.send(frame)
        firmware.port.stalled = True
        await asyncio.sleep(0.02)
        firmware.port.stalled = False
        firmware.port.kick()
        assert await read_until(fd, 200) == frame
    firmware.port.unplug()


@pytest.mark.parametrize(
    ("baud", "slowdown", "length", "expected_s"),
    [(115_200, 1, 2304, 0.2), (57_600, 1, 1152, 0.2), (0, 10, 230, 0.2), (230_400, 2, 2304, 0.2)],
)
async def test_the_line_rate_is_kept(
    tmp_path: Path, baud: int, slowdown: float, length: int, expected_s: float
) -> None:
    """Ten bits for a byte; a line without a pace drains as slowly as one of 115,200 baud."""
    firmware = Firmware(tmp_path / "board", baud)
    firmware.port.plug()
    firmware.port.slowdown = slowdown
    firmware.port.chunk = 64
    loop = asyncio.get_running_loop()
    with open_tty(firmware.port._link) as fd:
        began = loop.time()
        firmware.send(bytes(length), 1)
        await read_until(fd, length)
        took_s = loop.time() - began
    # The last chunk is on its way when it is written; a busy machine only makes it later.
    assert took_s >= expected_s - 0.06 * slowdown
    assert took_s < expected_s + 2
    firmware.port.unplug()


async def test_a_host_that_leaves_in_the_middle_of_a_frame(firmware: Firmware) -> None:
    """Close and open again: the port is still there and works."""
    for _ in range(3):
        with open_tty(firmware.port._link) as fd:
            os.write(fd, b"\x00\x05half a fra")
    await until(lambda: firmware.received.count(b"half a fra") == 3)
    with open_tty(firmware.port._link) as fd:
        firmware.send(b"still here")
        assert (await read_until(fd, 10)).endswith(b"still here")
    firmware.port.unplug()


async def test_unplugging_while_there_is_much_to_send(firmware: Firmware) -> None:
    """What was not written is gone and never counts as written."""
    for number in range(50):
        firmware.send(bytes(1000), number)
    await asyncio.sleep(0.01)
    firmware.port.unplug()
    written = list(firmware.written)
    assert len(written) < 50
    await asyncio.sleep(0.05)
    assert firmware.written == written
