"""Every storage call of a short run fails, each in a run of its own: nothing promised is lost.

The calls are the writes, truncations and syncs of the store's files. Failing once, the store has to
go on or to end by a documented error; failing from then on, it has to leave what was promised.
"""

import asyncio
import errno
import random
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.powercut.nursery import Nursery
from tests.powercut.oracle import judge
from tests.powercut.preload import FROM_THEN_ON, Failure, environment, needs_compiler
from tests.powercut.promises import Promises
from tests.powercut.workload import GAVE_UP, UPSTREAMS
from tests.scale import SCALE

RUNS = 4 * SCALE
"""Of each way to fail; there are about 100 calls in the work itself and 1,200 in opening."""

SCRIPT = ("--seed", 7, "--steps", 20, "--restart", 1, "--patience-s", 6)

pytestmark = needs_compiler


class Runs:
    """Runs of the one script in one folder, each from an empty store."""

    def __init__(self, folder: Path, nursery: Nursery) -> None:
        self.state = folder / "state"
        self._told = folder / "told"
        self._nursery = nursery

    def run(self, failure: Failure | None = None) -> tuple[int, Promises, str]:
        """Exit status, promises, and what was printed."""
        shutil.rmtree(self.state, ignore_errors=True)
        self.state.mkdir()
        self._told.unlink(missing_ok=True)
        promises = Promises(UPSTREAMS)
        arguments = (self.state, *SCRIPT, "--promises", self._told)
        with self._nursery.workload(*arguments, failure=failure) as child:
            status = child.wait()
        promises.hear_all(self._told.read_text())
        return status, promises, child.output()


@contextmanager
def runs_in(folder: Path) -> Iterator[Runs]:
    """Have a nursery in whose workloads storage calls can fail."""
    with Nursery(folder, environment(folder / "state")) as nursery:
        yield Runs(folder, nursery)


def calls_to_fail(promises: Promises, chance: random.Random) -> Iterator[int]:
    """Each call of the work itself, as far as there are runs for it; of opening one in four."""
    opened, *_, last = promises.calls
    work = list(range(opened + 1, last + 1))
    opening = list(range(1, opened + 1))
    for number in range(RUNS):
        calls = opening if number % 4 == 0 else work
        yield calls.pop(chance.randrange(len(calls)))
        if not work:
            return


@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize("times", [1, FROM_THEN_ON], ids=["once", "from-then-on"])
@pytest.mark.parametrize("error", [errno.EIO, errno.ENOSPC, errno.EROFS], ids=errno.errorcode.get)
def test_promises_survive(scratch: Path, error: int, times: int) -> None:
    """Afterwards a plain reopening finds everything, and goes on."""
    chance = random.Random(error)
    with runs_in(scratch) as runs:
        status, promises, output = runs.run()
        assert status == 0, output
        assert len(promises.promised) > 20
        gone_through = 0
        for call in calls_to_fail(promises, chance):
            failure = Failure(call, error, times)
            status, promises, output = runs.run(failure)
            assert status in {0, GAVE_UP}, f"{failure}: {output}"
            gone_through += status == 0
            # A full disk is a reason to evict, and then it is counted; no other error is.
            evictable = promises.evicted if error == errno.ENOSPC else 0
            verdict = asyncio.run(judge(runs.state, promises, evictable=evictable, has_failed=True))
            assert not verdict.faults, f"{failure}: {verdict.faults}, told {output}"
        assert gone_through
