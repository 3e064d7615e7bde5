"""Figures and demands as text."""

from collections.abc import Iterator, Sequence

from benchmarks.outbox_cases.demands import DEMANDS, Demand
from benchmarks.outbox_cases.run import Results, median
from benchmarks.outbox_cases.split import where_the_time_goes

_RATE_COLUMNS = {
    "rate": ("frames/s", "{:,.0f}"),
    "p50_ms": ("p50 ms", "{:.3f}"),
    "p99_ms": ("p99 ms", "{:.3f}"),
    "cpu_us": ("CPU us", "{:.1f}"),
    "group": ("per commit", "{:,.0f}"),
    "rss_mb": ("RSS MB", "{:.0f}"),
    "drain_rate": ("drain/s", "{:,.0f}"),
}
_DEVICE_COLUMNS = {
    "bytes_per_frame": ("B/frame", "{:,.0f}"),
    "flushes_per_commit": ("flushes/commit", "{:.2f}"),
    "estimate_ratio": ("own estimate", "{:.1%}"),
    "file_ratio": ("file/payload", "{:.3f}"),
    "left": ("not removed", "{:,.0f}"),
}
_BACKLOG_COLUMNS = {
    **_RATE_COLUMNS,
    "file_bytes": ("file B", "{:,.0f}"),
    "first_s": ("opened+first s", "{:.3f}"),
    "drain_s": ("drained s", "{:,.1f}"),
    "removed_s": ("removed s", "{:,.1f}"),
    "left": ("not removed", "{:,.0f}"),
    "grown_bytes": ("grown B", "{:,.0f}"),
}
_TITLES = {
    "rates": ("Rates (a call's p50 and p99; CPU per frame)", _RATE_COLUMNS),
    "slow": ("Slow disk: 10 ms more for every fsync", _RATE_COLUMNS),
    "device": ("Device bytes, by frames per commit", _DEVICE_COLUMNS),
    "paced": ("A frame a second in real time, by linger in seconds", _DEVICE_COLUMNS),
    "backlog": ("Backlog (full and empty: 1,000 appends/s, 20,000/s drained)", _BACKLOG_COLUMNS),
    "split": ("The parts alone, in memory (disk-...: the same on the disk)", _RATE_COLUMNS),
}


def figures_text(results: Results) -> str:
    """Medians of everything that was measured."""
    parts: list[str] = []
    for section, (title, columns) in _TITLES.items():
        keys = [key for key in results if key.startswith(f"{section}:")]
        shown = {n: c for n, c in columns.items() if any(_has(results, k, n) for k in keys)}
        if not keys:
            continue
        rows = [["", *(heading for heading, _ in shown.values())]]
        for key in keys:
            values = ((median(results, key, name), text) for name, (_, text) in shown.items())
            cells = ("" if value is None else text.format(value) for value, text in values)
            rows.append([key.removeprefix(f"{section}:"), *cells])
        parts.append(f"{title}\n{_aligned(rows)}")
    return "\n\n".join(parts)


def demands_text(results: Results) -> str:
    """Each demand with gate, goal and what was measured."""
    rows = [["demand", "gate", "goal", "measured", ""]]
    reasons: list[str] = []
    for demand in DEMANDS:
        sign = ">= " if demand.at_least else "<= "
        goal = "" if demand.goal is None else sign + demand.show(demand.goal)
        measured = demand.measure(results)
        text = "-" if measured is None else demand.show(measured)
        gate = sign + demand.show(demand.gate)
        rows.append([demand.text, gate, goal, text, verdict(demand, measured)])
        reasons += _reasons(demand, measured, results)
    text = _aligned(rows)
    if reasons:
        text += "\n\nWhere the time goes, per frame\n" + "\n".join(dict.fromkeys(reasons))
    return text


def verdict(demand: Demand, measured: float | None) -> str:
    """In a word or two."""
    if measured is None:
        return "not measured"
    if not demand.is_met(measured, demand.gate):
        return "FALLS SHORT"
    missed = demand.goal is not None and not demand.is_met(measured, demand.goal)
    return "pass (goal missed)" if missed else "pass"


def _reasons(demand: Demand, measured: float | None, results: Results) -> Iterator[str]:
    if not demand.case or measured is None or verdict(demand, measured) == "pass":
        return
    if text := where_the_time_goes(results, demand.case):
        yield f"  {demand.case:<11} {text}"


def _has(results: Results, key: str, name: str) -> bool:
    return any(name in figures for figures in results[key])


def _aligned(rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if number in (0, len(row) - 1) else cell.rjust(width)
            for number, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    )
