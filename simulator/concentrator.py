"""A simulated concentrator: board, port and the faults that can befall them.

Faults act from outside, as life does: the board's firmware knows nothing of them. Several may last
at once; power, port and line are what those that last leave of them.
"""

import asyncio
import random
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from protocol.link.board_session import OutgoingFrame
from protocol.link.messages import ResetCause, RxEvent
from simulator.firmware import BoardIdentity, Boot, Firmware, TransmitListener
from simulator.fronts.registry import power_on
from simulator.port import PtyPort
from simulator.scenario import FaultKind

_SLOW_DRAIN = 10.0
_NO_POWER = frozenset({FaultKind.UNPLUG, FaultKind.REBOOT})
_UNTIL_POWER = frozenset({FaultKind.UNPLUG, FaultKind.WEDGE})
_NO_PORT = frozenset({FaultKind.UNPLUG, FaultKind.LINK_DROP})


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
        on_transmit: told of each frame that the device has put on the air.
        board: the running firmware; None without power.
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
    on_transmit: TransmitListener = lambda _radio, _payload: None
    board: Firmware | None = field(init=False, default=None)
    port: PtyPort = field(init=False)
    _timer: asyncio.TimerHandle | None = field(init=False, default=None)
    _running: bool = field(init=False, default=False)
    _lasting: dict[object, FaultKind] = field(init=False, default_factory=dict)

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
        self._running = True
        self._obey_faults(ResetCause.POWER_ON)

    def stop(self) -> None:
        """Take the port away for good, whatever faults still last."""
        self._running = False
        self.port.unplug()
        if self._timer is not None:
            self._timer.cancel()

    def kick(self) -> None:
        """After anything that may have given the board something to send."""
        if not self.port.plugged:
            self._talk_to_nobody()
        self.port.kick()
        self._schedule()

    async def suffer(self, kind: FaultKind, duration_s: float) -> None:
        """Let a fault happen; returns when it is over.

        An unplug of 0 s returns at once and lasts until a replug, a wedge of 0 s until the device
        loses its power.
        """
        if kind is FaultKind.GARBAGE:
            await self._make_noise(duration_s)
        elif kind is FaultKind.REPLUG:
            self._replug()
        else:
            fault = object()
            self._lasting[fault] = kind
            self._obey_faults(ResetCause.POWER_ON)
            if duration_s or kind not in _UNTIL_POWER:
                await self._outlast(fault, duration_s)

    async def _outlast(self, fault: object, duration_s: float) -> None:
        try:
            await asyncio.sleep(duration_s)
        finally:
            kind = self._lasting.pop(fault, None)  # None: a replug has ended it
            if kind is FaultKind.WEDGE:
                self._power_off()
            reset = kind in (FaultKind.REBOOT, FaultKind.WEDGE)
            self._obey_faults(ResetCause.WATCHDOG if reset else ResetCause.POWER_ON)

    def _replug(self) -> None:
        self._lasting = {
            fault: kind for fault, kind in self._lasting.items() if kind is not FaultKind.UNPLUG
        }
        self._obey_faults(ResetCause.POWER_ON)

    def _obey_faults(self, reset_cause: ResetCause) -> None:
        """Bring power, port and line to what the lasting faults leave of them."""
        if not self._running:
            return
        lasting = set(self._lasting.values())
        self.port.stalled = FaultKind.STALL in lasting
        self.port.distort = self._distortion(lasting)
        self.port.slowdown = _SLOW_DRAIN if FaultKind.SLOW_DRAIN in lasting else 1.0
        if lasting & _NO_POWER:
            self._power_off()
        elif self.board is None:
            self._power_on(reset_cause)
        if self.board is not None and FaultKind.WEDGE in lasting:
            self.board.wedge()
        if lasting & _NO_PORT:
            self.port.unplug()
        else:
            self.port.plug()
        self.kick()

    def inject_garbage(self, data: bytes) -> None:
        """Put these bytes on the line."""
        self.port.inject(data)

    def _distortion(self, lasting: set[FaultKind]) -> Callable[[bytes], bytes] | None:
        """What the line does to frames."""
        if FaultKind.DUPLICATE in lasting:
            return lambda data: data + data
        if FaultKind.LOSS in lasting:
            return partial(_lose_a_byte, self._chance("loss"))
        return None

    def _chance(self, purpose: str) -> random.Random:
        return random.Random(f"{self.seed}/{self.identity.name}/{purpose}")  # noqa: S311

    async def _make_noise(self, duration_s: float) -> None:
        chance = self._chance("noise")
        end = asyncio.get_running_loop().time() + duration_s
        while asyncio.get_running_loop().time() < end:
            self.port.inject(chance.randbytes(chance.randrange(1, 400)))
            await asyncio.sleep(0.02)

    def _power_on(self, cause: ResetCause) -> None:
        # Not from the seed: a second run must not look like the first boot come back.
        boot_id = secrets.randbits(64)
        self.board = power_on(self.identity.kind)(
            Boot(
                self.identity,
                boot_id,
                self.count_us,
                self.now_us(),
                cause,
                on_event=lambda _radio, raw, event: self.on_event(boot_id, raw, event),
                on_transmit=self.on_transmit,
            )
        )
        if cause is not ResetCause.POWER_ON:
            # At power-on the port is not there yet; a host that opens it late hears nothing.
            self.port.inject(self.board.boot_banner)
        self._schedule()

    def _power_off(self) -> None:
        if self.board is None:
            return
        for number in self.board.unacknowledged:
            self.on_taken(TakenEvent(self.board.boot_id, number))
        self.port.cut()
        self.board = None
        self._lasting = {
            fault: kind for fault, kind in self._lasting.items() if kind is not FaultKind.WEDGE
        }

    def _talk_to_nobody(self) -> None:
        """What a device without a ring says while its port is gone is lost."""
        board = self.board
        while board is not None and not board.keeps_events:
            frame = board.next_frame(self.now_us())
            if frame is None:
                return
            if frame.event_number is not None:
                self.on_taken(TakenEvent(board.boot_id, frame.event_number))

    def _on_data(self, data: bytes) -> None:
        if self.board is None:
            return
        before = self.board.acknowledged
        self.board.receive(data, self.now_us())
        for number in range(before + 1, self.board.acknowledged + 1):
            self.on_acknowledged(self.board.boot_id, number)
        if self.board.wants_reset:
            self._restart(self.board)
        self._schedule()

    def _restart(self, board: Firmware) -> None:
        """Let the board's answers out, then start it anew; what it was sending is cut off."""
        answers = []
        while (frame := board.next_frame(self.now_us())) and frame.event_number is None:
            answers.append(frame.data)
        self._power_off()
        for answer in answers:
            self.port.inject(answer)
        self._power_on(ResetCause.SOFTWARE)

    def _pull(self) -> OutgoingFrame | None:
        return None if self.board is None else self.board.next_frame(self.now_us())

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
        self.kick()


def _lose_a_byte(chance: random.Random, data: bytes) -> bytes:
    """Every tenth frame."""
    place = chance.randrange(10 * len(data)) if data else 0
    return data[:place] + data[place + 1 :]
