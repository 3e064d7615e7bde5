"""Frames that are kept although they were acknowledged: until they are settled, or sent again."""

import asyncio
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.cursor import Cursor
from edge.outbox.holding import Holding
from edge.outbox.ranges import SeqRanges
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameClass
from tests.edge.outbox.open_store import StillClock, admission, content, numbers, pending, running
from tests.edge.outbox.test_cursor import expand

SECOND_US = 1_000_000


def test_those_of_a_second_are_let_go_together_and_none_early() -> None:
    holding = Holding()
    for at_us, seq in ((0, 1), (400_000, 2), (900_000, 3), (1_000_000, 4)):
        holding.add(seq, seq, at_us)
    assert holding.frames == 4
    assert holding.take_until(899_999) == []
    assert holding.take_until(900_000) == [(1, 3)]
    assert holding.take_until(2_000_000) == [(4, 4)]
    assert holding.frames == 0


@given(st.lists(st.tuples(st.integers(1, 30), st.integers(0, 5)), max_size=10), st.integers(1, 30))
def test_what_is_discarded_is_gone(ranges: list[tuple[int, int]], first: int) -> None:
    holding, model = Holding(), set[int]()
    for number, (begin, length) in enumerate(ranges):
        for seq in {*range(begin, begin + length + 1)} - model:
            holding.add(seq, seq, number * SECOND_US)
            model.add(seq)
    taken = {s for a, b in holding.discard(first, first + 5) for s in range(a, b + 1)}
    assert taken == model & set(range(first, first + 6))
    left = {s for a, b in holding.take_until(10**12) for s in range(a, b + 1)}
    assert left == model - taken
    assert holding.frames == 0


class HoldingCursor(RuleBasedStateMachine):
    """A cursor beside sets: what is held is not sent, and to the disk it is pending."""

    def __init__(self) -> None:
        super().__init__()
        self.cursor = Cursor(SeqRanges(), live_from=1, pending=0)
        self.kept: set[int] = set()
        self.had: set[int] = set()
        self.held: dict[int, int] = {}
        self.last = 0
        self.now_us = 0

    @rule(frames=st.integers(1, 5))
    def append(self, frames: int) -> None:
        self.kept |= set(range(self.last + 1, self.last + frames + 1))
        self.last += frames
        self.cursor.appended(frames)

    @rule(first=st.integers(1, 40), length=st.integers(0, 6), hold=st.booleans())
    def acknowledge(self, first: int, length: int, hold: bool) -> None:
        for seq in sorted(set(range(first, first + length + 1)) & self.kept):
            if hold:
                self.cursor.hold(seq, seq, self.now_us)
                if seq not in self.had:
                    self.held.setdefault(seq, self.now_us)
            else:
                self.cursor.acknowledge(seq, seq)
                self.held.pop(seq, None)
                self.had.add(seq)

    @rule(seconds=st.integers(1, 5))
    def time_passes(self, seconds: int) -> None:
        self.now_us += seconds * SECOND_US

    @rule(ago_s=st.integers(0, 6))
    def settle(self, ago_s: int) -> None:
        before_us = self.now_us - ago_s * SECOND_US
        due = {seq for seq, at_us in self.held.items() if at_us <= before_us}
        assert self.cursor.settle(before_us) == len(due)
        self.had |= due
        for seq in due:
            del self.held[seq]

    @rule()
    def forget(self) -> None:
        assert self.cursor.forget_held() == len(self.held)
        self.held.clear()

    @rule(first=st.integers(1, 40), length=st.integers(0, 6))
    def remove(self, first: int, length: int) -> None:
        for seq in set(range(first, first + length + 1)) & self.kept:
            self.cursor.removed(seq, seq)
            self.held.pop(seq, None)
            self.kept.discard(seq)

    @rule(first=st.integers(1, 40))
    def restore(self, first: int) -> None:
        if first <= self.last and first not in self.kept:
            self.cursor.pass_over(first, first)
            self.cursor.restored(first, first)
            self.kept.add(first)
            self.had.discard(first)

    @rule(live_first=st.booleans())
    def connect(self, live_first: bool) -> None:
        self.cursor.connected(self.last + 1, live_first=live_first)

    @invariant()
    def what_is_held_is_not_sent(self) -> None:
        owed = self.kept - self.had - self.held.keys()
        assert set(expand(self.cursor.has.gaps(1, self.last))) & self.kept == owed
        assert set(expand(self.cursor.next_gaps(self.last))) & self.kept <= owed

    @invariant()
    def what_is_held_is_pending_on_the_disk(self) -> None:
        persisted = SeqRanges.from_text(self.cursor.acknowledged.to_text(10_000))
        assert not [seq for seq in self.held if seq in persisted]
        assert self.cursor.held == len(self.held)
        assert self.cursor.pending == len(self.kept - self.had)

    @invariant()
    def what_is_held_is_not_delivered(self) -> None:
        through = self.cursor.delivered_through(self.last)
        assert all(seq > through for seq in self.held)
        assert self.cursor.sent_through(self.last) >= through


TestHoldingCursor = HoldingCursor.TestCase


def alarm(number: int) -> Admission:
    return Admission.of(content(number, frame_class=FrameClass.ALARM))


async def hold_all(outbox: Outbox) -> None:
    outbox.hold("city", [frame.frame_id for frame in await outbox.pending("city", limit=1000)])


async def look_around(outbox: Outbox, number: int) -> None:
    """Have the writer do at once what it does each second."""
    outbox._writer._tick_at_s = 0.0
    await outbox.append(admission(number))


class TestStore:
    """Against a real store, over restarts and removal."""

    async def test_nothing_leaves_while_it_is_held(self, tmp_path: Path) -> None:
        """Not even when everything that is delivered would go at once."""
        settings = OutboxSettings(
            commit_linger_s=0, keep_acknowledged=0, upstreams={"city": UpstreamLimits()}
        )
        clock = StillClock()
        async with running(tmp_path / "db", settings=settings, clock=clock) as outbox:
            for begin in range(0, 400, 50):
                await outbox.append(*map(admission, range(begin, begin + 50)))
            await hold_all(outbox)
            assert await pending(outbox) == []
            statistics = outbox.statistics()
            assert (statistics.pending["city"], statistics.held["city"]) == (0, 400)
            for number in range(400, 410):
                await look_around(outbox, number)
            assert outbox._contents.removals == 0
            assert len(await numbers(outbox)) == 410
            outbox.settle_held("city", clock.now_us)
            assert outbox.statistics().held["city"] == 0
            async with asyncio.timeout(20):
                while not outbox._contents.removals:
                    await look_around(outbox, 1000)

    async def test_a_receiver_that_forgot_is_sent_it_again(self, tmp_path: Path) -> None:
        async with running(tmp_path / "db") as outbox:
            await outbox.append(*map(admission, range(5)))
            await hold_all(outbox)
            await outbox.append(admission(5))
            assert await pending(outbox) == [5]
            assert outbox.forget_held("city") == 5
            assert await pending(outbox) == [0, 1, 2, 3, 4, 5]

    async def test_after_a_restart_it_is_sent_again(self, tmp_path: Path) -> None:
        """With and without a goodbye; what was settled is not."""
        for crash in (False, True):
            path = tmp_path / f"{crash}.db"
            clock = StillClock()
            async with running(path, clock=clock, crash=crash) as outbox:
                await outbox.append(*map(admission, range(3)))
                await hold_all(outbox)
                clock.now_us += 10 * SECOND_US
                outbox.settle_held("city", clock.now_us - 5 * SECOND_US)
                await outbox.append(*map(admission, range(3, 6)))
                await hold_all(outbox)
                await outbox.append(admission(6))  # takes the cursors along
            async with running(path) as outbox:
                assert await pending(outbox) == [3, 4, 5, 6]

    async def test_one_class_alone(self, tmp_path: Path) -> None:
        """Whatever lies before it, live or not; not what was sent already."""
        async with running(tmp_path / "db") as outbox:
            for begin in range(0, 60, 3):
                await outbox.append(admission(begin), alarm(begin + 1), admission(begin + 2))
            outbox.connected("city")
            await outbox.append(admission(60), alarm(61))

            async def alarms(limit: int = 1000) -> list[int]:
                frames = await outbox.pending("city", limit=limit, frame_class=FrameClass.ALARM)
                return [int.from_bytes(f.content.phy_payload, "big") for f in frames]

            wanted = [*range(1, 60, 3), 61]
            assert await alarms() == wanted
            assert await alarms(limit=3) == wanted[:3]
            some = await outbox.pending("city", limit=2, frame_class=FrameClass.ALARM)
            await outbox.acknowledge("city", [frame.frame_id for frame in some])
            assert await alarms() == wanted[2:]
            assert await pending(outbox, limit=2) == [61, 60]
