"""Catch-up of each kind of upstream, as a ratio to its client library driven by a bare loop.

``python -m benchmarks.upstreams_run [--kinds NAME,...] [--frames N] [--rounds N] [--memory]``. Both
send to the same receiver, in turns; the ratio is the median over rounds. ``--memory`` drains a
million frames once, and tells how much the process has grown after the first tenth of them.

Exit status: 0 = all ratios are at least 0.7 and memory stayed flat, 1 = not so.
"""

import argparse
import statistics
import sys
import tempfile
from pathlib import Path

from benchmarks.outbox_cases.processes import run_command
from benchmarks.outbox_cases.rate import Figures
from benchmarks.upstreams.case import CASES, case_of

WANTED_RATIO = 0.7
MEMORY_FRAMES = 1_000_000
MAX_GROWTH_MB = 8.0


def main() -> int:
    """Measure, and print."""
    arguments = _arguments()
    kinds = arguments.kinds.split(",") if arguments.kinds else list(CASES)
    good = [_measured(kind, arguments) for kind in kinds]
    return 0 if all(good) else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstreams_run", description=__doc__)
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.add_argument("--kinds", metavar="NAME,...", help=f"of {', '.join(CASES)}")
    parser.add_argument("--frames", type=int, default=50_000, help="in each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", action="store_true", help="instead, drain a million frames")
    return parser.parse_args()


def _measured(kind: str, arguments: argparse.Namespace) -> bool:
    if arguments.memory:
        ours = _run(kind, "drain", MEMORY_FRAMES)
        print(
            f"{kind}: {MEMORY_FRAMES:,} frames, {ours['rate']:,.0f}/s, {ours['rss_mb']:.0f} MB,"
            f" grown by {ours['grown_mb']:.1f} MB, at most {ours['peak_mb']:.0f} MB",
            flush=True,
        )
        return ours["grown_mb"] <= MAX_GROWTH_MB
    ratios = []
    for _ in range(arguments.rounds):
        ours = _run(kind, "drain", arguments.frames)
        bare = _run(kind, "bare", arguments.frames)
        ratios.append(ours["rate"] / bare["rate"])
        print(
            f"  {kind}: ours {ours['rate']:,.0f}/s ({ours['cpu_us']:.0f} us CPU a frame),"
            f" bare {bare['rate']:,.0f}/s ({bare['cpu_us']:.0f} us), ratio {ratios[-1]:.2f}",
            flush=True,
        )
    ratio = statistics.median(ratios)
    print(f"{kind}: ratio {ratio:.2f}, wanted {WANTED_RATIO}", flush=True)
    return ratio >= WANTED_RATIO


def _run(kind: str, what: str, frames: int) -> Figures:
    """Each with a receiver and a directory of its own."""
    with tempfile.TemporaryDirectory(prefix=f"lora-edge-bench-{kind}-") as name:
        directory = Path(name)
        with case_of(kind).far_end(directory) as options:
            command = [sys.executable, "-m", "benchmarks.upstreams.measure", what]
            return run_command(
                f"{kind} {what}",
                command,
                directory,
                kind=kind,
                options=dict(options),  # type: ignore[arg-type]
                frames=frames,
            )


if __name__ == "__main__":
    sys.exit(main())
