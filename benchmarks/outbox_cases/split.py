"""Says where the time of an append, or of a drain, goes, in microseconds per frame.

The parts are CPU time: what else the machine does hardly shows in it. What the clock shows beyond
that is waiting, for the disk and for the other processes.
"""

from benchmarks.outbox_cases.run import Results, median

_FLOORS = {"1": 1, "64": 100, "1000": 1000, "bulk": 1000}
"""By what ours is called, the floor with about as many frames per commit."""


def where_the_time_goes(results: Results, case: str) -> str | None:
    """One line, or None if that was not measured.

    Args:
        case: 1, 64, 1000 or bulk, maybe with ``-marks``; or drain.
    """
    if case == "drain":
        return _drain(results)
    plain = case.removesuffix("-marks")
    in_memory = _cpu_us(results, f"ours-{plain}")
    if not in_memory:
        return None
    if case != plain:
        return f"as {plain}, and marks {_cpu_us(results, f'ours-{case}') - in_memory:.1f}"
    rate = median(results, f"split:disk-ours-{plain}", "rate") or 1.0
    cpu_us = _cpu_us(results, f"disk-ours-{plain}")
    group = median(results, f"split:ours-{plain}", "group") or 1.0
    pack = _cpu_us(results, f"pack-{_FLOORS[plain]}")
    parts = {
        "waiting": max(0.0, 1e6 / rate - cpu_us),
        "the disk's CPU": cpu_us - in_memory,
        "futures": 0.0 if plain == "bulk" else _cpu_us(results, f"futures-{plain}"),
        "encoding": _cpu_us(results, "encode"),
        "SQL as a pack": pack,
        "one thread hop": _cpu_us(results, "hop") / group,
    }
    own = in_memory - sum(list(parts.values())[2:])
    rows = _cpu_us(results, f"sqlite3-{_FLOORS[plain]}") - pack
    return (
        f"{1e6 / rate:.1f} us = "
        + " + ".join(f"{name} {value:.1f}" for name, value in parts.items())
        + f" + the store's own {own:.1f} (rows instead of packs would be {rows:.1f} of it;"
        f" {group:.0f} frames per commit)"
    )


def _drain(results: Results) -> str | None:
    total, decode = _cpu_us(results, "ours-drain"), _cpu_us(results, "decode")
    if not total:
        return None
    return f"CPU {total:.1f} us = decoding {decode:.1f} + the store's own {total - decode:.1f}"


def _cpu_us(results: Results, case: str) -> float:
    return median(results, f"split:{case}", "cpu_us") or 0.0
