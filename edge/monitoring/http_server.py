"""The monitoring endpoint: ``/metrics``, ``/healthz``, ``/readyz`` and a status page at ``/``.

Every bound is fixed here, because this is the one port that strangers may reach: at most
:data:`MAX_CLIENTS` connections, each with one request of at most 8 KiB and 5 s for all of it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from prometheus_client.exposition import choose_encoder

from edge.monitoring.health import Health
from edge.monitoring.http_request import MAX_HEAD_BYTES, Request, RequestError, parse_request
from edge.monitoring.metrics import Metrics
from edge.monitoring.status_page import render_status_page

MAX_CLIENTS = 8
DEADLINE_S = 5.0
_PLAIN = "text/plain; charset=utf-8"

logger = logging.getLogger(__name__)


class ListenError(Exception):
    """The address is in use, not ours, or not an address: worth trying again later."""


@dataclass(frozen=True, slots=True)
class _Response:
    status: HTTPStatus
    body: bytes
    content_type: str = _PLAIN

    def serialize(self, *, head_only: bool = False) -> bytes:
        lines = [
            f"HTTP/1.1 {self.status.value} {self.status.phrase}",
            f"Content-Type: {self.content_type}",
            f"Content-Length: {len(self.body)}",
            "Cache-Control: no-store",
            "X-Content-Type-Options: nosniff",
            # The page shows names from the configuration and the air: no script of theirs runs.
            "Content-Security-Policy: default-src 'none'; style-src 'unsafe-inline'",
            "Connection: close",
        ]
        if self.status is HTTPStatus.METHOD_NOT_ALLOWED:
            lines.append("Allow: GET, HEAD")
        head = "\r\n".join([*lines, "", ""]).encode()
        return head if head_only else head + self.body


def _plain(status: HTTPStatus, text: str = "") -> _Response:
    return _Response(status, f"{text or status.phrase}\n".encode())


class _Endpoint:
    """Answers requests; knows nothing of how many come at once."""

    def __init__(
        self,
        metrics: Metrics,
        health: Health,
        status: Callable[[], dict[str, object]],
        now_us: Callable[[], int],
    ) -> None:
        self._metrics = metrics
        self._health = health
        self._status = status
        self._now_us = now_us

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection, whatever the client does."""
        try:
            async with asyncio.timeout(DEADLINE_S):
                writer.write(await self._exchange(reader))
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, EOFError, TimeoutError):
            # A client that vanished or that is too slow has earned no answer.
            pass
        finally:
            writer.transport.abort()

    async def _exchange(self, reader: asyncio.StreamReader) -> bytes:
        try:
            request = parse_request(await reader.readuntil(b"\r\n\r\n"))
        except asyncio.LimitOverrunError:
            return _plain(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE).serialize()
        except RequestError as error:
            return _plain(error.status).serialize()
        try:
            response = await self._respond(request)
        except Exception:
            # A fault in a page must not end the service that the page is about.
            logger.exception("cannot render %s", request.path)
            response = _plain(HTTPStatus.INTERNAL_SERVER_ERROR)
        return response.serialize(head_only=request.head_only)

    async def _respond(self, request: Request) -> _Response:
        match request.path:
            case "/metrics":
                return await self._render_metrics(request.accept)
            case "/healthz":
                return _verdict("alive", self._health.alive(self._now_us()))
            case "/readyz":
                return _verdict("ready", self._health.ready())
            case "/":
                return self._render_page()
            case _:
                return _plain(HTTPStatus.NOT_FOUND)

    async def _render_metrics(self, accept: str) -> _Response:
        encode, content_type = choose_encoder(accept)
        # Rendering takes milliseconds on a small machine: time that the radios' events would wait.
        body = await asyncio.to_thread(encode, self._metrics.registry)
        return _Response(HTTPStatus.OK, body, content_type)

    def _render_page(self) -> _Response:
        faults = [*self._health.alive(self._now_us()), *self._health.ready()]
        page = render_status_page(self._status(), faults)
        return _Response(HTTPStatus.OK, page.encode(), "text/html; charset=utf-8")


def _verdict(word: str, reasons: list[str]) -> _Response:
    if reasons:
        return _plain(HTTPStatus.SERVICE_UNAVAILABLE, "\n".join([f"not {word}", *reasons]))
    return _plain(HTTPStatus.OK, word)


def parse_listen(listen: str) -> tuple[str, int]:
    """Split ``host:port`` or ``[IPv6]:port``.

    Raises:
        ListenError: it has no host, or no port of 0 to 65535.
    """
    host, _, port = listen.rpartition(":")
    bare_host = host.removeprefix("[").removesuffix("]")
    if not bare_host or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ListenError(f"monitoring: {listen!r} is not host:port")
    return bare_host, int(port)


def _log_url(url: str) -> None:
    logger.info("monitoring listens on %s", url)


async def serve_http(
    listen: str,
    *,
    metrics: Metrics,
    health: Health,
    status: Callable[[], dict[str, object]],
    now_us: Callable[[], int],
    listening: Callable[[str], None] = _log_url,
) -> None:
    """Serve until cancelled; ``listening`` is told the base URL once connections are accepted.

    Args:
        listen: ``host:port``; port 0 lets the system choose.
        status: what ``lora-edge status`` shows; called on the event loop for each page.
        now_us: CLOCK_BOOTTIME in microseconds.

    Raises:
        ListenError: the address cannot be listened on.
    """
    host, port = parse_listen(listen)
    endpoint = _Endpoint(metrics, health, status, now_us)
    clients: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(clients) >= MAX_CLIENTS or not server.is_serving():
            writer.write(_plain(HTTPStatus.SERVICE_UNAVAILABLE, "too many clients").serialize())
            writer.close()
            return
        client = connections.create_task(endpoint.serve(reader, writer), name="monitoring client")
        clients.add(client)
        client.add_done_callback(clients.discard)

    try:
        # Bound before the group begins: the group would wrap the error.
        server = await asyncio.start_server(
            accept, host, port, limit=MAX_HEAD_BYTES, start_serving=False
        )
    except OSError as error:
        raise ListenError(f"monitoring: cannot listen on {listen}: {error.strerror}") from error
    async with asyncio.TaskGroup() as connections:
        try:
            await server.start_serving()
            listening(_base_url(server.sockets[0].getsockname()))
            await asyncio.Event().wait()
        finally:
            # Not wait_closed(): from Python 3.12 on it waits for clients, which end after it.
            server.close()


def _base_url(address: tuple[str, int]) -> str:
    host, port = address[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"
