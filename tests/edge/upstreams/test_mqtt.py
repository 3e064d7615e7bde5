"""Upstream ``mqtt`` against a real mosquitto, and against a broker that keeps no manners."""

import asyncio
import gc
import json
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import cbor2
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.upstreams import mqtt_connection, mqtt_delivery
from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.mqtt import MqttOptions, MqttUpstream
from edge.upstreams.mqtt_delivery import IN_FLIGHT
from protocol.records.sensor_frame import WallTime
from tests.edge.outbox.open_store import GATEWAY, StillClock
from tests.edge.upstreams.brokers import (
    CONNACK_OK,
    CONNECT,
    PINGREQ,
    PUBLISH,
    Mosquitto,
    Witness,
    broker,
    free_port,
    mosquitto,
    rude,
    witness,
)
from tests.edge.upstreams.certificates import Authority
from tests.edge.upstreams.conformance import Destination, UpstreamConformance, deliver
from tests.edge.upstreams.frames import (
    check_cbor,
    check_json,
    context,
    frame,
    frames,
    ids,
)

PREFIX = f"lora-edge/{GATEWAY.hex()}"
needs_mosquitto = [
    pytest.mark.mosquitto,
    pytest.mark.skipif(mosquitto() is None, reason="NOT RUN: needs Debian package mosquitto"),
]


def upstream_at(port: int, **options: str) -> MqttUpstream:
    """Over plain TCP on this host."""
    return MqttUpstream(
        MqttOptions(url=f"mqtt://127.0.0.1:{port}", **options),  # type: ignore[arg-type]
        context(),
    )


async def until(is_true: object, deadline_s: float = 20.0) -> None:
    """Poll a condition outside this process."""
    assert callable(is_true)
    async with asyncio.timeout(deadline_s):
        while not is_true():
            await asyncio.sleep(0.01)


class Broker(Destination):
    """A mosquitto with a subscriber."""

    def __init__(self, running: Mosquitto, seen: Witness, file_format: str) -> None:
        self.running = running
        self.seen = seen
        self.format = file_format

    def connection(self) -> MqttUpstream:
        return upstream_at(self.running.port, format=self.format)

    async def arrived(self, at_least: int) -> list[str]:
        found = []
        for message in await self.seen.wait("/up/", at_least):
            assert message.topic == f"{PREFIX}/up/flood-1"
            assert not message.retain
            if self.format == "json":
                document = json.loads(message.payload)
                frame_id = check_json(document, document["seq"])
            else:
                document = cbor2.loads(message.payload)
                frame_id = check_cbor(document, document[3])
            assert message.properties == {"frame_id": frame_id}
            found.append(frame_id)
        return found

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.running.stop)
        yield
        await asyncio.to_thread(self.running.start)


class MqttConformance(UpstreamConformance):
    """The kit, over a broker."""

    file_format: str

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Iterator[Destination]:
        with broker(tmp_path) as running, witness(running.port) as seen:
            yield Broker(running, seen, self.file_format)


class TestJson(MqttConformance):
    """JSON messages."""

    pytestmark = needs_mosquitto
    file_format = "json"


class TestCbor(MqttConformance):
    """CBOR messages."""

    pytestmark = needs_mosquitto
    file_format = "cbor"


class TestMosquitto:
    """What only MQTT has."""

    pytestmark = needs_mosquitto

    async def test_state_is_retained_and_told_by_the_last_will(self, tmp_path: Path) -> None:
        """``online`` once connected; ``offline`` by us at a goodbye, by the broker at a cut."""
        with broker(tmp_path) as running, witness(running.port) as seen:
            async with upstream_at(running.port):
                await seen.wait("/state", 1)
            await seen.wait("/state", 2)
            async with upstream_at(running.port) as upstream:
                await seen.wait("/state", 3)
                assert upstream._connection is not None
                sock = upstream._connection._client.socket()
                assert isinstance(sock, socket.socket)
                sock.shutdown(socket.SHUT_RDWR)
                await seen.wait("/state", 4)
                with pytest.raises(TransientUpstreamError):
                    await upstream.tick()
            states = [message.payload for message in seen.of("/state")]
            assert states == [b"online", b"offline"] * 2
            # Retained: who comes later learns it too.
            with witness(running.port, name="late") as late:
                [message] = await late.wait("/state", 1)
            assert (message.payload, message.retain) == (b"offline", True)

    async def test_statistics_and_clock_once_a_minute(self, tmp_path: Path) -> None:
        """The clock only while somebody vouches for it; retained, so that late readers can date."""
        clock = StillClock(now_us=5_000_000)
        with broker(tmp_path) as running, witness(running.port) as seen:
            options = MqttOptions(url=f"mqtt://127.0.0.1:{running.port}")
            async with MqttUpstream(options, context(clock=clock)) as upstream:
                await upstream.tick()
                clock.wall_time = WallTime(1_790_000_000_000_000, 250)
                clock.now_us += 59_000_000
                await upstream.tick()
                assert len(await seen.wait("/stats", 1)) == 1
                clock.now_us += 1_000_000
                await upstream.tick()
            stats = await seen.wait("/stats", 2)
            [anchor] = await seen.wait("/clock", 1)
        assert [json.loads(message.payload) for message in stats] == [{"frames": 7}] * 2
        assert json.loads(anchor.payload) == {
            "boot_id": clock.boot_id.hex(),
            "offset_us": 1_790_000_000_000_000 - 65_000_000,
            "uncertainty_us": 250,
        }

    async def test_topics(self, tmp_path: Path) -> None:
        """By name; else by address; joins by DevEUI; else by radio."""
        named, plain = frame(1), frame(2, device=None)
        addressed = replace(plain, content=replace(plain.content, dev_addr=b"\x01\xa2\xb3\xc4"))
        joining = replace(plain, content=replace(plain.content, dev_eui=bytes(range(8))))
        with broker(tmp_path) as running, witness(running.port) as seen:
            async with upstream_at(running.port) as upstream:
                for one in (named, plain, addressed, joining):
                    await upstream.send([one])
            topics = [message.topic for message in await seen.wait("/up/", 4)]
        names = ["flood-1", "roof-0", "01a2b3c4", "join-0001020304050607"]
        assert topics == [f"{PREFIX}/up/{name}" for name in names]

    async def test_nobody_subscribes(self, tmp_path: Path) -> None:
        """0x10: the broker has thrown the message away, which is no delivery unless one says so."""
        with broker(tmp_path) as running:
            async with upstream_at(running.port) as upstream:
                with pytest.raises(TransientUpstreamError, match="nobody subscribes") as caught:
                    await upstream.send(frames(1, 1))
                assert not caught.value.acknowledged
            options = MqttOptions(url=f"mqtt://127.0.0.1:{running.port}", accept_no_subscriber=True)
            async with MqttUpstream(options, context()) as upstream:
                await deliver(upstream, frames(1, 2))

    async def test_a_forbidden_topic_is_permanent(self, tmp_path: Path) -> None:
        """PUBACK 0x87: a message that looks delivered to whom only counts PUBACKs."""
        acl = tmp_path / "acl"
        acl.write_text(f"topic read #\ntopic write {PREFIX}/state\ntopic write {PREFIX}/up/open\n")
        extra = f"allow_anonymous true\nacl_file {acl}\n"
        with broker(tmp_path, extra) as running, witness(running.port) as seen:
            async with upstream_at(running.port) as upstream:
                opened = [frame(1, device="open")]
                assert len((await upstream.send(opened)).acknowledged) == 1
                with pytest.raises(PermanentUpstreamError, match="0x87") as caught:
                    await upstream.send([frame(2, device="secret")])
                assert not caught.value.acknowledged
            topics = [message.topic for message in await seen.wait("/up/", 1)]
            assert topics == [f"{PREFIX}/up/open"]

    async def test_passwords(self, tmp_path: Path) -> None:
        """A wrong one, none, and a file that is missing need a person; the right one works."""
        users = tmp_path / "users"
        subprocess.run(["mosquitto_passwd", "-c", "-b", str(users), "gateway", "right"], check=True)
        (tmp_path / "right").write_text("right\n")
        (tmp_path / "wrong").write_text("wrong\n")
        extra = f"allow_anonymous false\npassword_file {users}\n"
        with broker(tmp_path, extra) as running:

            async def attempt(name: str, user: str = "gateway") -> None:
                file = str(tmp_path / name) if name else ""
                secret = {"username": user, "password_file": file}
                async with upstream_at(running.port, **secret) as upstream:
                    await upstream.tick()

            await attempt("right")
            for name, user in (("wrong", "gateway"), ("", ""), ("right", "stranger")):
                with pytest.raises(PermanentUpstreamError, match=r"0x8[67]"):
                    await attempt(name, user)
            with pytest.raises(PermanentUpstreamError, match="password file"):
                await attempt("missing")

    async def test_a_second_client_of_our_name_is_noticed(self, tmp_path: Path) -> None:
        """mosquitto 2.0.11 just closes the connection; others tell why (see below)."""
        with broker(tmp_path) as running:
            async with upstream_at(running.port) as first, upstream_at(running.port):
                assert first._connection is not None
                connection = first._connection
                await until(lambda: connection._fault)
                with pytest.raises(UpstreamError):
                    await first.tick()
                with pytest.raises(UpstreamError):
                    await first.send(frames(1, 1))

    async def test_the_session_is_kept(self, tmp_path: Path) -> None:
        """Over a clean goodbye, for a day (MQTT 5.0, section 3.1.2.11.2)."""
        with broker(tmp_path) as running:
            async with upstream_at(running.port):
                pass
            async with upstream_at(running.port):
                pass
            running.stop()
            log = (running.directory / "mosquitto.log").read_text()
        assert log.count(f"as {GATEWAY.hex()}-city (p5, c0, k30)") == 2


# paho leaves the socket of a handshake that failed to the garbage collector.
@pytest.mark.filterwarnings("ignore:unclosed <ssl.SSLSocket:ResourceWarning")
class TestTls:
    """mqtts with certificates made for the test."""

    pytestmark = needs_mosquitto

    @pytest.fixture(autouse=True)
    def _collect(self) -> Iterator[None]:
        yield
        gc.collect()

    @asynccontextmanager
    async def secure(
        self, tmp_path: Path, *, valid_from: datetime | None = None, clients: bool = False
    ) -> AsyncIterator[tuple[Mosquitto, Authority]]:
        authority = Authority(tmp_path / "authority")
        certificate, key = authority.issue("broker", address="127.0.0.1", valid_from=valid_from)
        extra = (
            f"allow_anonymous true\ncafile {authority.ca_file}\n"
            f"certfile {certificate}\nkeyfile {key}\nrequire_certificate {str(clients).lower()}\n"
        )
        with broker(tmp_path, extra) as running:
            yield running, authority

    async def send(self, port: int, host: str = "127.0.0.1", **options: str) -> None:
        url = f"mqtts://{host}:{port}"
        upstream = MqttUpstream(
            MqttOptions(url=url, accept_no_subscriber=True, **options),  # type: ignore[arg-type]
            context(),
        )
        async with upstream:
            await upstream.tick()
            await deliver(upstream, frames(1, 100))

    async def test_frames_arrive(self, tmp_path: Path) -> None:
        async with self.secure(tmp_path) as (running, authority):
            tls = ssl.create_default_context(cafile=str(authority.ca_file))
            with witness(running.port, tls=tls) as seen:
                await self.send(running.port, ca_file=str(authority.ca_file))
                messages = await seen.wait("/up/", 100)
        assert [json.loads(m.payload)["frame_id"] for m in messages] == ids(frames(1, 100))

    async def test_our_own_certificate(self, tmp_path: Path) -> None:
        """Mutual TLS; without ours the broker lets nobody in."""
        async with self.secure(tmp_path, clients=True) as (running, authority):
            ours, key = authority.issue("gateway")
            trust = {"ca_file": str(authority.ca_file)}
            await self.send(running.port, cert_file=str(ours), key_file=str(key), **trust)
            with pytest.raises((TransientUpstreamError, PermanentUpstreamError)):
                await self.send(running.port, **trust)

    async def test_who_is_not_signed_by_our_authority_gets_nothing(self, tmp_path: Path) -> None:
        stranger = Authority(tmp_path / "stranger", "Stranger")
        async with self.secure(tmp_path) as (running, authority):
            with pytest.raises(PermanentUpstreamError, match="certificate"):
                await self.send(running.port, ca_file=str(stranger.ca_file))
            # Neither without a CA file: this authority is not among the system's.
            with pytest.raises(PermanentUpstreamError, match="certificate"):
                await self.send(running.port)
            # Nor under another name than the certificate's.
            with pytest.raises(PermanentUpstreamError, match="Hostname mismatch"):
                await self.send(running.port, "localhost", ca_file=str(authority.ca_file))
            log = (running.directory / "mosquitto.log").read_text()
        assert "New client connected" not in log

    async def test_a_clock_that_was_not_set_yet_is_waited_for(self, tmp_path: Path) -> None:
        """Without a real-time clock every certificate lies in the future until NTP answers."""
        tomorrow = datetime.now(UTC) + timedelta(days=1)
        async with self.secure(tmp_path, valid_from=tomorrow) as (running, authority):
            with pytest.raises(TransientUpstreamError, match="our clock has not been set"):
                await self.send(running.port, ca_file=str(authority.ca_file))

    async def test_certificates_that_cannot_be_read_are_permanent(self, tmp_path: Path) -> None:
        (tmp_path / "rubbish").write_text("no certificate")
        for file in ("missing", "rubbish"):
            with pytest.raises(PermanentUpstreamError, match="certificates: "):
                await self.send(free_port(), ca_file=str(tmp_path / file))


ANSWERS = {CONNECT: CONNACK_OK, PINGREQ: b"\xd0\x00"}


class TestRude:
    """Brokers that answer late, wrongly, or not at all."""

    @pytest.fixture(autouse=True)
    def _short(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The limits themselves, shortened: what is judged is that they exist."""
        monkeypatch.setattr(mqtt_delivery, "ACKNOWLEDGE_TIMEOUT_S", 0.3)
        monkeypatch.setattr(mqtt_connection, "CONNECT_DEADLINE_S", 0.5)

    def test_limits(self) -> None:
        """As the contract has them."""
        assert mqtt_delivery._LATE == "no PUBACK within 15 s"
        assert IN_FLIGHT == 20

    async def test_no_connack(self) -> None:
        async with rude() as server:
            with pytest.raises(TransientUpstreamError, match="no answer in"):
                async with upstream_at(server.port):
                    pass
            await until(lambda: server.connections and not server.open_connections)

    async def test_cancelled_while_a_tls_server_says_nothing(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A stop must not wait for the handshake's deadline."""
        monkeypatch.setattr(mqtt_connection, "CONNECT_DEADLINE_S", 60.0)
        async with rude() as server:
            url = f"mqtts://127.0.0.1:{server.port}"
            upstream = MqttUpstream(MqttOptions(url=url), context())
            connecting = asyncio.ensure_future(upstream.__aenter__())
            await until(lambda: server.open_connections)
            connecting.cancel()
            async with asyncio.timeout(10):
                await asyncio.wait([connecting])
            assert connecting.cancelled()
            await until(lambda: not server.open_connections)

    async def test_no_puback_for_our_greeting(self) -> None:
        async with rude(answers=ANSWERS) as server:
            with pytest.raises(TransientUpstreamError, match="no PUBACK"):
                async with upstream_at(server.port):
                    pass
            await until(lambda: not server.open_connections)

    async def test_no_puback_for_a_frame(self) -> None:
        """Those that had theirs are acknowledged."""
        async with (
            rude(answers=ANSWERS, publish_limit=1 + 1 + 2) as server,
            upstream_at(server.port) as upstream,
        ):
            batch = frames(2, 5)
            await deliver(upstream, frames(1, 1))
            with pytest.raises(TransientUpstreamError, match="no PUBACK") as caught:
                await upstream.send(batch)
            assert caught.value.acknowledged == {one.frame_id for one in batch[:2]}
            with pytest.raises(TransientUpstreamError, match="no PUBACK"):
                await upstream.tick()

    @pytest.mark.parametrize(
        ("code", "reason"), [(0x90, "topic name invalid"), (0x99, "payload format invalid")]
    )
    async def test_codes_that_condemn_the_message(self, code: int, reason: str) -> None:
        """It would be refused for ever, so it is rejected and those behind it go on."""
        async with (
            rude(answers=ANSWERS, publish_limit=99, puback_code=code) as server,
            upstream_at(server.port) as upstream,
        ):
            result = await upstream.send(frames(1, 1))
            assert dict(result.rejected) == {frames(1, 1)[0].frame_id: reason}
            assert not result.acknowledged

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (0x80, TransientUpstreamError),  # unspecified error
            (0x83, TransientUpstreamError),  # implementation specific error
            (0x97, TransientUpstreamError),  # quota exceeded
            (0x87, PermanentUpstreamError),  # not authorised
        ],
    )
    async def test_codes_that_acknowledge_nothing(self, code: int, kind: type[Exception]) -> None:
        async with (
            rude(answers=ANSWERS, publish_limit=99, puback_code=code) as server,
            upstream_at(server.port) as upstream,
        ):
            with pytest.raises(kind, match=f"0x{code:02x}") as caught:
                await upstream.send(frames(1, 1))
            assert isinstance(caught.value, TransientUpstreamError | PermanentUpstreamError)
            assert not caught.value.acknowledged

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (0x84, PermanentUpstreamError),  # unsupported protocol version
            (0x85, PermanentUpstreamError),  # client identifier not valid
            (0x86, PermanentUpstreamError),  # bad user name or password
            (0x8A, PermanentUpstreamError),  # banned
            (0x88, TransientUpstreamError),  # server unavailable
            (0x89, TransientUpstreamError),  # server busy
        ],
    )
    async def test_refused_connections(self, code: int, kind: type[Exception]) -> None:
        refusal = bytes((0x20, 0x03, 0x00, code, 0x00))
        async with rude(answers={CONNECT: refusal}) as server:
            with pytest.raises(kind, match=f"0x{code:02x}"):
                async with upstream_at(server.port):
                    pass

    async def test_a_second_client_of_our_name_ends_the_fight(self) -> None:
        """DISCONNECT 0x8E: taking the session back at once would go on for ever."""
        async with (
            rude(answers=ANSWERS, publish_limit=1) as server,
            upstream_at(server.port) as upstream,
        ):
            server.answers[PUBLISH] = b"\xe0\x01\x8e"
            with pytest.raises(PermanentUpstreamError, match="cloned card"):
                await upstream.send(frames(1, 1))
            with pytest.raises(PermanentUpstreamError, match="cloned card"):
                await upstream.tick()

    async def test_the_brokers_window_is_kept(self) -> None:
        """Receive Maximum 3 (property 0x21, MQTT 5.0, section 3.2.2.3.3)."""
        connack = bytes.fromhex("2006000003210003")
        async with (
            rude(answers={CONNECT: connack}, publish_limit=99) as server,
            upstream_at(server.port) as upstream,
        ):
            assert len((await upstream.send(frames(1, 1))).acknowledged) == 1
            assert upstream.max_batch == 3

    async def test_nobody_is_there(self) -> None:
        with pytest.raises(TransientUpstreamError, match=r"127\.0\.0\.1:"):
            async with upstream_at(free_port()):
                pass

    async def test_a_name_that_does_not_exist(self) -> None:
        """``.invalid`` never does (RFC 6761)."""
        upstream = MqttUpstream(MqttOptions(url="mqtt://broker.invalid"), context())
        with pytest.raises(TransientUpstreamError, match=r"broker\.invalid:1883"):
            async with upstream:
                pass

    async def test_not_connected(self) -> None:
        upstream = upstream_at(1)
        assert upstream.max_batch == 1
        with pytest.raises(TransientUpstreamError, match="not connected"):
            await upstream.send(frames(1, 1))
        with pytest.raises(TransientUpstreamError, match="not connected"):
            await upstream.tick()

    @settings(max_examples=40, deadline=None)
    @given(
        greeting=st.sampled_from([b"", CONNACK_OK]),
        rubbish=st.binary(min_size=1, max_size=60)
        | st.builds(
            lambda kind, body: bytes((kind, len(body))) + body,
            st.integers(0, 255),
            st.binary(max_size=60),
        ),
    )
    def test_bytes_that_are_no_mqtt(self, greeting: bytes, rubbish: bytes) -> None:
        """Whatever comes, it is an error of the upstream's kinds or nothing, and all is closed."""

        async def meet() -> None:
            asyncio.get_running_loop().set_exception_handler(
                lambda _loop, what: unhandled.append(what)
            )
            async with rude(answers={CONNECT: greeting + rubbish}, publish_limit=99) as server:
                try:
                    async with upstream_at(server.port) as upstream:
                        await upstream.tick()
                except (TransientUpstreamError, PermanentUpstreamError):
                    pass
                await until(lambda: not server.open_connections)

        unhandled: list[object] = []
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(mqtt_delivery, "ACKNOWLEDGE_TIMEOUT_S", 0.05)
            patch.setattr(mqtt_connection, "CONNECT_DEADLINE_S", 0.05)
            asyncio.run(meet())
        assert unhandled == []
