"""A simulated concentrator: board, port and the faults that can befall them.

Faults act from outside, as life does: the board's firmware knows nothing of them.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from protocol.link.board_session import OutgoingFrame
from protocol.link.messages import ResetCause, RxEvent
from simulator.board import Board, BoardIdentity
from simulator.port import PtyPort


class Fault(StrEnum):
    """What can be done to a concentrator on demand."""

    LINK_DROP = "link_drop"  # the port vanishes, the board keeps its power; back under another tty
    UNPLUG = "unplug"  # the board loses its power and its ring; back after the duration
    REBOOT = "reboot"  # the board restarts in the middle of whatever it does
    GARBAGE = "garbage"  # noise on the line between frames
    STALL = "stall"  # the board's serial output and input stop
    SLOW_DRAIN = "slow_drain"  # the line carries a tenth of its rate


@dataclass(frozen=True, slots=True)
class TakenEvent:
    """A reception that went down with its board."""

    boot_id: int
    number: int


@dataclass(slots=True)
class SimulatedConcentrator:
    """One concentrator of a running simulation; methods are to be called on the event loop.

    Attributes:
        now_us: a monotonic clock for the boards' timers.
        count_us: the counter that the boards stamp events with; it may run on captured time.
        on_event: told of each reception: boot id, what the radio read, and the numbered event or
            None if the ring was full.
        on_written: told (boot id, number) when an event was wholly written to the pty.
        on_acknowledged: told (boot id, number) when the host acknowledged an event.
        on_taken: told of each unacknowledged event when a board loses its power.
    """

    identity: BoardIdentity
    link: Path
    seed: int
    now_us: Callable[[], int]
    count_us: Callable[[], int]
    baud: int = 115_200
    on_event: Callable[[int, RxEvent, RxEvent | None], None] = lambda _boot, _raw, _event: None
    on_written: Callable[[int, int], None] = lambda _boot, _number: None
    on_acknowledged: Callable[[int, int], None] = lambda _boot, _number: None
    on_taken: Callable[[TakenEvent], None] = lambda _taken: None
    overflows: int = field(init=False, default=0)
    board: Board | None = field(init=False, default=None)
    port: PtyPort = field(init=False)
    _timer: asyncio.TimerHandle | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.port = PtyPort(
            self.link,
            baud=self.baud,
            on_data=self._on_data,
            pull=self._pull,
            on_written=self._on_written,
        )

    def start(self) -> None:
        """Power the board and make its port appear."""
        self._power_on(ResetCause.POWER_ON)
        self.port.plug()

    def stop(self) -> None:
        """Take everything away."""
        self.port.unplug()
        if self._timer is not None:
            self._timer.cancel()

    def kick(self) -> None:
        """After anything that may have given the board something to send."""
        self.port.kick()
        self._schedule()

    async def suffer(self, fault: Fault, duration_s: float) -> None:
        """Let a fault happen; returns when it is over."""
        match fault:
            case Fault.LINK_DROP:
                self.port.unplug()
                await asyncio.sleep(duration_s)
                self.port.plug()
            case Fault.UNPLUG:
                self._power_off()
                self.port.unplug()
                await asyncio.sleep(duration_s)
                self._power_on(ResetCause.POWER_ON)
                self.port.plug()
            case Fault.REBOOT:
                self._power_off()
                self.port.cut()
                self.port.inject(b"\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\nload:0x3fff0030\r\n")
                await asyncio.sleep(duration_s)
                self._power_on(ResetCause.WATCHDOG)
            case Fault.GARBAGE:
                await self._make_noise(duration_s)
            case Fault.STALL:
                self.port.stalled = True
                await asyncio.sleep(duration_s)
                self.port.stalled = False
            case Fault.SLOW_DRAIN:
                self.port.slowdown = 10.0
                await asyncio.sleep(duration_s)
                self.port.slowdown = 1.0
        self.kick()

    def inject_garbage(self, data: bytes) -> None:
        """Put these bytes on the line."""
        self.port.inject(data)

    async def _make_noise(self, duration_s: float) -> None:
        chance = random.Random(f"{self.seed}/{self.identity.name}/noise")  # noqa: S311
        end = asyncio.get_running_loop().time() + duration_s
        while asyncio.get_running_loop().time() < end:
            self.port.inject(chance.randbytes(chance.randrange(1, 400)))
            await asyncio.sleep(0.02)

    def _power_on(self, cause: ResetCause) -> None:
        # Not from the seed: a second run must not look like the first boot come back.
        boot_id = secrets.randbits(64)
        self.board = Board(
            self.identity,
            boot_id,
            self.count_us,
            self.now_us(),
            reset_cause=cause,
            on_event=lambda _radio, raw, event: self._on_event(boot_id, raw, event),
        )
        self._schedule()

    def _power_off(self) -> None:
        if self.board is None:
            return
        for event in self.board.session.unacknowledged:
            self.on_taken(TakenEvent(self.board.boot_id, event.number))
        self.board = None

    def _on_data(self, data: bytes) -> None:
        if self.board is None:
            return
        before = self.board.session.acknowledged
        self.board.receive(data, self.now_us())
        for number in range(before + 1, self.board.session.acknowledged + 1):
            self.on_acknowledged(self.board.boot_id, number)
        if self.board.wants_reset:
            self._power_off()
            self._power_on(ResetCause.SOFTWARE)
        self._schedule()

    def _pull(self) -> OutgoingFrame | None:
        return None if self.board is None else self.board.next_frame(self.now_us())

    def _on_event(self, boot_id: int, raw: RxEvent, event: RxEvent | None) -> None:
        if event is None:
            self.overflows += 1
        self.on_event(boot_id, raw, event)

    def _on_written(self, number: int) -> None:
        if self.board is not None:
            self.on_written(self.board.boot_id, number)

    def _schedule(self) -> None:
        """Run the board's timer when it is due."""
        if self._timer is not None:
            self._timer.cancel()
        if self.board is None:
            return
        delay_s = max(0.0, (self.board.timer_us() - self.now_us()) / 1e6)
        self._timer = asyncio.get_running_loop().call_later(delay_s, self._tick)

    def _tick(self) -> None:
        self._timer = None
        if self.board is not None:
            self.board.handle_timer(self.now_us())
            self.port.kick()
        self._schedule()
