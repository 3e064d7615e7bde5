"""Upstream ``http`` against a strict receiver of the standard library."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from edge.upstreams.http_post import HttpOptions, HttpUpstream
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import context
from tests.edge.upstreams.http_servers import DEADLINE_S, Receiver, receiver


def upstream_at(port: int, **options: Any) -> HttpUpstream:
    """Over plain HTTP on this host."""
    return HttpUpstream(HttpOptions(url=f"http://127.0.0.1:{port}/frames", **options), context())


class Strict(Destination):
    """The standard library's server."""

    def __init__(self, running: Receiver, options: dict[str, Any]) -> None:
        self.running = running
        self.options = options

    def connection(self) -> HttpUpstream:
        return upstream_at(self.running.port, **self.options)

    async def arrived(self, at_least: int) -> list[str]:
        async with asyncio.timeout(DEADLINE_S):
            while len(self.running.ids()) < at_least:
                await asyncio.sleep(0.01)
        return self.running.ids()

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        await asyncio.to_thread(self.running.stop)
        yield
        await asyncio.to_thread(self.running.start)


class HttpConformance(UpstreamConformance):
    """The kit, over HTTP."""

    options: ClassVar[dict[str, Any]]

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Iterator[Destination]:
        with receiver() as running:
            yield Strict(running, self.options)


class TestJson(HttpConformance):
    """A JSON array."""

    options: ClassVar[dict[str, Any]] = {"format": "json"}


class TestJsonLines(HttpConformance):
    """JSON lines, compressed."""

    options: ClassVar[dict[str, Any]] = {"format": "json-lines", "compression": "gzip"}


class TestCborSequence(HttpConformance):
    """RFC 8742."""

    options: ClassVar[dict[str, Any]] = {"format": "cbor"}
