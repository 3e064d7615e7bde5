"""The disk fails to sync a commit, recovers, and then the power goes: promises since then are kept.

After a failed sync the kernel takes the pages for clean. They are still read as they were written,
but no later sync brings them to the disk. A store that builds upon them promises in vain.
"""

import errno
import random

import pytest

from tests.powercut.cuts import Place, Recording, cut_at, judge_cut, record
from tests.powercut.preload import Failure, needs_compiler
from tests.powercut.workload import STORE
from tests.powercut.write_log import Kind
from tests.scale import SCALE

RUNS = 2 * SCALE
CUTS = 6
"""After promises that were made since the fault."""

SCRIPT = ("--seed", 5, "--steps", 30, "--restart", 0)

pytestmark = needs_compiler


def commits(recording: Recording) -> list[int]:
    """Numbers of the storage calls that sync what is promised right afterwards."""
    found, number = [], 0
    of_the_store: dict[int, bool] = {}
    for index, one in enumerate(recording.records):
        if one.kind is Kind.OPEN:
            of_the_store[one.descriptor] = one.data.startswith(STORE.encode())
        elif one.kind in {Kind.WRITE, Kind.TRUNCATE, Kind.SYNC} and of_the_store[one.descriptor]:
            number += 1
            soon = recording.records[index + 1 : index + 8]
            if one.kind is Kind.SYNC and any(two.data.startswith(b"promise") for two in soon):
                found.append(number)
    return found


@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize(
    "times",
    [
        1,
        2,
        3,
        4,
    ],
)
async def test_promises_survive(times: int) -> None:
    """The sync and so many calls in all fail, so also what the store does to get over it."""
    chance = random.Random(times)
    reached = 0
    calls = commits(record(*SCRIPT))
    for call in chance.sample(calls, min(RUNS, len(calls))):
        failure = Failure(call, errno.EIO, times)
        run = record(*SCRIPT, failure=failure)
        failed = [at for at, one in enumerate(run.records) if one.kind is Kind.FAILED_SYNC]
        since = [at for at in run.after_promises() if failed and at > failed[-1]]
        places = [Place(at, chance.choice(["dropped", "smash"])) for at in since[:CUTS]]
        for cut in cut_at(run, places, chance):
            verdict = await judge_cut(cut, has_failed=True)
            assert not verdict.faults, f"{failure}, {cut.place}: {verdict.faults}"
            reached += 1
    assert reached, "no run made a promise after a failed sync"
