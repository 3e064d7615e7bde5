"""The power of a real file system is cut under the running store: every promise is kept.

Unlike the cuts that are played back, this has the kernel and the journal of ext4 in it.
"""

import random
import shutil
from pathlib import Path

import pytest

from tests.powercut.loop_device import LoopDevice, loop_device, needs_loop_device
from tests.powercut.nursery import Child, Nursery
from tests.powercut.oracle import Verdict, judge
from tests.powercut.promises import Promises
from tests.powercut.telling import die_after
from tests.powercut.workload import UPSTREAMS
from tests.scale import SCALE

CUTS = 5 * SCALE
"""Of each kind of workload."""

LIVES = 20
"""A store goes through so many cuts, then a fresh one begins."""

UNTOLD = 2_000
"""More frames are not evicted between the removal and the workload's next line."""

pytestmark = pytest.mark.usefixtures("_loop_device")


@pytest.fixture
def _loop_device() -> None:
    needs_loop_device()


class Cutter:
    """Cuts the power of one file system again and again."""

    def __init__(self, scratch: Path, device: LoopDevice, nursery: Nursery) -> None:
        self._scratch = scratch
        self._device = device
        self._nursery = nursery
        self._promises = Promises(UPSTREAMS)
        self._state = device.directory / "state"

    def begin_anew(self) -> None:
        """With an empty store."""
        shutil.rmtree(self._state, ignore_errors=True)
        self._state.mkdir()
        self._promises = Promises(UPSTREAMS)

    async def cut(self, lines: int, *script: object, untold: int = 0) -> Verdict:
        """Cut after so many lines; judge a copy; the store itself is recovered at the next start.

        The workload goes on for a moment: what it promises on the dead disk would be lost.
        """

        def stop(child: Child) -> None:
            self._device.cut_power()
            child.kill()

        pipe = self._scratch / "pipe"
        die_after(self._nursery, self._promises, lines, stop, self._state, *script, pipe=pipe)
        self._device.unmount()
        self._device.mount()
        copy = self._scratch / "copy"
        shutil.copytree(self._state, copy)
        verdict = await judge(copy, self._promises, evictable=self._promises.evicted + untold)
        shutil.rmtree(copy)
        self._promises.settle(verdict.stored, verdict.evicted)
        return verdict


@pytest.mark.timeout(60 + 60 * SCALE)
@pytest.mark.parametrize(
    ("untold", "script"),
    [
        pytest.param(0, ("--acknowledge", 8), id="busy"),
        pytest.param(UNTOLD, ("--acknowledge", 1, "--largest-bytes", 30_000), id="evicting"),
    ],
)
async def test_promises_survive(scratch: Path, untold: int, script: tuple[object, ...]) -> None:
    """Cut after cut of one store."""
    chance = random.Random(20261125)
    with Nursery(scratch) as nursery, loop_device() as device:
        cutter = Cutter(scratch, device, nursery)
        for cut in range(CUTS):
            if cut % LIVES == 0:
                cutter.begin_anew()
            lines = chance.randint(1, 150)
            verdict = await cutter.cut(lines, "--seed", cut, *script, untold=untold)
            assert not verdict.faults, f"cut {cut} after {lines} lines: {verdict.faults}"


@pytest.mark.parametrize("level", ["NORMAL", "OFF"])
async def test_this_would_catch_a_store_that_does_not_sync(scratch: Path, level: str) -> None:
    """Negative control."""
    lost = set[int]()
    with Nursery(scratch) as nursery, loop_device() as device:
        cutter = Cutter(scratch, device, nursery)
        for cut in range(20):
            cutter.begin_anew()
            verdict = await cutter.cut(60, "--seed", cut, "--pragma", f"synchronous={level}")
            lost |= verdict.lost
            if lost:
                break
    assert lost
