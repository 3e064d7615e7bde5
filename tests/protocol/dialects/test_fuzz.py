"""Every dialect under fire: whatever comes, no exception, nothing grows, what is thrown away is
counted by a reason of a closed list, and the next frame is told.

Noise may spell what a device says (KISS and lines of text have no check). So a session may lose its
device to it, but then says so, sets it up again and delivers the next packet; or it may say that
the device is of no use, and then a new session begins. It may never be up and deaf.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from random import Random

import pytest

from drivers.registry import link_rejects
from tests.protocol.dialects.hostile_bytes import chunks, hostile
from tests.protocol.dialects.peers import PEERS, Peer
from tests.scale import SCALE

INPUTS = 10_000 * SCALE
STRIDE = 50
"""So many inputs meet one session; then another one begins, from a seed of its own."""

dialects = pytest.mark.parametrize("kind", PEERS, ids=lambda kind: kind.__name__)


class Line:
    """A session, its device and the time: what is asked is answered at once."""

    def __init__(self, kind: type[Peer]) -> None:
        self.now_us = 1_000_000
        self.peer = kind(self.now_us)
        self.session = self.peer.session
        self.up = self.over = False
        self.payloads: list[bytes] = []

    def hear(self, data: bytes) -> None:
        """Bytes come, and what they mean is taken at once, as a driver does."""
        self.session.receive(data, self.now_us)
        self._take_events()

    def turn(self) -> bool:
        """Answer what is asked, or let the time of the next timer or of a heartbeat come.

        Returns whether anything was asked.
        """
        asked = self.session.bytes_to_send()
        assert len(asked) <= self.peer.longest_question, asked
        if asked:
            self.now_us += 1_000
            self.hear(self.peer.answer(asked, self.now_us))
        else:
            due_us = self.session.timer_us()
            self.now_us = max(self.now_us, min(due_us, self.now_us + 1_000_000))
            self.hear(self.peer.by_itself(self.now_us))
            self.session.handle_timer(self.now_us)
            self._take_events()
        return bool(asked)

    def pause(self, duration_us: int) -> None:
        """Nobody answers for a while."""
        end_us = self.now_us + duration_us
        while (due_us := self.session.timer_us()) <= end_us and not self.over:
            self.now_us = max(self.now_us, due_us)
            self.session.handle_timer(self.now_us)
            self._take_events()
            self.session.bytes_to_send()
        self.now_us = end_us

    def settle(self) -> None:
        """Until the device listens and nothing is asked; unless the session is over."""
        for _ in range(1_000):
            if not self.turn() and (self.over or (self.up and self.peer.listening)):
                return
        raise AssertionError("it does not come up")

    def deliver(self, payload: bytes) -> None:
        """A packet is heard, and has to be told, if only when trouble that had begun is over."""
        self.hear(self.peer.packet(payload, self.now_us))
        for _ in range(200):
            if payload in self.payloads:
                self.payloads.clear()
                return
            self.turn()
        raise AssertionError("a good frame is lost")

    def _take_events(self) -> None:
        while (event := self.session.next_event()) is not None:
            if isinstance(event, self.peer.ups + self.peer.downs + self.peer.overs):
                self.up = isinstance(event, self.peer.ups)
                self.over = isinstance(event, self.peer.overs)
            payload = self.peer.take(event, self.now_us)
            if payload is not None:
                self.payloads.append(payload)


def kept(value: object) -> int:
    """Bytes, characters and elements that an object of ours holds, in whatever it consists of."""
    match value:
        case bytes() | bytearray() | str():
            return len(value)
        case Mapping():
            return len(value) + sum(map(kept, value.values()))
        case list() | tuple() | deque() | set() | frozenset():
            return len(value) + sum(map(kept, value))
        case _ if type(value).__module__.startswith("protocol."):
            slots = getattr(type(value), "__slots__", ())
            parts: Iterable[object] = getattr(value, "__dict__", {}).values()
            return sum(map(kept, [*parts, *(getattr(value, name, None) for name in slots)]))
    return 0


def play(kind: type[Peer], seed: int, inputs: int = STRIDE) -> int:
    """Inputs made from one seed; how many of them ended a session for good.

    A failure names the seed and the input: ``play(kind, seed)`` does the same once more.
    """
    ended = 0
    chance = Random(seed)
    line = Line(kind)
    data = b""
    number = 0
    try:
        for number in range(inputs):
            if number % 8:
                line.settle()
            else:  # hostile while it is being set up
                line = Line(kind)
                for _ in range(chance.randrange(12)):
                    line.turn()
            data = hostile(chance, line.peer.words(chance))
            under_fire(line, chance, data, number)
            if line.over:
                ended += 1
                line = Line(kind)
    except Exception as error:
        raise AssertionError(
            f"{kind.__name__}: seed {seed}, input {number}: {data.hex()}: {error!r}"
        ) from error
    return ended


def under_fire(line: Line, chance: Random, data: bytes, number: int) -> None:
    """One input, and what has to hold after it."""
    for piece in chunks(chance, data):
        line.hear(piece)
        if chance.random() < 0.02:
            line.pause(chance.randrange(3_000_000))
    assert kept(line.session) <= line.peer.most_kept
    assert line.session.rejects.keys() <= set(link_rejects(line.peer.driver))
    line.hear(line.peer.end)
    if chance.random() < 0.2:
        line.pause(chance.randrange(1_000_000))
    line.settle()
    if not line.over:
        line.deliver(b"good %d" % number)


@dialects
def test_hostile_bytes(kind: type[Peer]) -> None:
    """10^4 of them in everyday runs, 10^6 in the full figures."""
    ended = sum(play(kind, seed) for seed in range(INPUTS // STRIDE))
    print(f"{kind.__name__}: {INPUTS} inputs, {ended} ended a session for good")
    assert ended < INPUTS / 20


@dialects
@pytest.mark.parametrize("set_up", [False, True])
def test_a_flood_is_not_kept(kind: type[Peer], set_up: bool) -> None:
    """Neither one frame without an end, nor more frames than anybody answers."""
    chance = Random(3)
    line = Line(kind)
    if set_up:
        line.settle()
    for _ in range(300):
        line.hear(chance.randbytes(1_000).replace(line.peer.end[:1], b"").replace(b"\n", b""))
        assert kept(line.session) <= line.peer.most_kept
    for _ in range(3_000):
        line.hear(chance.choice(line.peer.words(chance)))
        assert len(line.session.bytes_to_send()) <= line.peer.longest_question
    assert kept(line.session) <= line.peer.most_kept


@dialects
def test_packets_that_come_too_fast_are_not_kept(kind: type[Peer]) -> None:
    """A device that sends packets and answers nothing."""
    line = Line(kind)
    line.settle()
    for number in range(300):
        line.hear(line.peer.packet(b"%250d" % number, line.now_us))
        assert kept(line.session) <= line.peer.most_kept
