"""What the outbox has to show, as ratios to what was measured in the same run, bytes and flushes.

The gate must hold; the goal is where it should get.
"""

from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.outbox_cases.run import Results, median, ratio

Measure = Callable[[Results], float | None]


@dataclass(frozen=True, slots=True)
class Demand:
    """One row.

    Attributes:
        at_least: whether more is better.
        unit: format of the numbers, with their unit.
        case: what of :mod:`benchmarks.outbox_cases.split` explains a miss.
    """

    text: str
    measure: Measure
    gate: float
    goal: float | None = None
    at_least: bool = False
    unit: str = "{:,.0f}"
    case: str = ""

    def is_met(self, measured: float, limit: float) -> bool:
        """Whether it is as good as that."""
        return measured >= limit if self.at_least else measured <= limit

    def show(self, value: float) -> str:
        """With the unit."""
        return self.unit.format(value)


def _rate(case: str, of: str) -> Measure:
    return lambda results: ratio(results, f"rates:{case}", f"rates:{of}")


def _drain(section: str, of: str, of_figure: str) -> Measure:
    return lambda results: ratio(
        results, f"{section}:{'ours-' if section == 'rates' else ''}drain", of, "rate", of_figure
    )


def _figure(key: str, figure: str) -> Measure:
    return lambda results: median(results, key, figure)


def _worst_estimate(results: Results) -> float | None:
    """How far the gateway's own estimate was off at most."""
    ratios = [
        figures["estimate_ratio"]
        for rounds in results.values()
        for figures in rounds
        if "estimate_ratio" in figures
    ]
    return max((abs(ratio - 1.0) for ratio in ratios), default=None)


def _memory(results: Results) -> float | None:
    """The most that any process with the backlog ever had."""
    cases = ("fill", "full", "drain", "refill")
    peaks = [figures["peak_mb"] for case in cases for figures in results.get(f"backlog:{case}", ())]
    return max(peaks, default=None)


def _times(text: str, measure: Measure, gate: float, case: str = "") -> Demand:
    return Demand(text, measure, gate, at_least=True, unit="{:.2f} x", case=case)


def _share(text: str, measure: Measure, gate: float, goal: float | None, case: str) -> Demand:
    return Demand(text, measure, gate, goal, at_least=True, unit="{:.1%}", case=case)


def _bytes(text: str, key: str, gate: float) -> Demand:
    return Demand(f"{text}, bytes per frame", _figure(key, "bytes_per_frame"), gate)


DEMANDS = (
    _share(
        "1,000 producers, of sqlite3 with 1,000 rows per commit",
        _rate("ours-1000", "sqlite3-1000"),
        *(0.50, 0.60, "1000"),
    ),
    _share(
        "1,000 producers with marks, of the same",
        _rate("ours-1000-marks", "sqlite3-1000"),
        *(0.40, 0.60, "1000-marks"),
    ),
    _share(
        "64 producers, of sqlite3 with 100 rows per commit",
        _rate("ours-64", "sqlite3-100"),
        *(0.45, 0.50, "64"),
    ),
    _share(
        "64 producers with marks, of the same",
        _rate("ours-64-marks", "sqlite3-100"),
        *(0.25, 0.50, "64-marks"),
    ),
    _share(
        "bulk, of sqlite3 with 1,000 rows per commit",
        _rate("ours-bulk", "sqlite3-1000"),
        *(1.10, None, "bulk"),
    ),
    Demand(
        "a lone append's p50, of the raw file with fdatasync",
        lambda results: ratio(results, "rates:ours-1", "rates:raw-1", "p50_ms"),
        *(3.0, 2.0),
        unit="{:.2f} x",
        case="1",
    ),
    _times("64 producers, of persist-queue", _rate("ours-64", "persist-queue"), 15, "64"),
    _times("bulk, of ThingsBoard's enqueue", _rate("ours-bulk", "thingsboard"), 2, "bulk"),
    _times(
        "drain, of ThingsBoard's", _drain("rates", "rates:thingsboard", "drain_rate"), 5, "drain"
    ),
    _times(
        "drain of the backlog, of ThingsBoard's",
        _drain("backlog", "backlog:thingsboard-drain", "drain_rate"),
        *(15, "drain"),
    ),
    _bytes("one frame per commit", "device:1", 9_000),
    Demand(
        "one frame per commit, flushes",
        _figure("device:1", "flushes_per_commit"),
        1.05,
        unit="{:.2f}",
    ),
    _bytes("ten frames per commit", "device:10", 1_600),
    _bytes("sixty frames per commit", "device:60", 600),
    _bytes("a frame a second, linger 1 s", "paced:1", 7_500),
    _bytes("a frame a second, linger 10 s", "paced:10", 2_800),
    _bytes("bursts drained", "device:drain", 10),
    Demand(
        "file of stored bursts, of the payload",
        _figure("device:drain", "file_ratio"),
        1.05,
        unit="{:.3f} x",
    ),
    Demand("the gateway's own estimate, off by", _worst_estimate, 0.10, unit="{:.1%}"),
    Demand(
        "p50 at 1,000/s and a drain of 20,000/s, of an empty store's",
        lambda results: ratio(results, "backlog:full", "backlog:empty", "p50_ms"),
        1.3,
        unit="{:.2f} x",
    ),
    Demand("memory with the backlog at most, MB", _memory, 64.0, unit="{:,.1f}"),
    Demand(
        "opening and first append with the backlog, s",
        _figure("backlog:first", "first_s"),
        1.0,
        unit="{:.3f}",
    ),
    Demand(
        "growth of the file when refilled, bytes", _figure("backlog:refill", "grown_bytes"), 0.0
    ),
)
