"""One run of the benchmark: what was measured so far, and what could not be."""

import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.outbox_cases.peers import Peers, run_peer
from benchmarks.outbox_cases.processes import CaseFailed, run_case
from benchmarks.outbox_cases.rate import Figures

Results = dict[str, list[Figures]]
"""By ``section:case``, the figures of each round. Only what one section measured compares."""


@dataclass(slots=True)
class Run:
    """Measures, and remembers.

    Attributes:
        quick: shorter and smaller, for a look; figures scatter more.
        notes: what was left out, and why.
        failures: what should have been measured, but was not.
    """

    quick: bool
    peers: Peers
    results: Results = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @property
    def seconds(self) -> float:
        """How long a case is measured in one round."""
        return 0.5 if self.quick else 2.0

    @property
    def rounds(self) -> int:
        """How many rounds there are, each with every case once."""
        return 2 if self.quick else 5

    def measure(
        self, key: str, case: str, directory: Path | None = None, **options: float | str
    ) -> None:
        """Run one of our cases once."""
        self._note(key, lambda: run_case(case, directory, environment=None, **options))

    def measure_slowly(self, key: str, case: str, environment: dict[str, str]) -> None:
        """Run one of our cases, or a peer, once, with the slow disk under it."""
        run = run_peer if case in self.peers.versions else run_case
        self._note(key, lambda: run(case, environment=environment, seconds=self.seconds))

    def measure_peer(
        self, key: str, case: str, directory: Path | None = None, **options: float | str
    ) -> None:
        """Run a peer once."""
        self._note(key, lambda: run_peer(case, directory, environment=None, **options))

    def _note(self, key: str, measure: Callable[[], Figures]) -> None:
        started = time.monotonic()
        try:
            figures = measure()
        except CaseFailed as error:
            self.failures.append(str(error))
            say(f"  {key:<28} FAILED: {error}")
        else:
            self.results.setdefault(key, []).append(figures)
            shown = "  ".join(f"{name} {value:,.4g}" for name, value in figures.items())
            say(f"  {key:<28} {time.monotonic() - started:5.1f} s  {shown}")


def say(text: str) -> None:
    """Tell the person who waits."""
    print(text, file=sys.stderr, flush=True)


def median(results: Results, key: str, figure: str) -> float | None:
    """Of all rounds; None if it was not measured."""
    values = [figures[figure] for figures in results.get(key, ()) if figure in figures]
    return statistics.median(values) if values else None


def ratio(
    results: Results, key: str, of: str, figure: str = "rate", of_figure: str = ""
) -> float | None:
    """Median of the ratios of each round, so that a disk that grows slower counts for both.

    Args:
        of_figure: the denominator's, if it has another name.
    """
    pairs = zip(results.get(key, ()), results.get(of, ()), strict=False)
    ratios = [mine[figure] / other[of_figure or figure] for mine, other in pairs]
    return statistics.median(ratios) if ratios else None
