"""What a frame costs the card: bytes and flushes that reach the block device.

In steady state: first so many commits that the WAL has gone round and the file has its shape.
"""

import asyncio
import os
import time
from typing import Self

from benchmarks.outbox_cases import frames
from benchmarks.outbox_cases.device import Written, written
from benchmarks.outbox_cases.ours import (
    Ours,
    append_many,
    append_one,
    drain,
    estimated_device_bytes,
    held,
    open_ours,
)
from benchmarks.outbox_cases.producers import fill
from benchmarks.outbox_cases.rate import Case, Figures, Options

_RAW_COMMITS = 500
_ESTIMATE_RENEWED_S = 1.2
_TRIM_PATIENCE_S = 60.0
NOT_WORTH_FRAMES = 100
"""So few delivered frames wait for company before they are removed."""


class _Watch:
    """The device's counter and the gateway's own estimate, over the same stretch."""

    def __init__(self, options: Options, ours: Ours) -> None:
        self._options = options
        self._ours = ours
        self._before = written(options.directory, options.counter)
        self._estimate_before = estimated_device_bytes(ours)

    @classmethod
    async def begin(cls, options: Options, ours: Ours) -> Self:
        """Look when the estimate is up to date: it is renewed once a second."""
        await asyncio.sleep(_ESTIMATE_RENEWED_S)
        return cls(options, ours)

    async def figures(self, frame_count: int, commits: int) -> Figures:
        await asyncio.sleep(_ESTIMATE_RENEWED_S)
        estimate = estimated_device_bytes(self._ours)
        passed = written(self._options.directory, self._options.counter) - self._before
        figures = _figures(passed, frame_count, commits)
        if estimate is not None and self._estimate_before is not None:
            figures["estimate_ratio"] = (estimate - self._estimate_before) / passed.bytes
        return figures


def _commits(options: Options) -> Figures:
    """So many frames in each commit; ``options.frames`` commits, half of them to warm up."""

    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db") as ours:
            for first in range(options.frames // 2):
                await append_many(ours, range(first, first + options.group))
            watch = await _Watch.begin(options, ours)
            for first in range(options.frames):
                await append_many(ours, range(first, first + options.group))
            return await watch.figures(options.frames * options.group, options.frames)

    return asyncio.run(measure())


def _raw(options: Options) -> Figures:
    """The floor: a frame into a block that exists, and a flush."""
    with (options.directory / "raw").open("wb+", buffering=0) as file:
        file.write(bytes(1 << 20))
        os.fsync(file.fileno())
        before = written(options.directory, options.counter)
        (blob,) = frames.blobs(1)
        for number in range(_RAW_COMMITS):
            os.pwrite(file.fileno(), blob, number * len(blob))
            os.fdatasync(file.fileno())
        passed = written(options.directory, options.counter) - before
    return _figures(passed, _RAW_COMMITS, _RAW_COMMITS)


def _paced(options: Options) -> Figures:
    """A frame a second in real time, so that what the kernel writes by itself is in it."""

    async def measure() -> Figures:
        async with open_ours(options.directory / "outbox.db", linger_s=options.linger_s) as ours:
            await append_many(ours, range(1000))
            watch = await _Watch.begin(options, ours)
            started = time.monotonic()
            async with asyncio.TaskGroup() as group:
                for number in range(int(options.seconds)):
                    await asyncio.sleep(started + number - time.monotonic())
                    group.create_task(append_one(ours, number))
            return await watch.figures(int(options.seconds), int(options.seconds))

    return asyncio.run(measure())


def _drain(options: Options) -> Figures:
    """Store bursts, look at the size of the file, then drain and remove all of it."""

    async def measure() -> Figures:
        path = options.directory / "outbox.db"
        async with open_ours(path) as ours:
            await fill(ours, options.frames)
        file_ratio = path.stat().st_size / (options.frames * frames.encoded_bytes())
        async with open_ours(path) as ours:
            watch = await _Watch.begin(options, ours)
            await drain_all(ours)
            removed = options.frames - await until_removed(ours, _TRIM_PATIENCE_S)
            figures = await watch.figures(max(removed, 1), 1)
            del figures["flushes_per_commit"]  # of a drain nobody asked how many commits it is
        return figures | {"file_ratio": file_ratio, "left": options.frames - removed}

    return asyncio.run(measure())


async def drain_all(ours: Ours) -> None:
    """Until nothing is pending."""
    while await drain(ours):
        pass


async def until_removed(ours: Ours, patience_s: float) -> int:
    """Wait until the store has removed what is acknowledged; tells how many frames are left."""
    end = time.monotonic() + patience_s
    while held(ours) > NOT_WORTH_FRAMES and time.monotonic() < end:
        await asyncio.sleep(0.1)
    left = held(ours)
    return left if left > NOT_WORTH_FRAMES else 0


def _figures(passed: Written, frame_count: int, commits: int) -> Figures:
    return {
        "bytes_per_frame": passed.bytes / frame_count,
        "flushes_per_commit": passed.flushes / commits,
    }


CASES: dict[str, Case] = {
    "device-raw": _raw,
    "device-commits": _commits,
    "device-paced": _paced,
    "device-drain": _drain,
}
