"""The outbox side by side with what the disk, SQLite and other people's queues can do.

``python -m benchmarks.outbox [--quick] [--json FILE] [--only NAME,...]``. One run, in which the
cases take turns; figures are medians. Absolute rates move with the disk's mood, so only ratios
within one run count, and bytes and flushes. It ends with the table of what the outbox has to show.

Work is done below TMPDIR, which should be on the disk that is meant. Device bytes need root, for a
loop device; the peers are installed into ``.venv-peers`` on demand. What could not be run is said.

With ``--only``, figures of other parts are taken from FILE if it is there, so that a long run can
be put together from short ones.

Exit status: 0 also when a demand falls short; 1 when something could not be measured.
"""

import argparse
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.outbox_cases.demands import DEMANDS
from benchmarks.outbox_cases.frames import FRAME_BYTES, encoded_bytes
from benchmarks.outbox_cases.peers import Peers, install
from benchmarks.outbox_cases.run import Results, Run
from benchmarks.outbox_cases.sections import SECTIONS
from benchmarks.outbox_cases.table import demands_text, figures_text, verdict


def main() -> int:
    """Measure, and print."""
    arguments = _arguments()
    # As for Ctrl-C: what is mounted is to be unmounted.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    started = time.monotonic()
    chosen = arguments.only.split(",") if arguments.only else list(SECTIONS)
    needs_peers = {"rates", "slow", "backlog"} & set(chosen)
    run = Run(arguments.quick, install() if needs_peers else Peers())
    if arguments.only and arguments.json and arguments.json.exists():
        run.results = _kept(json.loads(arguments.json.read_text())["results"], chosen)
    for name in chosen:
        try:
            SECTIONS[name](run)
        except (OSError, subprocess.SubprocessError) as error:
            run.failures.append(f"{name}: {error}")
    _print(run, time.monotonic() - started)
    if arguments.json:
        arguments.json.write_text(json.dumps(_document(run), indent=1) + "\n")
    return 1 if run.failures else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.outbox", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--quick", action="store_true", help="shorter, and a smaller backlog")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all figures there")
    parser.add_argument("--only", metavar="NAME,...", help=f"of {', '.join(SECTIONS)}")
    arguments = parser.parse_args()
    if unknown := set((arguments.only or "").split(",")) - {"", *SECTIONS}:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return arguments


def _kept(results: Results, chosen: list[str]) -> Results:
    return {key: rounds for key, rounds in results.items() if key.split(":")[0] not in chosen}


def _print(run: Run, took_s: float) -> None:
    peers = ", ".join(f"{name} {version}" for name, version in run.peers.versions.items())
    where = f"work in {tempfile.gettempdir()}"
    print(f"{os.cpu_count()} processors, SQLite {sqlite3.sqlite_version}, {where}; {took_s:.0f} s")
    print(f"A frame has {encoded_bytes()} bytes, a peer's {FRAME_BYTES}; {peers or 'no peers'}")
    if run.quick:
        print("QUICK: a look, not a proof; the backlog is a tenth")
    print(f"\n{figures_text(run.results)}\n\n{demands_text(run.results)}\n")
    for note in run.notes:
        print(note)
    for failure in run.failures:
        print(f"FAILED: {failure}")


def _document(run: Run) -> dict[str, object]:
    measured = [(demand, demand.measure(run.results)) for demand in DEMANDS]
    return {
        "quick": run.quick,
        "peers": run.peers.versions,
        "notes": run.notes,
        "failures": run.failures,
        "demands": [
            {"demand": d.text, "gate": d.gate, "measured": m, "verdict": verdict(d, m)}
            for d, m in measured
        ],
        "results": run.results,
    }


if __name__ == "__main__":
    sys.exit(main())
