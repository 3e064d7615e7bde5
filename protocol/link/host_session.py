"""The host's end of the concentrator link: bytes and time in, events and bytes out.

``docs/CONCENTRATOR-LINK.md`` sections 4, 5 and 9. No clock inside: ``now_us`` is any monotonic
microsecond clock, :meth:`HostSession.timer_us` says when to call :meth:`HostSession.handle_timer`.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from itertools import takewhile

from protocol.link.arrivals import Arrival, Arrivals
from protocol.link.clock_estimate import ClockEstimate, TimeSample
from protocol.link.codec import parse, serialize
from protocol.link.errors import LocalLinkError, MalformedMessage, RejectReason
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import (
    BOARD,
    PROTOCOL_MAJOR,
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
from protocol.link.requests import RequestQueue

REJECTS = tuple(RejectReason)
"""All reasons that :attr:`HostSession.rejects` may have."""

HELLO_INTERVAL_US = 1_000_000
TIME_INTERVAL_US = 2_000_000
TIME_INTERVAL_FIRST_US = 100_000
SAMPLES_FIRST = 5
SILENCE_US = 5_000_000  # five heartbeats


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
        self._new_nonce = new_nonce
        self._lease_ms = lease_ms
        self._decoder = FrameDecoder()
        self._events: deque[HostEvent] = deque()
        self._output = bytearray()
        self._arrivals = Arrivals(window, now_us)
        self._requests = RequestQueue()
        self._boot_id = 0  # of the open session
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
        acknowledgement = self._arrivals.take_acknowledgement()
        if acknowledgement is not None:
            self._send(acknowledgement)
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
            LocalLinkError: no session is open, 64 requests wait already, or the message does not
                fit into a frame.
        """
        if not self.open:
            raise LocalLinkError("no session is open")
        request = self._requests.add(message, radio)
        self._output += self._requests.frames_to_send(now_us)
        return request

    def grant(self, now_us: int) -> None:
        """Let the board send events: its radios are configured and somebody takes them."""
        if self.open:
            self._arrivals.grant(now_us)

    def acknowledge(self, number: int, now_us: int) -> None:
        """Events up to ``number`` are safe; older or unknown numbers change nothing.

        Nor does any while no session is open: the board may have restarted, and counted up to this
        number again. What it still has it will send again.
        """
        if self.open:
            self._arrivals.acknowledge(number, now_us)

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        if not self.open:
            return self._hello_at_us
        deadlines = [self._last_heard_us + SILENCE_US, self._time_at_us]
        repeat_at_us = self._arrivals.timer_us()
        if repeat_at_us is not None:
            deadlines.append(repeat_at_us)
        return min(deadlines + self._requests.deadlines_us())

    def handle_timer(self, now_us: int) -> None:
        """Do what is due at ``now_us``; may be called at any time."""
        if not self.open:
            if now_us >= self._hello_at_us:
                self._send_hello(now_us)
            return
        if now_us >= self._last_heard_us + SILENCE_US:
            self._lose("nothing heard for 5 s", now_us)
            return
        if now_us >= self._time_at_us:
            self._send_time_request(now_us)
        self._arrivals.handle_timer(now_us)
        self._events.extend(map(RequestFailed, self._requests.failed(now_us)))
        self._output += self._requests.frames_to_send(now_us)

    def _begin(self, now_us: int) -> None:
        """Forget the session and greet again."""
        self.state = HostState.OPENING
        self._nonce = self._new_nonce()
        self._arrivals.begin(1, now_us)
        self._last_heard_us = now_us
        self._samples = 0
        self._send_hello(now_us)

    def _lose(self, reason: str, now_us: int) -> None:
        # A session that nobody has seen open has not been: its user would act on one that is gone.
        seen = list(takewhile(lambda event: not isinstance(event, SessionOpened), self._events))
        if len(seen) < len(self._events):
            self._events = deque(seen)
        else:
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

    def _handle(self, envelope: Envelope, now_us: int) -> None:
        message = envelope.message
        if isinstance(message, BoardHello):
            self._on_hello(message, now_us)
            return
        if not self.open:
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
                self._arrivals.check_tail(message.last_number, now_us)
                self._events.append(NoticeReceived(BOARD, message))
            case RadioFault() | TransmitDone() | Rejected():
                self._events.append(NoticeReceived(envelope.radio, message))
            case _:
                self.rejects[RejectReason.UNEXPECTED] += 1

    def _on_hello(self, hello: BoardHello, now_us: int) -> None:
        if hello.major != PROTOCOL_MAJOR:
            self._events.append(IncompatibleBoard(hello))
        elif not self.open:
            if hello.nonce == self._nonce:
                self._open(hello, now_us)
            else:  # it has just started and did not hear our hello
                self._send_hello(now_us)
        elif (hello.nonce, hello.boot_id) != (self._nonce, self._boot_id):
            # A new boot may answer with our nonce: our hello was repeated, and waited on the line.
            self._lose("the board began anew", now_us)
        else:  # it answered a repeated hello as well, and that set its window to 0
            self._arrivals.repeat(now_us)

    def _open(self, hello: BoardHello, now_us: int) -> None:
        self.state = HostState.OPEN
        self._boot_id = hello.boot_id
        self.clock = ClockEstimate()  # another boot counts from another start
        self._arrivals.begin(hello.first_unacknowledged, now_us)
        self._requests.begin(hello.max_requests)
        self._events.append(SessionOpened(hello))
        self._send_time_request(now_us)

    def _on_event(self, radio: int, event: RxEvent, now_us: int) -> None:
        arrival = self._arrivals.take(event.number, now_us)
        if arrival is Arrival.NEXT:
            self._events.append(EventReceived(radio, event))
        elif arrival is Arrival.DUPLICATE:
            self.duplicates += 1
        elif arrival is Arrival.BEYOND_WINDOW:
            self.rejects[RejectReason.UNEXPECTED] += 1

    def _on_time(self, answer: Time, now_us: int) -> None:
        if answer.nonce == self._time_nonce:
            self._samples += 1
            self._time_nonce += 1  # an answer counts once
            self.clock.add(TimeSample(self._time_sent_us, now_us, answer.count_us))

    def _on_status(self, request: int, status: Status, now_us: int) -> None:
        if not self._requests.answered(request):
            self.rejects[RejectReason.UNEXPECTED] += 1
            return
        self._events.append(ReplyReceived(request, status))
        self._output += self._requests.frames_to_send(now_us)
