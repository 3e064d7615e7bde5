"""Runs a case in a process of its own, and takes its figures."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path

from benchmarks.outbox_cases.rate import Figures

_TIMEOUT_S = 3600.0
_TELLING_LINES = 3


class CaseFailed(Exception):
    """A case ended without figures; the text says which, and its last words."""


def run_case(
    name: str,
    directory: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    **options: float | str,
) -> Figures:
    """Run one of our cases.

    Args:
        directory: where it works; without one, in a fresh directory that is removed afterwards.
        environment: variables in addition to ours.

    Raises:
        CaseFailed: it gave no figures.
    """
    command = [sys.executable, "-m", "benchmarks.outbox_cases.case", name]
    return run_command(name, command, directory, environment=environment, **options)


def run_command(
    name: str,
    command: Sequence[str],
    directory: Path | None = None,
    *,
    environment: Mapping[str, str] | None = None,
    **options: float | str,
) -> Figures:
    """Run a program that takes its options as JSON, and prints its figures as JSON last.

    Raises:
        CaseFailed: it gave no figures.
    """
    with ExitStack() as stack:
        if directory is None:
            prefix = f"lora-edge-bench-{name}-"
            directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=prefix)))
        run = subprocess.run(
            [*command, json.dumps({"directory": str(directory), **options})],
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=_TIMEOUT_S,
            check=False,
        )
    lines = run.stdout.splitlines()
    if run.returncode != 0 or not lines:
        words = " / ".join(run.stderr.strip().splitlines()[-_TELLING_LINES:])
        raise CaseFailed(f"{name} ended with {run.returncode}: {words}")
    figures: Figures = json.loads(lines[-1])
    return figures
