"""Session with a Microchip RN2483 or RN2903: brought up, kept listening, recovered. Pure.

The module receives one packet for each ``radio rx 0`` and is deaf until it is told again, so the
session says so at once. While it is open a receiver is asked for the supply voltage as a sign of
life, which does not touch the radio. After five minutes without a packet the receiver is closed and
opened again, and two of its settings are read back: a module that has hung says ``busy`` for ever,
and one that has restarted without being heard listens as its factory left it. Both look like a
quiet night otherwise.

What does not obey is led up a ladder, each step of it counted: wait, ``radio rxstop``,
``sys reset``, a break with 0x55 (which sets the baud rate anew), DTR. The last two are the port's
business: the session asks for them by :class:`LineAction`.

Source: RN2483 and RN2903 command reference (DS40001784, DS40001811).
"""

from collections import Counter, deque
from collections.abc import Generator
from dataclasses import dataclass

from protocol.dialects.rn2xx3_events import (
    Alive,
    Climbed,
    LineAction,
    Ready,
    Received,
    RN2xx3Event,
    SignalReading,
    Unresponsive,
)
from protocol.dialects.rn2xx3_ladder import PAUSE_US, Ladder, Rung
from protocol.dialects.rn2xx3_lines import (
    Banner,
    Line,
    LineDecoder,
    RadioError,
    Reception,
    Reject,
    Text,
)
from protocol.dialects.rn2xx3_scripts import (
    Ask,
    Identity,
    Refused,
    Reply,
    Trouble,
    configure,
    confirm,
    drain,
    identify,
    open_receiver,
    pause_lorawan,
    read_signal,
    read_supply,
    restart,
    stop_receiver,
    wait,
)
from protocol.dialects.rn2xx3_settings import RadioSettings
from protocol.dialects.session_events import Lost, Unusable

REJECTS = tuple(Reject)
"""All reasons that :attr:`RN2xx3Session.rejects` may have."""

ALIVE_INTERVAL_US = 5_000_000
QUIET_US = 300_000_000
AUTO_BAUD = b"\x55"
_WATCHDOG_GRACE_US = 30_000_000
_PAUSE_MARGIN_US = 2_000_000
_QUICK_US = 20_000  # no packet and no watchdog ends a reception so soon
_MAX_QUICK_ERRORS = 5
_MAX_HELD = 4  # a module cannot say more packets than one before it is told to listen again


class _Restarted(Trouble):
    """The device has started anew, by itself or because bringing it up begins with that."""


@dataclass(frozen=True, slots=True)
class _Idle:
    """Nothing to say until then, unless a line comes."""

    until_us: int


_Life = Generator[Ask | _Idle, Reply, None]


class RN2xx3Session:
    """The host's end of one open port. Take :meth:`bytes_to_send` after every other call.

    Args:
        settings: what to listen to.
        unique_id: 16 hex digits in lower case that ``sys get hweui`` must say; empty = any.
        now_us: monotonic time.
        pace: share of the usual time for all that nobody has to answer: drains, pauses, how often
            it is asked for a sign of life, how long a quiet receiver is let be. Less than 1 is for
            devices without a line in between; how long an answer may take is not changed.
    """

    def __init__(
        self,
        settings: RadioSettings,
        unique_id: str,
        now_us: int,
        signal: SignalReading = SignalReading.BEFORE,
        *,
        pace: float = 1.0,
    ) -> None:
        self._settings = settings
        self._unique_id = unique_id
        self._signal = signal
        self._pace = pace
        self._alive_interval_us = int(ALIVE_INTERVAL_US * pace)
        self._quiet_us = int(QUIET_US * pace)
        self._now_us = now_us
        self._decoder = LineDecoder()
        self._outgoing = bytearray()
        self._events: deque[RN2xx3Event] = deque()
        self._packets: list[tuple[Reception, int]] = []
        self._identity: Identity | None = None
        self._set_up = False
        self._up = False
        self._can_stop = True
        self._open = False
        self._in_doubt = False
        self._opened_us = now_us
        self._checked_us = now_us
        self._told: bytes | None = None
        self._alive_due_us = now_us
        self._pause_until_us = now_us
        self._quick_errors = 0
        self._ladder = Ladder()
        self._waiting: Ask | _Idle | None = None
        self._due_us = now_us
        self._life = self._live()
        self._resume(None)

    @property
    def listening(self) -> bool:
        """Whether the receiver is open, as far as one can know."""
        return self._open

    @property
    def recoveries(self) -> Counter[Rung]:
        """How often each step of the recovery ladder was taken since the port was opened."""
        return self._ladder.taken

    @property
    def rejects(self) -> dict[str, int]:
        """What was thrown away since the port was opened, by reason."""
        return {reason.value: count for reason, count in self._decoder.rejects.items()}

    def bytes_to_send(self) -> bytes:
        """What is to be written to the port now."""
        data = bytes(self._outgoing)
        self._outgoing.clear()
        return data

    def next_event(self) -> RN2xx3Event | None:
        """The oldest event not yet taken."""
        return self._events.popleft() if self._events else None

    def end(self) -> None:
        """The port is gone: tell of packets whose signal was being asked for."""
        self._life.close()
        self._waiting = None
        self._hand_on(None, None)

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        return self._due_us

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the port; never raises."""
        self._now_us = now_us
        for line in self._decoder.feed(data):
            if self._waiting is not None:
                self._digest(line)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due: a reply has not come, or it is time to ask something."""
        self._now_us = now_us
        if self._waiting is not None and now_us >= self._due_us:
            self._resume(None)

    def restart_device(self, now_us: int) -> None:
        """Let the module start anew and bring it up again; nothing happens before it is up."""
        self._now_us = now_us
        if self._set_up:
            self._resume(None, _Restarted("told to start anew"))

    def _digest(self, line: Line) -> None:
        match line:
            case Reception(payload) if payload == self._told:
                self._decoder.rejects[Reject.REPEATED] += 1
            case Reception(payload) if self._set_up:
                self._told = payload
                self._hold(line)
                self._note_end_of_reception()
            case Reception():
                self._decoder.rejects[Reject.BEFORE_SETUP] += 1
            case RadioError():
                self._decoder.rejects[Reject.RADIO_ERROR] += 1
                quick = self._open and self._now_us - self._opened_us < _QUICK_US
                self._quick_errors = self._quick_errors + 1 if quick else 0
                self._note_end_of_reception()
            case Banner() if isinstance(self._waiting, Ask) and self._waiting.banner:
                self._resume(line)
            case Banner() if self._set_up:
                self._resume(None, _Restarted("the module has restarted"))
            case Text():
                self._digest_text(line)

    def _digest_text(self, line: Text) -> None:
        """A reply; or noise, which may have been the end of a reception."""
        ask = self._waiting
        if isinstance(ask, Ask) and not ask.drain:
            if ask.expected.fullmatch(line.text):
                self._resume(line.text)
                return
            if line.word is not None:
                self._resume(line.word)
                return
        elif line.word is not None:
            return  # an answer that comes too late
        self._decoder.rejects[Reject.UNEXPECTED] += 1
        self._in_doubt = True
        if isinstance(ask, _Idle):
            self._resume(None)

    def _note_end_of_reception(self) -> None:
        self._open = False
        if isinstance(self._waiting, _Idle):
            self._resume(None)

    def _resume(self, reply: Reply, trouble: Trouble | None = None) -> None:
        """Go on with the conversation until it waits again; at its end the session is over."""
        try:
            step = self._life.send(reply) if trouble is None else self._life.throw(trouble)
        except StopIteration:
            self._waiting = None
            self._open = self._set_up = False
            self._due_us = self._now_us + self._quiet_us
            return
        self._waiting = step
        if isinstance(step, _Idle):
            self._due_us = step.until_us
            return
        pace = self._pace if step.drain else 1
        self._due_us = self._now_us + int(step.patience_us * pace)
        if step.line is not None:
            self._outgoing += step.line.encode("ascii") + b"\r\n"

    def _live(self) -> _Life:
        trouble: Trouble | None = None
        while True:
            try:
                if trouble is not None:
                    self._hand_on(None, None)
                    met, trouble = trouble, None
                    if not (yield from self._climb(met)):
                        return
                if not self._set_up:
                    yield from self._bring_up()
                yield from self._listen()
            except Trouble as another:
                trouble = another
            except Refused as refused:
                self._events.append(Unusable(str(refused)))
                return

    def _bring_up(self) -> _Life:
        self._open = False
        identity = yield from identify(self._settings, self._unique_id)
        yield from restart()
        yield from self._pause()
        self._can_stop = yield from stop_receiver()
        yield from configure(self._settings, identity.banner.model, self._watchdog_ms())
        self._identity = identity
        self._set_up = True
        self._checked_us = self._now_us
        self._quick_errors = 0
        yield from self._open_receiver(may_be_open=False)
        self._alive_due_us = self._now_us + self._alive_interval_us
        self._up = True
        self._events.append(Ready(identity))

    def _watchdog_ms(self) -> int:
        """Without rxstop it is the module's own watchdog that shows whether the radio lives."""
        return 0 if self._can_stop else self._quiet_us // 1000

    def _listen(self) -> _Life:
        """Serve packets and timers for as long as the device does what it should."""
        while True:
            if self._packets:
                yield from self._serve_packet()
            elif self._now_us >= self._check_due_us():
                yield from self._check()
            elif not self._open or self._in_doubt:
                yield from self._open_receiver(may_be_open=self._open)
            elif self._now_us >= self._alive_due_us:
                yield from self._ask_for_life()
            else:
                yield _Idle(min(self._alive_due_us, self._check_due_us()))

    def _serve_packet(self) -> _Life:
        """Open the receiver again as soon as possible, and hand the packet on."""
        self._ladder.leave()
        self._checked_us = self._now_us
        signal: tuple[int | None, int | None] = (None, None)
        assert self._identity is not None
        if self._signal is SignalReading.BEFORE and not self._open:
            signal = yield from read_signal(rssi=self._identity.tells_rssi)
        if not self._open:
            yield from self._open_receiver(may_be_open=False)
        if self._signal is SignalReading.AFTER:
            signal = yield from read_signal(rssi=self._identity.tells_rssi)
        self._hand_on(*signal)

    def _hand_on(self, snr_db: int | None, rssi_dbm: int | None) -> None:
        """Tell of the packets; of several nobody knows which one the signal belongs to."""
        if len(self._packets) > 1:
            snr_db = rssi_dbm = None
        for packet in self._packets:
            self._tell(*packet, snr_db, rssi_dbm)
        self._packets.clear()

    def _hold(self, reception: Reception) -> None:
        """Until its signal is known; but a port that says nothing else must not fill the memory."""
        if len(self._packets) == _MAX_HELD:
            self._tell(*self._packets.pop(0), None, None)
        self._packets.append((reception, self._now_us))

    def _tell(
        self, reception: Reception, arrived_us: int, snr_db: int | None, rssi_dbm: int | None
    ) -> None:
        self._events.append(
            Received(reception.payload, snr_db, rssi_dbm, reception.line_bytes, arrived_us)
        )

    def _open_receiver(self, *, may_be_open: bool) -> _Life:
        if self._quick_errors >= _MAX_QUICK_ERRORS:
            self._quick_errors = 0
            raise Trouble("every reception ends at once with radio_err")
        self._in_doubt = False
        anew = yield from open_receiver(may_be_open=may_be_open)
        self._told = None
        if anew:
            self._opened_us = self._now_us
        self._open = True

    def _pause(self) -> _Life:
        milliseconds = yield from pause_lorawan()
        self._pause_until_us = self._now_us + milliseconds * 1000

    def _check_due_us(self) -> int:
        quiet_until_us = self._checked_us + self._quiet_us
        if self._open and not self._can_stop:
            ends_us = self._opened_us + self._quiet_us + _WATCHDOG_GRACE_US
            quiet_until_us = max(quiet_until_us, ends_us)
        return min(quiet_until_us, self._pause_until_us - _PAUSE_MARGIN_US)

    def _check(self) -> _Life:
        """See that the radio obeys, and that the module is as it was set up.

        Raises:
            Trouble: it is not.
        """
        if self._can_stop:
            yield from stop_receiver()
            self._open = False
        elif self._open and self._now_us - self._opened_us > self._quiet_us:
            raise Trouble("the watchdog did not end a reception")
        yield from self._pause()
        assert self._identity is not None
        if not self._open:
            model = self._identity.banner.model
            if not (yield from confirm(self._settings, model, self._watchdog_ms())):
                raise _Restarted("the module has lost its settings")
            self._checked_us = self._now_us
        self._opened_us = self._now_us
        yield from self._open_receiver(may_be_open=self._open)

    def _ask_for_life(self) -> _Life:
        self._alive_due_us = self._now_us + self._alive_interval_us
        supply_mv = yield from read_supply()
        self._ladder.leave()
        self._events.append(Alive(supply_mv))

    def _climb(self, trouble: Trouble) -> Generator[Ask | _Idle, Reply, bool]:
        """One rung of the ladder; False when there are no more."""
        if isinstance(trouble, _Restarted):
            self._lose(str(trouble))
            return True
        rung = self._ladder.climb(trouble, set_up=self._set_up)
        if rung is None:
            self._lose(str(trouble))
            self._events.append(Unresponsive(str(trouble)))
            return False
        self._events.append(Climbed(rung, str(trouble)))
        yield from wait(PAUSE_US[rung])
        yield from self._take(rung, str(trouble))
        return True

    def _take(self, rung: Rung, reason: str) -> _Life:
        if rung is Rung.RXSTOP:
            yield Ask("radio rxstop")
            self._open = False
        elif rung is Rung.WAIT:
            self._in_doubt = True
        else:
            self._lose(reason)  # bringing up begins with sys reset
            if rung is not Rung.SYS_RESET:
                breaks = rung is Rung.BREAK
                self._events.append(LineAction.BREAK if breaks else LineAction.PULSE_DTR)
                self._outgoing += AUTO_BAUD if breaks else b""
                yield from wait(1_000_000)
        yield from drain()

    def _lose(self, reason: str) -> None:
        self._set_up = self._open = False
        if self._up:
            self._events.append(Lost(reason))
        self._up = False
