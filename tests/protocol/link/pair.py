"""A host session and a board session joined by a line that a test can make as bad as it likes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from math import inf

from protocol.link import messages as m
from protocol.link.board_session import BoardEvent, BoardSession, RequestReceived
from protocol.link.host_session import (
    EventReceived,
    HostEvent,
    HostSession,
    SessionLost,
    SessionOpened,
)

MS = 1_000
SECOND = 1_000_000

Line = Callable[[bytes], bytes]


def good_line(data: bytes) -> bytes:
    """What goes in comes out."""
    return data


def dead_line(_data: bytes) -> bytes:
    """Nothing comes out."""
    return b""


def rx_event(payload: bytes = b"abc") -> m.RxEvent:
    """A reception that a board has not numbered yet."""
    return m.RxEvent(0, 0, 0, 0x40, 0, 0x40, 0, 0, 0, 0x72, 0x74, 0, 0xE6599A, payload)


def identity(boot_id: int = 1, *, ring_capacity: int = 1000, max_requests: int = 2) -> m.BoardHello:
    """A board with one radio."""
    return m.BoardHello(
        nonce=0,
        boot_id=boot_id,
        reset_cause=m.ResetCause.POWER_ON,
        capabilities=m.Capability(0),
        ring_capacity=ring_capacity,
        max_requests=max_requests,
        transmit_queue=0,
        first_unacknowledged=1,
        unique_id=b"\x01\x02\x03",
        firmware="test",
        radios=(m.RadioDescription(76, 0x12, tcxo=False, pa_boost=True),),
    )


@dataclass
class Pair:
    """Both ends, a clock, and what came out at either end."""

    window: int = 8
    hello: m.BoardHello = field(default_factory=identity)
    counter_ahead_us: int = 5 * SECOND
    auto_grant: bool = True
    now_us: int = 0
    received: list[m.RxEvent] = field(default_factory=list)
    host_events: list[HostEvent] = field(default_factory=list)
    board_events: list[BoardEvent] = field(default_factory=list)
    to_host: Line = good_line
    to_board: Line = good_line
    bytes_per_s: float = inf

    def __post_init__(self) -> None:
        self._nonce = 0
        self._line_free_at_us = 0.0
        self.host = HostSession(window=self.window, new_nonce=self._next_nonce, now_us=0)
        self.board = self.new_board(self.hello)

    def _next_nonce(self) -> int:
        self._nonce += 1
        return self._nonce

    def new_board(self, hello: m.BoardHello) -> BoardSession:
        """A board that boots now."""
        self.board = BoardSession(
            hello, count_us=lambda: self.now_us + self.counter_ahead_us, now_us=self.now_us
        )
        return self.board

    def step(self) -> None:
        """Let both ends act once at the present time."""
        self.host.handle_timer(self.now_us)
        self.board.handle_timer(self.now_us)
        while (frame := self._next_frame()) is not None:
            self.host.receive(self.to_host(frame), self.now_us)
        self._take_host_events()
        data = self.host.bytes_to_send()
        if data:
            self.board.receive(self.to_board(data), self.now_us)
        while (event := self.board.next_event()) is not None:
            self.board_events.append(event)

    def run(self, seconds: float, *, step_us: int = 10 * MS, heartbeat: bool = True) -> None:
        """Let time pass."""
        for _ in range(int(seconds * SECOND) // step_us):
            self.now_us += step_us
            if heartbeat and self.now_us % SECOND < step_us:
                self.board.heartbeat(())
            self.step()

    def open(self) -> None:
        """Bring the session up."""
        self.run(0.1)
        assert self.of(SessionOpened), "the session must open at once on a good line"

    def of(self, kind: type[HostEvent]) -> list[HostEvent]:
        """Host events of one kind, so far."""
        return [event for event in self.host_events if isinstance(event, kind)]

    def requests(self) -> list[RequestReceived]:
        """Requests that reached the board, so far."""
        return [event for event in self.board_events if isinstance(event, RequestReceived)]

    def lost_reasons(self) -> list[str]:
        """Why sessions ended."""
        return [event.reason for event in self.host_events if isinstance(event, SessionLost)]

    def _next_frame(self) -> bytes | None:
        """What the board puts on the line now, if that has room for more."""
        if self._line_free_at_us > self.now_us:
            return None
        frame = self.board.next_frame(self.now_us)
        if frame is None:
            return None
        begin_us = max(self._line_free_at_us, self.now_us - 10 * MS)
        self._line_free_at_us = begin_us + len(frame.data) / self.bytes_per_s * SECOND
        return frame.data

    def _take_host_events(self) -> None:
        while (event := self.host.next_event()) is not None:
            self.host_events.append(event)
            if isinstance(event, EventReceived):
                self.received.append(event.event)
            if isinstance(event, SessionOpened) and self.auto_grant:
                self.host.grant(self.now_us)
