"""How fast the store takes frames from few and from many, and how fast it gives them away."""

import asyncio
import itertools
import time
from functools import partial

from benchmarks.outbox_cases.ours import (
    Ours,
    append_many,
    appender,
    drain,
    frames_per_commit,
    open_ours,
)
from benchmarks.outbox_cases.rate import Case, Figures, Options, figures_of, memory_mb, produce

PRODUCERS = (1, 64, 1000)
BULK_FRAMES = 1000
_BULK_CALLERS = 4  # so that the next groups are ready while one is being committed


def _awaiting(producers: int, marked: bool, options: Options) -> Figures:
    """So many tasks, each of which waits until its one frame is durable."""

    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db") as ours:
            append = appender(ours, marked=marked)
            figures = await produce(options.seconds, producers, 1, append)
            return figures | {"group": frames_per_commit(ours)}

    return asyncio.run(measure()) | memory_mb()


def _bulk(marked: bool, options: Options) -> Figures:
    """Appends of a thousand frames a call, a few of them at a time."""

    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db") as ours:
            firsts = itertools.count(0, BULK_FRAMES)

            async def append() -> None:
                first = next(firsts)
                await append_many(ours, range(first, first + BULK_FRAMES), marked=marked)

            figures = await produce(options.seconds, _BULK_CALLERS, BULK_FRAMES, append)
            return figures | {"group": frames_per_commit(ours)}

    return asyncio.run(measure()) | memory_mb()


def _drain(options: Options) -> Figures:
    """Read and acknowledge in batches, with nothing else going on."""

    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db") as ours:
            await fill(ours, options.frames)
            return await drain_for(ours, options.seconds)

    return asyncio.run(measure()) | memory_mb()


async def fill(ours: Ours, frames: int) -> Figures:
    """Append so many frames as fast as they go."""
    firsts = iter(range(0, frames, BULK_FRAMES))

    async def append() -> None:
        for first in firsts:
            await append_many(ours, range(first, min(first + BULK_FRAMES, frames)))

    started = time.perf_counter()
    await asyncio.gather(*(append() for _ in range(_BULK_CALLERS)))
    return {"rate": frames / (time.perf_counter() - started)}


async def drain_for(ours: Ours, seconds: float) -> Figures:
    """Drain until the time is up or nothing is left."""
    times: list[float] = []
    frames = 0
    cpu_s, started = time.process_time(), time.perf_counter()
    now = started
    while now < started + seconds:
        drained = await drain(ours)
        before, now = now, time.perf_counter()
        times.append(now - before)
        frames += drained
        if not drained:
            break
    return figures_of(frames, now - started, time.process_time() - cpu_s, times)


CASES: dict[str, Case] = {
    **{f"ours-{n}": partial(_awaiting, n, False) for n in PRODUCERS},
    **{f"ours-{n}-marks": partial(_awaiting, n, True) for n in PRODUCERS},
    "ours-bulk": partial(_bulk, False),
    "ours-bulk-marks": partial(_bulk, True),
    "ours-drain": _drain,
}
