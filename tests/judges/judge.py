"""Asks independent codecs that live in an environment of their own, ``.venv-judges``.

``make test`` makes it from ``requirements.txt``. A judge is a module of this folder that runs
there, e.g. ``gwmp_judge``; what it says comes back as JSON.
"""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path(__file__).parent
PYTHON = FOLDER.parents[1] / ".venv-judges" / "bin" / "python"
_PORTION = 500

needs_judges = pytest.mark.skipif(
    not PYTHON.exists(), reason="NOT RUN: needs the judges' environment: make judges"
)


class Judge:
    """A child process with one judge in it."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def ask(self, function: str, items: Sequence[Any]) -> list[Any]:
        """The judge's answers, one for each item."""
        answers: list[Any] = []
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        for first in range(0, len(items), _PORTION):
            question = {"function": function, "items": items[first : first + _PORTION]}
            self._process.stdin.write(json.dumps(question) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
            assert line, "the judge has died"
            answers += json.loads(line)
        return answers


@contextmanager
def judge(module: str) -> Iterator[Judge]:
    """The judge of that name, for as long as the body runs."""
    with subprocess.Popen(
        [PYTHON, FOLDER / "child.py", module],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Judge(process)
        finally:
            process.kill()
