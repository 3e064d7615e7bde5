"""The outbox against a model in memory: whatever happens in whatever order, it keeps its promises.

Nothing promised is lost but by a removal that was counted with its reason; nobody gets again what
he has certainly acknowledged; an identity is never given to another frame; all counts are exact
after every step.
"""

import asyncio
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule

from edge.outbox.admission import ClassLimits, OutboxSettings, UpstreamLimits
from edge.outbox.cursor import MAX_RANGES
from edge.outbox.errors import StoreCorrupt
from protocol.records.sensor_frame import FrameClass, WallTime
from tests.edge.outbox.failing_store import Fault
from tests.edge.outbox.observed_outbox import EVERYTHING, FIRST_PAYLOAD, ObservedOutbox
from tests.edge.outbox.still_loop import advance, settle
from tests.scale import SCALE

pytestmark = pytest.mark.timeout(300 * SCALE)

NAMES = ("city", "lab", "log")
PAGE_BYTES = 4_096

names = st.sampled_from(NAMES)
limits = st.builds(
    UpstreamLimits,
    start=st.one_of(st.sampled_from(["oldest", "now"]), st.integers(0, 80)),
    max_pending=st.sampled_from([None, None, 3, 15]),
)
classes = st.sampled_from(FrameClass)
plans = st.lists(st.tuples(classes, st.sampled_from("ab")), min_size=1, max_size=6)
# A crash is a race with SQLite's thread, so nothing that is drawn may depend on what is stored:
# choices are taken modulo what there is, and a rule that does not apply does nothing.
choices = st.integers(0, 999)
configurations = st.fixed_dictionaries(
    {
        "upstreams": st.dictionaries(names, limits, max_size=3),
        "keep_acknowledged": st.sampled_from([0, 7, 10_000]),
        "max_age_s": st.sampled_from([50.0, 86_400.0]),
        "max_dead_letters": st.sampled_from([2, 100]),
        "classes": st.dictionaries(
            classes, st.builds(ClassLimits, max_bytes=st.sampled_from([None, 3_000])), max_size=1
        ),
    }
)


class OutboxKeepsItsPromises(ObservedOutbox):
    """One store, through restarts, crashes and faults."""

    @rule(plan=plans)
    def append(self, plan: list[tuple[FrameClass, str]]) -> None:
        self.offer(plan)

    @rule(callers=st.integers(20, 80), frame_class=classes)
    def many_callers(self, callers: int, frame_class: FrameClass) -> None:
        for _ in range(callers):
            self.offer([(frame_class, "c")])

    @rule(
        name=names,
        how=st.sampled_from(["some", "a run", "the batch", "all"]),
        picks=st.sets(choices, min_size=1, max_size=4),
    )
    def acknowledge(self, name: str, how: str, picks: set[int]) -> None:
        upstream = self.model.upstreams.get(name)
        present = self.model.in_order(self.model.kept | self.model.exposed)
        if upstream is None or not present:
            return
        first = min(picks)
        match how:
            case "some":
                numbers = {present[pick % len(present)] for pick in picks}
            case "a run":
                numbers = set(present[first % len(present) :][:20])
            case "the batch":  # of which some may have gone meanwhile
                numbers = set(upstream.batch[: 1 + first % 30])
            case _:
                numbers = set(present)
        frame_ids = [self.identity(number) for number in numbers]
        foreign = [frame_id._replace(epoch=bytes(8)) for frame_id in frame_ids[:2]]
        self.run(self.outbox.acknowledge(name, [*frame_ids, *foreign]))
        upstream.acknowledged |= numbers

    @rule(name=names, limit=st.one_of(st.integers(1, 12), st.just(EVERYTHING)))
    def ask(self, name: str, limit: int) -> None:
        if name not in self.model.upstreams:
            return
        frames = self.run(self.outbox.pending(name, limit=limit))
        batch = [self.model_number(frame) for frame in frames]
        assert batch == self.model.next_batch(name, limit)
        self.model.upstreams[name].batch = batch

    @rule(name=names)
    def connect(self, name: str) -> None:
        if name not in self.model.upstreams or self.ranges(name) >= MAX_RANGES:
            return  # with so many everything is one lane
        self.outbox.connected(name)
        self.model.connected(name)
        waiting = [n for held in self.held for n in held.numbers if n not in self.model.exposed]
        self.model.upstreams[name].live.update(waiting)

    @rule(name=names, picks=st.sets(choices, min_size=1, max_size=3))
    def bury(self, name: str, picks: set[int]) -> None:
        model = self.model
        if not self.works or name not in model.upstreams or not model.pending(name):
            return
        upstream, pending = model.upstreams[name], model.pending(name)
        numbers = model.in_order({pending[pick % len(pending)] for pick in picks})
        self.run(self.outbox.bury(name, {self.identity(n): f"refused {n}" for n in numbers}))
        upstream.acknowledged.update(numbers)
        model.letters = [
            letter for letter in model.letters if letter[1] not in numbers or letter[0] != name
        ]
        model.letters += [(name, number, self.uptime_us) for number in numbers]
        over = max(0, len(model.letters) - self.settings.max_dead_letters)
        del model.letters[:over]
        assert self.newly_counted("dead_letter") == over

    @rule(pick=choices)
    def requeue(self, pick: int) -> None:
        model = self.model
        if not self.works or not model.letters:
            return
        index = pick % len(model.letters)
        letter = self.run(self.outbox.dead_letters())[index]
        name, number, at_us = model.letters[index]
        assert self.run(self.outbox.requeue(letter)) == (name in model.upstreams)
        if name not in model.upstreams:
            return
        del model.letters[index]
        for upstream in model.upstreams.values():
            if number not in model.kept:  # the others have it, or have been told that it is gone
                upstream.acknowledged.add(number)
        model.upstreams[name].acknowledged.discard(number)
        model.upstreams[name].certain.discard(number)
        if number not in model.kept:
            model.kept.add(number)
            model.frames[number].at_us = at_us

    @rule(seconds=st.sampled_from([0.5, 2.0, 40.0]))
    def time_goes_by(self, seconds: float) -> None:
        before = {n: set(u.acknowledged) for n, u in self.model.upstreams.items()}
        for step in (seconds, 1.0, 1.0):
            self.clock.now_us += int(step * 1e6)
            self.uptime_us += int(step * 1e6)
            self.run(advance(self.outbox, step))
        self.look()
        if self.outbox.fault is None:
            for name, upstream in self.model.upstreams.items():
                if self.ranges(name) < MAX_RANGES:
                    upstream.certain |= before[name]
                limit = (self.settings.upstreams or {})[name].max_pending
                assert limit is None or len(self.model.pending(name)) <= limit

    @rule(years=st.sampled_from([-56, -1, 0, 1, 56]), vouched=st.booleans())
    def the_wall_clock_jumps(self, years: int, vouched: bool) -> None:
        unix_us = 1_790_000_000_000_000 + years * 31_536_000_000_000 + self.uptime_us
        self.clock.wall_time = WallTime(unix_us, 1_000) if vouched else None

    @rule(configuration=configurations, reboot=st.booleans())
    def restart(self, configuration: dict[str, Any], reboot: bool) -> None:
        if not self.works:
            return
        self.tick()
        self.run(self.close(crash=False))
        for name, upstream in self.model.upstreams.items():
            if self.ranges(name) < MAX_RANGES:
                upstream.certain |= upstream.acknowledged
        self.settings = OutboxSettings(commit_linger_s=0, bulk_linger_s=0, **configuration)
        if reboot:
            self.reboot()
        gone = {
            name: len(self.model.pending(name))
            for name in self.model.upstreams.keys() - configuration["upstreams"].keys()
        }
        self.run(self.open())
        for name, frames in gone.items():
            assert self.newly_released(name) == frames
        self.learn_what_is_acknowledged()

    @rule(
        plans=st.lists(plans, max_size=3),
        steps=st.integers(0, 12),
        reboot=st.booleans(),
    )
    def crash(self, plans: list[list[tuple[FrameClass, str]]], steps: int, reboot: bool) -> None:
        for plan in plans:
            self.offer(plan)

        async def go_on_for_a_moment() -> None:
            for _ in range(steps):
                await asyncio.sleep(0)

        self.run(go_on_for_a_moment())
        self.run(self.close(crash=True))
        if reboot:
            self.reboot()
        self.run(self.open())
        self.settle_what_was_held()
        self.learn_what_is_acknowledged()

    @rule(fault=st.sampled_from(Fault), passing=st.integers(0, 3))
    def writes_begin_to_fail(self, fault: Fault, passing: int) -> None:
        if self.failing.fault is None:
            self.failing.fault, self.failing.passing = fault, passing

    @rule(
        fault=st.sampled_from(Fault),
        plans=st.lists(plans, min_size=1, max_size=3),
        passing=st.integers(0, 2),
    )
    def an_outage_of_the_store(
        self, fault: Fault, plans: list[list[tuple[FrameClass, str]]], passing: int
    ) -> None:
        """Long enough for frames to be forwarded from memory; a retry may get a part of the way."""
        self.failing.fault, self.failing.passing = fault, 0
        for plan in plans:
            self.offer(plan)
            self.run(settle(self.outbox))
        self.run(advance(self.outbox, 1.0))
        self.look()
        self.failing.passing = passing
        self.run(advance(self.outbox, 2.0))

    @rule()
    def writes_work_again(self) -> None:
        self.failing.fault = None
        self.run(self.unlimit())
        self.run(advance(self.outbox, 31.0))
        assert self.outbox.fault is None

    @rule()
    def a_board_runs_out_of_room(self) -> None:
        self.outbox.release_uncommitted()
        self.run(settle(self.outbox))
        for held in self.held:
            held.released |= held.task.done()

    @rule()
    def the_disk_fills_up(self) -> None:
        """SQLite's own limit gives the same error as a full disk."""
        if not self.works or self.may_be_full:
            return

        async def limit() -> None:
            database = self.outbox._database
            usage = await database.usage()
            free_bytes = (usage.file_pages - usage.used_pages) * PAGE_BYTES
            await database.read("CREATE TABLE IF NOT EXISTS other(b)")
            await database.read("INSERT INTO other VALUES (zeroblob(?))", free_bytes)
            await database.limit_pages((await database.usage()).file_pages)

        self.run(self.outbox._do(limit))
        self.may_be_full = True

    async def unlimit(self) -> None:
        await self.outbox._do(partial(self.outbox._database.limit_pages, 100_000))

    @rule(pick=choices)
    def a_page_rots(self, pick: int) -> None:
        model = self.model
        if not self.works or not model.kept:
            return
        number = sorted(model.kept)[pick % len(model.kept)]
        self.tick()
        self.run(self.close(crash=False))
        image = bytearray(self.path.read_bytes())
        payload = (FIRST_PAYLOAD + number).to_bytes(8, "big")
        for at in range(0, len(image), PAGE_BYTES):
            if image[at] == 0x0D and payload in image[at : at + PAGE_BYTES]:
                image[at : at + 64] = b"\xa5" * 64
        self.path.write_bytes(image)
        self.run(self.open())
        self.run(self.salvaged())
        found = self.stored()
        lost = {n for n in model.kept - found.keys() if model.is_lost(n)}
        counted = self.newly_counted("corrupt")
        assert bool(counted) >= bool(lost)
        model.kept &= found.keys()
        for name, upstream in model.upstreams.items():
            frames = self.run(self.outbox.pending(name, limit=EVERYTHING))
            pending = [self.model_number(frame) for frame in frames]
            assert set(pending) >= model.kept - upstream.acknowledged
            upstream.acknowledged = model.kept - set(pending)
            upstream.batch = pending
        letters = self.run(self.outbox.dead_letters(limit=EVERYTHING))
        there = {(letter.upstream, letter.seq) for letter in letters}
        model.letters = [
            (name, number, at_us)
            for name, number, at_us in model.letters
            if (name, model.seq(number)) in there
        ]

        for name in NAMES:
            self.newly_released(name)

    async def salvaged(self) -> None:
        while True:
            try:
                await self.outbox.frames(limit=EVERYTHING)
            except StoreCorrupt:
                continue
            await settle(self.outbox)
            if not self.outbox._writer._more_to_salvage:
                return

    @invariant()
    def everything_is_as_it_should_be(self) -> None:
        self.look()
        self.check_counts()
        for key, number in self.model.marks.items():
            assert self.outbox.mark(key) == number.to_bytes(4, "big")


TestOutboxKeepsItsPromises = OutboxKeepsItsPromises.TestCase
TestOutboxKeepsItsPromises.settings = settings(
    max_examples=25 * SCALE,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
