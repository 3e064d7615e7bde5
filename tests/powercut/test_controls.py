"""Negative controls: stores that are unsafe on purpose have to be found out.

Measured over some runs of 40 cuts each: right after a promise ``synchronous=NORMAL`` had lost some
of them in 39 of 40; when the next write had just begun, ``psow=1`` had in 14 to 20 of 40. So the
chance that the cuts below all miss is under one in a million.
"""

import random

import pytest

from tests.powercut.cuts import Place, Recording, cut_at, judge_cut, record
from tests.powercut.preload import needs_compiler
from tests.scale import SCALE

pytestmark = needs_compiler


async def losing(recording: Recording, places: list[Place], chance: random.Random) -> int:
    """How many of the cuts lose something that was promised."""
    return sum(
        [
            bool((await judge_cut(cut, drain=False)).lost)
            for cut in cut_at(recording, places, chance)
        ]
    )


@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize("seed", range(1, SCALE + 1))
class TestControls:
    """Each has the good store beside it, cut in the same way."""

    @pytest.mark.parametrize("level", ["NORMAL", "OFF"])
    async def test_without_a_sync_at_each_commit_frames_are_lost(
        self, seed: int, level: str
    ) -> None:
        chance = random.Random(seed)
        weak = record("--seed", seed, "--steps", 80, "--pragma", f"synchronous={level}")
        places = [Place(at, "dropped") for at in chance.sample(weak.after_promises(), 10)]
        assert await losing(weak, places, chance) > 0

    @pytest.mark.parametrize(("option", "loses"), [("--psow", True), (None, False)])
    async def test_blocks_shared_by_two_commits_are_lost(
        self, seed: int, option: str | None, loses: bool
    ) -> None:
        chance = random.Random(seed)
        run = record("--seed", seed, "--steps", 120, *([option] if option else []))
        places = [Place(at, "smash") for at in chance.sample(run.after_next_writes(), 30)]
        assert bool(await losing(run, places, chance)) == loses
