"""A session and a simulated module on one serial line, in virtual time: nothing here waits."""

from collections.abc import Callable
from dataclasses import dataclass, field

from protocol.dialects.rn2xx3 import AUTO_BAUD, RN2xx3Session
from protocol.dialects.rn2xx3_events import Received, RN2xx3Event, SignalReading
from protocol.dialects.rn2xx3_settings import RadioSettings
from protocol.link.messages import ResetCause
from simulator.firmware import BoardIdentity, Boot
from simulator.fronts.rn2xx3 import Rn2xx3
from simulator.fronts.rn2xx3_models import RN2903, Rn2xx3Model

BAUD = 57_600
SETTINGS = RadioSettings(921_400_000, 9, 125_000, "4/5", 0x34)
_STEP_US = 100

Distort = Callable[[bytes], bytes]


@dataclass
class VirtualLine:
    """Both ends, and what is under way between them.

    Attributes:
        to_host: what the line does to each line of the module as long as it is set.
        events: everything that the session has told, in order.
    """

    model: Rn2xx3Model = RN2903
    settings: RadioSettings = SETTINGS
    signal: SignalReading = SignalReading.BEFORE
    to_host: Distort = bytes
    now_us: int = 1_000_000
    events: list[RN2xx3Event] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    _flying: list[tuple[int, bool, bytes]] = field(default_factory=list)
    _free_at_us: dict[bool, int] = field(default_factory=lambda: {True: 0, False: 0})
    _turned_us: int = 0
    _turns: int = 0

    def __post_init__(self) -> None:
        self.module = self._power_on(ResetCause.POWER_ON)
        self.session = RN2xx3Session(self.settings, "", self.now_us, self.signal)
        self._carry()

    @property
    def listening(self) -> bool:
        """Whether the module's radio hears what the session was told to hear."""
        tuned = self.module.radios[0].chip.listening(self.now_us)
        return (
            tuned is not None
            and abs(tuned.frequency_hz - self.settings.frequency_hz) < 100
            and tuned.spreading_factor == self.settings.spreading_factor
        )

    def run(self, duration_us: int) -> None:
        """Let time pass."""
        end_us = self.now_us + duration_us
        while (next_us := self._next_us()) <= end_us:
            self.now_us = max(self.now_us, next_us)
            self._happen()
        self.now_us = end_us

    def run_until(self, kind: type[RN2xx3Event], limit_us: int = 600_000_000) -> RN2xx3Event:
        """Let time pass until an event of this kind is new; returns it."""
        seen = len(self.events)
        end_us = self.now_us + limit_us
        while self.now_us < end_us:
            self.now_us = max(self.now_us, self._next_us())
            self._happen()
            for event in self.events[seen:]:
                if isinstance(event, kind):
                    return event
        raise AssertionError(f"no {kind.__name__} in {limit_us} us: {self.events[seen:]}")

    def until_listening(self, limit_us: int = 60_000_000) -> int:
        """Let time pass until the module listens as it should; how long that took."""
        start_us = self.now_us
        while not self.listening:
            self.run(_STEP_US)
            assert self.now_us - start_us < limit_us, "it does not listen again"
        return self.now_us - start_us

    def hear(self, payload: bytes, *, crc_ok: bool = True) -> bool:
        """Let a frame arrive that ends now; whether the module listens."""
        if not self.listening:
            return False
        chip = self.module.radios[0].chip
        chip.begin_reception(now_us=self.now_us)
        chip.header_received(
            coding_rate=1, crc_on_payload=True, payload_length=len(payload), now_us=self.now_us
        )
        chip.end_reception(
            payload,
            rssi_dbm=-100.0,
            snr_db=5.0,
            frequency_error_hz=0.0,
            crc_ok=crc_ok,
            now_us=self.now_us,
        )
        self._carry()
        return True

    def say(self, data: bytes) -> None:
        """Put bytes on the line to the host, behind what is under way."""
        self._send(to_host=True, data=data)

    def restart(self, heard: Distort = bytes) -> None:
        """The module loses its power for a moment; the host hears this of its banner."""
        self.module = self._power_on(ResetCause.POWER_ON)
        self.say(heard(self.module.boot_banner))

    def payloads(self) -> list[bytes]:
        """Of the packets that the session has told."""
        return [event.payload for event in self.events if isinstance(event, Received)]

    def of(self, kind: type[RN2xx3Event]) -> list[RN2xx3Event]:
        """Events of one kind."""
        return [event for event in self.events if isinstance(event, kind)]

    def _power_on(self, cause: ResetCause) -> Rn2xx3:
        identity = BoardIdentity("module", bytes(8), 1)
        return Rn2xx3(Boot(identity, 1, lambda: self.now_us, self.now_us, cause), self.model)

    def _next_us(self) -> int:
        flying = min((at_us for at_us, _, _ in self._flying), default=1 << 62)
        return min(flying, self.session.timer_us(), self.module.timer_us())

    def _happen(self) -> None:
        self._turns = self._turns + 1 if self._turned_us == self.now_us else 0
        self._turned_us = self.now_us
        assert self._turns < 10_000, f"time stands still: {self.events[-1:]}"
        due = [item for item in self._flying if item[0] <= self.now_us]
        for item in due:
            self._flying.remove(item)
            _, to_host, data = item
            if to_host:
                self.session.receive(data, self.now_us)
            else:
                self.module.receive(data, self.now_us)
        self.session.handle_timer(self.now_us)
        self.module.handle_timer(self.now_us)
        self._carry()

    def _carry(self) -> None:
        if data := self.session.bytes_to_send().removeprefix(AUTO_BAUD):
            self.commands += data.decode("ascii").split("\r\n")[:-1]
            self._send(to_host=False, data=data)
        while (event := self.session.next_event()) is not None:
            self.events.append(event)
        while (frame := self.module.next_frame(self.now_us)) is not None:
            self._send(to_host=True, data=self.to_host(frame.data))
        if self.module.wants_reset:
            self.module = self._power_on(ResetCause.SOFTWARE)
            self.say(self.module.boot_banner)

    def _send(self, *, to_host: bool, data: bytes) -> None:
        """The line carries ten bits a byte; each direction is free for the next when it is over."""
        start_us = max(self.now_us, self._free_at_us[to_host])
        end_us = start_us + len(data) * 10_000_000 // BAUD
        self._free_at_us[to_host] = end_us
        self._flying.append((end_us, to_host, data))
