"""Upstream ``chirpstack-mqtt`` against a real mosquitto; chirpstack-api reads what arrives."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edge.downlink.gate import DownlinkGate
from edge.upstreams.chirpstack_mqtt import ChirpstackMqttOptions, ChirpstackMqttUpstream
from protocol.records.sensor_frame import SensorFrame, WallTime
from tests.edge.outbox.open_store import GATEWAY, StillClock
from tests.edge.upstreams.brokers import Mosquitto, Witness, broker, mosquitto, witness
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import UNIX_US, context
from tests.judges.gw_proto import GwProto, gw_proto, needs_chirpstack_api
from tests.protocol.network_server.frames import GPS_US, data_up, sensor_frame

PREFIX = f"as923_2/gateway/{GATEWAY.hex()}"
pytestmark = [
    pytest.mark.mosquitto,
    pytest.mark.skipif(mosquitto() is None, reason="NOT RUN: needs Debian package mosquitto"),
]


def uplinks(first: int, count: int) -> list[SensorFrame]:
    """Each of another device, heard a second ago by a clock that is known."""
    return [
        sensor_frame(
            data_up(0x0100_0000 + seq, seq),
            seq,
            received_us=999_000_000,
            received_at=WallTime(UNIX_US, 250),
        )
        for seq in range(first, first + count)
    ]


def upstream_at(
    port: int, *, clock: StillClock | None = None, gate: DownlinkGate | None = None, **options: Any
) -> ChirpstackMqttUpstream:
    """Over plain TCP on this host."""
    given = context(clock=clock)
    if gate is not None:
        given = replace(given, downlinks=gate)
    url = f"mqtt://127.0.0.1:{port}"
    return ChirpstackMqttUpstream(ChirpstackMqttOptions(url=url, **options), given)


class ChirpStack(Destination):
    """A mosquitto with a subscriber, and the library that ChirpStack's own tools read with."""

    def __init__(self, running: Mosquitto, seen: Witness, judge: GwProto, form: str) -> None:
        self.running = running
        self.seen = seen
        self.judge = judge
        self.form = form

    def connection(self) -> ChirpstackMqttUpstream:
        return upstream_at(self.running.port, format=self.form)

    def frames(self, first: int, count: int) -> list[SensorFrame]:
        return uplinks(first, count)

    async def arrived(self, at_least: int) -> list[str]:
        messages = await self.seen.wait("/event/up", at_least)
        assert {message.topic for message in messages} == {f"{PREFIX}/event/up"}
        return [self.check(message.payload) for message in messages]

    def check(self, payload: bytes) -> str:
        """It is the frame that it says it is."""
        if self.form == "json":
            assert b"gatewayId" in payload, "ChirpStack would take it for protobuf"
            document = json.loads(payload)
        else:
            assert b"gatewayId" not in payload, "ChirpStack would take it for JSON"
            verdict = self.judge.from_bytes("UplinkFrame", payload)
            assert verdict is not None
            document = verdict.document
        heard = document["rxInfo"]
        frame_id = heard["metadata"]["frame"]
        assert isinstance(frame_id, str)
        seq = int(frame_id.rpartition("-")[2])
        phy_payload = base64.b64decode(document["phyPayload"])
        assert phy_payload == data_up(0x0100_0000 + seq, seq)
        assert document["txInfo"] == {
            "frequency": 921_400_000,
            "modulation": {
                "lora": {"bandwidth": 125_000, "spreadingFactor": 9, "codeRate": "CR_4_5"}
            },
        }
        assert heard["gatewayId"] == GATEWAY.hex()
        assert heard["uplinkId"] == seq
        assert heard["gwTime"] == "2026-09-21T14:13:20Z"
        assert heard["timeSinceGpsEpoch"] == f"{GPS_US // 1_000_000}s"
        assert (heard["rssi"], heard["snr"], heard["crcStatus"]) == (-97, 7.5, "CRC_OK")
        assert heard["location"] == {
            "latitude": 16.0678,
            "longitude": 108.2208,
            "altitude": 12.0,
            "source": "CONFIG",
        }
        assert heard["metadata"]["hold_ms"] == "1000"
        return frame_id

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.running.stop)
        yield
        await asyncio.to_thread(self.running.start)


class ChirpstackConformance(UpstreamConformance):
    """The kit, over a broker."""

    form: str

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Iterator[Destination]:
        with broker(tmp_path) as running, witness(running.port) as seen, gw_proto() as judge:
            yield ChirpStack(running, seen, judge, self.form)


@needs_chirpstack_api
class TestProtobuf(ChirpstackConformance):
    """Protobuf, the usual encoding."""

    form = "protobuf"


@needs_chirpstack_api
class TestJson(ChirpstackConformance):
    """JSON."""

    form = "json"
