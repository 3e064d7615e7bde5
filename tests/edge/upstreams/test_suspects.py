"""A poison frame is found and blocks nobody; no outage makes a frame look like one."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from edge.upstreams.suspects import MAX_SUSPECTS, TRIES, Suspects
from protocol.records.sensor_frame import FrameId
from tests.edge.outbox.open_store import GATEWAY
from tests.edge.upstreams.frames import EPOCH

SECOND_US = 1_000_000


def frame_id(seq: int) -> FrameId:
    return FrameId(GATEWAY, EPOCH, seq)


@dataclass
class Receiver:
    """Breaks the connection at poison, and at whatever comes while it is away.

    Attributes:
        outage: how many attempts (connections or sends) it goes on for.
        close_after: so many frames of a connection are taken, then it closes.
    """

    poison: set[int] = field(default_factory=set)
    outage: int = 0
    close_after: int | None = None
    got: list[int] = field(default_factory=list)
    taken_on_connection: int = 0

    def is_away(self) -> bool:
        self.outage = max(0, self.outage - 1)
        return self.outage > 0

    def take(self, seq: int) -> bool:
        if seq in self.poison or self.taken_on_connection == self.close_after:
            return False
        self.taken_on_connection += 1
        self.got.append(seq)
        return True


@dataclass
class Sender:
    """What the forwarder does, without a store."""

    receiver: Receiver
    limit: int = 4
    senders: Callable[[int], bytes | None] = lambda _seq: None
    suspects: Suspects = field(default_factory=Suspects)
    pending: list[int] = field(default_factory=list)
    buried: dict[int, str] = field(default_factory=dict)
    now_us: int = 0
    connected: bool = False
    fresh: bool = True
    reconnects: int = 0
    attempts: int = 0

    def append(self, seqs: Iterable[int]) -> None:
        self.pending += seqs

    def step(self, *, connecting_fails: bool = True) -> None:
        """One attempt, a second or more later."""
        self.now_us += SECOND_US
        if not self.connected:
            if connecting_fails and self.receiver.is_away():
                self.suspects.connection_failed()
                return
            self.connected = self.fresh = True
            self.receiver.taken_on_connection = 0
        if self.pending:
            self._send()

    def _send(self) -> None:
        wanted = {frame_id(s): self.senders(s) for s in sorted(self.pending)}
        choice = self.suspects.choose(wanted, self.limit, fresh=self.fresh, now_us=self.now_us)
        if choice.reconnect:
            self.connected = False
            self.reconnects += 1
            return
        if not choice.batch:
            assert choice.again_at_us is not None
            assert choice.again_at_us > self.now_us, "it would be asked in a tight loop"
            self.now_us = choice.again_at_us
            return
        self.attempts += 1
        fresh, self.fresh = self.fresh, False
        done: set[FrameId] = set()
        away = self.receiver.is_away()
        for each in choice.batch:
            if away or not self.receiver.take(each.seq):
                self.connected = False
                self.suspects.broke(choice.batch, done, "reset", fresh=fresh, now_us=self.now_us)
                break
            done.add(each)
        else:
            self.suspects.passed(done, fresh=fresh, now_us=self.now_us)
        for each in done:
            self.pending.remove(each.seq)
        for each, reason in self.suspects.poison().items():
            self.buried[each.seq] = reason
            self.pending.remove(each.seq)
            self.suspects.forget([each])

    def run(self, steps: int, arrivals: Iterable[int] = ()) -> None:
        """So many attempts, with a new frame before every tenth while there are some."""
        coming = iter(arrivals)
        for number in range(steps):
            if number % 10 == 0:
                self.append(seq for seq in [next(coming, None)] if seq is not None)
            self.step()


def test_all_is_well() -> None:
    """In batches, oldest first, and nothing else happens."""
    sender = Sender(Receiver())
    sender.append(range(1, 11))
    sender.run(3)
    assert sender.receiver.got == list(range(1, 11))
    assert (sender.attempts, sender.reconnects) == (3, 0)


def test_one_poison_frame_among_many() -> None:
    """All others are there within a few attempts; it is set aside with its reason."""
    sender = Sender(Receiver(poison={6}))
    sender.append(range(1, 21))
    sender.run(22)
    assert sorted(sender.receiver.got) == [*range(1, 6), *range(7, 21)]
    sender.run(200, arrivals=range(100, 120))
    assert sender.buried == {
        6: "the connection broke at it 5 times, while others got through: reset"
    }
    assert sender.pending == []
    assert sender.receiver.got.count(100) == 1


def test_poison_alone_is_no_proof() -> None:
    """Nothing else gets through, so it may be an outage, however long."""
    sender = Sender(Receiver(poison={1}))
    sender.append([1])
    sender.run(1000)
    assert not sender.buried
    sender.run(500, arrivals=range(100, 150))
    assert set(sender.buried) == {1}


def test_many_poison_frames_at_the_head() -> None:
    sender = Sender(Receiver(poison=set(range(1, 41))))
    sender.append(range(1, 100))
    sender.run(300)
    assert sorted(sender.receiver.got) == list(range(41, 100))
    sender.run(4000, arrivals=range(200, 600))
    assert set(sender.buried) == set(range(1, 41))


def test_tries_are_spread_over_minutes() -> None:
    """A receiver that is mended within that time gets the frame."""
    sender = Sender(Receiver(poison={2}))
    sender.append(range(1, 6))
    coming = iter(range(100, 100_000))
    while not sender.buried:
        sender.append([next(coming)])
        sender.step()
    assert sender.now_us > 240 * SECOND_US
    assert sender.reconnects <= TRIES


@pytest.mark.parametrize("close_after", [1, 2, 3, 5])
def test_a_receiver_that_closes_after_so_many_frames(close_after: int) -> None:
    """It breaks at every place in turn, and all frames get there."""
    sender = Sender(Receiver(close_after=close_after))
    sender.append(range(1, 60))
    sender.run(400)
    assert sorted(sender.receiver.got) == list(range(1, 60))
    assert not sender.buried


def test_nothing_of_a_sender_overtakes_its_suspect() -> None:
    """A network server drops what comes after a greater counter; other senders go on."""
    sender = Sender(Receiver(poison={4}), senders=lambda seq: bytes([seq % 3]))
    sender.append(range(1, 31))
    sender.run(40)
    got = sender.receiver.got
    assert [seq for seq in got if seq % 3 == 1] == [1]
    assert sorted(seq for seq in got if seq % 3 != 1) == [s for s in range(1, 31) if s % 3 != 1]
    sender.run(2000, arrivals=(s for s in range(100, 400) if s % 3 == 0))
    assert set(sender.buried) == {4}
    assert [seq for seq in sender.receiver.got if seq % 3 == 1 and seq < 100] == [
        1, *range(7, 31, 3)
    ]  # fmt: skip


def test_an_outage_is_bounded_in_memory() -> None:
    """A receiver that accepts connections and takes nothing, for a day."""
    sender = Sender(Receiver(outage=3000))
    sender.append(range(1, 2000))
    for _ in range(2990):
        sender.step(connecting_fails=False)
    assert sender.suspects.count <= MAX_SUSPECTS
    assert not sender.buried
    sender.run(1200)
    assert sorted(sender.receiver.got) == list(range(1, 2000))
    assert not sender.buried


@settings(max_examples=300)
@given(
    outages=st.lists(st.tuples(st.integers(0, 30), st.integers(3, 12)), max_size=40),
    connecting_fails=st.lists(st.booleans(), min_size=1, max_size=5),
    limit=st.integers(1, 6),
)
def test_no_outage_buries_a_frame(
    outages: list[tuple[int, int]], connecting_fails: list[bool], limit: int
) -> None:
    """Each is at least two attempts long, whether it refuses connections or takes nothing."""
    sender = Sender(Receiver(), limit=limit)
    sender.append(range(1, 100))
    for number, (quiet, attempts) in enumerate(outages):
        sender.append([1000 + number])
        for _ in range(quiet):
            sender.step()
        sender.receiver.outage = attempts
        for _ in range(attempts):
            sender.step(connecting_fails=connecting_fails[number % len(connecting_fails)])
    assert not sender.buried
    sender.receiver.outage = 0
    sender.run(600)
    assert not sender.buried
    assert sorted(sender.receiver.got) == [*range(1, 100), *range(1000, 1000 + len(outages))]


class AnyReceiver(RuleBasedStateMachine):
    """Poison, outages of two attempts and more, and as many glitches as are no proof yet."""

    @initialize(poison=st.sets(st.integers(1, 60), max_size=5), limit=st.integers(1, 5))
    def begin(self, poison: set[int], limit: int) -> None:
        self.sender = Sender(Receiver(poison=poison), limit=limit)
        self.sender.append(range(1, 8))
        self.next_seq = 8
        self.glitches = TRIES - 1

    @rule(frames=st.integers(1, 4))
    def arrive(self, frames: int) -> None:
        self.sender.append(range(self.next_seq, self.next_seq + frames))
        self.next_seq += frames

    @rule(steps=st.integers(1, 20))
    def go_on(self, steps: int) -> None:
        for _ in range(steps):
            self.sender.step()

    @rule(attempts=st.integers(3, 8), connecting_fails=st.booleans())
    def outage(self, attempts: int, connecting_fails: bool) -> None:
        self.sender.receiver.outage = attempts
        for _ in range(attempts):
            self.sender.step(connecting_fails=connecting_fails)

    @precondition(lambda self: self.glitches)
    @rule()
    def glitch(self) -> None:
        """One attempt breaks, at whatever moment is worst."""
        self.glitches -= 1
        self.sender.receiver.outage = 2
        self.sender.step(connecting_fails=False)
        self.sender.receiver.outage = 0

    @rule(seconds=st.integers(1, 1000))
    def wait(self, seconds: int) -> None:
        self.sender.now_us += seconds * SECOND_US

    @invariant()
    def only_poison_is_buried(self) -> None:
        if hasattr(self, "sender"):
            assert self.sender.buried.keys() <= self.sender.receiver.poison

    def teardown(self) -> None:
        """Whatever came before: in the end all that is no poison is there, and only that."""
        if not hasattr(self, "sender"):
            return
        sender = self.sender
        sender.receiver.outage = 0
        sender.run(1500, arrivals=range(1000, 1150))
        everything = {*range(1, self.next_seq), *range(1000, 1150)}
        assert set(sender.receiver.got) == everything - sender.receiver.poison
        assert sender.buried.keys() == everything & sender.receiver.poison
        assert len(sender.receiver.got) == len(set(sender.receiver.got))


AnyReceiver.TestCase.settings = settings(max_examples=60, stateful_step_count=40)
TestAnyReceiver = AnyReceiver.TestCase
