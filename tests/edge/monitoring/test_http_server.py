"""The endpoint over real sockets: what it answers, and that nobody can hold it."""

import asyncio
import io
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http.client import HTTPMessage, HTTPResponse
from typing import cast

import pytest
from prometheus_client.openmetrics.parser import (
    text_string_to_metric_families as parse_openmetrics,
)
from prometheus_client.parser import text_string_to_metric_families as parse_text
from prometheus_client.registry import Collector

from edge.monitoring import http_server
from edge.monitoring.health import Health
from edge.monitoring.http_server import MAX_CLIENTS, ListenError, parse_listen, serve_http
from edge.monitoring.metrics import Metrics


@dataclass
class Site:
    """A gateway that is ready, and its endpoint's URL."""

    metrics: Metrics = field(default_factory=lambda: Metrics("1.2.3"))
    health: Health = field(default_factory=Health)
    status: Callable[[], dict[str, object]] = lambda: {"version": "1.2.3"}
    now_us: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        self.health.store_works()
        self.health.concentrator_up("roof")

    def show(self) -> dict[str, object]:
        return self.status()

    @property
    def port(self) -> int:
        return int(self.url.rstrip("/").rpartition(":")[2])


@asynccontextmanager
async def serving(site: Site, listen: str = "127.0.0.1:0") -> AsyncIterator[Site]:
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with asyncio.TaskGroup() as group:
        server = group.create_task(
            serve_http(
                listen,
                metrics=site.metrics,
                health=site.health,
                status=site.show,
                now_us=lambda: site.now_us,
                listening=listening.set_result,
            )
        )
        site.url = await listening
        yield site
        server.cancel()


@dataclass
class Answer:
    status: int
    fields: HTTPMessage
    body: bytes
    after_head: bytes


class _Received:
    """Lets the standard library's HTTP client read bytes that were received."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def makefile(self, mode: str) -> io.BytesIO:
        return io.BytesIO(self._data)


def parse_answer(data: bytes, method: str = "GET") -> Answer:
    response = HTTPResponse(cast(socket.socket, _Received(data)), method=method)
    response.begin()
    return Answer(
        response.status, response.headers, response.read(), data.partition(b"\r\n\r\n")[2]
    )


async def exchange(port: int, request: bytes, method: str = "GET") -> Answer:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(request)
    answer = parse_answer(await reader.read(), method)
    writer.close()
    await writer.wait_closed()
    return answer


async def get(site: Site, path: str, *fields: str, method: str = "GET") -> Answer:
    head = "\r\n".join([f"{method} {path} HTTP/1.1", "Host: gateway", *fields, "", ""])
    return await exchange(site.port, head.encode(), method)


async def test_metrics_come_as_text_unless_asked_otherwise() -> None:
    async with serving(Site()) as site:
        site.metrics.frames_merged.inc(7)
        answer = await get(site, "/metrics")

    assert answer.status == 200
    assert answer.fields["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    families = {family.name: family for family in parse_text(answer.body.decode())}
    assert families["lora_edge_frames_merged"].samples[0].value == 7


async def test_metrics_come_as_openmetrics_on_demand() -> None:
    async with serving(Site()) as site:
        site.metrics.frames_merged.inc(7)
        accept = "Accept: application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
        answer = await get(site, "/metrics", accept)

    assert answer.fields["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    parsed = parse_openmetrics(answer.body.decode())  # type: ignore[no-untyped-call]
    families = {family.name: family for family in parsed}
    assert families["lora_edge_frames_merged"].samples[0].value == 7


async def test_the_loop_runs_while_metrics_are_rendered() -> None:
    loop_ran = threading.Event()
    seen: list[bool] = []

    class SlowCollector(Collector):
        def collect(self) -> Iterator[object]:  # type: ignore[override]
            seen.append(loop_ran.wait(timeout=5))
            yield from ()

    async with serving(Site()) as site:
        # Without describe() the registry would collect at once, to learn the names.
        site.metrics.registry._auto_describe = False
        site.metrics.registry.register(SlowCollector())
        async with asyncio.TaskGroup() as group:
            answer = group.create_task(get(site, "/metrics"))
            assert (await get(site, "/healthz")).status == 200
            loop_ran.set()

    assert seen == [True]
    assert answer.result().status == 200


async def test_health_is_503_with_reasons_when_something_is_stuck() -> None:
    async with serving(Site()) as site:
        site.health.beat("writer", 0)
        alive = await get(site, "/healthz")
        site.now_us = 30_000_000
        stuck = await get(site, "/healthz")

    assert (alive.status, alive.body) == (200, b"alive\n")
    assert (stuck.status, stuck.body) == (503, b"not alive\nwriter has not beaten for 30.0 s\n")


async def test_readiness_is_503_with_reasons_while_no_radio_is_up() -> None:
    async with serving(Site()) as site:
        ready = await get(site, "/readyz")
        site.health.concentrator_down("roof", "port lost")
        deaf = await get(site, "/readyz")

    assert (ready.status, ready.body) == (200, b"ready\n")
    assert (deaf.status, deaf.body) == (503, b"not ready\nno radio is up: roof: port lost\n")


async def test_the_page_shows_the_status_and_forbids_scripts() -> None:
    async with serving(Site()) as site:
        site.status = lambda: {"gateway": "<b>cầu Rồng</b>"}
        answer = await get(site, "/?lang=vi")

    assert answer.status == 200
    assert answer.fields["Content-Type"] == "text/html; charset=utf-8"
    assert answer.fields["Content-Security-Policy"].startswith("default-src 'none'")
    assert "&lt;b&gt;cầu Rồng&lt;/b&gt;" in answer.body.decode()


async def test_head_answers_like_get_without_the_body() -> None:
    async with serving(Site()) as site:
        whole = await get(site, "/readyz")
        head = await get(site, "/readyz", method="HEAD")

    assert (head.status, head.after_head) == (200, b"")
    assert head.fields["Content-Length"] == whole.fields["Content-Length"] == "6"


async def test_other_methods_and_paths_are_refused() -> None:
    async with serving(Site()) as site:
        posted = await get(site, "/metrics", method="POST")
        unknown = await get(site, "/favicon.ico")
        nonsense = await exchange(site.port, b"\x00\r\n\r\n")

    assert (posted.status, posted.fields["Allow"]) == (405, "GET, HEAD")
    assert (unknown.status, nonsense.status) == (404, 400)


async def test_a_head_of_more_than_8_kib_is_refused() -> None:
    async with serving(Site()) as site:
        fits = await get(site, "/readyz", "X: " + "x" * 8000)
        too_long = await get(site, "/readyz", "X: " + "x" * 9000)
        endless = await exchange(site.port, b"GET /" + b"x" * 9000)

    assert (fits.status, too_long.status, endless.status) == (200, 431, 431)


async def test_a_client_that_says_nothing_is_cut_off_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "DEADLINE_S", 0.05)
    async with serving(Site()) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        writer.write(b"GET /metrics HT")
        assert await reader.read() == b""
        writer.close()
        assert (await get(site, "/readyz")).status == 200


async def test_a_client_that_does_not_read_is_cut_off_at_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(http_server, "DEADLINE_S", 0.2)
    async with serving(Site()) as site:
        # More than the socket buffers of both ends hold.
        site.status = lambda: {"long": "x" * 20_000_000}
        clients = [
            await asyncio.open_connection("127.0.0.1", site.port) for _ in range(MAX_CLIENTS)
        ]
        for _, writer in clients:
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
        async with asyncio.timeout(30):
            while (await get(site, "/readyz")).status == 503:
                pass
        for reader, writer in clients:
            assert 0 < len(await reader.read()) < 20_000_000
            writer.close()


async def test_one_client_too_many_is_turned_away_until_another_leaves() -> None:
    async with serving(Site()) as site:
        idle = [await asyncio.open_connection("127.0.0.1", site.port) for _ in range(MAX_CLIENTS)]
        refused = await get(site, "/healthz")
        for reader, writer in idle:
            writer.write(b"GET /healthz HTTP/1.1\r\n\r\n")
            assert parse_answer(await reader.read()).status == 200
            writer.close()
        served = await get(site, "/healthz")

    assert (refused.status, refused.body) == (503, b"too many clients\n")
    assert served.status == 200


async def test_a_fault_in_the_status_is_a_500_and_not_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken() -> dict[str, object]:
        raise KeyError("figure")

    async with serving(Site(status=broken)) as site:
        page = await get(site, "/")
        ready = await get(site, "/readyz")

    assert (page.status, ready.status) == (500, 200)
    assert "cannot render /" in caplog.text


async def test_a_port_in_use_is_a_clear_error() -> None:
    async with serving(Site()) as site:
        address = f"127.0.0.1:{site.port}"
        with pytest.raises(ListenError, match=rf"cannot listen on {address}: .*address already"):
            await serve_http(
                address,
                metrics=site.metrics,
                health=site.health,
                status=site.status,
                now_us=lambda: 0,
            )


async def test_it_ends_at_once_although_a_client_is_connected() -> None:
    async with serving(Site()) as site:
        reader, writer = await asyncio.open_connection("127.0.0.1", site.port)
        assert (await get(site, "/healthz")).status == 200

    assert await reader.read() == b""
    writer.close()


async def test_it_listens_on_ipv6_where_told() -> None:
    async with serving(Site(), "[::1]:0") as site:
        assert site.url == f"http://[::1]:{site.port}/"


@pytest.mark.parametrize(
    ("listen", "parsed"), [("0.0.0.0:9464", ("0.0.0.0", 9464)), ("[::1]:0", ("::1", 0))]
)
def test_addresses(listen: str, parsed: tuple[str, int]) -> None:
    assert parse_listen(listen) == parsed


@pytest.mark.parametrize("listen", ["", "9464", ":9464", "localhost", "h:65536", "h:-1", "h:٣"])
def test_what_is_no_address(listen: str) -> None:
    with pytest.raises(ListenError, match="is not host:port"):
        parse_listen(listen)
