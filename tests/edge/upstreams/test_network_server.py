"""What all kinds of network servers share, with a server that is a few lines long."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

import pytest

from edge.upstreams.base import (
    PermanentUpstreamError,
    TransientUpstreamError,
    UpstreamContext,
)
from edge.upstreams.network_server import NetworkServerLane, NetworkServerOptions, Parcels
from protocol.network_server.pacing import GAP_US
from protocol.network_server.uplink import LIVE_US, Uplink
from protocol.records.sensor_frame import FrameId, SensorFrame
from tests.edge.outbox.open_store import StillClock
from tests.edge.upstreams.frames import context
from tests.protocol.network_server.frames import data_up, join_request, sensor_frame


@dataclass
class Server:
    """Notes what it gets, when; answers as it is told."""

    rejects: Mapping[FrameId, str] = field(default_factory=dict)
    faults: dict[int, Exception] = field(default_factory=dict)
    delay_s: float = 0.0
    had: list[tuple[float, Uplink]] = field(default_factory=list)
    open: int = 0
    most_open: int = 0

    async def transmit(self, uplinks: Sequence[Uplink]) -> Mapping[FrameId, str]:
        self.open += 1
        self.most_open = max(self.most_open, self.open)
        try:
            await asyncio.sleep(self.delay_s)
            for each in uplinks:
                if each.frame_id.seq in self.faults:
                    raise self.faults[each.frame_id.seq]
                self.had.append((asyncio.get_running_loop().time(), each))
        finally:
            self.open -= 1
        numbers = {each.frame_id for each in uplinks}
        return {frame_id: why for frame_id, why in self.rejects.items() if frame_id in numbers}

    def seqs(self) -> list[int]:
        return [each.frame_id.seq for _, each in self.had]


def lane(given: UpstreamContext | None = None, **options: float) -> NetworkServerLane:
    return NetworkServerLane(NetworkServerOptions(**options), given or context())


def batch_of(*devices: int) -> list[SensorFrame]:
    return [sensor_frame(data_up(device, seq), seq) for seq, device in enumerate(devices, 1)]


def ids(batch: Sequence[SensorFrame]) -> set[FrameId]:
    return {frame.frame_id for frame in batch}


async def test_everything_goes_in_order_and_paced() -> None:
    server, batch = Server(), batch_of(1, 1, 2, 1, 2)
    result = await lane().send(batch, server.transmit, Parcels(in_flight=2))
    assert result.acknowledged == ids(batch)
    assert server.seqs() == [1, 3, 2, 5, 4]
    for device in (1, 2):
        address = device.to_bytes(4, "big")
        times = [at for at, each in server.had if each.device == address]
        assert all(later - earlier >= GAP_US / 1e6 for earlier, later in pairwise(times))


async def test_as_many_in_flight_as_wanted() -> None:
    server, batch = Server(delay_s=0.01), batch_of(*range(1, 21))
    result = await lane().send(batch, server.transmit, Parcels(limit=3, in_flight=4))
    assert result.acknowledged == ids(batch)
    assert server.most_open == 4


async def test_a_long_batch_is_left_in_time() -> None:
    """Ticks and other frames have to come in; the next batch begins with what is left."""
    server, batch, one = Server(), batch_of(*[1] * 50), lane()
    result = await one.send(batch, server.transmit)
    done = len(result.acknowledged)
    assert 2 <= done < 20
    assert result.acknowledged == ids(batch[:done])
    result = await one.send(batch[done : done + 2], server.transmit)
    assert server.seqs() == list(range(1, done + 3))


async def test_what_is_not_for_it_is_passed_over_and_counted() -> None:
    """Once, also when the first attempt failed."""
    clock = StillClock(now_us=1_000_000_000 + 61_000_000)
    given = context(clock=clock)
    batch = [
        sensor_frame(b"\xa2private", 1),
        sensor_frame(data_up(1, 1), 2),
        sensor_frame(join_request(7), 3),
    ]
    server = Server(faults={2: TransientUpstreamError("away")})
    one = lane(given)
    with pytest.raises(TransientUpstreamError, match="away"):
        await one.send(batch, server.transmit)
    server.faults.clear()
    result = await one.send(batch, server.transmit)
    assert result.acknowledged == {batch[1].frame_id}
    assert result.passed_over == {batch[0].frame_id, batch[2].frame_id}

    def count(reason: str) -> float | None:
        return given.metrics.registry.get_sample_value(
            "lora_edge_network_server_frames_passed_over_total",
            {"upstream": "city", "reason": reason},
        )

    assert (count("not_lorawan"), count("stale_join"), count("crc")) == (1, 1, 0)
    assert server.had[-1][1].held_us == 61_000_000 > LIVE_US


async def test_rejected_frames_do_not_hold_up_their_device() -> None:
    batch = batch_of(1, 1)
    server = Server(rejects={batch[0].frame_id: "too ugly"})
    result = await lane().send(batch, server.transmit)
    assert result.acknowledged == {batch[1].frame_id}
    assert result.rejected == {batch[0].frame_id: "too ugly"}


async def test_a_fault_carries_what_was_acknowledged_before() -> None:
    batch = batch_of(1, 2, 3)
    server = Server(faults={2: TransientUpstreamError("gone")})
    with pytest.raises(TransientUpstreamError, match="gone") as caught:
        await lane().send(batch, server.transmit)
    assert caught.value.acknowledged == {batch[0].frame_id}


async def test_of_several_faults_the_permanent_one_is_told() -> None:
    batch = batch_of(1, 2, 3)
    server = Server(
        delay_s=0.01,
        faults={
            1: TransientUpstreamError("gone"),
            2: PermanentUpstreamError("forbidden"),
            3: TransientUpstreamError("gone"),
        },
    )
    with pytest.raises(PermanentUpstreamError, match="forbidden"):
        await lane().send(batch, server.transmit, Parcels(in_flight=3))


async def test_a_fault_of_ours_stays_one() -> None:
    """The forwarder logs and parks it; it is nobody's network."""
    server = Server(faults={1: KeyError("ours")})
    with pytest.raises(KeyError, match="ours"):
        await lane().send(batch_of(1), server.transmit)


async def test_an_empty_batch() -> None:
    result = await lane().send([], Server().transmit)
    assert not result.acknowledged


async def test_options_reach_the_frames() -> None:
    batch = batch_of(1, 2)
    clock = StillClock(now_us=1_000_000_000 + 6_000_000)
    result = await lane(context(clock=clock), catch_up_max_age_s=5.0).send(batch, Server().transmit)
    assert result.passed_over == ids(batch)
    server = Server()
    assert (
        len((await lane(frame_gap_s=60.0).send(batch_of(1, 1), server.transmit)).acknowledged) == 1
    )
