"""The host's end of the concentrator link: bytes and time in, events and bytes out.

``docs/CONCENTRATOR-LINK.md`` sections 4, 5 and 9. No clock inside: ``now_us`` is any monotonic
microsecond clock, :meth:`HostSession.timer_us` says when to call :meth:`HostSession.handle_timer`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto

from protocol.link.clock_estimate import ClockEstimate, TimeSample
from protocol.link.codec import parse, serialize
from protocol.link.errors import LocalLinkError, MalformedMessage, RejectReason
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import (
    BOARD,
    PROTOCOL_MAJOR,
    Acknowledge,
    BoardHello,
    Envelope,
    Heartbeat,
    HostHello,
    Message,
    RadioFault,
    Rejected,
    RxEvent,
    Status,
    Time,
    TimeRequest,
    TransmitDone,
)

HELLO_INTERVAL_US = 1_000_000
ACKNOWLEDGE_INTERVAL_US = 300_000  # the board goes back after 1 s without one
TIME_INTERVAL_US = 2_000_000
TIME_INTERVAL_FIRST_US = 100_000
SAMPLES_FIRST = 5
SILENCE_US = 5_000_000  # five heartbeats
REQUEST_TIMEOUT_US = 1_000_000
REQUEST_TRIES = 3
GO_BACK_TIMEOUT_US = 1_000_000
MAX_QUEUED_REQUESTS = 64


class HostState(Enum):
    """Where the session stands."""

    OPENING = auto()
    OPEN = auto()


@dataclass(frozen=True, slots=True)
class SessionOpened:
    """The board answered our hello: configure its radios, then :meth:`HostSession.grant`."""

    hello: BoardHello


@dataclass(frozen=True, slots=True)
class SessionLost:
    """The session is gone (restart, lease, silence); the host greets again by itself.

    Requests without an answer are void.
    """

    reason: str


@dataclass(frozen=True, slots=True)
class IncompatibleBoard:
    """The board speaks another major version; nothing can be done with it."""

    hello: BoardHello


@dataclass(frozen=True, slots=True)
class EventReceived:
    """The next reception in the board's order; each number once per session."""

    radio: int
    event: RxEvent


@dataclass(frozen=True, slots=True)
class ReplyReceived:
    """The answer to the request with this id."""

    request: int
    status: Status


@dataclass(frozen=True, slots=True)
class RequestFailed:
    """No answer to the request after all tries."""

    request: int


@dataclass(frozen=True, slots=True)
class NoticeReceived:
    """Something the board tells by itself."""

    radio: int
    notice: Heartbeat | RadioFault | TransmitDone | Rejected


HostEvent = (
    SessionOpened
    | SessionLost
    | IncompatibleBoard
    | EventReceived
    | ReplyReceived
    | RequestFailed
    | NoticeReceived
)


@dataclass(slots=True)
class _Request:
    body: bytes
    tries: int = 0
    deadline_us: int = 0


class HostSession:
    """One session after another with whatever board is at the other end.

    Args:
        window: how many events may be outstanding between reception and acknowledgement.
        new_nonce: makes random 32-bit numbers other than 0.
        now_us: the time at which the session begins.
    """

    def __init__(
        self,
        *,
        window: int,
        new_nonce: Callable[[], int],
        now_us: int,
        lease_ms: int = 10_000,
    ) -> None:
        self.state = HostState.OPENING
        self.clock = ClockEstimate()
        self.duplicates = 0
        self._window = window
        self._new_nonce = new_nonce
        self._lease_ms = lease_ms
        self._decoder = FrameDecoder()
        self._events: deque[HostEvent] = deque()
        self._output = bytearray()
        self._expected = 1
        self._acknowledged = 0
        self._acknowledge_due = False
        self._acknowledge_at_us = now_us
        self._go_back_due = False
        self._go_back_at_us: int | None = None
        self._requests: dict[int, _Request] = {}
        self._request_id = 0
        self._max_requests = 1
        self._time_nonce = 0
        self._time_sent_us = now_us
        self._time_at_us = now_us
        self._begin(now_us)

    @property
    def open(self) -> bool:
        """Whether the board has answered our hello."""
        return self.state is HostState.OPEN

    @property
    def rejects(self) -> dict[RejectReason, int]:
        """What was thrown away so far, by reason."""
        return self._decoder.rejects

    def next_event(self) -> HostEvent | None:
        """The oldest event not yet taken, or None."""
        return self._events.popleft() if self._events else None

    def bytes_to_send(self) -> bytes:
        """Everything to be written to the line now."""
        if self._acknowledge_due:
            self._acknowledge_due = False
            window = self._window if self._granted else 0
            self._send(Acknowledge(self._acknowledged, window, self._go_back_due))
            self._go_back_due = False
        data = bytes(self._output)
        self._output.clear()
        return data

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the line, in any split."""
        for body in self._decoder.feed(data):
            try:
                envelope = parse(body)
            except MalformedMessage:
                self.rejects[RejectReason.MALFORMED] += 1
                continue
            self._last_heard_us = now_us
            self._handle(envelope, now_us)

    def request(self, message: Message, radio: int, now_us: int) -> int:
        """Send a request as soon as the board has room; its id comes back in the answer.

        Raises:
            LocalLinkError: no session is open, or 64 requests wait already.
        """
        if self.state is not HostState.OPEN:
            raise LocalLinkError("no session is open")
        if len(self._requests) >= MAX_QUEUED_REQUESTS:
            raise LocalLinkError("too many requests are waiting")
        self._request_id = self._request_id % 255 + 1
        self._requests[self._request_id] = _Request(
            serialize(Envelope(message, radio, self._request_id))
        )
        self._send_requests(now_us)
        return self._request_id

    def grant(self, now_us: int) -> None:
        """Let the board send events: its radios are configured and somebody takes them."""
        self._granted = True
        self._schedule_acknowledge(now_us)

    def acknowledge(self, number: int, now_us: int) -> None:
        """Events up to ``number`` are safe; older or unknown numbers change nothing."""
        if self._acknowledged < number < self._expected:
            self._acknowledged = number
            self._schedule_acknowledge(now_us)

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        if self.state is HostState.OPENING:
            return self._hello_at_us
        deadlines = [self._last_heard_us + SILENCE_US, self._time_at_us]
        if self._expected - 1 > self._acknowledged:
            deadlines.append(self._acknowledge_at_us)
        deadlines += [r.deadline_us for r in self._requests.values() if r.tries]
        return min(deadlines)

    def handle_timer(self, now_us: int) -> None:
        """Do what is due at ``now_us``; may be called at any time."""
        if self.state is HostState.OPENING:
            if now_us >= self._hello_at_us:
                self._send_hello(now_us)
            return
        if now_us >= self._last_heard_us + SILENCE_US:
            self._lose("nothing heard for 5 s", now_us)
            return
        if now_us >= self._time_at_us:
            self._send_time_request(now_us)
        if now_us >= self._acknowledge_at_us and self._expected - 1 > self._acknowledged:
            self._schedule_acknowledge(now_us)
        self._expire_requests(now_us)

    def _begin(self, now_us: int) -> None:
        """Forget the session and greet again."""
        self.state = HostState.OPENING
        self._nonce = self._new_nonce()
        self._granted = False
        self._acknowledge_due = False
        self._go_back_due = False
        self._go_back_at_us = None
        self._stalled_at_heartbeat = False
        self._last_heard_us = now_us
        self._requests.clear()
        self._samples = 0
        self._send_hello(now_us)

    def _lose(self, reason: str, now_us: int) -> None:
        self._events.append(SessionLost(reason))
        self._begin(now_us)

    def _send(self, message: Message) -> None:
        self._output += encode_frame(serialize(Envelope(message)))

    def _send_hello(self, now_us: int) -> None:
        self._hello_at_us = now_us + HELLO_INTERVAL_US
        self._send(HostHello(self._nonce, self._lease_ms))

    def _send_time_request(self, now_us: int) -> None:
        first = self._samples < SAMPLES_FIRST
        self._time_at_us = now_us + (TIME_INTERVAL_FIRST_US if first else TIME_INTERVAL_US)
        self._time_nonce = self._time_nonce % 0xFFFFFFFF + 1
        self._time_sent_us = now_us
        self._send(TimeRequest(self._time_nonce))

    def _schedule_acknowledge(self, now_us: int) -> None:
        self._acknowledge_due = True
        self._acknowledge_at_us = now_us + ACKNOWLEDGE_INTERVAL_US

    def _handle(self, envelope: Envelope, now_us: int) -> None:
        message = envelope.message
        if isinstance(message, BoardHello):
            self._on_hello(message, now_us)
            return
        if self.state is HostState.OPENING:
            # Left over from an earlier session: events among them will be sent again.
            self.rejects[RejectReason.UNEXPECTED] += 1
            return
        match message:
            case RxEvent():
                self._on_event(envelope.radio, message, now_us)
            case Status():
                self._on_status(envelope.request, message, now_us)
            case Time():
                self._on_time(message, now_us)
            case Heartbeat():
                self._check_tail(message, now_us)
                self._events.append(NoticeReceived(BOARD, message))
            case RadioFault() | TransmitDone() | Rejected():
                self._events.append(NoticeReceived(envelope.radio, message))
            case _:
                self.rejects[RejectReason.UNEXPECTED] += 1

    def _on_hello(self, hello: BoardHello, now_us: int) -> None:
        if hello.major != PROTOCOL_MAJOR:
            self._events.append(IncompatibleBoard(hello))
        elif self.state is HostState.OPENING:
            if hello.nonce == self._nonce:
                self._open(hello, now_us)
            else:  # it has just started and did not hear our hello
                self._send_hello(now_us)
        elif hello.nonce != self._nonce:
            self._lose("the board began anew", now_us)

    def _open(self, hello: BoardHello, now_us: int) -> None:
        self.state = HostState.OPEN
        self.clock = ClockEstimate()  # another boot counts from another start
        self._expected = hello.first_unacknowledged
        self._acknowledged = hello.first_unacknowledged - 1
        self._max_requests = max(1, hello.max_requests)
        self._events.append(SessionOpened(hello))
        self._send_time_request(now_us)

    def _on_event(self, radio: int, event: RxEvent, now_us: int) -> None:
        if event.number < self._expected:
            self.duplicates += 1
            self._schedule_acknowledge(now_us)  # perhaps our last one was lost
        elif event.number > self._expected:
            self._ask_to_go_back(now_us)
        elif event.number - self._acknowledged > self._window:
            # More than was granted: a bounded queue waits behind us, it will come again.
            self.rejects[RejectReason.UNEXPECTED] += 1
        else:
            self._expected += 1
            self._go_back_at_us = None
            self._stalled_at_heartbeat = False
            self._events.append(EventReceived(radio, event))

    def _ask_to_go_back(self, now_us: int) -> None:
        """Once per gap: what follows it on the line must not ask again."""
        if self._go_back_at_us is not None and now_us < self._go_back_at_us:
            return
        self._go_back_at_us = now_us + GO_BACK_TIMEOUT_US
        self._go_back_due = True
        self._schedule_acknowledge(now_us)

    def _check_tail(self, heartbeat: Heartbeat, now_us: int) -> None:
        """Notice lost events that no later event gives away: two heartbeats without progress."""
        room = self._expected - self._acknowledged <= self._window
        if heartbeat.last_number >= self._expected and room and self._granted:
            if self._stalled_at_heartbeat:
                self._ask_to_go_back(now_us)
            self._stalled_at_heartbeat = True
        else:
            self._stalled_at_heartbeat = False

    def _on_time(self, answer: Time, now_us: int) -> None:
        if answer.nonce == self._time_nonce:
            self._samples += 1
            self._time_nonce += 1  # an answer counts once
            self.clock.add(TimeSample(self._time_sent_us, now_us, answer.count_us))

    def _on_status(self, request: int, status: Status, now_us: int) -> None:
        waiting = self._requests.get(request)
        if waiting is None or not waiting.tries:
            self.rejects[RejectReason.UNEXPECTED] += 1  # the answer to a repeated request
            return
        del self._requests[request]
        self._events.append(ReplyReceived(request, status))
        self._send_requests(now_us)

    def _send_requests(self, now_us: int) -> None:
        outstanding = sum(1 for waiting in self._requests.values() if waiting.tries)
        for waiting in self._requests.values():
            if outstanding >= self._max_requests:
                return
            if not waiting.tries:
                self._transmit(waiting, now_us)
                outstanding += 1

    def _transmit(self, waiting: _Request, now_us: int) -> None:
        waiting.tries += 1
        waiting.deadline_us = now_us + REQUEST_TIMEOUT_US
        self._output += encode_frame(waiting.body)

    def _expire_requests(self, now_us: int) -> None:
        for request, waiting in list(self._requests.items()):
            if not waiting.tries or now_us < waiting.deadline_us:
                continue
            if waiting.tries < REQUEST_TRIES:
                self._transmit(waiting, now_us)
            else:
                del self._requests[request]
                self._events.append(RequestFailed(request))
        self._send_requests(now_us)
