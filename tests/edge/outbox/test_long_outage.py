"""Seven days without backhaul, with restarts, crashes and lying clocks, and what comes after.

One upstream is away all week, the other one comes and goes every hour. With SCALE >= 10 a frame
comes every eighth of a second, 4.8 million in all; otherwise a hundredth of that.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreClosed
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameClass, FrameId, SensorFrame, WallTime
from tests.edge.outbox.open_store import StillClock, content, number_of, running
from tests.edge.outbox.still_loop import advance, settle, still
from tests.scale import SCALE

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
YEAR_US = 365 * DAY_US
Y2026_US = 1_767_225_600 * SECOND_US  # when the week begins
FRAME_US = 125_000 if SCALE >= 10 else 12_500_000  # from one frame to the next
FRAMES = 7 * DAY_US // FRAME_US
STEP_US = HOUR_US // 3
MAX_APPEND = 240
BATCH = 500
MAX_GROWTH_BYTES = 64_000_000
SETTINGS = OutboxSettings(
    commit_linger_s=0,
    bulk_linger_s=0,
    upstreams={"city": UpstreamLimits(), "lab": UpstreamLimits()},
)

BOOTS_US = (0, DAY_US // 2, 7 * DAY_US // 2)
"""When the host booted. The first boot never learns the time."""


def boot_of(at_us: int) -> int:
    return max(number for number, begin_us in enumerate(BOOTS_US) if begin_us <= at_us)


def off_us(at_us: int) -> int | None:
    """By how much the wall clock is off; None while it is at 1970 and nobody vouches for it."""
    day = at_us / DAY_US
    if day < 2:
        return None
    if day < 2.25:
        return 56 * YEAR_US  # declared synchronised
    return -DAY_US if 4.5 <= day < 4.6 else 0


def frame_class_of(number: int) -> FrameClass:
    """A day's frames of one class, then an hour's of another, as alarms and bulk come."""
    hour = number * FRAME_US // HOUR_US
    if hour % 24 == 5:
        return FrameClass.BULK
    return FrameClass.ALARM if hour % 24 == 17 else FrameClass.TELEMETRY


@dataclass
class Receiver:
    """What one upstream was sent: each frame, repeats as the same frame, in the promised order."""

    name: str
    got: bytearray = field(default_factory=lambda: bytearray(FRAMES + 2 * HOUR_US // FRAME_US))
    frames: int = 0
    repeats: int = 0
    live_from: int = 1
    newest_live: int = 0
    newest_backlog: int = 0

    def connect(self, outbox: Outbox, next_seq: int) -> None:
        outbox.connected(self.name)
        self.live_from, self.newest_live, self.newest_backlog = next_seq, 0, 0

    def take(self, frames: list[SensorFrame], epoch: bytes) -> list[FrameId]:
        """Check a batch, and remember it."""
        seqs = [frame.frame_id.seq for frame in frames]
        assert seqs == sorted(set(seqs))
        live = {seq >= self.live_from for seq in seqs}
        assert len(live) == 1
        if live == {True}:
            assert seqs[0] > self.newest_live
            self.newest_live = seqs[-1]
        else:
            assert seqs[0] > self.newest_backlog
            self.newest_backlog = seqs[-1]
        for frame in frames:
            number = number_of(frame.content)
            assert (frame.frame_id.epoch, frame.frame_id.seq) == (epoch, number + 1)
            self.repeats += self.got[number]
            self.frames += not self.got[number]
            self.got[number] = 1
        return [frame.frame_id for frame in frames]


@dataclass
class DatedReceiver(Receiver):
    """Looks at the times as well, which by then are as well known as they will ever be."""

    worst_error_us: int = 0
    undated: int = 0

    def take(self, frames: list[SensorFrame], epoch: bytes) -> list[FrameId]:
        for frame in frames:
            at_us = number_of(frame.content) * FRAME_US
            if frame.received_at is None:
                assert boot_of(at_us) == 0
                self.undated += 1
            else:
                error_us = abs(frame.received_at.unix_us - Y2026_US - at_us)
                self.worst_error_us = max(self.worst_error_us, error_us)
        return super().take(frames, epoch)


@dataclass
class Week:
    """The gateway on its pole."""

    path: Path
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    clock: StillClock = field(default_factory=StillClock)
    chance: random.Random = field(default_factory=lambda: random.Random(20260101))
    at_us: int = 0
    next_number: int = 0
    epoch: bytes = b""

    @asynccontextmanager
    async def process(self, *, crash: bool) -> AsyncIterator[Outbox]:
        """One life of the service; after a crash the board sends again what has no mark."""
        self.move_clock()
        async with running(
            self.path, clock=self.clock, settings=SETTINGS, metrics=self.metrics, crash=crash
        ) as outbox:
            await settle(outbox)
            mark = outbox.mark("board")
            self.next_number = 0 if mark is None else int.from_bytes(mark) + 1
            self.epoch = self.epoch or outbox.epoch
            assert outbox.epoch == self.epoch
            yield outbox

    def move_clock(self) -> None:
        boot = boot_of(self.at_us)
        self.clock.boot_id = boot.to_bytes(16)
        self.clock.now_us = self.at_us - BOOTS_US[boot]
        off = off_us(self.at_us)
        unix_us = Y2026_US + self.at_us
        self.clock.wall_time = None if off is None else WallTime(unix_us + off, 10_000)

    def heard(self, count: int) -> list[Admission]:
        """The next frames; the last of each call brings the board's mark."""
        admissions = []
        for number in range(self.next_number, self.next_number + count):
            at_us = number * FRAME_US
            boot = boot_of(at_us)
            frame = content(
                number,
                boot_id=boot.to_bytes(16),
                received_us=at_us - BOOTS_US[boot],
                frame_class=frame_class_of(number),
            )
            admissions.append(Admission.of(frame))
        mark = (self.next_number + count - 1).to_bytes(4)
        admissions[-1] = Admission(admissions[-1].body, admissions[-1].frame_class, {"board": mark})
        return admissions

    async def append_until(self, outbox: Outbox, end_us: int) -> None:
        """All that is heard until then; a call has frames of one class, as numbers go by class."""
        while (left := end_us // FRAME_US - self.next_number) > 0:
            count = min(left, MAX_APPEND)
            first = frame_class_of(self.next_number)
            while frame_class_of(self.next_number + count - 1) is not first:
                count -= 1
            self.at_us = max(self.at_us, self.next_number * FRAME_US)
            self.move_clock()
            await outbox.append(*self.heard(count))
            self.next_number += count
        self.at_us = end_us
        self.move_clock()
        await advance(outbox, 1.0)

    async def send(self, outbox: Outbox, receiver: Receiver, frames: int) -> None:
        """A receiver takes about so many frames."""
        sent = 0
        while sent < frames:
            batch = await outbox.pending(receiver.name, limit=BATCH)
            if not batch:
                return
            await outbox.acknowledge(receiver.name, receiver.take(batch, self.epoch))
            sent += len(batch)


def lives() -> Iterator[tuple[int, bool]]:
    """Until when each process lives, and whether it crashes: both happen every day."""
    for day in range(7):
        yield day * DAY_US + DAY_US // 4, False
        yield day * DAY_US + DAY_US // 2, True
    yield 7 * DAY_US, False


def memory_bytes() -> int:
    """Resident, as the kernel counts it."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4_096


def dropped(metrics: Metrics) -> float:
    return sum(
        sample.value
        for metric in metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "lora_edge_frames_dropped_total"
    )


async def outage(week: Week, lab: Receiver) -> int:
    """The week; returns the most memory that was seen."""
    most_bytes = 0
    for end_us, crash in lives():
        late: list[asyncio.Task[tuple[FrameId, ...]]] = []
        async with week.process(crash=crash) as outbox:
            lab.connect(outbox, week.next_number + 1)
            while week.at_us < end_us:
                hour = week.at_us // HOUR_US
                await week.append_until(outbox, week.at_us + STEP_US)
                if hour % 2:
                    await week.send(outbox, lab, 4 * STEP_US // FRAME_US)
                elif week.at_us % HOUR_US == 0:
                    lab.connect(outbox, week.next_number + 1)
                most_bytes = max(most_bytes, memory_bytes())
            if crash:
                loop = asyncio.get_running_loop()
                late.append(loop.create_task(outbox.append(*week.heard(7))))
                for _ in range(week.chance.randrange(12)):
                    await asyncio.sleep(0)
        for result in await asyncio.gather(*late, return_exceptions=True):
            assert isinstance(result, tuple | StoreClosed)
    return most_bytes


async def recovery(week: Week, *receivers: Receiver) -> None:
    """Both are there again, and the air is as busy as ever."""
    async with week.process(crash=False) as outbox:
        for receiver in receivers:
            receiver.connect(outbox, week.next_number + 1)
        while any(outbox.statistics().pending.values()):
            if week.at_us < 7 * DAY_US + HOUR_US:
                await week.append_until(outbox, week.at_us + 60 * SECOND_US)
            for receiver in receivers:
                await week.send(outbox, receiver, 20_000)
        assert outbox.statistics().pending == {"city": 0, "lab": 0}


@pytest.mark.timeout(120 if SCALE < 10 else 7_200)
@still
async def test_a_week_without_backhaul(tmp_path: Path) -> None:
    """Nothing is lost, everything comes in its order, and all that can be dated is."""
    week = Week(tmp_path / "outbox.db")
    city, lab = DatedReceiver("city"), Receiver("lab")
    begin_bytes, begin_s = memory_bytes(), time.monotonic()
    most_bytes = await outage(week, lab)
    size_bytes = week.path.stat().st_size
    away_s = time.monotonic() - begin_s
    assert city.frames == 0
    await recovery(week, city, lab)
    print(
        f"{week.next_number} frames: week {away_s:.1f} s, recovery"
        f" {time.monotonic() - begin_s - away_s:.1f} s, file {size_bytes / 1e6:.1f} MB, memory"
        f" +{(most_bytes - begin_bytes) / 1e6:.1f} MB, +{(memory_bytes() - begin_bytes) / 1e6:.1f}"
        f" MB at the end; repeats: city {city.repeats}, lab {lab.repeats}; worst time"
        f" {city.worst_error_us / 1e6:.3f} s, undated {city.undated}"
    )
    for receiver in (city, lab):
        assert receiver.frames == week.next_number
        assert all(receiver.got[: week.next_number])
    assert dropped(week.metrics) == 0
    assert city.worst_error_us <= SECOND_US
    assert city.undated == BOOTS_US[1] // FRAME_US
    assert city.repeats == 0
    assert 0 < lab.repeats < week.next_number // 10
    assert most_bytes - begin_bytes < MAX_GROWTH_BYTES
