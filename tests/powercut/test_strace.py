"""The kernel itself refuses: strace makes system calls of the real store fail.

Unlike the preloaded library this depends on nothing that the store links to.
"""

import asyncio
import functools
import random
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.powercut.oracle import judge
from tests.powercut.preload import ROOT, child_environment
from tests.powercut.promises import Promises
from tests.powercut.workload import GAVE_UP, STORE, UPSTREAMS
from tests.scale import SCALE

RUNS = 2 * SCALE
"""Of each fault."""

SCRIPT = ("--seed", "7", "--restart", "0", "--patience-s", "6")
SHORT = ("--steps", "25")
LONG = ("--steps", "250", "--largest-bytes", "30000", "--acknowledge", "1")
"""Until the WAL has gone round several times: only then is the database itself written."""


@functools.cache
def why_not() -> str | None:
    """What keeps us from using strace here, or None."""
    if shutil.which("strace") is None:
        return "needs strace (Debian package strace)"
    tried = subprocess.run(["strace", "-qq", "-o", "/dev/null", "true"], check=False)
    return "needs leave to trace processes" if tried.returncode else None


@pytest.fixture
def _strace() -> None:
    if reason := why_not():
        pytest.skip(f"NOT RUN: {reason}")


def trace(
    folder: Path, calls: str, script: Sequence[str], *, only: Path | None, how: str = ""
) -> tuple[int, str, int]:
    """Run the workload, traced. Exit status, what it printed, how many such calls there were."""
    log, told = folder / "trace", folder / "promises"
    told.unlink(missing_ok=True)
    state = folder / "state"
    shutil.rmtree(state, ignore_errors=True)
    state.mkdir()
    options = ["-f", "-qq", "--seccomp-bpf", "-o", str(log), "-e", f"trace={calls}"]
    options += ["-P", str(only)] if only else []
    options += ["-e", f"inject={calls}:{how}"] if how else []
    ended = _run(["strace", *options], state, told, script)
    return ended.returncode, ended.stdout, len(log.read_text().splitlines())


def _run(
    before: Sequence[str], state: Path, told: Path, script: Sequence[str]
) -> "subprocess.CompletedProcess[str]":
    workload = (sys.executable, "-m", "tests.powercut.workload", str(state), *SCRIPT, *script)
    return subprocess.run(
        [*before, *workload, "--promises", str(told)],
        cwd=ROOT,
        env=child_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.usefixtures("_strace")
@pytest.mark.timeout(60 * SCALE)
@pytest.mark.parametrize(
    ("calls", "file", "error", "when"),
    [
        ("pwrite64", "-wal", "EROFS", "{}+"),
        ("pwrite64", "-wal", "ENOSPC", "{}+"),
        ("pwrite64", "", "EIO", "{}+"),
        ("fsync,fdatasync", None, "EIO", "{}"),
    ],
)
def test_promises_survive(
    scratch: Path, calls: str, file: str | None, error: str, when: str
) -> None:
    """Read-only, full or failing from some call on; a sync that fails once."""
    chance = random.Random(1)
    script = LONG if file == "" else SHORT
    only = None if file is None else scratch / "state" / f"{STORE}{file}"
    status, output, total = trace(scratch, calls, script, only=only)
    assert status == 0, output
    assert total > 5
    met = False
    for _ in range(RUNS):
        # The second half is the work.
        how = f"error={error}:when={when.format(chance.randint(total // 2, total - 2))}"
        status, output, _ = trace(scratch, calls, script, only=only, how=how)
        assert status in {0, GAVE_UP}, f"{how}: {output}"
        met = met or "the store" in output or "the ballast" in output
        promises = Promises(UPSTREAMS)
        promises.hear_all((scratch / "promises").read_text())
        evictable = promises.evicted if error == "ENOSPC" or script is LONG else 0
        verdict = asyncio.run(
            judge(scratch / "state", promises, evictable=evictable, has_failed=True)
        )
        assert not verdict.faults, f"{how}: {verdict.faults}, told {output}"
    assert met, "no run met the fault"
