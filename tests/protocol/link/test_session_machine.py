"""Both ends over a line that loses, damages and splits, with restarts of either, in any order.

What the link promises of every reception: it is with the host, or still in the board's ring, or
counted (the ring was full, or the board went down with it); and no board forgets an event that its
host has not put away.
"""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from protocol.link import messages as m
from protocol.link.board_session import BoardSession
from protocol.link.host_session import (
    EventReceived,
    HostSession,
    NoticeReceived,
    SessionLost,
    SessionOpened,
)
from tests.protocol.link.pair import MS, SECOND, identity, rx_event

RING = 6

Key = tuple[int, int]
"""(boot id, number) of an event."""


class Line:
    """Bytes on their way in one direction."""

    def __init__(self) -> None:
        self.bytes = bytearray()

    def take(self, share: float) -> bytes:
        """The first of the bytes, as a read may return them."""
        count = -int(-len(self.bytes) * share // 1)
        taken = bytes(self.bytes[:count])
        del self.bytes[:count]
        return taken

    def lose(self, start: float, share: float) -> None:
        """A part of the bytes never arrives."""
        first = int(len(self.bytes) * start)
        del self.bytes[first : first + int(len(self.bytes) * share) + 1]

    def damage(self, place: float, flip: int) -> None:
        """One byte arrives as another."""
        if self.bytes:
            self.bytes[int(len(self.bytes) * place)] ^= flip


SHARE = st.floats(0, 0.999)
FATES = [(True, True), (True, True), (False, True), (True, False)]
LINES = st.sampled_from(["up", "down"])


class LinkMachine(RuleBasedStateMachine):
    """``up`` leads to the host. The gateway behind the host's session is modelled after its rules:
    it puts events away in order, and acknowledges only those of the boot that it knows of."""

    @initialize(window=st.integers(1, 4), events=st.integers(0, 3))
    def start(self, window: int, events: int) -> None:
        self.now_us = 0
        self.window = window
        self.nonce = 0
        self.lines = {"up": Line(), "down": Line()}
        self.heard: set[Key] = set()
        self.disposed: set[Key] = set()
        self.overflow = 0
        self.board_down: set[Key] = set()
        self.boot = 0
        self.new_board()
        self.new_host()
        self.hear(events)

    def new_nonce(self) -> int:
        self.nonce += 1
        return self.nonce

    def new_host(self) -> None:
        self.host = HostSession(window=self.window, new_nonce=self.new_nonce, now_us=self.now_us)
        self.known: m.BoardHello | None = None
        self.in_hand: list[Key] = []
        self.expected = 0

    def new_board(self) -> None:
        self.boot += 1
        self.board = BoardSession(
            identity(self.boot, ring_capacity=RING),
            count_us=lambda: self.now_us,
            now_us=self.now_us,
        )

    @rule(count=st.integers(1, 4))
    def hear(self, count: int) -> None:
        """Radios receive."""
        for _ in range(count):
            event = self.board.push_event(0, rx_event(bytes([self.boot])))
            if event is None:
                self.overflow += 1
            else:
                self.heard.add((self.boot, event.number))

    @rule(wait_us=st.sampled_from([MS, 50 * MS, 300 * MS, SECOND, 2 * SECOND, 11 * SECOND]))
    def wait(self, wait_us: int) -> None:
        self.now_us += wait_us
        self.host.handle_timer(self.now_us)
        self.board.handle_timer(self.now_us)

    @rule()
    def heartbeat(self) -> None:
        self.board.heartbeat(())

    @rule(share=SHARE)
    def upwards(self, share: float) -> None:
        self.send()
        self.host.receive(self.lines["up"].take(share), self.now_us)

    @rule(share=SHARE)
    def downwards(self, share: float) -> None:
        self.send()
        self.board.receive(self.lines["down"].take(share), self.now_us)

    @rule()
    def exchange(self) -> None:
        """All that is on its way arrives."""
        self.downwards(1)
        self.upwards(1)

    @rule(
        steps=st.lists(st.sampled_from(FATES), min_size=1, max_size=12),
        step_us=st.sampled_from([20 * MS, 350 * MS]),
        commit=st.integers(0, 2),
    )
    def work(self, steps: list[tuple[bool, bool]], step_us: int, commit: int) -> None:
        """Time passes as it mostly does; now and then what one end says is lost as a whole."""
        for up_arrives, down_arrives in steps:
            self.wait(step_us)
            self.heartbeat()
            self.hear(1)
            self.send()
            if not up_arrives:
                self.lose_all("up")
            if not down_arrives:
                self.lose_all("down")
            self.exchange()
            self.digest()
            self.put_away(commit)

    @rule(line=LINES, start=SHARE, share=SHARE)
    def lose(self, line: str, start: float, share: float) -> None:
        self.send()
        self.lines[line].lose(start, share)

    @rule(line=LINES, place=SHARE, flip=st.integers(1, 255))
    def damage(self, line: str, place: float, flip: int) -> None:
        self.send()
        self.lines[line].damage(place, flip)

    @rule(line=LINES)
    def lose_all(self, line: str) -> None:
        self.lose(line, 0, 1)

    @rule()
    def digest(self) -> None:
        """The gateway takes what its session tells."""
        while (event := self.host.next_event()) is not None:
            match event:
                case SessionOpened(hello):
                    assert self.host.open
                    assert hello.first_unacknowledged == 1 or (
                        (hello.boot_id, hello.first_unacknowledged - 1) in self.disposed
                    )
                    self.known = hello
                    self.expected = hello.first_unacknowledged
                    self.host.grant(self.now_us)
                case EventReceived(_, received):
                    assert self.known is not None
                    assert received.number == self.expected
                    assert received.payload == bytes([self.known.boot_id])
                    self.expected += 1
                    self.in_hand.append((self.known.boot_id, received.number))
                case SessionLost() | NoticeReceived():
                    pass
                case _:
                    raise AssertionError(f"nobody asked for {event}")
        assert len(set(self.in_hand) - self.disposed) <= self.window * self.boot

    @rule(count=st.integers(1, 4))
    def put_away(self, count: int) -> None:
        """The oldest events are committed, and acknowledged to the boot they came from."""
        for key in self.in_hand[:count]:
            self.disposed.add(key)
            if self.known is not None and self.known.boot_id == key[0]:
                self.host.acknowledge(key[1], self.now_us)
        del self.in_hand[:count]

    @rule(flush=st.booleans())
    def restart_host(self, flush: bool) -> None:
        """The process is killed: what it had in hand is gone, what it wrote may still arrive."""
        self.send()
        self.new_host()
        if flush:
            self.lines["up"].bytes.clear()

    @rule(flush=st.booleans())
    def restart_board(self, flush: bool) -> None:
        """Its ring is gone, with what no host had acknowledged."""
        self.send()
        self.board_down |= {
            (self.boot, event.number) for event in self.board.unacknowledged
        } - self.disposed
        self.new_board()
        if flush:
            self.lines["down"].bytes.clear()

    def send(self) -> None:
        """Both ends write what they have to say."""
        while (frame := self.board.next_frame(self.now_us)) is not None:
            self.lines["up"].bytes += frame.data
        self.lines["down"].bytes += self.host.bytes_to_send()

    @invariant()
    def nothing_is_forgotten_too_early(self) -> None:
        """An acknowledgement never reaches beyond what was put away."""
        forgotten = {(self.boot, number) for number in range(1, self.board.acknowledged + 1)}
        assert forgotten <= self.disposed
        kept = {(self.boot, event.number) for event in self.board.unacknowledged}
        assert self.heard == self.disposed | kept | self.board_down
        assert self.board.ring_overflow <= self.overflow

    def teardown(self) -> None:
        """On a good line everything arrives within seconds, whatever went before."""
        for _ in range(80):
            self.wait(250 * MS)
            if self.now_us % SECOND < 250 * MS:
                self.heartbeat()
            for _ in range(3):
                self.exchange()
            self.digest()
            self.put_away(len(self.in_hand))
            if self.host.open and self.board.open and not self.board.unacknowledged:
                break
        assert self.host.open
        assert self.board.unacknowledged == ()
        assert self.heard == self.disposed | self.board_down


LinkMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
TestLinkMachine = LinkMachine.TestCase
