"""Starts the workload hundreds of times without loading Python each time: it forks.

As a program it has everything loaded, and for each line of its input (JSON) it forks a child that
runs the workload; it tells the child's process id, and when it has ended, its status.
:class:`Nursery` is the other end.
"""

import ctypes
import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from pathlib import Path
from types import TracebackType
from typing import IO, Self

from tests.powercut.preload import ROOT, Failure, child_environment
from tests.powercut.workload import main


class Child:
    """A running workload."""

    def __init__(self, process_id: int, nursery: IO[bytes], output: Path) -> None:
        self._process_id = process_id
        self._nursery = nursery
        self._output = output
        self._status: int | None = None

    def kill(self) -> None:
        """Kill it, if it still lives: its parent has not been told to forget its number."""
        if self._status is None:
            os.kill(self._process_id, signal.SIGKILL)

    def wait(self) -> int:
        """Exit status, or minus the signal."""
        if self._status is None:
            self._status = int(self._nursery.readline())
        return self._status

    def output(self) -> str:
        """What it printed."""
        return self._output.read_text()


class Nursery:
    """A process that starts workloads, one at a time. To be used as a context manager."""

    def __init__(self, folder: Path, variables: Mapping[str, str] | None = None) -> None:
        """Args:
        folder: for what the workloads print.
        variables: environment; with that of :mod:`tests.powercut.preload` storage calls may fail.
        """
        self._output = folder / "output"
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.powercut.nursery"],
            cwd=ROOT,
            env=dict(child_environment() if variables is None else variables),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        where: TracebackType | None,
    ) -> None:
        self._process.__exit__(kind, error, where)

    @contextmanager
    def workload(self, *arguments: object, failure: Failure | None = None) -> Iterator[Child]:
        """Start one; when this is left it is dead."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {
            "arguments": [str(argument) for argument in arguments],
            "output": str(self._output),
            "failure": astuple(failure or Failure(nth=0, errno=0)),
        }
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        process_id = int(self._process.stdout.readline())
        child = Child(process_id, self._process.stdout, self._output)
        try:
            yield child
        finally:
            child.kill()
            child.wait()


def _serve() -> None:
    dead: int | None = None
    for line in sys.stdin.buffer:
        if dead is not None:
            os.waitpid(dead, 0)
        request = json.loads(line)
        process_id = os.fork()
        if process_id == 0:
            _run(request["arguments"], request["output"], request["failure"])
        _tell(process_id)
        ended = os.waitid(os.P_PID, process_id, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        # Until the next one its number stays taken, so that a late kill hits nobody else.
        dead = process_id
        _tell(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status)


def _tell(number: int) -> None:
    os.write(1, b"%d\n" % number)


def _run(arguments: list[str], output: str, failure: list[int]) -> None:
    """Does not return: what the nursery has open and registered is not the child's to close."""
    descriptor = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    status = 1
    try:
        if arm := getattr(ctypes.CDLL(None), "powercut_arm", None):
            arm(*map(int, failure))
        status = main(arguments)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(status)


if __name__ == "__main__":
    _serve()
