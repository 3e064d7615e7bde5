"""Upstream ``chirpstack-mqtt`` against a real mosquitto; chirpstack-api reads what arrives."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt import publish

from edge.downlink.gate import DownlinkGate, DownlinkOutcome, DownlinkRequest
from edge.upstreams.base import TransientUpstreamError
from edge.upstreams.chirpstack_mqtt import ChirpstackMqttOptions, ChirpstackMqttUpstream
from protocol.records.sensor_frame import SensorFrame, WallTime
from tests.edge.outbox.open_store import GATEWAY, StillClock
from tests.edge.upstreams.brokers import Mosquitto, Witness, broker, mosquitto, witness
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import UNIX_US, context
from tests.judges.gw_proto import GwProto, gw_proto
from tests.judges.judge import needs_judges
from tests.protocol.network_server.frames import GPS_US, data_up, join_request, sensor_frame

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


@needs_judges
class TestProtobuf(ChirpstackConformance):
    """Protobuf, the usual encoding."""

    form = "protobuf"


@needs_judges
class TestJson(ChirpstackConformance):
    """JSON."""

    form = "json"


class Gate:
    """Answers downlinks as it was told to; what it was asked stays."""

    def __init__(self, *outcomes: DownlinkOutcome) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[DownlinkRequest] = []

    async def submit(self, request: DownlinkRequest) -> DownlinkOutcome:
        self.requests.append(request)
        return self.outcomes.pop(0)


@pytest.fixture
def judge() -> Iterator[GwProto]:
    with gw_proto() as running:
        yield running


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[Mosquitto, Witness]]:
    with broker(tmp_path) as running, witness(running.port) as seen:
        yield running, seen


def counted(upstream: ChirpstackMqttUpstream, what: str, **labels: str) -> float | None:
    """How often that was counted."""
    context = upstream._context
    return context.metrics.registry.get_sample_value(
        f"lora_edge_network_server_{what}_total", {"upstream": context.name, **labels}
    )


def read(judge: GwProto, name: str, payload: bytes) -> dict[str, Any]:
    verdict = judge.from_bytes(name, payload)
    assert verdict is not None
    return verdict.document


def command(port: int, name: str, payload: bytes) -> None:
    """Published by ChirpStack."""
    publish.single(f"{PREFIX}/command/{name}", payload, qos=1, port=port, hostname="127.0.0.1")


LORA = {"bandwidth": 125_000, "spreadingFactor": 10, "codeRate": "CR_4_5"}


def item(
    timing: dict[str, Any], context: bytes = b"", lora: dict[str, Any] | None = None
) -> dict[str, Any]:
    """One way to send a downlink, as ChirpStack writes it in JSON."""
    inverted = (LORA if lora is None else lora) | {"polarizationInversion": True}
    return {
        "phyPayload": base64.b64encode(b"\x60downlink").decode(),
        "txInfo": {
            "frequency": 921_400_000,
            "power": 16,
            "modulation": {"lora": inverted},
            "timing": timing,
            "context": base64.b64encode(context).decode(),
        },
    }


@needs_judges
class TestChirpStack:
    """What only ChirpStack has; every message of ours is read by the library."""

    async def context_of(
        self, judge: GwProto, seen: Witness, upstream: ChirpstackMqttUpstream
    ) -> bytes:
        """The bytes that come back with the answer to an uplink."""
        await upstream.send(uplinks(1, 1))
        [message] = await seen.wait("/event/up", 1)
        document = read(judge, "UplinkFrame", message.payload)
        return base64.b64decode(document["rxInfo"]["context"])

    async def test_connection_state(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        """ONLINE; OFFLINE by us at a goodbye, and by the broker at a cut; retained."""
        running, seen = server
        async with upstream_at(running.port):
            await seen.wait("/state/conn", 1)
        await seen.wait("/state/conn", 2)
        async with upstream_at(running.port) as upstream:
            await seen.wait("/state/conn", 3)
            assert upstream._connection is not None
            sock = upstream._connection._client.socket()
            assert isinstance(sock, socket.socket)
            sock.shutdown(socket.SHUT_RDWR)
            messages = await seen.wait("/state/conn", 4)
            with pytest.raises(TransientUpstreamError):
                await upstream.tick()
        states = [read(judge, "ConnState", message.payload) for message in messages]
        online = {"gatewayId": GATEWAY.hex(), "state": "ONLINE"}
        assert states == [online, {"gatewayId": GATEWAY.hex()}] * 2
        with witness(running.port, name="late") as late:
            [message] = await late.wait("/state/conn", 1)
        assert message.retain
        assert message.topic == f"{PREFIX}/state/conn"

    async def test_frames_that_are_not_for_it(self, server: tuple[Mosquitto, Witness]) -> None:
        """Private frames and stale joins are passed over, and nothing of them is sent."""
        running, seen = server
        private = sensor_frame(b"\xa2\x01\x02\x03\x04", 1)
        stale = sensor_frame(join_request(7), 2, received_us=900_000_000)
        recent = sensor_frame(join_request(7), 3, received_us=990_000_000)
        async with upstream_at(running.port) as upstream:
            result = await upstream.send([private, stale, recent])
        assert result.passed_over == {private.frame_id, stale.frame_id}
        assert result.acknowledged == {recent.frame_id}
        assert len(await seen.wait("/event/up", 1)) == 1

    async def test_a_strength_that_is_not_known(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        """It is told as one at which no server would answer by this gateway."""
        running, seen = server
        [heard] = uplinks(1, 1)
        unknown = replace(heard.content.receptions[0], rssi_dbm=None)
        async with upstream_at(running.port) as upstream:
            await upstream.send(
                [replace(heard, content=replace(heard.content, receptions=(unknown,)))]
            )
        [message] = await seen.wait("/event/up", 1)
        assert read(judge, "UplinkFrame", message.payload)["rxInfo"]["rssi"] == -140

    async def test_a_frame_that_looks_like_json(self, server: tuple[Mosquitto, Witness]) -> None:
        """ChirpStack takes for JSON whatever holds the text gatewayId; then it shall be JSON."""
        running, seen = server
        payload = data_up(0x0100_0000, 1, b"gatewayId")
        async with upstream_at(running.port) as upstream:
            await upstream.send([sensor_frame(payload, 1)])
        [message] = await seen.wait("/event/up", 1)
        assert base64.b64decode(json.loads(message.payload)["phyPayload"]) == payload

    async def test_a_time_that_is_not_known_is_not_told(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        running, seen = server
        async with upstream_at(running.port) as upstream:
            await upstream.send([sensor_frame(data_up(1, 1), 1, received_us=940_000_000)])
        [message] = await seen.wait("/event/up", 1)
        heard = read(judge, "UplinkFrame", message.payload)["rxInfo"]
        assert not {"gwTime", "timeSinceGpsEpoch"} & heard.keys()
        assert heard["metadata"]["clock"] == "unknown"
        assert heard["metadata"]["replay"] == "1"
        assert heard["metadata"]["hold_ms"] == "60000"

    async def test_statistics_are_of_the_interval(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        """At once, so that the gateway is seen; then each 30 s what was heard since."""
        running, seen = server
        clock = StillClock()
        clock.wall_time = WallTime(UNIX_US, 250)
        radio = {"frequency_hz": 921_400_000, "spreading_factor": 9, "bandwidth_hz": 125_000}
        status: dict[str, Any] = {
            "concentrators": [{"radios": [radio | {"frames": 5}, radio | {"frames": 1}]}]
        }
        given = replace(context(clock=clock), statistics=lambda: status)
        options = ChirpstackMqttOptions(url=f"mqtt://127.0.0.1:{running.port}")
        async with ChirpstackMqttUpstream(options, given) as upstream:
            await upstream.tick()
            status["concentrators"][0]["radios"][0]["frames"] = 12
            clock.now_us += 29_000_000
            await upstream.tick()
            clock.now_us += 1_000_000
            await upstream.tick()
        first, second = [
            read(judge, "GatewayStats", message.payload)
            for message in await seen.wait("/event/stats", 2)
        ]
        about = {
            "gatewayId": GATEWAY.hex(),
            "time": "2026-09-21T14:13:20Z",
            "location": {
                "latitude": 16.0678,
                "longitude": 108.2208,
                "altitude": 12.0,
                "source": "CONFIG",
            },
        }
        assert first == about
        lora = {"bandwidth": 125_000, "spreadingFactor": 9, "codeRate": "CR_4_5"}
        assert second == about | {
            "rxPacketsReceived": 7,
            "rxPacketsReceivedOk": 7,
            "rxPacketsPerFrequency": {"921400000": 7},
            "rxPacketsPerModulation": [{"modulation": {"lora": lora}, "count": 7}],
        }

    @pytest.mark.parametrize("form", ["protobuf", "json"])
    async def test_a_downlink_is_tried_until_one_item_succeeds(
        self, server: tuple[Mosquitto, Witness], judge: GwProto, form: str
    ) -> None:
        """RX1 collides, RX2 is sent, the third is not tried; each has its status."""
        running, seen = server
        gate = Gate(DownlinkOutcome.COLLISION, DownlinkOutcome.SENT)
        async with upstream_at(running.port, gate=gate) as upstream:
            await upstream.tick()
            answered = await self.context_of(judge, seen, upstream)
            items = [item({"delay": {"delay": f"{delay}s"}}, answered) for delay in (1, 2, 3)]
            downlink = {"downlinkId": 77, "gatewayId": GATEWAY.hex(), "items": items}
            verdict = judge.from_json("DownlinkFrame", downlink)
            assert verdict is not None
            payload = verdict.data if form == "protobuf" else json.dumps(downlink).encode()
            command(running.port, "down", payload)
            [message] = await seen.wait("/event/ack", 1)
            clock = upstream._context.clock
            assert isinstance(clock, StillClock)
            clock.now_us += 30_000_000
            await upstream.tick()
            [_, stats] = await seen.wait("/event/stats", 2)
        assert read(judge, "DownlinkTxAck", message.payload) == {
            "gatewayId": GATEWAY.hex(),
            "downlinkId": 77,
            "items": [{"status": "COLLISION_PACKET"}, {"status": "OK"}, {}],
        }
        # Heard at 999 s of CLOCK_BOOTTIME (see uplinks); asked for one and two seconds later.
        assert [request.at_boottime_us for request in gate.requests] == [
            1_000_000_000,
            1_001_000_000,
        ]
        assert gate.requests[0] == DownlinkRequest(
            upstream="city",
            payload=b"\x60downlink",
            frequency_hz=921_400_000,
            spreading_factor=10,
            bandwidth_hz=125_000,
            coding_rate="4/5",
            power_dbm=16.0,
            invert_iq=True,
            at_boottime_us=1_000_000_000,
        )

        sent = read(judge, "GatewayStats", stats.payload)
        assert (sent["txPacketsReceived"], sent["txPacketsEmitted"]) == (1, 1)
        assert sent["txPacketsPerStatus"] == {"COLLISION_PACKET": 1, "OK": 1}
        assert sent["txPacketsPerFrequency"] == {"921400000": 1}

    async def test_without_a_transmitter(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        """The gate is closed; what ChirpStack is told never counts as sent."""
        running, seen = server
        # Contexts are ours alone; one of another boot is made by an upstream of that boot.
        async with upstream_at(running.port, clock=StillClock(boot_id=bytes(16))) as elder:
            foreign = await self.context_of(judge, seen, elder)
        fsk = item({"immediately": {}}) | {}
        fsk["txInfo"] = fsk["txInfo"] | {"modulation": {"fsk": {"datarate": 50_000}}}
        items = [
            item({"immediately": {}}),
            item({"delay": {"delay": "1s"}}, foreign),
            item({"delay": {"delay": "1s"}}, b"not ours"),
            item({"gpsEpoch": {"timeSinceGpsEpoch": "1474035218s"}}),
            fsk,
            item({}),
            item({"immediately": {}}) | {"phyPayload": ""},
            {},
        ]
        async with upstream_at(running.port):
            command(running.port, "down", json.dumps({"items": items}).encode())
            [message] = await seen.wait("/event/ack", 1)
        statuses = [one["status"] for one in read(judge, "DownlinkTxAck", message.payload)["items"]]
        assert statuses == [
            "INTERNAL_ERROR",
            "TOO_LATE",
            "INTERNAL_ERROR",
            "GPS_UNLOCKED",
            *["INTERNAL_ERROR"] * 4,
        ]

    async def test_class_b_by_gps_time(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        """Ten seconds from now by the wall clock are ten seconds by CLOCK_BOOTTIME."""
        running, seen = server
        clock = StillClock()
        clock.wall_time = WallTime(UNIX_US, 250)
        gate = Gate(DownlinkOutcome.TOO_EARLY)
        when = f"{GPS_US // 1_000_000 + 10}s"
        async with upstream_at(running.port, clock=clock, gate=gate) as upstream:
            items = [item({"gpsEpoch": {"timeSinceGpsEpoch": when}})]
            command(running.port, "down", json.dumps({"items": items}).encode())
            [message] = await seen.wait("/event/ack", 1)
        assert [request.at_boottime_us for request in gate.requests] == [clock.now_us + 10_000_000]
        assert read(judge, "DownlinkTxAck", message.payload)["items"] == [{"status": "TOO_EARLY"}]
        assert counted(upstream, "downlinks", outcome="too_early") == 1

    async def test_commands_that_are_refused(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        """Programs are never run, and rubbish costs neither the connection nor the next command."""
        running, seen = server
        async with upstream_at(running.port) as upstream:
            request = judge.from_json(
                "GatewayCommandExecRequest", {"execId": 9, "command": "reboot"}
            )
            assert request is not None
            command(running.port, "config", b"\x08\x01")
            command(running.port, "down", b"\xff" * 50)
            command(running.port, "down", b'{"items":7}')
            command(running.port, "down", b'{"gatewayId":"0000000000000000","items":[{}]}')
            command(running.port, "exec", request.data)
            [message] = await seen.wait("/event/exec", 1)
            await upstream.send(uplinks(1, 1))
        assert read(judge, "GatewayCommandExecResponse", message.payload) == {
            "gatewayId": GATEWAY.hex(),
            "execId": 9,
            "error": "this gateway runs no commands",
        }
        assert not seen.of("/event/ack")
        assert counted(upstream, "rejects", reason="exec") == 1
        assert counted(upstream, "rejects", reason="unsupported") == 1
        assert counted(upstream, "rejects", reason="malformed") == 3

    async def test_more_commands_than_anybody_sends(
        self, server: tuple[Mosquitto, Witness], judge: GwProto
    ) -> None:
        """What is too much is dropped, what was taken is answered, and frames go on."""
        running, seen = server
        async with upstream_at(running.port) as upstream:
            messages: list[Any] = [
                (f"{PREFIX}/command/down", json.dumps({"downlinkId": n, "items": [{}]}), 1, False)
                for n in range(1, 301)
            ]
            await asyncio.to_thread(
                publish.multiple, messages, hostname="127.0.0.1", port=running.port
            )
            await upstream.send(uplinks(1, 1))
            await seen.wait("/event/up", 1)
            answered = await seen.wait("/event/ack", 1)
        numbers = [read(judge, "DownlinkTxAck", one.payload)["downlinkId"] for one in answered]
        assert len(set(numbers)) == len(numbers)

    async def test_prefix(self, server: tuple[Mosquitto, Witness]) -> None:
        running, seen = server
        async with upstream_at(running.port, topic_prefix="site/eu868"):
            [message] = await seen.wait("/state/conn", 1)
        assert message.topic == f"site/eu868/gateway/{GATEWAY.hex()}/state/conn"

    async def test_not_connected(self) -> None:
        upstream = upstream_at(1)
        with pytest.raises(TransientUpstreamError, match="not connected"):
            await upstream.send(uplinks(1, 1))
        with pytest.raises(TransientUpstreamError, match="not connected"):
            await upstream.tick()
