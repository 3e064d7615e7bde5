"""Restarting: only what may pass, with back-off, and never a silent supervisor."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.supervisor import supervise


class Away(Exception):
    """May pass."""


class Refused(Exception):
    """Needs a person."""


class Delays:
    """1, 2, 4 ... seconds."""

    def __init__(self) -> None:
        self._next_s = 1.0

    def next_delay_s(self) -> float:
        delay_s, self._next_s = self._next_s, self._next_s * 2
        return delay_s

    def reset(self) -> None:
        self._next_s = 1.0


class Site:
    """One child whose lives are scripted, on a clock that only waiting moves."""

    def __init__(self, *lives: BaseException | None, life_s: float = 0.0) -> None:
        self.now_s = 0.0
        self.started_at_s: list[float] = []
        self.beats_s: list[float] = []
        self.parked: list[bool] = []
        self._lives = iter(lives)
        self._life_s = life_s

    async def run(self) -> None:
        self.started_at_s.append(self.now_s)
        self.now_s += self._life_s
        fault = next(self._lives)
        if fault is not None:
            raise fault

    async def sleep(self, seconds: float) -> None:
        self.now_s += seconds

    async def supervise(
        self, sleep: Callable[[float], Awaitable[None]] | None = None, name: str = "driver:roof"
    ) -> None:
        await supervise(
            name,
            self.run,
            transient=(Away,),
            permanent=(Refused,),
            backoff=Delays(),
            beat=lambda: self.beats_s.append(self.now_s),
            now_us=lambda: round(self.now_s * 1e6),
            sleep=sleep or self.sleep,
            parked=self.parked.append,
        )


async def test_a_child_that_returns_is_done() -> None:
    site = Site(None)
    await site.supervise()

    assert (site.started_at_s, site.beats_s, site.parked) == ([0], [0], [])


async def test_transient_faults_are_tried_again_with_back_off() -> None:
    site = Site(Away(), Away(), Away(), None)
    await site.supervise()

    assert site.started_at_s == [0, 1, 3, 7]
    assert True not in site.parked


async def test_a_run_that_lasted_resets_the_back_off() -> None:
    flapping = Site(Away(), Away(), Away(), None, life_s=59)
    steady = Site(Away(), Away(), Away(), None, life_s=60)
    await flapping.supervise()
    await steady.supervise()

    assert flapping.started_at_s == [0, 60, 121, 184]
    assert steady.started_at_s == [0, 61, 122, 183]


async def test_a_permanent_fault_parks_the_child_for_five_minutes() -> None:
    site = Site(Refused(), Away(), None)
    await site.supervise()

    assert site.started_at_s == [0, 300, 301]
    assert site.parked == [True, False, False, False]


async def test_a_subclass_that_is_both_needs_a_person() -> None:
    class RefusedForNow(Away, Refused):
        pass

    site = Site(RefusedForNow(), None)
    await site.supervise()

    assert site.started_at_s == [0, 300]


async def test_it_beats_at_least_each_five_seconds_while_it_waits() -> None:
    site = Site(Refused(), *[Away()] * 8, None)
    await site.supervise()

    gaps_s = [
        later - earlier for earlier, later in zip(site.beats_s, site.beats_s[1:], strict=False)
    ]
    assert max(gaps_s) == 5
    assert site.beats_s[-1] == site.started_at_s[-1]


@pytest.mark.parametrize(
    "fault",
    [KeyError("ours"), ExceptionGroup("", [Away(), KeyError("ours")]), SystemExit(3)],
    ids=repr,
)
async def test_anything_else_ends_it(fault: BaseException) -> None:
    site = Site(Away(), fault)

    with pytest.raises(type(fault)) as raised:
        await site.supervise()

    assert raised.value is fault
    assert site.started_at_s == [0, 1]


async def test_a_group_of_transient_faults_is_one() -> None:
    nested = ExceptionGroup("", [Away("port lost"), ExceptionGroup("", [Away()])])
    site = Site(nested, None)
    await site.supervise()

    assert site.started_at_s == [0, 1]


async def test_a_permanent_fault_in_a_group_parks_the_child() -> None:
    site = Site(ExceptionGroup("", [Away(), Refused()]), None)
    await site.supervise()

    assert site.started_at_s == [0, 300]


async def test_each_fault_is_told_in_one_line(caplog: pytest.LogCaptureFixture) -> None:
    group = ExceptionGroup("unhandled errors", [Away("port lost"), Away("hung up")])
    await Site(Away("port lost"), Away(), group, Refused("other firmware"), None).supervise()

    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "driver:roof failed: Away: port lost; next try in 1.0 s"),
        (logging.WARNING, "driver:roof failed: Away; next try in 2.0 s"),
        (logging.WARNING, "driver:roof failed: Away: port lost, Away: hung up; next try in 4.0 s"),
        (logging.ERROR, "driver:roof is parked: Refused: other firmware; next try in 300 s"),
    ]


async def test_cancelling_ends_it_while_it_waits() -> None:
    site = Site(Away())
    waiting = asyncio.Event()

    async def sleep(_seconds: float) -> None:
        waiting.set()
        await asyncio.Event().wait()

    async with asyncio.TaskGroup() as group:
        supervisor = group.create_task(site.supervise(sleep))
        await waiting.wait()
        supervisor.cancel()

    assert supervisor.cancelled()
    assert site.started_at_s == [0]


async def test_cancelling_ends_the_running_child() -> None:
    site = Site(asyncio.CancelledError())

    with pytest.raises(asyncio.CancelledError):
        await site.supervise()


async def test_a_neighbour_runs_on_while_one_child_is_parked() -> None:
    parked, neighbour = Site(Refused(), None), Site(Away(), None)
    asleep, wake = asyncio.Event(), asyncio.Event()

    async def sleep(_seconds: float) -> None:
        asleep.set()
        await wake.wait()

    async with asyncio.TaskGroup() as group:
        group.create_task(parked.supervise(sleep))
        await asleep.wait()
        await neighbour.supervise(name="upstream:city")
        assert parked.started_at_s == [0]
        assert neighbour.started_at_s == [0, 1]
        wake.set()


@given(st.lists(st.sampled_from([Away, Refused]), max_size=6))
async def test_every_life_but_the_last_is_followed_by_another(
    faults: list[type[Exception]],
) -> None:
    site = Site(*[fault() for fault in faults], None)
    await site.supervise()

    assert len(site.started_at_s) == len(faults) + 1
    assert site.parked.count(True) == faults.count(Refused)
