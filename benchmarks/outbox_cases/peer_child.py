"""A case with somebody else's queue, in their environment: ``python peer_child.py NAME JSON``.

Imports nothing of ours. Prints one line of JSON: frames per second put in and drained, times of
a call, CPU per frame.
"""

import base64
import importlib
import importlib.metadata
import json
import logging
import os
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

FRAME_BYTES = 120
ACKNOWLEDGED_FRAMES = 500
_MAX_QUEUED = 20_000  # in ThingsBoard's memory: what is merely queued there is not stored yet

Figures = dict[str, Any]


def persist_queue(options: Figures) -> Figures:
    """``SQLiteQueue``: a commit with fsync for each put; drained with 500 a commit."""
    queue_class = importlib.import_module("persistqueue").SQLiteQueue
    queue = queue_class(str(options["directory"]), auto_commit=False)
    blob = os.urandom(FRAME_BYTES)
    figures = put_for(options["seconds"], lambda: queue.put(blob))

    def take() -> int:
        count = min(ACKNOWLEDGED_FRAMES, int(queue.size))
        for _ in range(count):
            queue.get(block=False)
        queue.task_done()
        return count

    return figures | drain_for(options["seconds"], take)


def litequeue(options: Figures) -> Figures:
    """Not durable: ``synchronous=NORMAL`` in WAL mode."""
    queue = importlib.import_module("litequeue").LiteQueue(f"{options['directory']}/queue.db")
    text = base64.b64encode(os.urandom(FRAME_BYTES)).decode()
    figures = put_for(options["seconds"], lambda: queue.put(text))

    def take() -> int:
        message = queue.pop()
        if message is None:
            return 0
        queue.done(message.message_id)
        return 1

    return figures | drain_for(options["seconds"], take)


def thingsboard(options: Figures) -> Figures:
    """Not durable either: a thread commits what is in memory, without fsync."""
    storage = _thingsboard_storage(options)
    figures = _thingsboard_put(storage, options, lambda _, now, end: now < end)
    return figures | drain_for(options["seconds"], lambda: _thingsboard_take(storage))


def thingsboard_fill(options: Figures) -> Figures:
    """A backlog of ``frames``."""
    storage = _thingsboard_storage(options)
    figures = _thingsboard_put(storage, options, lambda count, *_: count < options["frames"])
    storage.stop()
    return figures


def thingsboard_drain(options: Figures) -> Figures:
    """From a backlog, for a while."""
    storage = _thingsboard_storage(options)
    time.sleep(1)  # its thread reads the first pack
    figures = drain_for(options["seconds"], lambda: _thingsboard_take(storage))
    storage.stop()
    return figures | memory_mb()


def _thingsboard_storage(options: Figures) -> Any:
    sys.path += [str(path) for path in Path(options["sources"]).glob("thingsboard_gateway-*/")]
    module = importlib.import_module("thingsboard_gateway.storage.sqlite.sqlite_event_storage")
    logger: Any = logging.getLogger("storage")
    logger.trace = lambda *_, **__: None
    # As delivered, but for its limit of 1 GB: with several files it would be another test.
    config = {"data_file_path": f"{options['directory']}/", "size_limit": 100_000}
    return module.SQLiteEventStorage(config, logger, None)


def _thingsboard_put(
    storage: Any, options: Figures, more: Callable[[int, float, float], bool]
) -> Figures:
    """Put, and wait until all of it is committed: only then it is stored."""
    text = base64.b64encode(os.urandom(FRAME_BYTES)).decode()
    times: list[float] = []
    count, cpu_s, started = 0, time.process_time(), time.perf_counter()
    now, end = started, started + options["seconds"]
    while more(count, now, end):
        before = time.perf_counter()
        storage.put(text)
        now = time.perf_counter()
        count += 1
        if len(times) < 100_000:
            times.append(now - before)
        if storage.write_queue.qsize() > _MAX_QUEUED:
            time.sleep(0.001)
            now = time.perf_counter()
    reader = sqlite3.connect(f"file:{options['directory']}/data.db?mode=ro", uri=True)
    while (reader.execute("SELECT max(id) FROM messages").fetchone()[0] or 0) < count:
        time.sleep(0.005)
    reader.close()
    return _figures("", count, time.perf_counter() - started, time.process_time() - cpu_s, times)


def _thingsboard_take(storage: Any) -> int:
    pack = storage.get_event_pack()
    storage.event_pack_processing_done()
    return len(pack)


def put_for(seconds: float, put: Callable[[], object]) -> Figures:
    """Put one after the other."""
    times: list[float] = []
    cpu_s, started = time.process_time(), time.perf_counter()
    now = started
    while now < started + seconds:
        put()
        before, now = now, time.perf_counter()
        times.append(now - before)
    return _figures("", len(times), now - started, time.process_time() - cpu_s, times)


def drain_for(seconds: float, take: Callable[[], int]) -> Figures:
    """Take until the time is up or nothing is left."""
    times: list[float] = []
    frames = 0
    cpu_s, started = time.process_time(), time.perf_counter()
    now = started
    while now < started + seconds:
        taken = take()
        before, now = now, time.perf_counter()
        times.append(now - before)
        frames += taken
        if not taken:
            break
    return _figures("drain_", frames, now - started, time.process_time() - cpu_s, times)


def _figures(prefix: str, frames: int, seconds: float, cpu_s: float, times: list[float]) -> Figures:
    quantiles = statistics.quantiles([*times[:200_000], times[-1]], n=100, method="inclusive")
    return {
        f"{prefix}rate": frames / seconds,
        f"{prefix}cpu_us": 1e6 * cpu_s / max(frames, 1),
        f"{prefix}p50_ms": 1e3 * quantiles[49],
        f"{prefix}p99_ms": 1e3 * quantiles[98],
    }


def memory_mb() -> Figures:
    """What this process has in memory now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmRSS"))
    return {"rss_mb": int(line.split()[1]) / 1024}


def thingsboard_version(options: Figures) -> Figures:
    """Of the unpacked source."""
    (path,) = Path(options["sources"]).glob("thingsboard_gateway-*/")
    return {"version": path.name.removeprefix("thingsboard_gateway-")}


CASES: dict[str, Callable[[Figures], Figures]] = {
    "persist-queue": persist_queue,
    "litequeue": litequeue,
    "thingsboard": thingsboard,
    "thingsboard-fill": thingsboard_fill,
    "thingsboard-drain": thingsboard_drain,
    "persist-queue-version": lambda _: {"version": importlib.metadata.version("persist-queue")},
    "litequeue-version": lambda _: {"version": importlib.metadata.version("litequeue")},
    "thingsboard-version": thingsboard_version,
}


if __name__ == "__main__":
    print(json.dumps(CASES[sys.argv[1]](json.loads(sys.argv[2]))), flush=True)
    os._exit(0)  # ThingsBoard's threads would keep it
