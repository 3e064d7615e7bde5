"""Frames to put into a store, a clock that stands still, and a store whose writer runs."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import Admission, OutboxSettings, UpstreamLimits
from edge.outbox.store import Outbox, open_outbox
from protocol.lora.events import CrcStatus
from protocol.records.sensor_frame import FrameClass, FrameContent, Reception, WallTime

GATEWAY = bytes.fromhex("0016c001ff10a235")
BOOT = bytes(range(16))
AT_ONCE = OutboxSettings(commit_linger_s=0, upstreams={"city": UpstreamLimits()})


class StillClock:
    """Tells the times that it was given."""

    def __init__(self, boot_id: bytes = BOOT, now_us: int = 1_000_000_000) -> None:
        self.boot_id = boot_id
        self.now_us = now_us
        self.wall_time: WallTime | None = None

    def boottime_us(self) -> int:
        return self.now_us

    def wall(self) -> WallTime | None:
        return self.wall_time


def content(
    number: int,
    *,
    boot_id: bytes = BOOT,
    received_us: int = 1_000_000_000,
    frame_class: FrameClass = FrameClass.TELEMETRY,
    device: str | None = None,
    size: int = 8,
) -> FrameContent:
    """A frame whose payload is its number."""
    reception = Reception(
        concentrator="roof",
        radio=0,
        frequency_hz=921_400_000,
        spreading_factor=9,
        bandwidth_hz=125_000,
        coding_rate="4/5",
        rssi_dbm=-97.0,
        rssi_model="hf",
        snr_db=7.5,
        frequency_error_hz=None,
        crc_status=CrcStatus.OK,
    )
    return FrameContent(
        boot_id=boot_id,
        received_boottime_us=received_us,
        receptions=(reception,),
        phy_payload=number.to_bytes(size, "big"),
        frame_class=frame_class,
        device=device,
    )


def admission(number: int, **marks: bytes) -> Admission:
    """A frame to be stored."""
    return Admission.of(content(number), marks)


def number_of(content: FrameContent) -> int:
    """Undo :func:`content`."""
    return int.from_bytes(content.phy_payload, "big")


async def numbers(outbox: Outbox) -> list[int]:
    """Numbers of all frames in the store, oldest first."""
    return [number_of(frame.content) for frame in await outbox.frames(limit=1_000_000)]


async def pending(outbox: Outbox, upstream: str = "city", limit: int = 1000) -> list[int]:
    """Numbers of what the upstream gets next."""
    return [number_of(f.content) for f in await outbox.pending(upstream, limit=limit)]


@asynccontextmanager
async def running(
    path: Path,
    *,
    gateway: bytes = GATEWAY,
    clock: StillClock | None = None,
    settings: OutboxSettings = AT_ONCE,
    metrics: Metrics | None = None,
    crash: bool = False,
) -> AsyncIterator[Outbox]:
    """An open store with its writer; left by a stop, or by cancelling the writer in its tracks."""
    async with (
        open_outbox(
            path,
            gateway=gateway,
            clock=clock or StillClock(),
            settings=settings,
            metrics=metrics or Metrics("test"),
        ) as outbox,
        asyncio.TaskGroup() as group,
    ):
        writer = group.create_task(outbox.run())
        try:
            yield outbox
        finally:
            if crash:
                writer.cancel()
            else:
                outbox.stop()
