"""The power goes, comes back, and goes again while the store is being opened or has just been.

A commit ends in padding, so that the next one begins in a block of its own; but the padding's end
is not synced. After a cut SQLite goes on where the last whole record ends, which may be inside the
block of a commit that was promised. So the old log has to be done with before anything is written.
"""

import random

import pytest

from tests.powercut.cuts import Place, Prepared, cut_at, judge_cut, record
from tests.powercut.preload import needs_compiler
from tests.powercut.replay import MODELS
from tests.scale import SCALE

FIRST_CUTS = 2 * SCALE
SECOND_CUTS = 6
"""After each; most of them soon."""

pytestmark = needs_compiler


@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize(
    "model",
    MODELS,
)
async def test_promises_survive(model: str) -> None:
    """The first cut is right after a promise, with what was not synced gone."""
    chance = random.Random(20261125)
    run = record("--seed", 8, "--steps", 60, "--restart", 0)
    first_places = run.after_promises()
    for at in chance.sample(first_places, min(FIRST_CUTS, len(first_places))):
        [cut] = cut_at(run, [Place(at, "dropped")], chance)
        prepared = Prepared(cut.files, run.lines_until(at))
        first = cut.promises.newest + 1
        again = record("--seed", 9, "--steps", 5, "--first", first, prepared=prepared)
        soon = [chance.randint(2, 60) for _ in range(SECOND_CUTS - 1)]
        places = [Place(where, model) for where in [*soon, len(again.records) // 2]]
        for second in cut_at(again, places, chance):
            verdict = await judge_cut(second)
            assert not verdict.faults, f"{at}, then {second.place}: {verdict.faults}"
