"""The process dies at a storage call, the next one takes over, and then the power goes.

The next process finds in the kernel's cache what the disk need not have: it must not build on it.
"""

import random

import pytest

from tests.powercut.cuts import cut_at, judge_cut, record
from tests.powercut.preload import DIES, Failure, needs_compiler
from tests.powercut.replay import MODELS
from tests.powercut.write_log import Kind
from tests.scale import SCALE

DEATHS = 3 * SCALE
CUTS = 5
"""Of each."""

SCRIPT = ("--seed", 6, "--steps", 12, "--restart", 0)

pytestmark = needs_compiler


@pytest.mark.timeout(60 * SCALE)
async def test_promises_survive() -> None:
    """A quarter of the deaths is in opening, the others in the work."""
    chance = random.Random(20261125)
    calls = [
        int(one.data.split()[1])
        for one in record(*SCRIPT).records
        if one.kind is Kind.PROMISE and one.data.startswith(b"calls")
    ]
    died = 0
    for death in range(DEATHS):
        first, last = (1, calls[0]) if death % 4 == 0 else (calls[0], calls[1])
        failure = Failure(chance.randint(first, last), DIES)
        run = record(*SCRIPT, failure=failure)
        died += run.began > 0
        for cut in cut_at(run, run.places(CUTS, chance.choice(MODELS), chance), chance):
            verdict = await judge_cut(cut, has_failed=True)
            assert not verdict.faults, f"{failure}, {cut.place}: {verdict.faults}"
    assert died
