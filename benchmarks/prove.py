"""The full figures: the everyday tests at ten times their size, long runs, and the benchmark.

``python -m benchmarks.prove``. Every step is recorded in docs/RESULTS.md with its command, its
commit and its last line of output. Resumable: a step that has passed at this commit is not run
again, so it may be interrupted at any time.
"""

import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path("docs/RESULTS.md")
CAPTURE = Path(os.environ.get("CAPTURE", "../shared/data/grenoble-tower/frames.ndjson.gz"))
HEAD = """\
# Results

Made by `make prove`; each row is one command, run at the commit beside it. The machine is in the
row, because figures of different machines do not compare.

| step | commit | when (UTC) | took | machine | command | result |
|---|---|---|---|---|---|---|
"""


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and which lines of its output are the result.

    Attributes:
        shown: regular expression; the lines that match are the result, else the last line is.
    """

    name: str
    command: str
    shown: str = ""


_PYTEST = r"^FAILED|^ERROR| (passed|failed) in "

STEPS = (
    Step("demo, 5 minutes", "lora-edge demo --duration 300 --seed 7", r"^  [a-z]|lost|Nothing"),
    Step("replay of captured traffic", f"lora-edge demo --replay {CAPTURE}", r"^  [a-z]|Nothing"),
    Step(
        "delivery to a broker, kills and pulled plugs, 10 x",
        "SCALE=10 pytest -q tests/e2e",
        _PYTEST,
    ),
    Step(
        "outage of a Semtech UDP server of 200 s, 30,000 frames, with and without kill -9",
        "SCALE=100 pytest -q tests/e2e/test_semtech_udp.py",
        _PYTEST,
    ),
    Step(
        "outages of 10 minutes at 50 frames/s, network server of Basics Station",
        "SCALE=200 pytest -q tests/e2e/test_basics_station.py --timeout 7200",
        _PYTEST,
    ),
    Step(
        "power cuts by write log, 1,000 of each model",
        "SCALE=20 pytest -q tests/powercut/test_power_cuts.py --timeout 7200",
        _PYTEST,
    ),
    Step(
        "power cuts of a real file system, 1,000",
        "SCALE=100 pytest -q tests/powercut/test_loop_device.py --timeout 7200",
        _PYTEST,
    ),
    Step(
        "kill -9 of the store, 1,000",
        "SCALE=50 pytest -q tests/powercut/test_kills.py --timeout 7200",
        _PYTEST,
    ),
    Step(
        "failing storage calls, failed syncs, second cuts, negative controls, 10 x",
        "SCALE=10 pytest -q tests/powercut/test_nth_failure.py tests/powercut/test_failed_sync.py"
        " tests/powercut/test_second_cut.py tests/powercut/test_killed_then_cut.py"
        " tests/powercut/test_strace.py tests/powercut/test_controls.py --timeout 7200",
        _PYTEST,
    ),
    Step(
        "the outbox against its model, damage, degraded, migration, 10 x",
        "SCALE=10 pytest -q tests/edge/outbox/test_against_model.py"
        " tests/edge/outbox/test_damaged.py tests/edge/outbox/test_degraded.py"
        " tests/edge/outbox/test_degraded_memory.py tests/edge/outbox/test_degraded_reading.py"
        " tests/edge/outbox/test_degraded_boards.py"
        " tests/edge/outbox/test_migration.py --timeout 7200",
        _PYTEST,
    ),
    Step(
        "seven days without backhaul, 4.8 million frames",
        "SCALE=10 pytest -q -s tests/edge/outbox/test_long_outage.py --timeout 7200",
        _PYTEST + "|frames|MB",
    ),
    Step(
        "the outbox beside floors and peers",
        "python -m benchmarks.outbox",
        r"^(ours|sqlite3|raw|persist|litequeue|thingsboard|drain|1 |10 |60 |1000|.*(>=|<=))",
    ),
    Step(
        "fuzzing and properties, 10 x", "SCALE=10 pytest -q tests/protocol --timeout 7200", _PYTEST
    ),
    Step(
        "firmware under MicroPython: 10,000 frames on two radios, 200 timed transmissions",
        "SCALE=10 pytest -q -s tests/firmware --timeout 7200",
        _PYTEST + "|frames on|transmissions at|free of",
    ),
    Step(
        "10^6 hostile inputs for our link and each dialect of other people's firmware",
        "SCALE=100 pytest -q -s tests/protocol/dialects/test_fuzz.py --timeout 7200",
        _PYTEST + "|inputs,",
    ),
    Step("memory, start-up, latency", "python -m benchmarks.gateway", r"^(floor|ready|mem| +\d)"),
)


def main() -> int:
    """Run what has not passed at this commit; 0 when everything has."""
    commit = _output("git rev-parse --short HEAD")
    if _output("git status --porcelain --untracked-files=no"):
        commit += "+changes"
    failed = 0
    for step in STEPS:
        if _has_passed(step, commit):
            print(f"{step.name}: passed before")
        elif str(CAPTURE) in step.command and not CAPTURE.exists():
            print(f"{step.name}: NOT RUN, there is no {CAPTURE} (set CAPTURE=FILE)")
        else:
            failed += not _prove(step, commit)
    return 1 if failed else 0


def _prove(step: Step, commit: str) -> bool:
    print(f"{step.name}: {step.command}", flush=True)
    started = time.monotonic()
    words = shlex.split(step.command)
    variables = dict(word.split("=", 1) for word in words if re.match(r"[A-Z]+=", word))
    program, *rest = words[len(variables) :]
    run = subprocess.run(
        [str(Path(sys.executable).with_name(program)), *rest],
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    result = _result(step, run.stdout.splitlines())
    print("\n".join(f"    {line}" for line in result), flush=True)
    verdict = "passed" if run.returncode == 0 else f"FAILED ({run.returncode})"
    _record(step, commit, time.monotonic() - started, verdict, result)
    return run.returncode == 0


def _result(step: Step, lines: Sequence[str]) -> list[str]:
    shown = [line.strip() for line in lines if step.shown and re.search(step.shown, line)]
    return shown or [line.strip() for line in lines[-1:]]


def _record(step: Step, commit: str, took_s: float, verdict: str, result: Sequence[str]) -> None:
    """Replace the row of this step; other rows stay as they are."""
    command = step.command.replace(str(CAPTURE), "CAPTURE")
    text = "<br>".join(re.sub(r" {2,}", " ", line).replace("|", "/") for line in result)
    row = (
        f"| {step.name} | {commit} | {datetime.now(UTC):%Y-%m-%d %H:%M} | {took_s:.0f} s"
        f" | {_machine()} | `{command}` | {verdict}: {text} |"
    )
    rows = [line for line in _rows() if not line.startswith(f"| {step.name} |")]
    RESULTS.write_text(HEAD + "\n".join([*rows, row]) + "\n")


def _rows() -> list[str]:
    lines = RESULTS.read_text().splitlines() if RESULTS.exists() else []
    return [line for line in lines if any(line.startswith(f"| {s.name} |") for s in STEPS)]


def _has_passed(step: Step, commit: str) -> bool:
    return any(
        row.startswith(f"| {step.name} | {commit} |") and "| passed: " in row for row in _rows()
    )


def _machine() -> str:
    models = re.findall(r"^(?:model name|Model)\s*: (.+)$", _read("/proc/cpuinfo"), re.MULTILINE)
    return f"{os.cpu_count()} x {models[0] if models else os.uname().machine}"


def _read(path: str) -> str:
    return Path(path).read_text()


def _output(command: str) -> str:
    return subprocess.run(
        shlex.split(command), stdout=subprocess.PIPE, text=True, check=True
    ).stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
