"""One measurement in a process of its own: ``python -m benchmarks.upstreams.measure WHAT JSON``.

``drain``: fills a store as the gateway would, and lets the real forwarder empty it into the
receiver. ``bare``: sends as many frames with the client library alone. Prints figures as JSON.
"""

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks.outbox_cases.frames import content
from benchmarks.outbox_cases.ours import UPSTREAM, Ours, append_many, open_ours
from benchmarks.outbox_cases.rate import Figures, memory_mb
from benchmarks.upstreams.case import case_of
from edge.backoff import Backoff
from edge.clock import SystemClock
from edge.downlink.gate import ClosedGate
from edge.forwarder import run_forwarder
from edge.upstreams.base import Site, Upstream, UpstreamContext
from edge.upstreams.registry import upstream_factory
from protocol.records.sensor_frame import FrameId, SensorFrame, WallTime

_GATEWAY = bytes.fromhex("0016c001ff10a235")
_EPOCH = bytes.fromhex("00c0ffee00c0ffee")
_FILL = 1000
_SAMPLE_S = 0.25


def main(what: str, options_json: str) -> int:
    """Measure, and print."""
    settings = json.loads(options_json)
    measure = {"drain": _drain, "bare": _bare}[what]
    figures = asyncio.run(
        measure(
            settings["kind"], settings["options"], settings["frames"], Path(settings["directory"])
        )
    )
    print(json.dumps(figures))
    return 0


async def _drain(kind: str, options: Mapping[str, Any], frames: int, directory: Path) -> Figures:
    async with open_ours(directory / f"{kind}.db") as ours:
        for first in range(0, frames, _FILL):
            await append_many(ours, range(first, first + _FILL))
        upstream = _upstream(kind, options, ours)
        forwarder = asyncio.create_task(
            run_forwarder(
                name=UPSTREAM,
                make_upstream=lambda: upstream,
                outbox=ours.outbox,
                clock=SystemClock(),
                metrics=ours.metrics,
                backoff=Backoff(lambda: 0.5),
            )
        )
        try:
            return await _watch(ours, frames)
        finally:
            forwarder.cancel()
            await asyncio.wait([forwarder])


async def _watch(ours: Ours, frames: int) -> Figures:
    """Until everything has gone; memory is looked at from a tenth of the way on."""
    cpu_s, started = time.process_time(), time.perf_counter()
    early_mb = 0.0
    while (pending := ours.outbox.statistics().pending[UPSTREAM]) > 0:
        if not early_mb and pending < 0.9 * frames:
            early_mb = memory_mb()["rss_mb"]
        await asyncio.sleep(min(_SAMPLE_S, 0.01 + pending / 1e6))
    took_s = time.perf_counter() - started
    return {
        "rate": frames / took_s,
        "cpu_us": 1e6 * (time.process_time() - cpu_s) / frames,
        "grown_mb": memory_mb()["rss_mb"] - early_mb,
        **memory_mb(),
    }


def _upstream(kind: str, options: Mapping[str, Any], ours: Ours) -> Upstream:
    clock = SystemClock()
    factory = upstream_factory(kind)
    context = UpstreamContext(
        gateway=_GATEWAY,
        name=UPSTREAM,
        metrics=ours.metrics,
        clock=clock,
        statistics=dict,
        site=Site("AS923-2"),
        downlinks=ClosedGate(clock.boottime_us),
    )
    return factory(factory.Options(**options), context)


async def _bare(kind: str, options: Mapping[str, Any], frames: int, _directory: Path) -> Figures:
    sent = [
        SensorFrame(FrameId(_GATEWAY, _EPOCH, number), content(number), WallTime(number, 1))
        for number in range(1, frames + 1)
    ]
    started = [0.0, 0.0]

    def ready() -> None:
        started[:] = time.perf_counter(), time.process_time()

    await case_of(kind).bare(options, sent, ready)
    took_s, cpu_s = time.perf_counter() - started[0], time.process_time() - started[1]
    return {"rate": frames / took_s, "cpu_us": 1e6 * cpu_s / frames}


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
