"""One outbox through its lives, with what was done to it, and what must hold after every step."""

import asyncio
import shutil
import tempfile
from collections.abc import Coroutine
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from hypothesis.stateful import RuleBasedStateMachine

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreClosed
from edge.outbox.packs import class_tables
from edge.outbox.ranges import SeqRanges
from edge.outbox.store import Outbox, open_outbox
from protocol.records.sensor_frame import SEQ_MAX, FrameClass, FrameId, SensorFrame
from protocol.records.sensor_frame_codec import decode_content
from tests.edge.outbox.failing_store import Failing
from tests.edge.outbox.open_store import GATEWAY, StillClock, content, number_of
from tests.edge.outbox.outbox_model import Model, Upstream
from tests.edge.outbox.still_loop import StillLoop, advance, settle

FIRST_PAYLOAD = 0x0BAD_0000_0000_0000  # so that a frame's payload is found in the file
EVERYTHING = 1_000_000
_T = TypeVar("_T")


@dataclass(eq=False)
class Held:
    """Frames whose caller waits, or was told although they are only in memory."""

    numbers: list[int]
    task: "asyncio.Task[tuple[FrameId, ...]]"
    released: bool = False


class ObservedOutbox(RuleBasedStateMachine):
    """Does nothing by itself: the rules are in :mod:`tests.edge.outbox.test_against_model`."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = StillLoop()
        self.directory = Path(tempfile.mkdtemp(prefix="outbox-model-"))
        self.path = self.directory / "outbox.db"
        self.model = Model()
        self.held: list[Held] = []
        self.metrics = Metrics("test")
        self.clock = StillClock()
        self.uptime_us = 0
        self.boots = 0
        self.may_be_full = False
        self.unknown = 0
        self.counted: dict[str, float] = {}
        self.settings = OutboxSettings(
            commit_linger_s=0,
            bulk_linger_s=0,
            upstreams={"city": UpstreamLimits(), "lab": UpstreamLimits()},
        )
        self.run(self.open())

    def run(self, work: Coroutine[Any, Any, _T]) -> _T:
        return self.loop.run_until_complete(work)

    async def open(self) -> None:
        """The store's context lives in a task of its own, which has to leave it."""
        ready: asyncio.Future[Outbox] = self.loop.create_future()
        self.leave: asyncio.Future[bool] = self.loop.create_future()

        async def live() -> None:
            async with (
                open_outbox(
                    self.path,
                    gateway=GATEWAY,
                    clock=self.clock,
                    settings=self.settings,
                    metrics=self.metrics,
                ) as outbox,
                asyncio.TaskGroup() as group,
            ):
                writer = group.create_task(outbox.run())
                ready.set_result(outbox)
                if await self.leave:
                    writer.cancel()
                else:
                    outbox.stop()

        self.life = self.loop.create_task(live())
        either: list[asyncio.Future[Any]] = [ready, self.life]
        await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
        if self.life.done():
            await self.life
        self.outbox = ready.result()
        self.failing = Failing(self.outbox._database)
        self.may_be_full = False
        self.attach()
        await settle(self.outbox)

    def attach(self) -> None:
        """What the configured upstreams have from the beginning."""
        model, configured = self.model, self.settings.upstreams or {}
        for name in model.upstreams.keys() - configured.keys():
            del model.upstreams[name]
        for name, limit in configured.items():
            if name not in model.upstreams:
                match limit.start:
                    case "oldest":
                        begin = 0
                    case "now":
                        begin = SEQ_MAX
                    case seq:
                        begin = int(seq)
                kept = {n for n in model.kept if model.seq(n) < begin}
                model.upstreams[name] = Upstream(set(kept), set(kept))
        for upstream in model.upstreams.values():
            upstream.live.clear()
            upstream.batch.clear()

    async def close(self, *, crash: bool) -> None:
        self.leave.set_result(crash)
        await self.life
        await asyncio.gather(*(held.task for held in self.held), return_exceptions=True)
        self.failing.leave()

    def tick(self) -> None:
        """So that the tick of a stop finds nothing to do under settings that then have gone."""
        self.run(advance(self.outbox, 1.0))
        self.look()

    def reboot(self) -> None:
        self.boots += 1
        self.clock = StillClock(self.boots.to_bytes(16, "big"), 1_000_000)

    @property
    def works(self) -> bool:
        return self.failing.fault is None and self.outbox.fault is None and not self.held

    def offer(self, plan: list[tuple[FrameClass, str]]) -> Held:
        frames = [self.model.new(frame_class, key) for frame_class, key in plan]
        admissions = [
            Admission.of(
                content(
                    FIRST_PAYLOAD + frame.number,
                    frame_class=frame.frame_class,
                    boot_id=self.clock.boot_id,
                ),
                {frame.key: frame.number.to_bytes(4, "big")},
            )
            for frame in frames
        ]
        numbers = [frame.number for frame in frames]
        self.model.offered(numbers)
        held = Held(numbers, self.loop.create_task(self.outbox.append(*admissions)))
        self.held.append(held)
        return held

    def identity(self, number: int) -> FrameId:
        frame_id = self.model.frames[number].frame_id
        assert frame_id is not None
        return frame_id

    def settle_what_was_held(self) -> None:
        """Frames that were in memory at a crash: promised, in the hands of all, or unknown."""
        model, found = self.model, self.stored()
        for held in self.held:
            told = not held.task.cancelled() and held.task.exception() is None
            in_hands_of_all = bool(model.upstreams) and not any(
                model.is_lost(number) for number in held.numbers
            )
            there = {number in found for number in held.numbers}
            if told and not in_hands_of_all and not held.released:
                assert there == {True} or self.may_be_removed(held.numbers)
            elif not told:
                assert isinstance(held.task.exception(), StoreClosed)
            for number in held.numbers:
                model.exposed.discard(number)
                if number in found:  # under the number that it was given before it was forwarded
                    model.frames[number].frame_id = found[number]
                    assert model.identities.setdefault(found[number], number) == number
                    for upstream in model.upstreams.values():
                        upstream.certain.discard(number)
            model.committed([n for n in held.numbers if n in found], self.uptime_us)
            self.learn_marks([n for n in held.numbers if n not in found])
        self.unknown = sum(n not in found for held in self.held for n in held.numbers)
        self.held.clear()

    def learn_marks(self, numbers: list[int]) -> None:
        """Frames may have been committed and, wanted by nobody any more, removed before anyone
        looked; their marks stay.
        """
        for number in numbers:
            key = self.model.frames[number].key
            if self.outbox.mark(key) == number.to_bytes(4, "big"):
                self.model.marks[key] = max(number, self.model.marks.get(key, 0))

    def may_be_removed(self, numbers: list[int]) -> bool:
        """By the first tick after the start already."""
        return bool(self.settings.classes)

    def learn_what_is_acknowledged(self) -> None:
        """Acknowledgements of the last second may be gone; then they are pending again."""
        model = self.model
        self.look(uncertain=True)
        for name, upstream in model.upstreams.items():
            frames = self.run(self.outbox.pending(name, limit=EVERYTHING))
            pending = [self.model_number(frame) for frame in frames]
            assert pending == model.in_order(pending)
            assert not set(pending) & upstream.certain
            assert set(pending) >= model.kept - upstream.acknowledged - self.passed_over(name)
            upstream.acknowledged = model.kept - set(pending)
            upstream.batch = pending

    def look(self, *, uncertain: bool = False) -> None:
        """Take in what was committed, exposed, passed over or removed, and whether it was right."""
        self.run(settle(self.outbox))
        found = self.stored()
        in_memory = self.in_memory()
        for held in list(self.held):
            if held.task.done() and not in_memory & set(held.numbers):  # it may have gone since
                self.check_told(held)
                self.model.committed(held.numbers, self.uptime_us)
                self.held.remove(held)
        self.look_at_memory(in_memory)
        assert found.keys() <= self.model.kept
        for number, frame_id in found.items():
            self.model.identify(number, frame_id)
        for held in self.held:
            self.check_promise(held)
        removed = self.model.kept - found.keys()
        released = sum(
            self.look_at_laggard(name, removed, uncertain=uncertain)
            for name in self.model.upstreams
        )
        self.check_removals(removed, released, uncertain=uncertain)

    def in_memory(self) -> set[int]:
        """Frames that have a number and are not committed."""
        bodies = self.outbox._writer.ring.bodies(1, SEQ_MAX)
        return {number_of(decode_content(body)) - FIRST_PAYLOAD for _, body in bodies}

    def look_at_memory(self, in_memory: set[int]) -> None:
        """Frames that are forwarded from memory have identities too."""
        writer, contents = self.outbox._writer, self.outbox._contents
        if self.outbox.fault is None:
            assert not self.held
        self.model.exposed = set()
        if writer._failures >= 2:
            self.model.exposed = {number for held in self.held for number in held.numbers}
            assert in_memory == self.model.exposed
            for seq, body in writer.ring.bodies(1, SEQ_MAX):
                number = number_of(decode_content(body)) - FIRST_PAYLOAD
                self.model.identify(number, contents.frame_id(seq))
        assert contents.exposed_frames == len(self.model.exposed)

    def check_promise(self, held: Held) -> None:
        """A caller hears as soon as all upstreams have its frames, and never before."""
        in_hands_of_all = bool(self.model.upstreams) and not any(
            map(self.model.is_lost, held.numbers)
        )
        told = held.task.done()
        if not held.released:
            assert told == (in_hands_of_all and set(held.numbers) <= self.model.exposed)
        if told:
            self.check_told(held)

    def check_told(self, held: Held) -> None:
        """What a caller was told is true."""
        for number, frame_id in zip(held.numbers, held.task.result(), strict=True):
            self.model.identify(number, frame_id)

    def passed_over(self, name: str) -> set[int]:
        """Frames that an upstream with a bound does not get any more."""
        if (self.settings.upstreams or {})[name].max_pending is None:
            return set()
        acknowledged: SeqRanges = self.outbox._contents.cursors[name].acknowledged
        return {n for n in self.model.pending(name) if self.model.seq(n) in acknowledged}

    def ranges(self, name: str) -> int:
        return len(self.outbox._contents.cursors[name].acknowledged)

    def look_at_laggard(self, name: str, removed: set[int], *, uncertain: bool) -> int:
        """What is no longer kept for it are its oldest; some of that may be gone already.

        Returns:
            How many.
        """
        passed = self.passed_over(name) - removed
        pending = [n for n in self.model.pending(name) if n not in removed]
        assert passed == set(pending[: len(passed)])
        gone = int(self.newly_released(name)) - len(passed)
        assert gone >= 0
        assert gone <= len(removed) or uncertain
        self.model.upstreams[name].acknowledged |= passed
        return gone

    def check_removals(self, removed: set[int], released: int, *, uncertain: bool) -> None:
        """The oldest of a class; what somebody would miss is counted, and there was a reason.

        Args:
            released: of those, so many were no longer kept for somebody.
        """
        model = self.model
        lost = {number for number in removed if model.is_lost(number)}
        least, most = len(lost) - released, len(lost)
        if uncertain:  # some of those that were held may have been committed, and have gone again
            most = sum(map(model.may_be_lost, removed)) + self.unknown
        counted = self.newly_counted("evicted_bytes"), self.newly_counted("evicted_age")
        assert least <= sum(counted) <= most
        model.kept -= removed
        for frame_class in class_tables():
            gone = [model.seq(n) for n in removed if model.frames[n].frame_class is frame_class]
            kept = [model.seq(n) for n in model.kept if model.frames[n].frame_class is frame_class]
            assert max(gone, default=0) < min(kept, default=SEQ_MAX)
        for number in lost if not counted[0] and not released else ():
            age_s = (self.uptime_us - model.frames[number].at_us) / 1e6
            assert age_s > self.settings.max_age_s
        if counted[0]:
            bounded = {c for c, bounds in self.settings.classes.items() if bounds.max_bytes}
            assert self.may_be_full or {model.frames[n].frame_class for n in lost} & bounded

    def check_counts(self) -> None:
        model, statistics = self.model, self.outbox.statistics()
        assert statistics.frames == len(model.kept)
        assert statistics.uncommitted == sum(len(held.numbers) for held in self.held)
        assert statistics.pending == {name: len(model.pending(name)) for name in model.upstreams}
        assert statistics.dead_letters == len(model.letters)
        for frame_class, (frames, size_bytes) in statistics.by_class.items():
            of_class = [n for n in model.kept if model.frames[n].frame_class is frame_class]
            assert frames == len(of_class)
            [(there,)] = self.run(
                self.outbox._do(
                    partial(
                        self.outbox._database.read,
                        "SELECT coalesce(sum(length(body) + coalesce(length(delta), 0) + 32), 0)"
                        f" FROM {frame_class}",
                    )
                )
            )
            if self.outbox.fault is None:  # or else more may be there than we know
                assert size_bytes == there

    def stored(self) -> dict[int, FrameId]:
        frames = self.run(self.outbox.frames(limit=EVERYTHING))
        seqs = [frame.frame_id.seq for frame in frames]
        assert seqs == sorted(set(seqs))
        found = {number_of(f.content) - FIRST_PAYLOAD: f.frame_id for f in frames}
        assert len(found) == len(frames)
        return found

    def model_number(self, frame: SensorFrame) -> int:
        number = number_of(frame.content) - FIRST_PAYLOAD
        self.model.identify(number, frame.frame_id)
        return number

    def newly_counted(self, reason: str) -> float:
        return self.newly("lora_edge_frames_dropped_total", {"reason": reason})

    def newly_released(self, upstream: str) -> float:
        return self.newly("lora_edge_outbox_released_frames_total", {"upstream": upstream})

    def newly(self, name: str, labels: dict[str, str]) -> float:
        """By how much a counter has grown since this was asked last."""
        value = self.metrics.registry.get_sample_value(name, labels) or 0.0
        key = f"{name}{labels}"
        before = self.counted.get(key, 0.0)
        self.counted[key] = value
        return value - before

    def teardown(self) -> None:
        self.failing.fault = None
        try:
            self.run(self.close(crash=True))
        finally:
            self.loop.finish()
            shutil.rmtree(self.directory)
