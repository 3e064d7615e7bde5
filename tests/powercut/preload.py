"""The preloaded library (writelog.c) for a child process: compiled when first needed."""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.powercut.workload import STORE

ROOT = Path(__file__).parents[2]
_SOURCE = Path(__file__).with_name("writelog.c")

needs_compiler = pytest.mark.skipif(
    shutil.which("cc") is None,
    reason="NOT RUN: needs a C compiler (Debian packages gcc and libc6-dev)",
)


def scratch_directory() -> Path:
    """Where disk images are made: in memory if possible, as nothing there has to be durable."""
    memory = Path("/dev/shm")
    usable = os.access(memory, os.W_OK | os.X_OK)
    # Resolved, because the library compares paths.
    return (memory if usable else Path(tempfile.gettempdir())).resolve()


@functools.cache
def library() -> Path:
    """Compile the library into a folder that is removed at exit."""
    folder = tempfile.TemporaryDirectory(prefix="powercut-")
    _kept_until_exit.append(folder)
    path = Path(folder.name) / "writelog.so"
    flags = ("-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-o", str(path))
    subprocess.run(["cc", *flags, str(_SOURCE), "-ldl", "-lpthread"], check=True)
    return path


_kept_until_exit: list["tempfile.TemporaryDirectory[str]"] = []


FROM_THEN_ON = 1_000_000_000
DIES = 0
"""Instead of an error: the process ends there, as if killed ..."""
DIED = 9
"""... with this exit status."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The storage call of this number fails, and so many in all that follow each other."""

    nth: int
    errno: int
    times: int = 1


def environment(
    directory: Path,
    *,
    log: Path | None = None,
    failure: Failure | None = None,
    disk_bytes: int | None = None,
) -> dict[str, str]:
    """Variables for a child whose files below the directory are watched."""
    variables: dict[str, object] = {
        "LD_PRELOAD": library(),
        "POWERCUT_DIR": directory.resolve(),
        "POWERCUT_PREFIX": STORE,
    }
    if log is not None:
        variables["POWERCUT_LOG"] = log
    if failure is not None:
        variables["POWERCUT_FAIL_NTH"] = failure.nth
        variables["POWERCUT_FAIL_ERRNO"] = failure.errno
        variables["POWERCUT_FAIL_TIMES"] = failure.times
    if disk_bytes is not None:
        variables["POWERCUT_DISK_BYTES"] = disk_bytes
    return child_environment() | {name: str(value) for name, value in variables.items()}


def child_environment() -> dict[str, str]:
    """What a child needs of ours; it is not measured for coverage, which would write files."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("COV")}
    return kept | {"PYTHONPATH": str(ROOT)}


def run_workload(
    directory: Path, *arguments: object, variables: Mapping[str, str]
) -> "subprocess.CompletedProcess[str]":
    """Run it to its end; what it prints is kept for the message of a failed test."""
    return subprocess.run(
        [sys.executable, "-m", "tests.powercut.workload", str(directory), *map(str, arguments)],
        cwd=ROOT,
        env=dict(variables),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=120,
        check=False,
    )
