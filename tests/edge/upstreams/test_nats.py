"""Upstream ``nats`` against a real nats-server, and against a server that keeps no manners."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from hashlib import blake2b
from pathlib import Path
from typing import Any

import cbor2
import pytest

from edge.config.faults import ConfigError
from edge.upstreams.base import TransientUpstreamError
from edge.upstreams.nats import NatsUpstream
from edge.upstreams.nats_options import NatsOptions
from protocol.records.sensor_frame import SensorFrame
from tests.edge.config.texts import load
from tests.edge.outbox.open_store import GATEWAY
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import check_cbor, check_json, context, frame, frames, ids
from tests.edge.upstreams.nats_servers import (
    DEADLINE_S,
    Message,
    NatsServer,
    nats_server,
    scissors,
    server,
    stored,
)

SUBJECT = f"lora-edge.{GATEWAY.hex()}.up.flood-1"
needs_nats = [
    pytest.mark.nats,
    pytest.mark.skipif(nats_server() is None, reason="NOT RUN: needs Debian package nats-server"),
]


def upstream_at(port: int, **options: Any) -> NatsUpstream:
    """Over plain TCP on this host."""
    return NatsUpstream(NatsOptions(url=f"nats://127.0.0.1:{port}", **options), context())


class JetStream(Destination):
    """A nats-server, and what stands in its stream."""

    knows_repeats = True

    def __init__(self, running: NatsServer, file_format: str) -> None:
        self.running = running
        self.format = file_format

    def connection(self) -> NatsUpstream:
        return upstream_at(self.running.port, format=self.format)

    async def arrived(self, at_least: int) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            while len(messages := await stored(self.running.port)) < at_least:
                await asyncio.sleep(0.01)
        found = []
        for message in messages:
            assert message.subject == SUBJECT
            if self.format == "json":
                document = json.loads(message.payload)
                frame_id = check_json(document, document["seq"])
            else:
                document = cbor2.loads(message.payload)
                frame_id = check_cbor(document, document[3])
            assert message.headers == {"Nats-Msg-Id": frame_id}
            found.append(frame_id)
        return found

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.running.stop)
        yield
        await asyncio.to_thread(self.running.start)


class NatsConformance(UpstreamConformance):
    """The kit, over a server."""

    file_format: str

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Iterator[Destination]:
        with server(tmp_path) as running:
            yield JetStream(running, self.file_format)


class TestJson(NatsConformance):
    """JSON messages."""

    pytestmark = needs_nats
    file_format = "json"


class TestCbor(NatsConformance):
    """CBOR messages."""

    pytestmark = needs_nats
    file_format = "cbor"


class TestMessages:
    """What stands in the stream."""

    pytestmark = needs_nats

    async def test_subjects(self, tmp_path: Path) -> None:
        """By name; else by address; joins by DevEUI; else by radio, however it is called."""
        named, plain = frame(1), frame(2, device=None)
        hostile = replace(plain.content.receptions[0], concentrator="a.b >*\r\nPUB x 0")
        senders: list[dict[str, Any]] = [
            {"dev_addr": b"\x01\xa2\xb3\xc4"},
            {"dev_eui": bytes(range(8))},
            {},
            {"receptions": (hostile,)},
        ]
        batch = [named, *(changed(plain, seq, **how) for seq, how in enumerate(senders, 2))]
        with server(tmp_path) as running:
            async with upstream_at(running.port) as upstream:
                assert len((await upstream.send(batch)).acknowledged) == 5
            messages = await stored(running.port)
        prefix = f"lora-edge.{GATEWAY.hex()}.up"
        hostile_token = "a%2Eb%20%3E%2A%0D%0APUB%20x%200-0"
        names = ["flood-1", "01a2b3c4", "join-0001020304050607", "roof-0", hostile_token]
        assert [message.subject for message in messages] == [f"{prefix}.{name}" for name in names]

    async def test_network_wide_ids(self, tmp_path: Path) -> None:
        """Of a LoRaWAN uplink that two gateways heard one message stays; of private frames both."""
        uplink = changed(frame(1), 1, message_type="unconfirmed_data_up")
        theirs = replace(uplink, frame_id=uplink.frame_id._replace(gateway=bytes(8)))
        private, other = frame(2), frame(3)
        other = replace(other, content=private.content)
        with server(tmp_path) as running:
            async with upstream_at(running.port, message_id="uplink_id") as upstream:
                result = await upstream.send([uplink, private, theirs, other])
                assert len(result.acknowledged) == 4
            messages = await stored(running.port)
        correlation = blake2b(uplink.content.phy_payload, digest_size=16).hexdigest()
        ids = [message.headers["Nats-Msg-Id"] for message in messages]
        assert ids == [correlation, str(private.frame_id), str(other.frame_id)]

    async def test_the_largest_message(self, tmp_path: Path) -> None:
        """One byte over the server's limit is rejected by itself; the server would hang up."""
        large, small = changed(frame(1), 1, phy_payload=bytes(250)), frame(2)
        with server(tmp_path) as running:
            async with upstream_at(running.port) as upstream:
                await upstream.send([large])
        [message] = await stored_after_restart(running)
        size = len(message.payload) + len(f"NATS/1.0\r\nNats-Msg-Id: {large.frame_id}\r\n\r\n")
        for limit in (size, size - 1):
            (tmp_path / str(limit)).mkdir()
            with server(tmp_path / str(limit), f"max_payload: {limit}\n") as running:
                async with upstream_at(running.port) as upstream:
                    result = await upstream.send([large, small])
                assert result.acknowledged >= {small.frame_id}
                assert len(result.acknowledged) == (2 if limit == size else 1)
                reasons = [f"{size} bytes, and the server takes {limit} (max_payload)"]
                assert list(result.rejected.values()) == (reasons if limit < size else [])

    async def test_sent_bytes(self, tmp_path: Path) -> None:
        """About what goes over the line: for those who pay by the byte."""
        with server(tmp_path) as running:
            async with scissors(running.port) as relay, upstream_at(relay.port) as upstream:
                before = relay.passed[1]
                result = await upstream.send(frames(1, 10))
                assert result.sent_bytes == relay.passed[1] - before

    async def test_a_kill_in_a_large_batch(self, tmp_path: Path) -> None:
        """What was acknowledged before is in the stream afterwards, and is not sent again."""
        batch = frames(1, 2_000)
        with server(tmp_path) as running:
            async with upstream_at(running.port, in_flight=2_000) as upstream:
                assert upstream.max_batch == 2_000
                sending = asyncio.ensure_future(upstream.send(batch))
                assert upstream._connection is not None
                while upstream._connection.sent_bytes < 500_000 and not sending.done():
                    await asyncio.sleep(0)
                running.kill()
                with pytest.raises(TransientUpstreamError) as caught:
                    await sending
            await asyncio.sleep(0)
            assert not [task for task in asyncio.all_tasks() if "nats/aio" in repr(task)]
            await asyncio.to_thread(running.start)
            known = await stored(running.port)
            acknowledged = {str(each) for each in caught.value.acknowledged}
            assert acknowledged <= {message.headers["Nats-Msg-Id"] for message in known}
            async with upstream_at(running.port, in_flight=2_000) as upstream:
                await upstream.send(batch)
            everything = [message.headers["Nats-Msg-Id"] for message in await stored(running.port)]
        assert everything == ids(batch)


def changed(whole: SensorFrame, seq: int, **content: Any) -> SensorFrame:
    """The same frame with another number and content."""
    frame_id = whole.frame_id._replace(seq=seq)
    return replace(whole, frame_id=frame_id, content=replace(whole.content, **content))


async def stored_after_restart(running: NatsServer) -> list[Message]:
    """What a stopped server has kept."""
    await asyncio.to_thread(running.start)
    try:
        return await stored(running.port)
    finally:
        await asyncio.to_thread(running.stop)


CONFIG = """
[gateway]
region = "AS923-2"
[[upstream]]
name = "city"
kind = "nats"
url = "tls://nats.example:4222"
"""


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ('subject = "lora.*.{device}"', "upstream.city.subject"),
        ('subject = "lora.up"', "{device} as one of its tokens"),
        ('stream = "a.b"', "upstream.city.stream"),
        ('inbox_prefix = "_INBOX.>"', "upstream.city.inbox_prefix"),
        ('domain = "a.b"', "upstream.city.domain"),
        ('duplicate_window = "soon"', "must be a duration"),
        ("in_flight = 0", "at least 1"),
        ('username = "g"', "username and password_file belong together"),
        ('token_file = "/t"\nnkey_file = "/n"', "only one of username, token_file"),
        ('more_urls = ["nats://b:4222"]', "must begin alike"),
        ('more_urls = ["ftp://b"]', "must begin with nats:// or tls://"),
        ('more_urls = ["tls://u:p@b"]', "must not hold a password"),
    ],
)
def test_what_check_config_refuses(keys: str, words: str) -> None:
    """At the start, with the key: not an hour later on the roof."""
    with pytest.raises(ConfigError) as caught:
        load(CONFIG + keys + "\n")
    assert any(words in str(fault) for fault in caught.value.faults), caught.value.faults


def test_a_certificate_needs_tls() -> None:
    with pytest.raises(ConfigError) as caught:
        load(CONFIG.replace("tls://", "nats://") + 'cert_file = "/c"\n')
    assert any("needs a url that begins with tls://" in str(f) for f in caught.value.faults)


def test_the_defaults_are_read() -> None:
    [upstream] = load(CONFIG).config.upstreams
    assert upstream.options == NatsOptions(url="tls://nats.example:4222")
