"""Upstream ``semtech-udp`` against a server written by hand."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from edge.upstreams.semtech_udp import SemtechUdpOptions, SemtechUdpUpstream
from protocol.records.sensor_frame import SensorFrame, WallTime
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import context
from tests.edge.upstreams.gwmp_server import GwmpServer, gwmp_server
from tests.protocol.network_server.frames import EPOCH, GATEWAY, UNIX_US, data_up, sensor_frame

DATED = WallTime(UNIX_US, 250)


class Server(Destination):
    """The hand-written server: a frame's number is its device and its counter."""

    def __init__(self, server: GwmpServer) -> None:
        self.server = server

    def connection(self) -> SemtechUdpUpstream:
        options = SemtechUdpOptions(
            url=f"udp://127.0.0.1:{self.server.port}", acknowledge_timeout_s=1.0
        )
        return SemtechUdpUpstream(options, context())

    def frames(self, first: int, count: int) -> list[SensorFrame]:
        return [
            sensor_frame(data_up(0x01000000 + seq, seq), seq, received_at=DATED)
            for seq in range(first, first + count)
        ]

    async def arrived(self, at_least: int) -> list[str]:
        await self.server.wait(lambda: len(self.server.rxpk()) >= at_least)
        found = []
        for report, payload in zip(self.server.rxpk(), self.server.payloads(), strict=True):
            seq = int.from_bytes(payload[6:8], "little")
            assert payload == data_up(0x01000000 + seq, seq)
            assert report["freq"] == 921.4
            assert report["time"] == "2026-09-21T14:13:20.000000Z"
            found.append(f"{GATEWAY.hex()}-{EPOCH.hex()}-{seq}")
        assert self.server.gateways == {GATEWAY}
        return found

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """The server is there and says nothing."""
        self.server.answers = False
        yield
        self.server.answers = True


class TestConformance(UpstreamConformance):
    """As every upstream."""

    @pytest.fixture
    async def destination(self) -> AsyncIterator[Destination]:
        async with gwmp_server() as server:
            yield Server(server)
