"""The parts of a run. Within each, cases take turns round by round, so that they compare."""

import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

from benchmarks.outbox_cases import device, slow_disk
from benchmarks.outbox_cases.backlog import TRIM_PATIENCE_S
from benchmarks.outbox_cases.peers import PEERS
from benchmarks.outbox_cases.run import Run, median, say

RATES = (
    *("raw-1", "raw-100", "raw-1000"),
    *("sqlite3-1", "sqlite3-10", "sqlite3-100", "sqlite3-1000"),
    *("aiosqlite-1", "aiosqlite-10", "aiosqlite-100", "aiosqlite-1000"),
    *("ours-1", "ours-64", "ours-1000", "ours-1-marks", "ours-64-marks", "ours-1000-marks"),
    *("ours-bulk", "ours-bulk-marks", "ours-drain"),
)
SLOW = (
    *("raw-1", "raw-1000", "sqlite3-1", "sqlite3-100", "sqlite3-1000", "aiosqlite-1"),
    *("aiosqlite-1000", "ours-1", "ours-64", "ours-1000", "ours-bulk", "persist-queue"),
)
COMMITS = {1: 2000, 10: 1000, 60: 500, 1000: 150}
"""By frames per commit, how many commits are watched: several times round the WAL."""

LINGERS_S = (1, 10)
ON_DISK = ("ours-1", "ours-64", "ours-1000", "ours-bulk")
IN_MEMORY = (
    *ON_DISK,
    *("ours-64-marks", "ours-1000-marks", "ours-drain"),
    *("sqlite3-1", "sqlite3-100", "sqlite3-1000", "pack-1", "pack-100", "pack-1000"),
    *("futures-1", "futures-64", "futures-1000", "encode", "decode", "hop"),
)

_DRAIN_FRAMES_PER_S = 150_000
_DISK_MB = 512
_MEMORY = Path("/dev/shm")


def rates(run: Run) -> None:
    """Durable frames per second: floors, ours, peers."""
    for name, reason in run.peers.missing.items():
        run.notes.append(f"{name} NOT RUN: it could not be installed ({reason})")
    frames = int(_DRAIN_FRAMES_PER_S * run.seconds)
    for number in range(run.rounds):
        say(f"rates, round {number + 1} of {run.rounds}")
        for case in RATES:
            run.measure(f"rates:{case}", case, seconds=run.seconds, frames=frames)
        for name in run.peers.versions:
            run.measure_peer(f"rates:{name}", name, seconds=run.seconds)


def slow(run: Run) -> None:
    """The same on a disk as slow as an SD card."""
    if reason := slow_disk.why_not():
        run.notes.append(f"the slow disk was NOT RUN: {reason}")
        return
    with tempfile.TemporaryDirectory(prefix="lora-edge-slow-") as directory:
        environment = slow_disk.slow_disk(Path(directory))
        for number in range(2):
            say(f"slow disk, round {number + 1} of 2")
            for case in SLOW:
                if case not in PEERS or case in run.peers.versions:
                    run.measure_slowly(f"slow:{case}", case, environment)


def device_bytes(run: Run) -> None:
    """Bytes and flushes that reach the device, by frames per commit, and of a drain."""
    if _no_device(run, "device bytes"):
        return
    with device.own_disk(_DISK_MB) as disk:
        for number in range(1 if run.quick else 3):
            say(f"device bytes, round {number + 1}")
            _on(disk, run, "device:raw", "device-raw")
            for group, commits in COMMITS.items():
                options = {"group": group, "frames": commits}
                _on(disk, run, f"device:{group}", "device-commits", **options)
        _on(disk, run, "device:drain", "device-drain", frames=20_000 if run.quick else 100_000)


def paced(run: Run) -> None:
    """A frame a second in real time; both lingers at the same time, each on its own disk."""
    if _no_device(run, "the paced run"):
        return
    seconds = 15.0 if run.quick else 60.0
    say(f"paced, {seconds:.0f} s")
    with ExitStack() as stack:
        disks = [stack.enter_context(device.own_disk(_DISK_MB // 4)) for _ in LINGERS_S]
        pool = stack.enter_context(ThreadPoolExecutor())
        running: list[Future[None]] = []
        for disk, linger_s in zip(disks, LINGERS_S, strict=True):
            options = {"seconds": seconds, "linger_s": float(linger_s)}
            key = f"paced:{linger_s}"
            running.append(pool.submit(_on, disk, run, key, "device-paced", **options))
        for future in running:
            future.result()


def backlog(run: Run) -> None:
    """Millions of frames are kept: what is slower then, and how they go."""
    frames = 500_000 if run.quick else 5_000_000
    with tempfile.TemporaryDirectory(prefix="lora-edge-backlog-") as name:
        full, empty, other = (Path(name, part) for part in ("full", "empty", "thingsboard"))
        for directory in (full, empty, other):
            directory.mkdir()
        say(f"backlog of {frames:,} frames")
        run.measure("backlog:fill", "backlog-fill", full, frames=frames)
        run.measure("backlog:first", "backlog-first", full)
        thingsboard = "thingsboard" in run.peers.versions
        if thingsboard:
            run.measure_peer(
                "backlog:thingsboard-fill", "thingsboard-fill", other, frames=frames, seconds=0
            )
        for _ in range(run.rounds):
            run.measure("backlog:empty", "backlog-paced", empty, seconds=run.seconds)
            run.measure("backlog:full", "backlog-paced", full, seconds=run.seconds)
            # Shorter, so that something is left for the last round.
            seconds = run.seconds / 4
            run.measure("backlog:drain", "backlog-drain", full, seconds=seconds)
            if thingsboard:
                key = "backlog:thingsboard-drain"
                run.measure_peer(key, "thingsboard-drain", other, seconds=run.seconds)
        run.measure("backlog:refill", "backlog-refill", full, frames=frames)
    if left := median(run.results, "backlog:refill", "left"):
        run.notes.append(
            f"the file was NOT REFILLED: {left:,.0f} drained frames were still not removed after"
            f" {TRIM_PATIENCE_S:.0f} s"
        )


def split(run: Run) -> None:
    """Where the time goes: the same without a disk, and the parts of an append alone."""
    if not _MEMORY.is_dir():
        run.notes.append(f"where the time goes was NOT RUN: there is no {_MEMORY}")
        return
    frames = int(_DRAIN_FRAMES_PER_S * 0.5)
    for number in range(2 if run.quick else 3):
        say(f"where the time goes, round {number + 1}")
        for case in ON_DISK:
            run.measure(f"split:disk-{case}", case, seconds=0.5)
        for case in IN_MEMORY:
            with tempfile.TemporaryDirectory(prefix="lora-edge-", dir=_MEMORY) as directory:
                options = {"seconds": 0.5, "frames": frames}
                run.measure(f"split:{case}", case, Path(directory), **options)


SECTIONS: dict[str, Callable[[Run], None]] = {
    "rates": rates,
    "slow": slow,
    "device": device_bytes,
    "paced": paced,
    "backlog": backlog,
    "split": split,
}


def _no_device(run: Run, what: str) -> bool:
    if reason := device.why_not():
        run.notes.append(f"{what} NOT RUN: {reason}")
        return True
    return False


def _on(disk: device.Disk, run: Run, key: str, case: str, **options: float) -> None:
    with tempfile.TemporaryDirectory(dir=disk.directory) as directory:
        run.measure(key, case, Path(directory), counter=str(disk.counter), **options)
