"""Upstream ``basics-station`` against a network server that knows none of our code."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web

from edge.upstreams.base import UpstreamContext
from edge.upstreams.basics_station import BasicsStationOptions, BasicsStationUpstream
from protocol.records.sensor_frame import SensorFrame, WallTime
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import context
from tests.edge.upstreams.lns_server import LnsServer, phy_payload
from tests.protocol.network_server.frames import EPOCH, GATEWAY, UNIX_US, data_up, sensor_frame


def upstream_at(
    port: int, given: UpstreamContext | None = None, **options: Any
) -> BasicsStationUpstream:
    """Over plain TCP on this host."""
    url = options.pop("url", f"ws://127.0.0.1:{port}")
    return BasicsStationUpstream(BasicsStationOptions(url=url, **options), given or context())


def frame_of(seq: int) -> SensorFrame:
    """Device and counter say which frame it is."""
    return sensor_frame(data_up(0x01000000 + seq, seq), seq, received_at=WallTime(UNIX_US, 250))


class NetworkServer(Destination):
    """A server whose connections can be cut and whose port can be closed."""

    def __init__(self) -> None:
        self.server = LnsServer()
        self.runner: web.AppRunner | None = None

    async def start(self) -> None:
        self.runner = await self.server.start()

    async def stop(self) -> None:
        assert self.runner is not None
        await self.server.hang_up()
        await self.runner.cleanup()

    def connection(self) -> BasicsStationUpstream:
        return upstream_at(self.server.port)

    def frames(self, first: int, count: int) -> list[SensorFrame]:
        return [frame_of(seq) for seq in range(first, first + count)]

    async def arrived(self, at_least: int) -> list[str]:
        await self.server.wait("updf", at_least)
        found = []
        for message in self.server.uplinks():
            seq = message["FCnt"]
            assert phy_payload(message) == frame_of(seq).content.phy_payload
            assert (message["DR"], message["Freq"]) == (3, 921_400_000)
            found.append(f"{GATEWAY.hex()}-{EPOCH.hex()}-{seq}")
        return found

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        await self.stop()
        yield
        await self.start()


class TestConformance(UpstreamConformance):
    """The kit, over a network server."""

    @pytest.fixture
    async def destination(self) -> AsyncIterator[Destination]:
        running = NetworkServer()
        await running.start()
        try:
            yield running
        finally:
            await running.stop()
