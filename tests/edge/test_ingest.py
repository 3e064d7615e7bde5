"""From events to commits and back to acknowledgements, with a real store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from drivers.base import Capabilities, Downlink, Metadata, TxOutcome, TxResult
from edge.content import ContentBuilder, RadioRule
from edge.deduplication import HOLD_US, Deduplicator
from edge.event_tracker import EventTracker
from edge.ingest import Ingest, run_acknowledge, run_commit, run_ingest
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings, UpstreamLimits
from edge.outbox.store import Outbox, open_outbox
from protocol.lora.events import (
    CrcStatus,
    EventOrigin,
    Heartbeat,
    RadioStatistics,
    UplinkReceived,
)
from protocol.lorawan.device import DeviceTable
from protocol.records.decoders import decoder
from protocol.records.sensor_frame import FrameClass
from tests.edge.fake_clock import FakeClock
from tests.edge.uplinks import BOARD_A, uplink

GATEWAY = bytes.fromhex("0016c001f0003a21")
CHANNEL = (921_400_000, 9, 125_000)


@dataclass
class AcknowledgingDriver:
    """A driver that remembers what was acknowledged."""

    acknowledged: list[int] = field(default_factory=list)
    capabilities: Capabilities = field(
        default_factory=lambda: Capabilities(
            radios=1,
            sync_words=None,
            lorawan=True,
            scheduled_transmit=False,
            acknowledges=True,
            metadata=frozenset(Metadata),
        )
    )

    async def __aenter__(self) -> "AcknowledgingDriver":
        return self

    async def __aexit__(self, *exc: object) -> None:
        """Nothing to give back."""

    async def events(self) -> AsyncIterator[UplinkReceived]:
        """None: the test feeds ingest itself."""
        return
        yield

    def acknowledge(self, event: UplinkReceived) -> None:
        """Remember it."""
        assert event.origin is not None
        self.acknowledged.append(event.origin.number)

    async def transmit(self, downlink: Downlink) -> TxResult:
        """Not here."""
        return TxResult(TxOutcome.NOT_SUPPORTED)


def event(
    number: int, payload: bytes | None = None, *, boot: int = 1, **changes: object
) -> UplinkReceived:
    """Event of board A on concentrator "roof"."""
    values = {"origin": EventOrigin(BOARD_A, boot, number), **changes}
    return uplink(payload or b"frame %d" % number, **values)  # type: ignore[arg-type]


@dataclass
class DataPath:
    """A running data path."""

    ingest: Ingest
    outbox: Outbox
    driver: AcknowledgingDriver
    metrics: Metrics
    clock: FakeClock

    def count(self, name: str, **labels: str) -> float:
        """Value of a metric."""
        value = self.metrics.registry.get_sample_value(f"lora_edge_{name}", labels)
        assert value is not None, name
        return value

    async def feed(self, *events: UplinkReceived) -> None:
        """Take events in and commit them."""
        for item in events:
            await self.ingest.events.put(item)
        async with asyncio.timeout(10):
            await self.ingest.drain()

    async def stored(self) -> list[bytes]:
        """Payloads in the outbox."""
        return [frame.content.phy_payload for frame in await self.outbox.frames()]


@asynccontextmanager
async def data_path(
    directory: Path, *, radios: int = 1, any_crc: bool = False
) -> AsyncIterator[DataPath]:
    """Ingest and outbox running; ``radios`` listen to the same channel."""
    clock, metrics, driver = FakeClock(), Metrics("test"), AcknowledgingDriver()
    settings = OutboxSettings(commit_linger_s=0.0, upstreams={"city": UpstreamLimits()})
    async with (
        open_outbox(
            directory / "outbox.db",
            gateway=GATEWAY,
            clock=clock,
            settings=settings,
            metrics=metrics,
        ) as outbox,
        asyncio.TaskGroup() as group,
    ):
        rule = RadioRule("raw", FrameClass.TELEMETRY, any_crc=any_crc)
        builder = ContentBuilder(
            boot_id=clock.boot_id,
            radios={("roof", index): rule for index in range(radios)},
            devices={},
            table=DeviceTable(()),
            decode_cbor=decoder("cbor", labels={}, templates=()),
            committed_mark=outbox.mark,
        )
        ingest = Ingest(
            builder=builder,
            deduplicator=Deduplicator([CHANNEL] * radios),
            tracker=EventTracker(outbox.mark),
            metrics=metrics,
            clock=clock,
        )
        ingest.drivers["roof"] = driver
        group.create_task(outbox.run())
        tasks = [
            group.create_task(run_ingest(ingest)),
            group.create_task(run_commit(ingest, outbox)),
            group.create_task(run_acknowledge(ingest)),
        ]
        yield DataPath(ingest, outbox, driver, metrics, clock)
        for task in tasks:
            task.cancel()
        outbox.stop()


async def test_an_event_is_acknowledged_after_its_commit(tmp_path: Path) -> None:
    """And its mark is committed with it."""
    async with data_path(tmp_path) as path:
        await path.feed(event(1), event(2))
        assert await path.stored() == [b"frame 1", b"frame 2"]
        assert path.driver.acknowledged[-1] == 2
        assert path.outbox.mark(f"board/{BOARD_A.hex()}") is not None


async def test_a_replay_after_a_kill_between_commit_and_acknowledgement(tmp_path: Path) -> None:
    """The board sends again what a dead process had committed: recognised, acknowledged, not stored
    twice."""
    async with data_path(tmp_path) as path:
        await path.feed(event(1), event(2))
    async with data_path(tmp_path) as path:
        await path.feed(event(1), event(2), event(3))
        assert await path.stored() == [b"frame 1", b"frame 2", b"frame 3"]
        assert path.driver.acknowledged[-1] == 3
        assert path.count("events_replayed_total") == 2


async def test_a_replay_of_what_is_still_being_committed(tmp_path: Path) -> None:
    """The link dropped meanwhile: neither stored twice nor acknowledged early."""
    async with data_path(tmp_path, radios=2) as path:
        path.ingest.take(event(1), path.clock.now_us)
        path.ingest.take(event(1), path.clock.now_us)
        assert path.driver.acknowledged == []
        await path.feed()
        assert await path.stored() == [b"frame 1"]
        assert path.driver.acknowledged == [1]


async def test_what_two_radios_heard_is_one_frame_and_two_acknowledgements(tmp_path: Path) -> None:
    """Merged counts as safe."""
    async with data_path(tmp_path, radios=2) as path:
        await path.feed(event(1, b"same"), event(2, b"same", radio=1))
        assert await path.stored() == [b"same"]
        assert path.driver.acknowledged[-1] == 2
        assert path.count("frames_merged_total") == 1


async def test_a_held_frame_leaves_when_its_time_has_come(tmp_path: Path) -> None:
    """Nobody else heard it."""
    async with data_path(tmp_path, radios=2) as path:
        path.ingest.take(event(1), path.clock.now_us)
        assert path.ingest.release(path.clock.now_us + HOLD_US - 1) is None
        group = path.ingest.release(path.clock.now_us + HOLD_US)
        assert group is not None
        assert len(group.admissions) == 1


@pytest.mark.parametrize(
    ("status", "reason"), [(CrcStatus.BAD, "crc_bad"), (CrcStatus.MISSING, "crc_missing")]
)
async def test_damaged_frames_are_counted_and_acknowledged(
    tmp_path: Path, status: CrcStatus, reason: str
) -> None:
    """Dropped with a reason of the closed list; the next frame is not held up."""
    async with data_path(tmp_path) as path:
        await path.feed(event(1, crc_status=status), event(2))
        assert await path.stored() == [b"frame 2"]
        assert path.driver.acknowledged[-1] == 2
        assert path.count("frames_dropped_total", reason=reason) == 1


async def test_damaged_frames_are_kept_where_configured(tmp_path: Path) -> None:
    """``crc = "any"``."""
    async with data_path(tmp_path, any_crc=True) as path:
        await path.feed(event(1, crc_status=CrcStatus.BAD))
        (frame,) = await path.outbox.frames()
        assert frame.content.decode_error == "crc"


async def test_an_empty_frame_is_too_short(tmp_path: Path) -> None:
    """There is nothing to keep."""
    async with data_path(tmp_path) as path:
        await path.feed(uplink(b"", origin=EventOrigin(BOARD_A, 1, 1)))
        assert path.count("frames_dropped_total", reason="too_short") == 1


async def test_what_no_radio_can_have_heard_is_corrupt(tmp_path: Path) -> None:
    """Two joined packets of an RNode are the most there is; the frames behind it go on."""
    async with data_path(tmp_path) as path:
        await path.feed(uplink(bytes(509), origin=EventOrigin(BOARD_A, 1, 1)))
        await path.feed(uplink(b"x" * 508, origin=EventOrigin(BOARD_A, 1, 2)))
        assert path.count("frames_dropped_total", reason="corrupt") == 1
        assert await path.stored() == [b"x" * 508]
        assert path.driver.acknowledged[-1] == 2


async def test_devices_without_numbers_are_stored_too(tmp_path: Path) -> None:
    """No acknowledgement, no mark."""
    async with data_path(tmp_path) as path:
        await path.feed(uplink(b"unnumbered"))
        assert await path.stored() == [b"unnumbered"]
        assert path.driver.acknowledged == []


def heartbeat(newest: int, *, boot: int = 1, overflow: int = 0) -> Heartbeat:
    """A sign of life of board A."""
    return Heartbeat(
        concentrator="roof",
        radios=(RadioStatistics(5, 1, -110.0, 0, receiving=True),),
        newest=EventOrigin(BOARD_A, boot, newest),
        ring_used=3,
        ring_capacity=0,
        ring_overflow=overflow,
        link_rejects={},
        temperature_celsius=41.5,
        supply_volts=5.0,
    )


async def test_what_a_board_took_with_it_is_counted(tmp_path: Path) -> None:
    """Its last heartbeat told of five events, two had arrived."""
    async with data_path(tmp_path) as path:
        await path.feed(event(1), event(2))
        path.ingest.take(heartbeat(5), path.clock.now_us)
        path.ingest.take(heartbeat(0, boot=2), path.clock.now_us)
        assert path.count("frames_dropped_total", reason="board_down") == 3
        await path.feed(event(1, b"of the new boot", boot=2))
        assert (await path.stored())[-1] == b"of the new boot"


async def test_a_late_commit_of_a_dead_boot_acknowledges_nothing(tmp_path: Path) -> None:
    """The numbers of the new boot begin again: an old acknowledgement would empty its ring."""
    async with data_path(tmp_path, radios=2) as path:
        path.ingest.take(event(1), path.clock.now_us)
        path.ingest.take(heartbeat(0, boot=2), path.clock.now_us)
        await path.feed()
        assert await path.stored() == [b"frame 1"]
        assert path.driver.acknowledged == []


async def test_ring_overflow_is_counted_once(tmp_path: Path) -> None:
    """The board's count is cumulative; a restart of ours must not count it again."""
    async with data_path(tmp_path) as path:
        path.ingest.take(heartbeat(0, overflow=4), path.clock.now_us)
        path.ingest.take(heartbeat(0, overflow=6), path.clock.now_us)
        await path.feed(event(1))
        assert path.count("frames_dropped_total", reason="ring_overflow") == 6
    async with data_path(tmp_path) as path:
        path.ingest.take(heartbeat(1, overflow=6), path.clock.now_us)
        assert path.count("frames_dropped_total", reason="ring_overflow") == 0
