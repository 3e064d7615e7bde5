"""The power goes at hundreds of places of real runs: every promise is kept.

One run's log of writes serves many cuts. :mod:`tests.powercut.replay` tells what is then left.
"""

import functools
import gzip
import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.powercut.cuts import DRAINED, Prepared, Recording, cut_at, judge_cut, record
from tests.powercut.preload import needs_compiler
from tests.powercut.promises import Promises
from tests.powercut.replay import MODELS, Disk
from tests.powercut.workload import STORE, UPSTREAMS
from tests.scale import SCALE

CUTS_OF_A_RUN = 100


pytestmark = needs_compiler


@dataclass(frozen=True)
class Scenario:
    """Attributes:
    cuts: with each model, at scale 1.
    disk_bytes: size of the disk.
    prepared: name of the store to begin with.
    told: what the workload must have met, or the cuts would prove less than they say.
    """

    cuts: int
    arguments: tuple[object, ...]
    disk_bytes: int | None = None
    prepared: str | None = None
    told: tuple[str, ...] = field(default=())


SCENARIOS = {
    "busy": Scenario(17, ("--steps", 200)),
    "evicting": Scenario(
        13,
        ("--steps", 200, "--largest-bytes", 30_000, "--acknowledge", 1),
        told=("dropped the oldest frames",),
    ),
    "full disk": Scenario(
        7,
        ("--steps", 200, "--largest-bytes", 30_000, "--acknowledge", 1),
        disk_bytes=17_000_000,
        told=("the ballast was thrown off", "dropped the oldest frames"),
    ),
    "no room for a ballast": Scenario(
        6,
        ("--largest-bytes", 30_000, "--acknowledge", 1, "--ballast-bytes", 4_000_000),
        disk_bytes=11_000_000,
        told=("database or disk is full", "the store works again"),
    ),
    "older store": Scenario(8, ("--steps", 60, "--first", 10_000), prepared="schema_1"),
}


def prepared_store(name: str) -> Prepared:
    """A store of an older version, as a power cut left it, with what it had promised."""
    folder = Path(__file__).with_name("stores")
    files = {
        f"{STORE}{suffix}": gzip.decompress((folder / f"{name}.db{suffix}.gz").read_bytes())
        for suffix in ("", "-wal")
    }
    return Prepared(files, (folder / f"{name}.promises").read_text())


@functools.lru_cache(maxsize=8)  # some 30 MB each
def recording(name: str, seed: int) -> Recording:
    """A finished run; the four models share it."""
    scenario = SCENARIOS[name]
    prepared = None if scenario.prepared is None else prepared_store(scenario.prepared)
    found = record(
        "--seed",
        seed,
        *scenario.arguments,
        disk_bytes=scenario.disk_bytes,
        prepared=prepared,
    )
    for text in scenario.told:
        assert text in found.told, found.told
    return found


@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize(
    ("name", "model"),
    [(name, model) for name in SCENARIOS for model in MODELS],
)
async def test_promises_survive(name: str, model: str) -> None:
    """A failure names seed and place; logs differ a little from run to run, as tasks race, so a
    fault that has to be looked at again is best kept: see :func:`judge_cut`.
    """
    left = SCENARIOS[name].cuts * SCALE
    seed = 0
    while left > 0:
        seed += 1
        run, chance = recording(name, seed), random.Random(seed)
        places = run.places(min(left, CUTS_OF_A_RUN), model, chance)
        for number, cut in enumerate(cut_at(run, places, chance)):
            verdict = await judge_cut(
                cut, drain=number % DRAINED == 0, has_failed="no room" in name
            )
            assert not verdict.faults, f"seed {seed}, {cut.place}: {verdict.faults}"
        left -= len(places)


@pytest.mark.parametrize("name", SCENARIOS)
def test_the_log_is_complete(name: str) -> None:
    """Played back without a cut, it gives the very files that the run left."""
    run = recording(name, 1)
    disk = Disk(run.before)
    for one in run.records:
        disk.apply(one)
    assert disk.without_cut() == run.after


def test_the_run_is_worth_cutting() -> None:
    """It acknowledges, restarts, checkpoints and trims."""
    run = recording("busy", 1)
    promises = Promises(UPSTREAMS)
    promises.hear_all(run.lines_until(len(run.records)))
    assert len(promises.promised) > 500
    assert all(len(promises.acknowledged[upstream]) > 300 for upstream in UPSTREAMS)
    assert len(promises.calls) > 2


@pytest.mark.parametrize("seed", [2, 6, 11])
def test_a_full_disk_is_got_over(seed: int) -> None:
    """Also where it is the WAL that finds no room in the database: the ballast makes some."""
    told = recording("full disk", seed).told
    fails, works = told.count("the store fails"), told.count("the store works again")
    assert fails == works, told
