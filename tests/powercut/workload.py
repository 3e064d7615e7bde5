"""Uses an outbox like a busy gateway, from a seed, and tells every promise that it is given.

``python -m tests.powercut.workload DIRECTORY --seed N``: the store is ``outbox.db`` there.
Exit status: 0 finished, or the store failed for so long that it was stopped; 3 the store gave up
by one of its documented errors; anything else is a fault.
"""

import argparse
import asyncio
import ctypes
import os
import random
import selectors
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import MIN_BYTES, OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreError
from edge.outbox.store import Outbox
from tests.edge.outbox.open_store import running
from tests.powercut.frames import admission, number_of
from tests.powercut.promises import Teller
from tests.powercut.weakened import assume_powersafe_overwrite, set_pragma

STORE = "outbox.db"
BALLAST = "ballast-of-others"
UPSTREAMS = ("city", "lab")
GAVE_UP = 3

_SPEED = 20


class _QuickSelector(selectors.DefaultSelector):
    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        return super().select(None if timeout is None else timeout / _SPEED)


class QuickLoop(asyncio.SelectorEventLoop):
    """Its clock runs 20 times as fast: lingers and retries of the store take no real second."""

    def __init__(self) -> None:
        super().__init__(_QuickSelector())

    def time(self) -> float:
        """Seconds of the quick clock."""
        return time.monotonic() * _SPEED


@dataclass(frozen=True)
class Script:
    """What to do.

    Attributes:
        first: number of the first frame.
        steps: how many things to do; 0 for no end.
        largest_bytes: of a payload; large ones make the store evict, small ones checkpoint less.
        acknowledge: how often to acknowledge, next to 10 appends.
        restart: how often to close and reopen, likewise.
        patience_s: how long, of the quick clock, to wait for a commit before leaving.
        ballast_bytes: of a file that stands for somebody else's data; it is deleted when the store
            has been failing for long.
    """

    directory: Path
    seed: int
    first: int = 1
    steps: int = 200
    largest_bytes: int = 60
    acknowledge: float = 5.0
    restart: float = 0.2
    patience_s: float = 20.0
    ballast_bytes: int = 0


class Workload:
    """One run of a script."""

    def __init__(self, script: Script, tell: Teller) -> None:
        self._script = script
        self._tell = tell
        self._chance = random.Random(script.seed)
        self._number = script.first
        self._steps = 0
        self._evicted = 0
        self._store_fails = False
        self._metrics = Metrics("test")
        self._settings = OutboxSettings(
            max_bytes=MIN_BYTES,
            keep_acknowledged=60,
            upstreams=dict.fromkeys(UPSTREAMS, UpstreamLimits()),
        )

    async def run(self) -> None:
        """Live until the steps are done; a life ends with a clean stop."""
        self._put_ballast()
        while not self._is_done():
            async with running(
                self._script.directory / STORE, settings=self._settings, metrics=self._metrics
            ) as outbox:
                self._tell.calls(_storage_calls())
                await self._live(outbox)
            self._tell_evicted()

    async def _live(self, outbox: Outbox) -> None:
        actions = (self._append, self._append_many, self._acknowledge, self._connect, self._idle)
        weights = [5, 5, self._script.acknowledge, 0.5, 0.3]
        while not self._is_done():
            self._steps += 1
            if self._chance.random() < self._script.restart / 20:
                return
            [action] = self._chance.choices(actions, weights)
            await action(outbox)
            self._tell_evicted()

    def _is_done(self) -> bool:
        return self._store_fails or self._steps >= self._script.steps > 0

    async def _append(self, outbox: Outbox) -> None:
        await self._in_time(self._call(outbox, 1))

    async def _append_many(self, outbox: Outbox) -> None:
        """Several callers at once, some with several frames: they share transactions."""
        most = 4 if self._script.largest_bytes > 1000 else 12
        sizes = [self._chance.randint(1, most) for _ in range(self._chance.randint(1, 4))]
        await self._in_time(*(self._call(outbox, size) for size in sizes))

    async def _in_time(self, *calls: Coroutine[None, None, None]) -> None:
        try:
            async with asyncio.timeout(self._script.patience_s), asyncio.TaskGroup() as group:
                for call in calls:
                    group.create_task(call)
        except TimeoutError:
            self._store_fails = not self._delete_ballast()

    async def _call(self, outbox: Outbox, count: int) -> None:
        first, self._number = self._number, self._number + count
        admissions = [admission(number, self._size()) for number in range(first, first + count)]
        self._tell.append(first, first + count - 1)
        frame_ids = await outbox.append(*admissions)
        self._tell.promise(first, frame_ids)

    def _size(self) -> int:
        return self._chance.randint(0, self._script.largest_bytes)

    async def _acknowledge(self, outbox: Outbox) -> None:
        """Some of what is pending, in any order, as receivers do."""
        upstream = self._chance.choice(UPSTREAMS)
        try:
            frames = await outbox.pending(upstream, limit=self._chance.randint(1, 200))
        except StoreError:
            return  # failing just now
        chosen = self._chance.sample(frames, self._chance.randint(0, len(frames)))
        if self._chance.random() < 0.7:
            chosen = frames
        if chosen:
            self._tell.acknowledge(upstream, (number_of(frame.content) for frame in chosen))
            await outbox.acknowledge(upstream, (frame.frame_id for frame in chosen))

    async def _connect(self, outbox: Outbox) -> None:
        outbox.connected(self._chance.choice(UPSTREAMS))

    async def _idle(self, outbox: Outbox) -> None:
        """Long enough for what the store does each second."""
        await asyncio.sleep(1.1)

    def _tell_evicted(self) -> None:
        total = sum(
            int(sample.value)
            for metric in self._metrics.registry.collect()
            for sample in metric.samples
            if sample.name == "lora_edge_frames_dropped_total"
            and sample.labels["reason"].startswith("evicted_")
        )
        if total != self._evicted:
            self._evicted = total
            self._tell.evicted(total)

    def _put_ballast(self) -> None:
        if self._script.ballast_bytes:
            (self._script.directory / BALLAST).write_bytes(bytes(self._script.ballast_bytes))

    def _delete_ballast(self) -> bool:
        ballast = self._script.directory / BALLAST
        existed = ballast.exists()
        ballast.unlink(missing_ok=True)
        return existed


def main(arguments: Sequence[str]) -> int:
    """Run one; returns the exit status."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--first", type=int, default=Script.first)
    parser.add_argument("--steps", type=int, default=Script.steps)
    parser.add_argument("--largest-bytes", type=int, default=Script.largest_bytes)
    parser.add_argument("--acknowledge", type=float, default=Script.acknowledge)
    parser.add_argument("--restart", type=float, default=Script.restart)
    parser.add_argument("--patience-s", type=float, default=Script.patience_s)
    parser.add_argument("--ballast-bytes", type=int, default=Script.ballast_bytes)
    parser.add_argument("--promises", type=Path, help="default: the file promises in DIRECTORY")
    parser.add_argument("--pragma", action="append", default=[], metavar="NAME=VALUE")
    parser.add_argument("--psow", action="store_true", help="assume powersafe overwrite")
    options = vars(parser.parse_args(arguments))
    promises = options.pop("promises")
    for pragma in options.pop("pragma"):
        set_pragma(*pragma.split("="))
    if options.pop("psow"):
        assume_powersafe_overwrite()
    script = Script(**options)
    return _tell_all(script, promises or script.directory / "promises")


def _tell_all(script: Script, promises: Path) -> int:
    descriptor = os.open(promises, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    tell = Teller(descriptor)
    status = 0
    try:
        with asyncio.Runner(loop_factory=QuickLoop) as runner:
            runner.run(Workload(script, tell).run())
    except* StoreError as errors:
        print(f"the store gave up: {errors.exceptions}", file=sys.stderr)
        status = GAVE_UP
    finally:
        tell.calls(_storage_calls())
        os.close(descriptor)
    return status


def _storage_calls() -> int:
    """As the preloaded library counted them, if there is one."""
    count = getattr(ctypes.CDLL(None), "powercut_calls", None)
    return 0 if count is None else int(count())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
