"""``http``: the collector is the receiver, aiohttp the library."""

import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks.upstreams.case import Case
from edge.upstreams.http_post import MAX_BATCH
from protocol.records.frame_batch import CONTENT_TYPES, BatchFormat, encode_batch
from protocol.records.sensor_frame import SensorFrame

_PATIENCE_S = 20.0


@contextmanager
def far_end(directory: Path) -> Iterator[Mapping[str, Any]]:
    """A collector with an SQLite database on the same disk."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "edge", "collector", "--listen", f"127.0.0.1:{port}"]
    command += ["--database", str(directory / "frames.db")]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    try:
        end = time.monotonic() + _PATIENCE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                if time.monotonic() > end:
                    raise
                time.sleep(0.02)
        yield {"url": f"http://127.0.0.1:{port}/frames", "format": "cbor", "compression": "none"}
    finally:
        process.terminate()
        process.wait(_PATIENCE_S)


async def bare(
    options: Mapping[str, Any], frames: Sequence[SensorFrame], ready: Callable[[], None]
) -> None:
    """One POST after the other, of bodies that lie ready."""
    batch_format = BatchFormat(options["format"])
    parts = [frames[first : first + MAX_BATCH] for first in range(0, len(frames), MAX_BATCH)]
    bodies = [encode_batch(part, batch_format) for part in parts]
    headers = {"Content-Type": CONTENT_TYPES[batch_format]}
    async with aiohttp.ClientSession() as session:
        ready()
        for body in bodies:
            async with session.post(options["url"], data=body, headers=headers) as response:
                response.raise_for_status()
                await response.read()


CASE = Case(far_end, bare)
