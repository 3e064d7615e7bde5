"""Doing something again and again for a while: how often per second, how long each, how much CPU.

The first fifth of a second is not counted: caches fill, files get their size.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

WARM_UP_S = 0.2
_TIMED_PRODUCERS = 16  # more would measure the measuring: a clock reading is not free
_MAX_TIMES = 200_000

Figures = dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a case is told.

    Attributes:
        directory: empty, and on the disk that is to be measured.
        seconds: how long to measure.
        frames: how many frames to fill in, or to drain.
        group: frames per commit.
        linger_s: longest wait for company before a commit.
        counter: the block device's ``/sys/block/.../stat``.
    """

    directory: Path
    seconds: float = 2.0
    frames: int = 0
    group: int = 1
    linger_s: float = 0.0
    counter: Path = Path("/dev/null")


Case = Callable[[Options], Figures]


def repeat(seconds: float, group: int, commit: Callable[[], object]) -> Figures:
    """Call ``commit``, which makes ``group`` frames durable, for so long."""
    for duration in (WARM_UP_S, seconds):
        times: list[float] = []
        cpu_s, started = time.process_time(), time.perf_counter()
        end, now = started + duration, started
        while now < end:
            commit()
            before, now = now, time.perf_counter()
            times.append(now - before)
        figures = figures_of(len(times) * group, now - started, time.process_time() - cpu_s, times)
    return figures


async def produce(
    seconds: float, producers: int, group: int, append: Callable[[], Awaitable[object]]
) -> Figures:
    """So many tasks ``append`` a group each, wait until it is durable, and go on."""
    for duration in (WARM_UP_S, seconds):
        running = asyncio.Event()
        times: list[float] = []

        async def produce_timed(running: asyncio.Event, times: list[float]) -> int:
            calls = 0
            while running.is_set():
                started = time.perf_counter()
                await append()
                times.append(time.perf_counter() - started)
                calls += 1
            return calls

        async def produce_plain(running: asyncio.Event) -> int:
            calls = 0
            while running.is_set():
                await append()
                calls += 1
            return calls

        timed = min(producers, _TIMED_PRODUCERS)
        running.set()
        asyncio.get_running_loop().call_later(duration, running.clear)
        cpu_s, started = time.process_time(), time.perf_counter()
        calls = await asyncio.gather(
            *(produce_timed(running, times) for _ in range(timed)),
            *(produce_plain(running) for _ in range(producers - timed)),
        )
        took_s, cpu_s = time.perf_counter() - started, time.process_time() - cpu_s
    return figures_of(sum(calls) * group, took_s, cpu_s, times)


def figures_of(frames: int, seconds: float, cpu_s: float, times_s: Sequence[float]) -> Figures:
    """Frames per second, microseconds of CPU per frame, and milliseconds per call."""
    p50_s, p99_s = percentiles(times_s[:_MAX_TIMES])
    return {
        "frames": frames,
        "rate": frames / seconds,
        "cpu_us": 1e6 * cpu_s / max(frames, 1),
        "p50_ms": 1e3 * p50_s,
        "p99_ms": 1e3 * p99_s,
    }


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """The median, and what 99 % stay below."""
    if len(values) < 2:
        return (values[0], values[0]) if values else (0.0, 0.0)
    quantiles = statistics.quantiles(values, n=100, method="inclusive")
    return quantiles[49], quantiles[98]


def memory_mb() -> Figures:
    """What this process has in memory now, and the most it ever had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = {line.split(":")[0]: line.split()[1] for line in lines if line.startswith("Vm")}
    return {"rss_mb": int(kilobytes["VmRSS"]) / 1024, "peak_mb": int(kilobytes["VmHWM"]) / 1024}
