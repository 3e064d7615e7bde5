"""Receivers that are not ours: one of the standard library that is strict, one that is rude.

The strict one reads bodies with ``json`` and ``cbor2``, and refuses every request that leaves the
road, with 500, so that a test fails.
"""

import gzip
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from typing import Any

import cbor2

from tests.edge.upstreams.frames import check_cbor, check_json

DEADLINE_S = 20.0


@dataclass(frozen=True)
class Posted:
    """One request as it came."""

    path: str
    headers: dict[str, str]
    body: bytes
    documents: list[Any]

    @property
    def ids(self) -> list[str]:
        """Of its frames, each checked to be the frame it says it is."""
        return [
            check_json(one, one["seq"]) if "seq" in one else check_cbor(one, one[3])
            for one in self.documents
        ]


@dataclass(frozen=True)
class Reply:
    """What to answer."""

    status: int = 200
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass
class Receiver:
    """A server in a thread of its own.

    Attributes:
        answer: decides what each request gets.
        posted: requests that were answered with 2xx.
        seen: all requests.
    """

    answer: Callable[[Posted], Reply] = lambda _posted: Reply()
    tls: ssl.SSLContext | None = None
    port: int = 0
    posted: list[Posted] = field(default_factory=list)
    seen: list[Posted] = field(default_factory=list)
    server: ThreadingHTTPServer | None = None
    thread: threading.Thread | None = None

    def start(self) -> None:
        """Listen, on the same port as before."""
        receiver = self

        class Handler(_Handler):
            owner = receiver

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            connections: set[Any] = set()  # noqa: RUF012 - of this one server

            def get_request(self) -> tuple[Any, Any]:
                connection, address = super().get_request()
                self.connections.add(connection)
                return connection, address

            def handle_error(self, request: Any, client_address: Any) -> None:
                """Clients may go."""

        self.server = Server(("127.0.0.1", self.port), Handler)
        if self.tls is not None:
            self.server.socket = self.tls.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def stop(self) -> None:
        """Stop listening, and close all connections."""
        if self.server is None or self.thread is None:
            return
        self.server.shutdown()
        self.thread.join(DEADLINE_S)
        self.server.server_close()
        for connection in self.server.connections:  # type: ignore[attr-defined]
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()
        self.server = None

    def ids(self) -> list[str]:
        """Of all frames that were taken, repeats included."""
        return [frame_id for posted in list(self.posted) for frame_id in posted.ids]


class _Handler(BaseHTTPRequestHandler):
    owner: Receiver
    protocol_version = "HTTP/1.1"
    timeout = DEADLINE_S

    def do_POST(self) -> None:
        try:
            posted = self._read()
        except (ValueError, KeyError, cbor2.CBORDecodeError) as error:
            self._reply(Reply(500, f"not what was agreed: {error!r}".encode()))
            return
        self.owner.seen.append(posted)
        reply = self.owner.answer(posted)
        if 200 <= reply.status < 300:
            self.owner.posted.append(posted)
        self._reply(reply)

    def _read(self) -> Posted:
        length = int(self.headers["Content-Length"])
        body = self.rfile.read(length)
        headers = {name.lower(): value for name, value in self.headers.items()}
        plain = gzip.decompress(body) if headers.get("content-encoding") == "gzip" else body
        return Posted(self.path, headers, plain, documents(headers["content-type"], plain))

    def _reply(self, reply: Reply) -> None:
        self.send_response(reply.status)
        for name, value in reply.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(reply.body)))
        self.end_headers()
        self.wfile.write(reply.body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


def documents(content_type: str, body: bytes) -> list[Any]:
    """What a body holds, by its content type."""
    match content_type:
        case "application/json":
            document = json.loads(body)
            assert isinstance(document, list)
            return document
        case "application/x-ndjson":
            return [json.loads(line) for line in body.decode().splitlines()]
        case "application/cbor-seq":
            stream = BytesIO(body)
            decoder = cbor2.CBORDecoder(stream)
            found = []
            while stream.tell() < len(body):
                found.append(decoder.decode())
            return found
    raise ValueError(f"unknown content type {content_type}")


@contextmanager
def receiver(**how: Any) -> Iterator[Receiver]:
    """Listening on a port of its own."""
    running = Receiver(**how)
    running.start()
    try:
        yield running
    finally:
        running.stop()


def is_open(port: int) -> bool:
    """Whether something listens on the loopback."""
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    except OSError:
        return False
    return True
