"""All that the benchmark knows of the outbox's interface, in one place."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.outbox_cases import frames
from edge.clock import SystemClock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.store import Outbox, open_outbox

UPSTREAM = "city"
DRAIN_FRAMES = 500
"""Read, and acknowledged, in one go."""

_GATEWAY = bytes.fromhex("0016c001ff10a235")
_MAX_BYTES = 4_000_000_000
_POOL = 4000  # frames made in advance: making them is the radios' work. A multiple of DEVICES.

_plain: list[Admission] = []
_marked: list[Admission] = []


@dataclass(frozen=True, slots=True)
class Ours:
    """An open outbox, and what it says of itself."""

    outbox: Outbox
    metrics: Metrics
    path: Path


@asynccontextmanager
async def open_ours(path: Path, *, linger_s: float = 0.0) -> AsyncIterator[Ours]:
    """The real store with its writer. What the upstream has is removed without delay."""
    _make_frames()
    settings = OutboxSettings(
        max_bytes=_MAX_BYTES,
        commit_linger_s=linger_s,
        keep_acknowledged=0,
        upstreams={UPSTREAM: UpstreamLimits()},
    )
    metrics = Metrics("benchmark")
    async with (
        open_outbox(
            path, gateway=_GATEWAY, clock=SystemClock(), settings=settings, metrics=metrics
        ) as outbox,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(outbox.run())
        try:
            yield Ours(outbox, metrics, path)
        finally:
            outbox.stop()


def appender(ours: Ours, *, marked: bool = False) -> Callable[[], Awaitable[object]]:
    """Appends a frame at each call, as ingest does; what it returns is done when it is durable."""
    admissions = itertools.cycle([(admission,) for admission in (_marked if marked else _plain)])
    offer = ours.outbox.offer
    return lambda: offer(next(admissions))


async def append_one(ours: Ours, number: int) -> None:
    """Append a frame; returns when it is durable."""
    await ours.outbox.offer((_plain[number % _POOL],))


async def append_many(ours: Ours, numbers: Iterable[int], *, marked: bool = False) -> None:
    """Append frames in one call, so in one commit; returns when they are durable."""
    pool = _marked if marked else _plain
    await ours.outbox.room_in_memory()
    await ours.outbox.offer([pool[number % _POOL] for number in numbers])


async def drain(ours: Ours) -> int:
    """Take what the upstream gets next, and acknowledge it; tells how many frames that were.

    As it is stored: peers hand out what they were given as well, and read nothing of it.
    """
    bodies = await ours.outbox.pending_bodies(UPSTREAM, limit=DRAIN_FRAMES)
    await ours.outbox.acknowledge_seqs(UPSTREAM, [seq for seq, _ in bodies])
    return len(bodies)


def held(ours: Ours) -> int:
    """How many frames the store holds, acknowledged or not."""
    return ours.outbox.statistics().frames


def estimated_device_bytes(ours: Ours) -> float | None:
    """What the gateway itself believes to have written to the card, if it says so."""
    return _sum(ours, "lora_edge_outbox_device_bytes_total")


def frames_per_commit(ours: Ours) -> float:
    """The mean of all commits so far."""
    name = "lora_edge_outbox_commit_frames"
    return (_sum(ours, f"{name}_sum") or 0.0) / (_sum(ours, f"{name}_count") or 1.0)


def _sum(ours: Ours, name: str) -> float | None:
    """Over all labels; None if there is no such metric."""
    metrics = ours.metrics.registry.collect()
    values = [s.value for metric in metrics for s in metric.samples if s.name == name]
    return sum(values) if values else None


def _make_frames() -> None:
    if not _plain:
        contents = [frames.content(number) for number in range(_POOL)]
        _plain.extend(Admission.of(content) for content in contents)
        _marked.extend(Admission.of(c, frames.mark(number)) for number, c in enumerate(contents))
