"""Upstream ``basics-station`` against a network server that knows none of our code."""

import asyncio
import json
import random
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from edge.downlink.gate import DownlinkOutcome, DownlinkRequest
from edge.upstreams import basics_station as module
from edge.upstreams import web_socket
from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamContext
from edge.upstreams.basics_station import (
    QUIET_US,
    BasicsStationOptions,
    BasicsStationUpstream,
    token_headers,
)
from edge.upstreams.station_downlinks import MAX_WAITING
from protocol.records.sensor_frame import SensorFrame, WallTime
from tests.edge.outbox.open_store import StillClock
from tests.edge.upstreams.brokers import free_port
from tests.edge.upstreams.certificates import Authority
from tests.edge.upstreams.conformance import Destination, UpstreamConformance, deliver
from tests.edge.upstreams.cutting_proxy import cutting_proxy
from tests.edge.upstreams.frames import context
from tests.edge.upstreams.lns_server import ROUTER_CONFIG, LnsServer, lns, phy_payload
from tests.protocol.network_server.frames import (
    BOOT,
    EPOCH,
    GATEWAY,
    GPS_US,
    OTHER_BOOT,
    UNIX_US,
    data_up,
    join_request,
    reception,
    sensor_frame,
)
from tests.scale import SCALE

DNMSG: dict[str, Any] = {
    "msgtype": "dnmsg", "DevEui": "70-B3-D5-7E-D0-00-00-01", "dC": 0, "diid": 7, "pdu": "60DA1B",
    "RxDelay": 1, "RX1DR": 3, "RX1Freq": 921_400_000, "RX2DR": 2, "RX2Freq": 921_400_000,
    "priority": 0, "rctx": 0,
}  # fmt: skip


def upstream_at(
    port: int, given: UpstreamContext | None = None, **options: Any
) -> BasicsStationUpstream:
    """Over plain TCP on this host."""
    url = options.pop("url", f"ws://127.0.0.1:{port}")
    return BasicsStationUpstream(BasicsStationOptions(url=url, **options), given or context())


def frame_of(seq: int, **changes: Any) -> SensorFrame:
    """Device and counter say which frame it is."""
    made = {"received_at": WallTime(UNIX_US, 250), **changes}
    return sensor_frame(data_up(0x01000000 + seq, seq), seq, **made)


def count(given: UpstreamContext, metric: str, **labels: str) -> float:
    name = f"lora_edge_network_server_{metric}_total"
    return given.metrics.registry.get_sample_value(name, {"upstream": "city", **labels}) or 0.0


async def until(is_true: object) -> None:
    assert callable(is_true)
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.005)


async def tick_on(upstream: BasicsStationUpstream) -> None:
    """Until that fails."""
    async with asyncio.timeout(20):
        while True:
            await upstream.tick()
            await asyncio.sleep(0.005)


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
            assert message["upinfo"]["gpstime"] == GPS_US
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


class TestConnecting:
    """Discovery, and who may connect."""

    async def test_discovery_says_who_we_are(self) -> None:
        async with lns() as server, upstream_at(server.port):
            assert server.requests == ["16:c001:ff10:a235"]
            [hello] = await server.wait("version")
            assert (hello["protocol"], hello["station"][:9]) == (2, "lora-edge")

    @pytest.mark.parametrize("tail", ["", "/", "/router-info"])
    async def test_url_with_and_without_the_path(self, tail: str) -> None:
        async with lns() as server, upstream_at(0, url=f"ws://127.0.0.1:{server.port}{tail}"):
            assert server.connections == 1

    async def test_where_the_server_is_is_kept_until_that_fails(self) -> None:
        """A second handshake for each reconnect would be paid for on a metered link."""
        async with lns() as server:
            upstream = upstream_at(server.port)
            for _ in range(2):
                async with upstream:
                    pass
            assert (len(server.requests), server.connections) == (1, 2)
        with pytest.raises(TransientUpstreamError):
            await upstream.__aenter__()
        async with lns(port=server.port) as again, upstream:
            assert len(again.requests) == 1

    async def test_a_server_that_does_not_know_us(self) -> None:
        """A person has to register the gateway there."""
        async with lns(discovery='{"router":"::1","error":"unknown gateway"}') as server:
            with pytest.raises(PermanentUpstreamError, match="unknown gateway"):
                await upstream_at(server.port).__aenter__()

    async def test_nobody_listens(self) -> None:
        with pytest.raises(TransientUpstreamError, match=r"127\.0\.0\.1"):
            await upstream_at(free_port()).__aenter__()

    @pytest.mark.parametrize(
        ("status", "kind"),
        [(401, PermanentUpstreamError), (404, PermanentUpstreamError),
         (429, TransientUpstreamError), (503, TransientUpstreamError),
         (200, TransientUpstreamError)],
    )  # fmt: skip
    async def test_no_web_socket(self, status: int, kind: type[Exception]) -> None:
        async def answer(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n".encode())
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            with pytest.raises(kind, match=f"HTTP {status}"):
                await upstream_at(server.sockets[0].getsockname()[1]).__aenter__()

    async def test_a_server_that_says_nothing(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Neither to discovery nor after our hello."""
        monkeypatch.setattr(module, "CONNECT_DEADLINE_S", 0.1)
        async with lns(at_hello=[]) as server:
            with pytest.raises(TransientUpstreamError, match="router_config"):
                await upstream_at(server.port).__aenter__()
        monkeypatch.setattr(web_socket, "CONNECT_DEADLINE_S", 0.1)
        gone = asyncio.Event()

        async def say_nothing(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()
            await writer.wait_closed()
            gone.set()

        silent = await asyncio.start_server(say_nothing, "127.0.0.1", 0)
        async with silent:
            with pytest.raises(TransientUpstreamError, match="no answer"):
                await upstream_at(silent.sockets[0].getsockname()[1]).__aenter__()
            async with asyncio.timeout(20):
                await gone.wait()

    async def test_closed_at_once(self) -> None:
        """As ChirpStack does while it still has our last, half-open connection: back off."""
        async with lns(close_at_once=True) as server:
            with pytest.raises(TransientUpstreamError, match="closed"):
                await upstream_at(server.port).__aenter__()

    async def test_the_socket_does_not_wait_for_a_dead_peer(self) -> None:
        async with lns() as server, upstream_at(server.port) as upstream:
            inner = upstream._open_socket()._socket
            assert inner is not None
            sock = inner.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


class TestTls:
    """Over TLS 1.2 or later, on both connections."""

    @pytest.fixture
    def authority(self, tmp_path: Path) -> Authority:
        return Authority(tmp_path / "ca")

    def server_side(self, authority: Authority, *, mutual: bool = False) -> ssl.SSLContext:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(*authority.issue("server", address="127.0.0.1"))
        if mutual:
            tls.verify_mode = ssl.CERT_REQUIRED
            tls.load_verify_locations(authority.ca_file)
        return tls

    async def test_a_token_and_a_server_that_does_not_know_of_its_tls(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        """It says ``ws`` in discovery; the token goes over TLS all the same."""
        (tmp_path / "token").write_text("s3cret\n")
        async with lns(self.server_side(authority)) as server:
            upstream = upstream_at(
                0,
                url=f"wss://127.0.0.1:{server.port}",
                ca_file=str(authority.ca_file),
                token_file=str(tmp_path / "token"),
            )
            async with upstream:
                await deliver(upstream, [frame_of(1)])
                assert upstream.peer_certificate is not None
            assert [h["Authorization"] for h in server.headers] == ["Bearer s3cret"] * 2

    async def test_a_key_file_without_a_certificate_is_a_token(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        """Files of a Basics Station may be used as they are: tc.trust and tc.key."""
        (tmp_path / "tc.key").write_text("Authorization: Bearer abc\r\nX-Other: 1\r\n")
        async with lns(self.server_side(authority)) as server:
            url = f"wss://127.0.0.1:{server.port}"
            files: dict[str, Any] = {
                "ca_file": str(authority.ca_file),
                "key_file": str(tmp_path / "tc.key"),
            }
            async with upstream_at(0, url=url, **files):
                assert server.headers[-1]["Authorization"] == "Bearer abc"
                assert server.headers[-1]["X-Other"] == "1"

    async def test_mutual_tls(self, authority: Authority) -> None:
        certificate, key = authority.issue(GATEWAY.hex())
        async with lns(self.server_side(authority, mutual=True)) as server:
            url, ca = f"wss://127.0.0.1:{server.port}", str(authority.ca_file)
            pair: dict[str, Any] = {"cert_file": str(certificate), "key_file": str(key)}
            async with upstream_at(0, url=url, ca_file=ca, **pair) as upstream:
                await deliver(upstream, [frame_of(1)])
            with pytest.raises(TransientUpstreamError):
                await upstream_at(0, url=url, ca_file=ca).__aenter__()

    async def test_a_server_that_is_not_to_be_trusted(
        self, authority: Authority, tmp_path: Path
    ) -> None:
        other = Authority(tmp_path / "other")
        async with lns(self.server_side(authority)) as server:
            url = f"wss://127.0.0.1:{server.port}"
            with pytest.raises(PermanentUpstreamError, match="certificate"):
                await upstream_at(0, url=url, ca_file=str(other.ca_file)).__aenter__()

    async def test_files_that_are_away(self, tmp_path: Path) -> None:
        for key in ("token_file", "key_file"):
            with pytest.raises(PermanentUpstreamError):
                await upstream_at(0, None, **{key: str(tmp_path / "away")}).__aenter__()

    @pytest.mark.parametrize("text", ["a b: c", "x\ny", "Authorization: \x00", ": x", "a\x07"])
    def test_token_files_of_no_use(self, text: str) -> None:
        with pytest.raises(PermanentUpstreamError):
            token_headers(text)


class TestUplinks:
    """What is sent, when it counts as delivered, and what is not sent."""

    async def test_times_of_live_and_late_frames(self) -> None:
        """A late frame keeps its GPS time, and carries the ``xtime`` of its delivery."""
        clock = StillClock(now_us=1_000_000_000)
        given = context(clock=clock)
        batch = [
            frame_of(1, received_us=999_000_000),
            frame_of(2, received_us=900_000_000),
            frame_of(3, received_us=999_000_000, boot_id=OTHER_BOOT),
            frame_of(4, received_us=999_000_000, received_at=None),
        ]
        async with lns() as server, upstream_at(server.port, given) as upstream:
            await deliver(upstream, batch)
            infos = [message["upinfo"] for message in server.uplinks()]
        parts = [(x["xtime"] >> 56, x["xtime"] & (2**48 - 1), x["gpstime"]) for x in infos]
        assert parts == [
            (0, 999_000_000, GPS_US),
            (127, 1_000_000_000, GPS_US),
            (127, 1_000_000_000, GPS_US),
            (0, 999_000_000, 0),
        ]
        assert [x["rxtime"] for x in infos] == [UNIX_US / 1e6] * 3 + [0.0]
        assert len({x["xtime"] >> 48 & 0xFF for x in infos}) == 1

    async def test_a_session_outlives_connections_and_processes(self) -> None:
        async with lns() as server:
            for seq in (1, 2):
                async with upstream_at(server.port) as upstream:
                    await deliver(upstream, [frame_of(seq)])
            sessions = {m["upinfo"]["xtime"] >> 48 & 0xFF for m in server.uplinks()}
        assert len(sessions) == 1
        assert sessions != {0}

    async def test_nothing_is_acknowledged_before_the_server_has_read_it(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(web_socket, "ANSWER_DEADLINE_S", 0.2)
        async with lns() as server:
            async with upstream_at(server.port) as upstream:
                await deliver(upstream, [frame_of(1)])
                server.deaf = True
                with pytest.raises(TransientUpstreamError, match="PONG") as caught:
                    await upstream.send([frame_of(2)])
                assert not caught.value.acknowledged
            server.deaf = False

    async def test_passed_over(self) -> None:
        """Counted by reason; nothing of them is sent, and nothing of them is an error."""
        config = {**ROUTER_CONFIG, "NetID": [0], "JoinEui": [[1, 2]]}
        given = context()
        wanted, other = data_up(0x01000001, 1), data_up(0x03000001, 1)
        strange = replace(reception(), bandwidth_hz=62_500)
        batch = [
            sensor_frame(wanted, 1),
            sensor_frame(other, 2),
            sensor_frame(join_request(5), 3),
            sensor_frame(data_up(0x01000002, 1), 4, receptions=(strange,)),
            sensor_frame(b"\xa2\x01\x02\x03\x04", 5),
            sensor_frame(b"\xc0\x00" + bytes(17), 6),
        ]
        async with lns(at_hello=[json.dumps(config)]) as server:
            async with upstream_at(server.port, given) as upstream:
                result = await upstream.send(batch)
            assert [phy_payload(message) for message in server.uplinks()] == [wanted]
        assert {each.seq for each in result.acknowledged} == {1}
        assert {each.seq for each in result.passed_over} == {2, 3, 4, 5, 6}
        assert not result.rejected
        for reason in ("net_id", "join_eui", "data_rate", "not_lorawan", "not_an_uplink"):
            assert count(given, "frames_passed_over", reason=reason) == 1, reason

    async def test_only_what_is_not_carried(self) -> None:
        """No PING then: there is nothing to be read."""
        config = {**ROUTER_CONFIG, "NetID": []}
        hello = [json.dumps(config)]
        async with lns(at_hello=hello) as server, upstream_at(server.port) as upstream:
            result = await upstream.send([frame_of(1)])
        assert (len(result.passed_over), result.sent_bytes) == (1, 0)

    async def test_bytes_are_counted(self) -> None:
        async with lns() as server, upstream_at(server.port) as upstream:
            result = await upstream.send([frame_of(1), frame_of(2)])
            texts = [json.dumps(m, separators=(",", ":")) for m in server.uplinks()]
        assert result.sent_bytes == sum(map(len, texts)) + 2 * 8

    async def test_values_that_a_device_does_not_tell(self) -> None:
        unknown = replace(reception(), rssi_dbm=None, snr_db=None)
        async with lns() as server, upstream_at(server.port) as upstream:
            await deliver(upstream, [frame_of(1, receptions=(unknown,))])
            [message] = server.uplinks()
        assert (message["upinfo"]["rssi"], message["upinfo"]["snr"]) == (-140, 0.0)

    async def test_not_entered(self) -> None:
        with pytest.raises(TransientUpstreamError):
            await upstream_at(0).send([frame_of(1)])
        assert upstream_at(0).peer_certificate is None


class Gate:
    """A transmitter: answers with the next outcome, and waits for its order where that is None."""

    def __init__(self, *outcomes: DownlinkOutcome | None) -> None:
        self.outcomes = list(outcomes)
        self.requests: list[DownlinkRequest] = []

    async def submit(self, request: DownlinkRequest) -> DownlinkOutcome:
        self.requests.append(request)
        outcome = self.outcomes.pop(0)
        if outcome is None:
            await asyncio.Event().wait()
        assert outcome is not None
        return outcome


class TestDownlinks:
    """Through the one gate, and ``dntxed`` only for what was sent."""

    @asynccontextmanager
    async def connected(self, gate: Gate) -> AsyncIterator[tuple[LnsServer, UpstreamContext, int]]:
        """With one uplink delivered, whose ``xtime`` is given."""
        clock = StillClock()
        clock.wall_time = WallTime(UNIX_US, 100)
        given = replace(context(clock=clock), downlinks=gate)
        async with lns() as server, upstream_at(server.port, given) as upstream:
            await deliver(upstream, [frame_of(1)])
            yield server, given, server.uplinks()[0]["upinfo"]["xtime"]

    async def test_sent(self) -> None:
        gate = Gate(DownlinkOutcome.SENT)
        async with self.connected(gate) as (server, given, xtime):
            await server.tell({**DNMSG, "xtime": xtime})
            [told] = await server.wait("dntxed")
        assert told["diid"] == told["seqno"] == 7
        assert (told["DevEui"], told["DR"], told["Freq"]) == (DNMSG["DevEui"], 3, 921_400_000)
        assert told["xtime"] == xtime + 1_000_000
        assert (told["gpstime"], told["txtime"]) == (GPS_US + 1_000_000, UNIX_US / 1e6 + 1)
        assert gate.requests == [
            DownlinkRequest(
                upstream="city",
                payload=bytes.fromhex("60da1b"),
                frequency_hz=921_400_000,
                spreading_factor=9,
                bandwidth_hz=125_000,
                coding_rate="4/5",
                power_dbm=None,
                invert_iq=True,
                at_boottime_us=1_001_000_000,
            )
        ]
        assert count(given, "downlinks", outcome="sent") == 1

    async def test_rx2_when_rx1_is_impossible(self) -> None:
        gate = Gate(DownlinkOutcome.COLLISION, DownlinkOutcome.SENT)
        async with self.connected(gate) as (server, _, xtime):
            await server.tell({**DNMSG, "xtime": xtime})
            [told] = await server.wait("dntxed")
        assert (told["DR"], told["xtime"]) == (2, xtime + 2_000_000)

    async def test_silence_when_nothing_was_sent(self) -> None:
        """As the gate of today answers: nothing may be transmitted."""
        refused = DownlinkOutcome.NOT_ALLOWED
        async with self.connected(Gate(refused, refused)) as (server, given, xtime):
            await server.tell({**DNMSG, "xtime": xtime})
            await until(lambda: count(given, "downlinks", outcome="not_allowed") == 1)
            assert not server.of("dntxed")

    async def test_too_many_at_a_time(self) -> None:
        """They end with the connection; a flood of them ends nothing."""
        gate = Gate(*[None] * MAX_WAITING)
        async with self.connected(gate) as (server, given, xtime):
            for _ in range(MAX_WAITING + 3):
                await server.tell({**DNMSG, "xtime": xtime})
            await until(lambda: count(given, "rejects", reason="too_many") == 3)
            assert len(gate.requests) == MAX_WAITING

    async def test_sent_when_the_server_has_gone(self) -> None:
        """Nobody to tell; that is all."""

        class Leaving(Gate):
            async def submit(self, request: DownlinkRequest) -> DownlinkOutcome:
                await server.hang_up()
                return await super().submit(request)

        gate = Leaving(DownlinkOutcome.SENT)
        async with self.connected(gate) as (server, given, xtime):
            await server.tell({**DNMSG, "xtime": xtime})
            await until(lambda: count(given, "downlinks", outcome="sent") == 1)

    async def test_sent_without_anybody_to_tell(self) -> None:
        async with self.connected(Gate(DownlinkOutcome.SENT)) as (server, given, xtime):
            await server.tell({**DNMSG, "xtime": xtime, "DevEui": "::"})
            await until(lambda: count(given, "downlinks", outcome="sent") == 1)
            assert not server.of("dntxed")


class TestServersWords:
    """Everything else that a server may send."""

    async def test_refused_and_counted(self) -> None:
        given = context()
        async with lns() as server, upstream_at(server.port, given) as upstream:
            await server.tell({"msgtype": "runcmd", "command": "reboot", "arguments": []})
            await server.tell({"msgtype": "rmtsh", "user": "root", "start": 0})
            await server.tell(b"\x00sh")
            await server.tell("{")
            await server.tell({"msgtype": "error", "error": "you are odd"})
            await until(lambda: count(given, "rejects", reason="malformed") == 1)
            await deliver(upstream, [frame_of(1)])
        assert count(given, "rejects", reason="not_allowed") == 2
        assert count(given, "rejects", reason="binary") == 1

    async def test_the_time_is_asked_for(self) -> None:
        clock = StillClock()
        async with lns() as server, upstream_at(server.port, context(clock=clock)) as upstream:
            for _ in range(3):
                await upstream.tick()
            clock.now_us += module.TIME_REQUEST_INTERVAL_US
            await upstream.tick()
            assert [m["txtime"] for m in await server.wait("timesync", 2)] == [
                1_000_000_000,
                1_000_000_000 + module.TIME_REQUEST_INTERVAL_US,
            ]

    async def test_a_quiet_server_is_asked_whether_it_is_there(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        clock = StillClock()
        monkeypatch.setattr(web_socket, "ANSWER_DEADLINE_S", 0.2)
        async with lns() as server, upstream_at(server.port, context(clock=clock)) as upstream:
            await upstream.tick()
            await server.wait("timesync")
            clock.now_us += QUIET_US
            await upstream.tick()
            server.deaf = True
            with pytest.raises(TransientUpstreamError):
                await upstream.send([frame_of(1)])  # the last thing that it takes
            clock.now_us += QUIET_US
            with pytest.raises(TransientUpstreamError, match="PONG"):
                await upstream.tick()
            server.deaf = False

    async def test_a_lost_connection_is_noticed_when_idle(self) -> None:
        async with lns() as server, upstream_at(server.port) as upstream:
            await server.hang_up()
            with pytest.raises(TransientUpstreamError, match="code 1001"):
                await tick_on(upstream)

    async def test_pings_of_the_server_are_answered(self) -> None:
        """It closes the connection otherwise."""
        async with lns(heartbeat_s=0.05) as server, upstream_at(server.port) as upstream:
            await asyncio.sleep(0.25)
            await upstream.tick()
            assert len(server.sockets) == 1

    async def test_configured_anew(self) -> None:
        """Data rates of the new configuration hold at once."""
        async with lns() as server, upstream_at(server.port) as upstream:
            await deliver(upstream, [frame_of(1)])
            await server.tell({**ROUTER_CONFIG, "DRs": [[9, 125, 0]]})
            await server.tell({"msgtype": "runcmd"})
            await upstream.tick()
            await server.wait("timesync")
            await upstream.send([frame_of(2)])
            assert [message["DR"] for message in server.uplinks()] == [3, 0]

    async def test_hostile_bytes_end_a_connection_and_nothing_else(self) -> None:
        """Whatever comes after the handshake, cut as it may be."""
        chance = random.Random(20261125)

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            request = (await reader.readuntil(b"\r\n\r\n")).decode()
            key = next(x for x in request.split("\r\n") if x.startswith("Sec-WebSocket-Key"))
            writer.write(switching_protocols(key.partition(": ")[2]))
            writer.write(chance.choice((b"", b"\x81", b"\x89\x7d", b"\x8a\x08")))
            writer.write(chance.randbytes(chance.randint(0, 80)))
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with server:
            port = server.sockets[0].getsockname()[1]
            for _ in range(50 * SCALE):
                with pytest.raises((TransientUpstreamError, PermanentUpstreamError)):
                    await upstream_at(port).__aenter__()


def switching_protocols(key: str) -> bytes:
    """RFC 6455, section 4.2.2."""
    import base64
    import hashlib

    digest = hashlib.sha1((key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()).digest()
    return (
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Accept: " + base64.b64encode(digest) + b"\r\n\r\n"
    )


def cuts() -> Iterator[int]:
    """After how many bytes the line is cut: all of them at scale."""
    yield from range(0, 2_600, 1 if SCALE > 1 else 41)


@pytest.mark.timeout(120 * SCALE)
@pytest.mark.parametrize("direction", ["up", "down"])
async def test_cut_after_so_many_bytes(direction: str) -> None:
    """The line breaks at any byte: a transient error, and what is owed arrives the next time."""
    async with lns() as server:
        for limit in cuts():
            del server.messages[:]
            frame = frame_of(limit + 1)
            async with cutting_proxy(server.port, direction, limit) as proxy:
                # The server names its own port: the second connection has to take the proxy too.
                server.advertised_port = proxy.port
                upstream = upstream_at(proxy.port)
                try:
                    async with upstream:
                        await upstream.send([frame])
                        acknowledged = True
                except TransientUpstreamError as error:
                    acknowledged = frame.frame_id in error.acknowledged
            server.advertised_port = 0
            if acknowledged:
                assert phy_payload(server.uplinks()[0]) == frame.content.phy_payload
            async with upstream_at(server.port) as healthy:
                await deliver(healthy, [frame])
            assert {phy_payload(m) for m in server.uplinks()} == {frame.content.phy_payload}


def test_boots_of_the_test_differ() -> None:
    assert BOOT != OTHER_BOOT
