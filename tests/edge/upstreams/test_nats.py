"""Upstream ``nats`` against a real nats-server, and against a server that keeps no manners."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import cbor2
import pytest

from edge.upstreams.nats import NatsUpstream
from edge.upstreams.nats_options import NatsOptions
from tests.edge.outbox.open_store import GATEWAY
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import check_cbor, check_json, context
from tests.edge.upstreams.nats_servers import DEADLINE_S, NatsServer, nats_server, server, stored

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
