"""nats-py's client, and the transport that we put under it.

The transport is where we keep what nats-py leaves open: sockets that notice a half-open link, no
password over a line that was to be secret, a bound for what a server may send, a count of bytes.
"""

import asyncio
import ssl
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import ParseResult

from edge.upstreams.base import PermanentUpstreamError
from edge.upstreams.sockets import tune


@contextmanager
def _hidden(module: str) -> Iterator[None]:
    """Let imports of a module fail, unless it is loaded already."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules[module]


# nats-py imports aiohttp whenever it can: 8 MiB for websockets, which we do not use. All of nats-py
# that we need is imported here, so that this comes first.
with _hidden("aiohttp"):
    from nats.aio.client import Client
    from nats.aio.msg import Msg
    from nats.aio.subscription import Subscription
    from nats.aio.transport import TcpTransport

_ALERT_MARGIN_S = 0.05
MAX_UNHEARD_BYTES = 4_000_000
"""So much may come without one answer in it; nats-py would gather it without end."""


class _SecretProtocol(asyncio.StreamReaderProtocol):
    """Over TLS a connection is not open in one direction only; asyncio warns of who says so."""

    def eof_received(self) -> bool:
        """Let the transport close itself."""
        super().eof_received()
        return False


class Wire(TcpTransport):
    """One TCP connection, with TLS after the server's greeting if it is ``secure``.

    ``lost`` is told how it ended: nats-py forgets to say so if it had more to write.

    Attributes:
        sent_bytes: what was handed to the socket so far.
        unheard_bytes: what came since somebody set this to 0.
        greeting: the server's INFO line.
        is_secret: TLS is spoken.
    """

    def __init__(self, *, secure: bool, lost: Callable[[Exception], None]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._lost = lost
        self.sent_bytes = 0
        self.unheard_bytes = 0
        self.greeting = b""
        self.is_secret = False
        self._plain_allowed = not secure

    def __bool__(self) -> bool:
        """The client makes a transport of its own in place of one that says False."""
        return True

    async def connect(self, uri: ParseResult, buffer_size: int, connect_timeout: int) -> None:
        """Open the connection, and have the kernel notice when the other end is gone."""
        await super().connect(uri, buffer_size, connect_timeout)
        tune(self._extra("socket"))

    async def connect_tls(
        self,
        uri: str | ParseResult,
        ssl_context: ssl.SSLContext,
        buffer_size: int,
        connect_timeout: int,
    ) -> None:
        """Go on with TLS, as the server's greeting demands.

        Raises:
            PermanentUpstreamError: the URL says that we do not.
        """
        if self._plain_allowed:
            raise PermanentUpstreamError("the server demands TLS: write tls:// in url")
        assert self._io_writer is not None
        host = uri if isinstance(uri, str) else uri.hostname
        loop = asyncio.get_running_loop()
        started_at = loop.time()
        # A reader of its own: what came in the clear before must not be taken for secret.
        reader = asyncio.StreamReader(buffer_size)
        protocol = _SecretProtocol(reader)
        transport = await loop.start_tls(
            self._io_writer.transport,
            protocol,
            ssl_context,
            server_hostname=host,
            ssl_handshake_timeout=connect_timeout,
        )
        if transport is None:
            raise ConnectionResetError("closed in the TLS handshake")
        reader.set_transport(transport)
        self._io_reader = reader
        self._io_writer = asyncio.StreamWriter(transport, protocol, reader, loop)
        self._plain_allowed = True
        self.is_secret = True
        await self._hear_alert(loop.time() - started_at + _ALERT_MARGIN_S)

    async def _hear_alert(self, round_trip_s: float) -> None:
        """Wait for what the server says about our certificate; with TLS 1.3 that comes afterwards.

        It hangs up then, and if it had more of us unread, the reset would destroy its alert.
        """
        assert self._io_reader is not None
        await asyncio.sleep(round_trip_s)
        if (error := self._io_reader.exception()) is not None:
            raise error

    def write(self, payload: bytes) -> None:
        """Send.

        Raises:
            PermanentUpstreamError: the server wants it in the clear, and the URL says TLS.
        """
        if not self._plain_allowed:
            raise PermanentUpstreamError("the server has no TLS, so we tell it nothing")
        self.sent_bytes += len(payload)
        super().write(payload)  # type: ignore[no-untyped-call]

    def writelines(self, payload: list[bytes]) -> None:
        """Send all of them, in one piece."""
        self.write(b"".join(payload))

    async def readline(self) -> bytes:
        """A line of the greeting; the first one is INFO."""
        line: bytes = await super().readline()  # type: ignore[no-untyped-call]
        self.greeting = self.greeting or line
        return line

    async def read(self, buffer_size: int) -> bytes:
        """What has come.

        Raises:
            ConnectionError: too much has, and no answer was in it.
        """
        try:
            received: bytes = await super().read(buffer_size)
            self.unheard_bytes += len(received)
            if self.unheard_bytes > MAX_UNHEARD_BYTES:
                raise ConnectionError("the server sends much and answers nothing")
        except OSError as error:
            self._lost(error)
            raise
        if not received:
            self._lost(ConnectionError("the server closed the connection"))
        return received

    async def drain(self) -> None:
        """Wait until the socket has taken most of it."""
        try:
            await super().drain()  # type: ignore[no-untyped-call]
        except OSError as error:
            self._lost(error)
            raise

    @property
    def peer_certificate(self) -> bytes | None:
        """The server's, in DER; None without TLS."""
        secure = self._extra("ssl_object")
        return None if secure is None else secure.getpeercert(binary_form=True)

    def abort(self) -> None:
        """Close at once; what was not sent is not."""
        if self._io_writer is not None:
            self._io_writer.transport.abort()

    def _extra(self, name: str) -> Any:
        return None if self._io_writer is None else self._io_writer.get_extra_info(name)


def client_on(wire: Wire, public_key: str | None) -> Client:
    """A client that will use this transport, and names this nkey.

    Both are private to nats-py: it makes its transport itself, and takes an nkey only by a package
    that signs, which we have no need of. A test with a real server holds both.
    """
    client = Client()
    client._transport = wire  # noqa: SLF001
    client._public_nkey = public_key  # noqa: SLF001
    return client


def end(subscription: Subscription) -> None:
    """Stop the task that nats-py runs for it, which would outlive a connection that broke."""
    subscription._stop_processing()  # noqa: SLF001


__all__ = ["Client", "Msg", "Subscription", "Wire", "client_on", "end"]
