"""A store that fails for as long as a test wants, with the callers that wait for it.

How long a fault lasts is a matter of the loop's clock, which only these tests move.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreClosed
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameClass, FrameId
from tests.edge.outbox.failing_store import Failing, Fault
from tests.edge.outbox.open_store import (
    StillClock,
    content,
    number_of,
    running,
)
from tests.edge.outbox.still_loop import advance, settle

TWO = OutboxSettings(
    commit_linger_s=0,
    bulk_linger_s=0,
    upstreams={"city": UpstreamLimits(), "lab": UpstreamLimits()},
)
FAULTS = pytest.mark.parametrize("fault", list(Fault))
RETRY_S = 31.0  # longer than the longest time between two attempts


@dataclass
class Site:
    """A store that can fail, and the callers that wait for it."""

    outbox: Outbox
    failing: Failing
    metrics: Metrics
    calls: list["asyncio.Task[tuple[FrameId, ...]]"]

    async def call(self, *admissions: Admission) -> "asyncio.Task[tuple[FrameId, ...]]":
        """Append, and let the store try."""
        call = asyncio.get_running_loop().create_task(self.outbox.append(*admissions))
        self.calls.append(call)
        await settle(self.outbox)
        return call

    async def degrade(self, fault: Fault, *admissions: Admission) -> "asyncio.Task[object]":
        """Append while the store fails, until upstreams get that from memory."""
        self.failing.fault = fault
        call = await self.call(*admissions)
        await advance(self.outbox, 1.0)
        assert self.outbox.fault is not None
        return call

    async def heal(self) -> None:
        """Writes work again, and the next attempt is made."""
        self.failing.fault = None
        await advance(self.outbox, RETRY_S)
        assert self.outbox.fault is None

    async def ids(self, upstream: str = "city") -> dict[int, FrameId]:
        """By number, what an upstream gets next."""
        frames = await self.outbox.pending(upstream, limit=1_000)
        return {number_of(frame.content): frame.frame_id for frame in frames}

    async def stored(self) -> dict[int, FrameId]:
        """By number, what is committed."""
        frames = await self.outbox.frames(limit=1_000)
        return {number_of(frame.content): frame.frame_id for frame in frames}

    async def deliver(self, *upstreams: str) -> dict[int, FrameId]:
        """Send everything to upstreams; returns what it was."""
        sent: dict[int, FrameId] = {}
        for upstream in upstreams:
            while ids := await self.ids(upstream):
                await self.outbox.acknowledge(upstream, ids.values())
                sent |= ids
        await settle(self.outbox)
        return sent

    async def check_pending(self) -> None:
        """As many frames are pending as come when they are asked for."""
        for upstream, count in self.outbox.statistics().pending.items():
            assert count == len(await self.deliver(upstream))

    def count(self, name: str, **labels: str) -> float:
        """Value of a metric."""
        value = self.metrics.registry.get_sample_value(f"lora_edge_{name}", labels)
        assert value is not None, name
        return value


@asynccontextmanager
async def site(
    path: Path,
    *,
    settings: OutboxSettings = TWO,
    clock: StillClock | None = None,
    crash: bool = False,
) -> AsyncIterator[Site]:
    """Opened, and left by a stop or in its tracks; callers that still wait are told."""
    metrics = Metrics("test")
    calls: list[asyncio.Task[tuple[FrameId, ...]]] = []
    here: Site | None = None
    try:
        async with running(
            path, settings=settings, clock=clock, metrics=metrics, crash=crash
        ) as outbox:
            here = Site(outbox, Failing(outbox._database), metrics, calls)
            await settle(outbox)
            try:
                yield here
            finally:
                here.failing.fault = None
    finally:
        results = await asyncio.gather(*calls, return_exceptions=True)
        if here is not None:
            here.failing.leave()
    for result in results:
        assert isinstance(result, tuple | StoreClosed)


def of_class(number: int, frame_class: FrameClass, **marks: bytes) -> Admission:
    return Admission.of(content(number, frame_class=frame_class), marks)
