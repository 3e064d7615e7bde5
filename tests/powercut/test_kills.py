"""kill -9 in the middle of the work, again and again: every promise is kept.

A kill leaves the kernel's cache alone, so this judges recovery, not what reaches the disk.
"""

import random
import shutil
from pathlib import Path

import pytest

from tests.powercut.nursery import Child, Nursery
from tests.powercut.oracle import judge
from tests.powercut.promises import Promises
from tests.powercut.telling import die_after
from tests.powercut.workload import UPSTREAMS
from tests.scale import SCALE

KILLS = 10 * SCALE
"""Of each kind of workload."""

LIVES = 20
"""A store is killed so many times, then a fresh one begins."""

UNTOLD = 2_000
"""More frames are not evicted between the removal and the workload's next line."""


@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize(
    ("evictable", "script"),
    [
        pytest.param(0, ("--acknowledge", 8), id="busy"),
        pytest.param(UNTOLD, ("--acknowledge", 1, "--largest-bytes", 30_000), id="evicting"),
    ],
)
async def test_promises_survive(scratch: Path, evictable: int, script: tuple[object, ...]) -> None:
    """Kill after kill of one store. Each next start recovers it; the judge looks at a copy."""
    chance = random.Random(20261125)
    copy, told = scratch / "copy", 0
    with Nursery(scratch) as nursery:
        for kill in range(KILLS):
            if kill % LIVES == 0:
                state, promises = scratch / f"state-{kill}", Promises(UPSTREAMS)
                state.mkdir()
            lines = chance.randint(1, 150)
            die_after(
                nursery,
                promises,
                lines,
                Child.kill,
                *(state, "--seed", kill, *script),
                pipe=scratch / "pipe",
            )
            shutil.copytree(state, copy)
            verdict = await judge(copy, promises, evictable=promises.evicted + evictable)
            assert not verdict.faults, f"kill {kill} after {lines} lines: {verdict.faults}"
            promises.settle(verdict.stored, verdict.evicted)
            shutil.rmtree(copy)
            told += lines
    assert told > 50 * KILLS
