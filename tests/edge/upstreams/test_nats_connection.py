"""What can go wrong on the way to a server: cuts at every byte, silence, lies, and floods."""

import asyncio
import gc
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.upstreams import nats as nats_module
from edge.upstreams import nats_connection, nats_stream, nats_wire
from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.nats import NatsUpstream
from edge.upstreams.nats_options import NatsOptions
from protocol.records.sensor_frame import FrameId
from tests.edge.upstreams.brokers import free_port
from tests.edge.upstreams.frames import context, frames, ids
from tests.edge.upstreams.nats_servers import GREETING, rude, scissors, server, stored
from tests.edge.upstreams.test_nats import needs_nats, upstream_at
from tests.scale import SCALE

STREAM = (
    b'{"config":{"name":"LORA_EDGE","subjects":["lora-edge.>"],"duplicate_window":99999999999999},'
    b'"created":"2026-01-01T00:00:00Z","state":{"last_seq":0}}'
)


async def send_all(upstream: NatsUpstream, count: int) -> set[FrameId]:
    """Connect and send; what was acknowledged although it may have failed."""
    batch = frames(1, count)
    try:
        async with upstream:
            return set((await upstream.send(batch)).acknowledged)
    except TransientUpstreamError as error:
        return set(error.acknowledged)


async def tick_for(upstream: NatsUpstream, deadline_s: float) -> None:
    """As the forwarder does while there are no frames, only more often."""
    async with asyncio.timeout(deadline_s):
        while True:
            await upstream.tick()
            await asyncio.sleep(0.01)


class TestCuts:
    """A line that breaks, anywhere, in front of a real server."""

    pytestmark = needs_nats

    @pytest.mark.parametrize("direction", ["to_client", "to_server"])
    async def test_after_every_byte(self, tmp_path: Path, direction: str) -> None:
        """What is acknowledged is stored; what is sent again is stored once all the same."""
        count = 4
        with server(tmp_path) as running:
            async with scissors(running.port) as relay:
                assert len(await send_all(upstream_at(relay.port), count)) == count
                total = relay.passed[0 if direction == "to_client" else 1]
                assert total > 1_000
                acknowledged: set[FrameId] = set()
                for cut in range(1, total, max(1, 7 // SCALE)):
                    setattr(relay, direction, cut)
                    acknowledged |= await send_all(upstream_at(relay.port), count)
            assert len(await stored(running.port)) == count
        assert {str(each) for each in acknowledged} <= set(ids(frames(1, count)))
        if direction == "to_client":
            assert acknowledged, "no cut came behind an acknowledgement"

    async def test_acknowledgements_that_are_lost(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The server has the frames and we do not know: it tells us when we send them again."""
        monkeypatch.setattr(nats_module, "ACKNOWLEDGE_TIMEOUT_S", 0.3)
        upstream_context = context()
        duplicates = upstream_context.metrics.upstream_frames_duplicate.labels("city")
        with server(tmp_path) as running:
            async with scissors(running.port) as relay:
                options = NatsOptions(url=f"nats://127.0.0.1:{relay.port}")
                upstream = NatsUpstream(options, upstream_context)
                async with upstream:
                    relay.mute = True
                    with pytest.raises(TransientUpstreamError, match="no acknowledgement") as lost:
                        await upstream.send(frames(1, 20))
                assert not lost.value.acknowledged
                assert len(await stored(running.port)) == 20
                relay.mute = False
                assert len(await send_all(upstream, 20)) == 20
            assert len(await stored(running.port)) == 20
        assert duplicates._value.get() == 20


class TestManners:
    """A server that is none, or a bad one."""

    async def test_nobody_listens(self) -> None:
        with pytest.raises(TransientUpstreamError, match="Connect call failed"):
            async with upstream_at(free_port()):
                pass

    async def test_a_name_that_does_not_exist(self) -> None:
        url = "nats://no-such-host.invalid:4222"
        with pytest.raises(TransientUpstreamError, match="no-such-host"):
            async with NatsUpstream(NatsOptions(url=url), context()):
                pass

    async def test_silence_at_the_greeting(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nats_connection, "CONNECT_DEADLINE_S", 0.2)
        for greeting in (b"", GREETING):
            async with rude(greeting=greeting, answers={}) as peer:
                with pytest.raises(TransientUpstreamError, match="no answer in"):
                    async with upstream_at(peer.port):
                        pass

    @pytest.mark.parametrize(
        "greeting",
        [
            b"220 mail.example ESMTP\r\n",
            b"INFO nothing\r\n",
            b"INFO []\r\n",
            b"INFO 7\r\n",
            b"INFO " + b"x" * 200_000,
            b'INFO {"max_payload":"much"}\r\n',
            b'INFO {"connect_urls":7}\r\n',
            b"\xff\xfe\r\n",
        ],
    )
    async def test_no_nats(self, greeting: bytes) -> None:
        """A mail server, for instance."""
        async with rude(greeting=greeting) as peer:
            with pytest.raises(TransientUpstreamError):
                async with upstream_at(peer.port) as upstream:
                    await upstream.send(frames(1, 1))

    @pytest.mark.parametrize(
        ("said", "kind"),
        [
            (b"-ERR 'Authorization Violation'\r\n", PermanentUpstreamError),
            (b"-ERR 'User Authentication Expired'\r\n", PermanentUpstreamError),
            (b"-ERR 'User Authentication Revoked'\r\n", PermanentUpstreamError),
            (b"-ERR 'Account Authentication Expired'\r\n", PermanentUpstreamError),
            (b"-ERR 'Authentication Timeout'\r\n", TransientUpstreamError),
            (b"-ERR 'maximum connections exceeded'\r\n", TransientUpstreamError),
            (b"INFO {}\r\n", TransientUpstreamError),
        ],
    )
    async def test_what_it_says_to_our_login(self, said: bytes, kind: type[UpstreamError]) -> None:
        async with rude(answers={b"PING": said}) as peer:
            with pytest.raises(kind) as caught:
                async with upstream_at(peer.port):
                    pass
        assert type(caught.value) is kind

    async def test_it_ends_our_login_later(self) -> None:
        """A JWT that expires while we are connected is a matter for a person."""
        expired = b"-ERR 'User Authentication Expired'\r\n"
        async with rude(replies=[STREAM]) as peer, upstream_at(peer.port) as upstream:
            peer.answers[b"HPUB"] = expired
            with pytest.raises(PermanentUpstreamError, match=r"(?i)authentication expired"):
                await upstream.send(frames(1, 1))

    async def test_it_never_acknowledges(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Given up after a while; what it did acknowledge before is not sent again."""
        monkeypatch.setattr(nats_module, "ACKNOWLEDGE_TIMEOUT_S", 0.2)
        acknowledged = b'{"stream":"LORA_EDGE","seq":1}'
        async with rude(replies=[STREAM, acknowledged]) as peer, upstream_at(peer.port) as upstream:
            with pytest.raises(TransientUpstreamError, match="no acknowledgement in") as caught:
                await upstream.send(frames(1, 3))
        assert len(caught.value.acknowledged) == 1

    async def test_it_never_answers_about_the_stream(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(nats_stream, "REQUEST_TIMEOUT_S", 0.1)
        async with rude() as peer:
            with pytest.raises(TransientUpstreamError, match=r"no answer to \$JS.API.STREAM.INFO"):
                async with upstream_at(peer.port):
                    pass

    async def test_a_slow_line_is_no_dead_one(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As long as answers go on coming, all is well."""
        monkeypatch.setattr(nats_module, "ACKNOWLEDGE_TIMEOUT_S", 0.2)
        replies = [STREAM, *(b'{"stream":"LORA_EDGE","seq":%d}' % seq for seq in range(1, 6))]
        async with rude(replies=replies, delay_s=0.15) as peer, upstream_at(peer.port) as upstream:
            result = await upstream.send(frames(1, 5))
        assert len(result.acknowledged) == 5

    async def test_another_stream_takes_it(self) -> None:
        """It is stored, but not where the operator wants it, and perhaps not for long."""
        stored_elsewhere = b'{"stream":"OTHER","seq":1}'
        replies = [STREAM, stored_elsewhere]
        async with rude(replies=replies) as peer, upstream_at(peer.port) as upstream:
            with pytest.raises(PermanentUpstreamError, match="stream OTHER takes our subject"):
                await upstream.send(frames(1, 1))

    async def test_a_half_open_link_when_idle(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Pings that nobody answers end the connection; the next tick says so."""
        monkeypatch.setattr(nats_connection, "PING_INTERVAL_S", 0.02)
        async with rude(replies=[STREAM]) as peer, upstream_at(peer.port) as upstream:
            await upstream.tick()
            peer.answers.clear()
            with pytest.raises(TransientUpstreamError, match="stale connection"):
                await tick_for(upstream, 10.0)

    async def test_a_flood(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A message without end is not gathered until the memory is full."""
        monkeypatch.setattr(nats_wire, "MAX_UNHEARD_BYTES", 100_000)
        endless = b"MSG x 1 999999999\r\n" + b"x" * 300_000
        async with rude(replies=[STREAM]) as peer, upstream_at(peer.port) as upstream:
            peer.answers[b"HPUB"] = endless
            with pytest.raises(TransientUpstreamError, match="sends much and answers nothing"):
                await upstream.send(frames(1, 1))

    @given(st.lists(st.sampled_from(list(range(256))), max_size=60).map(bytes))
    @settings(
        max_examples=100 * SCALE,
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )
    async def test_noise_in_place_of_answers(
        self, monkeypatch: pytest.MonkeyPatch, noise: bytes
    ) -> None:
        """Whatever comes, it is one of our errors, and no frame is taken for acknowledged."""
        monkeypatch.setattr(nats_module, "ACKNOWLEDGE_TIMEOUT_S", 0.01)
        async with rude(replies=[STREAM]) as peer, upstream_at(peer.port) as upstream:
            peer.answers[b"HPUB"] = noise + b"\r\n"
            with pytest.raises(UpstreamError) as caught:
                await upstream.send(frames(1, 1))
        assert not caught.value.acknowledged

    async def test_nothing_is_left_behind(self) -> None:
        """No socket and no task, whether it was left well or cancelled while it connected."""
        async with rude(replies=[STREAM] * 20) as peer:
            for steps in range(20):
                connecting = asyncio.ensure_future(upstream_at(peer.port).__aenter__())
                for _ in range(steps):
                    await asyncio.sleep(0)
                connecting.cancel()
                [done], _ = await asyncio.wait([connecting])
                if not done.cancelled() and done.exception() is None:
                    await done.result().__aexit__(None, None, None)
            async with asyncio.timeout(10):
                while peer.open_connections:
                    await asyncio.sleep(0.01)
            del connecting, done
            gc.collect()
            own = {asyncio.current_task()}
            left = [repr(task) for task in asyncio.all_tasks() - own]
            assert not [task for task in left if "nats/aio" in task]

    async def test_the_socket_is_tuned(self) -> None:
        """A half-open link ends although the kernel takes what we write."""
        async with rude(replies=[STREAM]) as peer, upstream_at(peer.port) as upstream:
            assert upstream._connection is not None
            sock = upstream._connection._wire._extra("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000


def test_no_memory_for_what_is_not_used() -> None:
    """aiohttp is there, and is not loaded; it can be afterwards, by who needs it."""
    program = (
        "import sys; import edge.upstreams.nats; print('aiohttp' in sys.modules);"
        "import aiohttp; print(aiohttp.__name__)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True
    )
    assert answer.stdout.split() == ["False", "aiohttp"], answer.stderr


class TestSeveralServers:
    """A cluster."""

    async def test_the_next_one_is_tried(self) -> None:
        """And stays the one until it fails."""
        dead = f"nats://127.0.0.1:{free_port()}"
        async with rude(replies=[STREAM, STREAM]) as peer:
            living = f"nats://127.0.0.1:{peer.port}"
            upstream = NatsUpstream(NatsOptions(url=dead, more_urls=(living,)), context())
            for _ in range(2):
                async with upstream:
                    pass
            assert peer.commands.count(b"CONNECT") == 2

    async def test_all_are_dead(self) -> None:
        """Transient, unless every one of them needs a person."""
        refusing = {"answers": {b"PING": b"-ERR 'Authorization Violation'\r\n"}}
        dead = f"nats://127.0.0.1:{free_port()}"
        async with rude(**refusing) as one, rude(**refusing) as two:
            urls = [f"nats://127.0.0.1:{peer.port}" for peer in (one, two)]
            with pytest.raises(PermanentUpstreamError):
                async with NatsUpstream(NatsOptions(url=urls[0], more_urls=(urls[1],)), context()):
                    pass
            with pytest.raises(TransientUpstreamError, match=r"Authorization.*Connect call failed"):
                async with NatsUpstream(NatsOptions(url=urls[0], more_urls=(dead,)), context()):
                    pass
