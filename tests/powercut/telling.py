"""Listens to a workload that is about to die: its lines come through a pipe, in order."""

import os
from collections.abc import Callable
from pathlib import Path

from tests.powercut.nursery import Child, Nursery
from tests.powercut.promises import Promises


def die_after(
    nursery: Nursery,
    promises: Promises,
    lines: int,
    stop: Callable[[Child], None],
    *arguments: object,
    pipe: Path,
) -> None:
    """Run a workload until it has told so many lines, then stop it, and hear what else it told.

    Args:
        promises: what it tells is added; its frames have greater numbers than those in there.
        stop: ends it by force.
        arguments: of the workload, its directory first.
        pipe: where a named pipe may be made.
    """
    if not pipe.exists():
        os.mkfifo(pipe)
    chosen = ("--first", promises.newest + 1, "--steps", 0, "--promises", pipe)
    with nursery.workload(*arguments, *chosen) as child, pipe.open() as told:
        for _ in range(lines):
            line = told.readline()
            assert line.endswith("\n"), child.output()
            promises.hear(line)
        stop(child)
        promises.hear_all(told.read())
        child.wait()
