"""The board's end of the concentrator link: its ring of events, window, lease and greetings.

``docs/CONCENTRATOR-LINK.md`` sections 4, 5 and 9. The firmware of a real board implements the same
rules; the simulated one runs this class. No clock inside: ``now_us`` is a monotonic clock for the
timers, while ``count_us`` is the counter that time stamps are made of.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from protocol.link.codec import parse, serialize
from protocol.link.errors import MalformedMessage, RejectReason
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import (
    BOARD,
    UNSOLICITED,
    Acknowledge,
    BoardHello,
    CancelTransmit,
    Envelope,
    Heartbeat,
    HostHello,
    Message,
    RadioCounts,
    ReceiveProfile,
    Registers,
    Rejected,
    Reset,
    RxEvent,
    Status,
    Time,
    TimeRequest,
    Transmit,
)

HELLO_INTERVAL_US = 1_000_000
RESEND_US = 1_000_000
MAX_CONTROL_FRAMES = 64  # replies and heartbeats wait here while the line is stuck

Request = Registers | ReceiveProfile | Transmit | CancelTransmit | Reset


@dataclass(frozen=True, slots=True)
class RequestReceived:
    """Carry it out and :meth:`BoardSession.reply`; ``session`` numbers the sessions of a boot."""

    request: int
    radio: int
    message: Request
    session: int


@dataclass(frozen=True, slots=True)
class HostGreeted:
    """A host opened a session."""


@dataclass(frozen=True, slots=True)
class LeaseExpired:
    """The host fell silent: cancel scheduled transmissions, keep receiving into the ring."""


BoardEvent = RequestReceived | HostGreeted | LeaseExpired


@dataclass(frozen=True, slots=True)
class OutgoingFrame:
    """Bytes for the line; ``event_number`` names the event in them, if any."""

    data: bytes
    event_number: int | None = None


class BoardSession:
    """One boot of a board.

    Args:
        hello: who we are; its nonce and first_unacknowledged are filled in by the session.
        count_us: reads the microsecond counter.
        now_us: the time of the boot.
    """

    def __init__(self, hello: BoardHello, *, count_us: Callable[[], int], now_us: int) -> None:
        self._identity = hello
        self._count_us = count_us
        self._decoder = FrameDecoder()
        self._events: deque[BoardEvent] = deque()
        self._control: deque[bytes] = deque(maxlen=MAX_CONTROL_FRAMES)
        self._ring: deque[tuple[int, RxEvent]] = deque()
        self._last_number = 0
        self._acknowledged = 0
        self._next_to_send = 1
        self._window = 0
        self._ring_high_water = 0
        self.ring_overflow = 0
        self._session = 0
        self._lease_us: int | None = None  # None = no session
        self._last_heard_us = now_us
        self._resend_at_us: int | None = None
        self._hello_at_us = now_us
        self.handle_timer(now_us)

    @property
    def open(self) -> bool:
        """Whether a host holds a session."""
        return self._lease_us is not None

    @property
    def acknowledged(self) -> int:
        """Number up to which events are acknowledged."""
        return self._acknowledged

    @property
    def unacknowledged(self) -> tuple[RxEvent, ...]:
        """Events that no host has acknowledged, oldest first: what an unplug would take away."""
        return tuple(event for _, event in self._ring)

    def next_event(self) -> BoardEvent | None:
        """The oldest thing to do, or None."""
        return self._events.popleft() if self._events else None

    def next_frame(self, now_us: int) -> OutgoingFrame | None:
        """The next frame for the line: answers first, then events inside the window."""
        if self._control:
            return OutgoingFrame(self._control.popleft())
        limit = min(self._last_number, self._acknowledged + self._window)
        if not self.open or self._next_to_send > limit:
            return None
        radio, event = self._ring[self._next_to_send - self._acknowledged - 1]
        self._next_to_send += 1
        if self._resend_at_us is None:
            self._resend_at_us = now_us + RESEND_US
        return OutgoingFrame(encode_frame(serialize(Envelope(event, radio))), event.number)

    def push_event(self, radio: int, event: RxEvent) -> RxEvent | None:
        """Number a reception and keep it until it is acknowledged; None if the ring is full."""
        if len(self._ring) >= self._identity.ring_capacity:
            self.ring_overflow += 1
            return None
        self._last_number += 1
        numbered = replace(event, number=self._last_number)
        self._ring.append((radio, numbered))
        self._ring_high_water = max(self._ring_high_water, len(self._ring))
        return numbered

    def reply(self, request: RequestReceived, status: Status) -> None:
        """Answer a request, unless another session has begun: its host may use the same id."""
        if request.session == self._session:
            self._send(status, request.radio, request.request)

    def notify(self, message: Message, radio: int = BOARD) -> None:
        """Tell the host something unasked."""
        self._send(message, radio)

    def heartbeat(
        self,
        radios: tuple[RadioCounts, ...],
        *,
        temperature_centi_c: int | None = None,
        supply_mv: int | None = None,
    ) -> None:
        """Send the sign of life that is due every second."""
        self._send(
            Heartbeat(
                self._count_us(),
                self._last_number,
                len(self._ring),
                self._ring_high_water,
                self.ring_overflow,
                sum(self._decoder.rejects.values()),
                temperature_centi_c,
                supply_mv,
                radios,
            )
        )

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the line, in any split."""
        for body in self._decoder.feed(data):
            try:
                envelope = parse(body)
            except MalformedMessage:
                self._decoder.rejects[RejectReason.MALFORMED] += 1
                self._send(Rejected(body[0]))
                continue
            self._last_heard_us = now_us
            self._handle(envelope, now_us)

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        if self._lease_us is None:
            return self._hello_at_us
        lease_end = self._last_heard_us + self._lease_us
        return lease_end if self._resend_at_us is None else min(lease_end, self._resend_at_us)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due at ``now_us``; may be called at any time."""
        if self._lease_us is not None and now_us >= self._last_heard_us + self._lease_us:
            self._lease_us = None
            self._events.append(LeaseExpired())
        if self._lease_us is None:
            if now_us >= self._hello_at_us:
                self._hello_at_us = now_us + HELLO_INTERVAL_US
                self._send_hello(UNSOLICITED)
        elif self._resend_at_us is not None and now_us >= self._resend_at_us:
            self._go_back()

    def _handle(self, envelope: Envelope, now_us: int) -> None:
        message = envelope.message
        if isinstance(message, HostHello):
            self._on_hello(message)
            return
        if not self.open:
            self._decoder.rejects[RejectReason.UNEXPECTED] += 1
            return
        match message:
            case Acknowledge():
                self._on_acknowledge(message, now_us)
            case TimeRequest(nonce):
                self._send(Time(nonce, self._count_us()))
            case Registers() | ReceiveProfile() | Transmit() | CancelTransmit() | Reset():
                self._events.append(
                    RequestReceived(envelope.request, envelope.radio, message, self._session)
                )
            case _:
                self._decoder.rejects[RejectReason.UNEXPECTED] += 1

    def _on_hello(self, hello: HostHello) -> None:
        self._session += 1
        self._control.clear()  # meant for an earlier host
        self._lease_us = hello.lease_ms * 1000
        self._window = 0
        self._go_back()
        self._send_hello(hello.nonce)
        self._events.append(HostGreeted())

    def _on_acknowledge(self, message: Acknowledge, now_us: int) -> None:
        if not self._acknowledged <= message.number <= self._last_number:
            self._decoder.rejects[RejectReason.UNEXPECTED] += 1
            return
        for _ in range(message.number - self._acknowledged):
            self._ring.popleft()
        self._acknowledged = message.number
        self._window = message.window
        if message.go_back or self._next_to_send <= message.number:
            self._go_back()
        outstanding = self._next_to_send > self._acknowledged + 1
        self._resend_at_us = now_us + RESEND_US if outstanding else None

    def _go_back(self) -> None:
        self._next_to_send = self._acknowledged + 1
        self._resend_at_us = None

    def _send_hello(self, nonce: int) -> None:
        self._send(
            replace(self._identity, nonce=nonce, first_unacknowledged=self._acknowledged + 1)
        )

    def _send(self, message: Message, radio: int = BOARD, request: int = UNSOLICITED) -> None:
        self._control.append(encode_frame(serialize(Envelope(message, radio, request))))
