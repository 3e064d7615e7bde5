"""The whole store while the wall clock does what it likes: faults F4 and F5.

What must hold: no frame is lost or expires, the order is that of the appends, and once the clock
is right, so are the times of all frames of that boot, to one second.
"""

from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameClass, WallTime
from tests.edge.outbox.open_store import StillClock, content, number_of, running
from tests.scale import SCALE

SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
YEAR_US = 365 * DAY_US
Y2026_US = 1_767_225_600 * SECOND_US  # when boot 0 began; each later one a day after that before
SETTINGS = OutboxSettings(
    commit_linger_s=0, upstreams={"city": UpstreamLimits()}, max_age_s=7 * 86_400
)
SINCE_1970 = -Y2026_US
UNSYNCHRONISED = None
TRUE = 0


@dataclass(frozen=True)
class Phase:
    """Some frames are appended; before and after them, the clock is off by so much, or silent."""

    boot: int
    at_us: int
    off_us: int | None
    off_at_the_end_us: int | None
    frame_class: FrameClass = FrameClass.TELEMETRY

    @property
    def boot_id(self) -> bytes:
        return self.boot.to_bytes(16, "big")

    def wall(self, off_us: int | None, boottime_us: int) -> WallTime | None:
        """What a clock says that is off."""
        true_us = Y2026_US + self.boot * DAY_US + boottime_us
        return None if off_us is None else WallTime(max(0, true_us + off_us), 10_000)


class Site:
    """Appends phase by phase, each in a process of its own, and remembers what it did."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "outbox.db"
        self.metrics = Metrics("test")
        self.appended: list[tuple[int, int]] = []

    async def run(self, phase: Phase, *, crash: bool = False) -> None:
        """Start, append, let the clock jump, append, and stop or crash."""
        clock = StillClock(phase.boot_id, phase.at_us)
        clock.wall_time = phase.wall(phase.off_us, clock.now_us)
        async with running(
            self.path, clock=clock, settings=SETTINGS, metrics=self.metrics, crash=crash
        ) as outbox:
            await self._append(outbox, phase, clock.now_us)
            clock.now_us += 10 * SECOND_US
            clock.wall_time = phase.wall(phase.off_at_the_end_us, clock.now_us)
            await self._append(outbox, phase, clock.now_us)
            await self.check_kept(outbox)

    async def _append(self, outbox: Outbox, phase: Phase, now_us: int) -> None:
        for received_us in (now_us - 2 * SECOND_US, now_us - SECOND_US):
            number = len(self.appended)
            self.appended.append((phase.boot, received_us))
            frame = content(
                number,
                boot_id=phase.boot_id,
                received_us=received_us,
                frame_class=phase.frame_class,
            )
            await outbox.append(Admission.of(frame))

    async def check_kept(self, outbox: Outbox) -> None:
        """All are there, in order, and none was given up."""
        expected = list(range(len(self.appended)))
        assert [number_of(f.content) for f in await outbox.frames(limit=10_000)] == expected
        assert outbox.statistics().pending == {"city": len(expected)}
        dropped = [
            sample.value
            for metric in self.metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "lora_edge_frames_dropped_total"
        ]
        assert sum(dropped) == 0

    async def check_delivery(self) -> None:
        """An upstream gets everything, in order within each class."""
        clock = StillClock((99).to_bytes(16, "big"), SECOND_US)
        delivered: list[tuple[FrameClass, int]] = []
        async with running(self.path, clock=clock, settings=SETTINGS) as outbox:
            while outbox.statistics().pending["city"]:
                frames = await outbox.pending("city", limit=10)
                delivered += [(f.content.frame_class, number_of(f.content)) for f in frames]
                await outbox.acknowledge("city", [frame.frame_id for frame in frames])
        assert sorted(number for _, number in delivered) == list(range(len(self.appended)))
        for frame_class in FrameClass:
            numbers = [number for of_class, number in delivered if of_class is frame_class]
            assert numbers == sorted(numbers)

    async def errors_us(self) -> dict[int, list[int | None]]:
        """By boot, how far the time of each frame is off; None if it has none."""
        errors: dict[int, list[int | None]] = {}
        clock = StillClock((99).to_bytes(16, "big"), SECOND_US)
        async with running(self.path, clock=clock, settings=SETTINGS) as outbox:
            await self.check_kept(outbox)
            for frame in await outbox.frames(limit=10_000):
                boot, received_us = self.appended[number_of(frame.content)]
                true_us = Y2026_US + boot * DAY_US + received_us
                at = frame.received_at
                errors.setdefault(boot, []).append(None if at is None else at.unix_us - true_us)
        return errors

    async def check_times(self, right: set[int], undated: set[int]) -> None:
        """Frames of these boots are right to a second; of those, undated."""
        errors = await self.errors_us()
        for boot in right:
            assert all(error is not None and abs(error) <= SECOND_US for error in errors[boot])
        for boot in undated:
            assert set(errors[boot]) == {None}


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A gateway whose store is empty."""
    return Site(tmp_path)


async def test_1970_until_the_clock_is_synchronised(site: Site) -> None:
    """A clock at 1970 that nobody vouches for says nothing; an hour later all is dated."""
    await site.run(Phase(0, 10 * SECOND_US, UNSYNCHRONISED, UNSYNCHRONISED))
    await site.check_times(right=set(), undated={0})
    await site.run(Phase(0, HOUR_US, UNSYNCHRONISED, UNSYNCHRONISED))
    await site.run(Phase(0, HOUR_US + 60 * SECOND_US, TRUE, TRUE))
    await site.check_times(right={0}, undated=set())


@pytest.mark.parametrize(
    "lie_us",
    [
        pytest.param(SINCE_1970, id="1970"),
        pytest.param(56 * YEAR_US, id="in 56 years"),
        pytest.param(-DAY_US, id="yesterday"),
        pytest.param(HOUR_US, id="an hour ahead"),
    ],
)
@pytest.mark.parametrize("lying_for_us", [60 * SECOND_US, 5 * HOUR_US])
async def test_declared_synchronised_and_then_corrected(
    site: Site, lie_us: int, lying_for_us: int
) -> None:
    """However long it lied: with frames of an earlier boot in store, and restarts in between."""
    await site.run(Phase(0, 20 * SECOND_US, TRUE, TRUE))
    await site.run(Phase(1, 20 * SECOND_US, lie_us, lie_us))
    await site.run(Phase(1, 20 * SECOND_US + lying_for_us, lie_us, lie_us))
    await site.run(Phase(1, 60 * SECOND_US + lying_for_us, lie_us, TRUE))
    await site.run(Phase(2, 20 * SECOND_US, UNSYNCHRONISED, UNSYNCHRONISED))
    await site.check_times(right={0, 1}, undated={2})


async def test_a_step_there_and_back(site: Site) -> None:
    """Somebody sets a clock that was right, and the time daemon sets it right again."""
    await site.run(Phase(0, 20 * SECOND_US, TRUE, TRUE))
    await site.run(Phase(0, HOUR_US, TRUE, -DAY_US))
    await site.run(Phase(0, 2 * HOUR_US, -DAY_US, -DAY_US))
    await site.run(Phase(0, 3 * HOUR_US, -DAY_US, TRUE))
    await site.check_times(right={0}, undated=set())


async def test_a_boot_that_never_knew_the_time_is_not_dated_by_the_next(site: Site) -> None:
    """Whether the host was off for a minute or for a year, nobody knows."""
    await site.run(Phase(0, 20 * SECOND_US, UNSYNCHRONISED, UNSYNCHRONISED))
    await site.run(Phase(1, 20 * SECOND_US, TRUE, TRUE))
    await site.check_times(right={1}, undated={0})


async def test_twelve_seconds_of_drift_in_a_week(site: Site) -> None:
    """20 ppm without a time server; then the clock is set right, and so are the week's frames.

    The clock that drifts is the uptime clock: it is the one that the truth is compared to here.
    """
    week_us, drift_us = 7 * DAY_US - 60 * SECOND_US, 12 * SECOND_US
    await site.run(Phase(0, 20 * SECOND_US, TRUE, TRUE))
    await site.run(Phase(0, week_us // 2, UNSYNCHRONISED, UNSYNCHRONISED))
    await site.run(Phase(0, week_us, drift_us, drift_us))
    errors = [error for error in (await site.errors_us())[0] if error is not None]
    assert len(errors) == 12
    assert all(abs(error) < SECOND_US for error in errors[:4])
    assert all(abs(error - drift_us // 2) < SECOND_US for error in errors[4:8])
    assert all(abs(error - drift_us) < SECOND_US for error in errors[8:])


clocks = st.sampled_from(
    [UNSYNCHRONISED, TRUE, SINCE_1970, 56 * YEAR_US, -DAY_US, HOUR_US, 7 * YEAR_US]
)


@settings(max_examples=12 * SCALE)
@given(
    steps=st.lists(
        st.tuples(
            st.booleans(),  # another boot
            st.integers(60 * SECOND_US, 3 * HOUR_US),
            clocks,
            clocks,
            st.sampled_from(FrameClass),
            st.booleans(),  # a crash
        ),
        min_size=2,
        max_size=8,
    )
)
async def test_any_jumps(
    steps: list[tuple[bool, int, int | None, int | None, FrameClass, bool]],
) -> None:
    """Phases in any order: nothing is lost, and a boot whose last word was true is dated right."""
    with TemporaryDirectory() as directory:
        site = Site(Path(directory))
        boot = at_us = 0
        for reboots, later_us, off_us, off_at_the_end_us, frame_class, crash in steps:
            boot, at_us = (boot + 1, 60 * SECOND_US) if reboots else (boot, at_us + later_us)
            await site.run(Phase(boot, at_us, off_us, off_at_the_end_us, frame_class), crash=crash)
        at_us += 3 * HOUR_US
        await site.run(Phase(boot, at_us, TRUE, TRUE))
        await site.check_times(right={boot}, undated=set())
        await site.check_delivery()
