"""A long outage: millions of frames are kept, and then it all goes at once.

The store lives on from case to case, each of which opens it in a process of its own.
"""

import asyncio
import time

from benchmarks.outbox_cases.device_bytes import drain_all, until_removed
from benchmarks.outbox_cases.ours import DRAIN_FRAMES, Ours, append_one, drain, open_ours
from benchmarks.outbox_cases.producers import drain_for, fill
from benchmarks.outbox_cases.rate import (
    WARM_UP_S,
    Case,
    Figures,
    Options,
    figures_of,
    memory_mb,
)

APPENDS_PER_S = 1000
DRAINED_PER_S = 20_000
TRIM_PATIENCE_S = 120.0
"""How long to wait for the removal of what is drained."""


def _fill(options: Options) -> Figures:
    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db") as ours:
            figures = await fill(ours, options.frames)
        file_bytes = (options.directory / "outbox.db").stat().st_size
        return figures | memory_mb() | {"file_bytes": file_bytes}

    return asyncio.run(measure())


def _first(options: Options) -> Figures:
    """From the beginning of the opening until the first frame is durable."""

    async def measure() -> Figures:
        started = time.perf_counter()
        async with open_ours(options.directory / "outbox.db") as ours:
            opened = time.perf_counter()
            await append_one(ours, 1)
            appended = time.perf_counter()
        return {"opened_s": opened - started, "first_s": appended - started}

    return asyncio.run(measure())


def _paced(options: Options) -> Figures:
    """A thousand lone appends a second, while the upstream takes twenty thousand if it can."""

    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db") as ours:
            drained: list[int] = []
            drainer = asyncio.create_task(_drain_paced(ours, drained))
            try:
                await _append_paced(ours, WARM_UP_S)
                drained.clear()
                figures = await _append_paced(ours, options.seconds)
            finally:
                drainer.cancel()
            return figures | {"drain_rate": sum(drained) * figures["rate"] / figures["frames"]}

    return asyncio.run(measure()) | memory_mb()


async def _append_paced(ours: Ours, seconds: float) -> Figures:
    times: list[float] = []

    async def append(number: int) -> None:
        before = time.perf_counter()
        await append_one(ours, number)
        times.append(time.perf_counter() - before)

    cpu_s, started = time.process_time(), time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for number in range(int(seconds * APPENDS_PER_S)):
            # Also when it is late, or the drain would never get its turn.
            await asyncio.sleep(max(0.0, started + number / APPENDS_PER_S - time.perf_counter()))
            group.create_task(append(number))
    took_s = time.perf_counter() - started
    return figures_of(len(times), took_s, time.process_time() - cpu_s, times)


async def _drain_paced(ours: Ours, drained: list[int]) -> None:
    """In each slot a batch's worth, also when it comes in small pieces: the live frames first."""
    due = time.perf_counter()
    while True:
        left = DRAIN_FRAMES
        while left > 0 and (count := await drain(ours)):
            drained.append(count)
            left -= count
        due = max(due + DRAIN_FRAMES / DRAINED_PER_S, time.perf_counter())
        await asyncio.sleep(due - time.perf_counter())


def _drain(options: Options) -> Figures:
    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db") as ours:
            return await drain_for(ours, options.seconds)

    return asyncio.run(measure()) | memory_mb()


def _refill(options: Options) -> Figures:
    """Drain all, fill again as much, and see whether the file has grown."""
    path = options.directory / "outbox.db"

    async def measure() -> Figures:
        async with open_ours(path) as ours:
            started = time.perf_counter()
            await drain_all(ours)
            figures = {"drain_s": time.perf_counter() - started}
            left = await until_removed(ours, TRIM_PATIENCE_S)
            figures["removed_s"] = time.perf_counter() - started
        if left:
            return figures | {"left": left}
        before = path.stat().st_size
        async with open_ours(path) as ours:
            figures |= await fill(ours, options.frames)
        return figures | {"left": 0, "grown_bytes": path.stat().st_size - before}

    return asyncio.run(measure()) | memory_mb()


CASES: dict[str, Case] = {
    "backlog-fill": _fill,
    "backlog-first": _first,
    "backlog-paced": _paced,
    "backlog-drain": _drain,
    "backlog-refill": _refill,
}
