"""One WebSocket connection that tells when the other end has read what we sent.

aiohttp as a client, with every bound and deadline in one place. It does not reconnect, and has no
queue: the forwarder owns both.

:meth:`WebSocket.confirm` sends a PING behind the messages. Bytes of one connection arrive in order
and a peer answers a PING as it comes to it (RFC 6455, section 5.5.2), so the PONG says that its
WebSocket library has read every message before. It does not say that anybody has kept them.
"""

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.client_session import client_session
from edge.upstreams.sockets import CONNECT_DEADLINE_S
from edge.upstreams.tls import certificate_error

ANSWER_DEADLINE_S = 15.0
"""For a PONG, and for the other end to make room for what we write."""

MAX_MESSAGE_BYTES = 256 * 1024
_CLOSE_DEADLINE_S = 1.0
_RETRIED_STATUS = {408, 425, 429}
_ENDS = (
    aiohttp.WSMsgType.CLOSE,
    aiohttp.WSMsgType.CLOSING,
    aiohttp.WSMsgType.CLOSED,
    aiohttp.WSMsgType.ERROR,
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to connect, and as whom; ``tls`` is used for ``wss`` only."""

    url: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None


class WebSocket:
    """Connected between :meth:`open` and :meth:`close`; all methods on the loop's thread."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._where = urlsplit(endpoint.url).netloc.rpartition("@")[2]
        self._session: aiohttp.ClientSession | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._fault: UpstreamError | None = None
        self._pings = 0
        self._pongs: dict[int, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Look the name up, connect, and agree on WebSocket, within 10 s.

        Raises:
            TransientUpstreamError: the server cannot be reached or is busy.
            PermanentUpstreamError: it refuses us, or its certificate is not to be trusted.
        """
        self._session = client_session(self._endpoint.tls)
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                self._socket = await self._session.ws_connect(
                    self._endpoint.url,
                    headers=self._endpoint.headers,
                    autoping=False,
                    max_msg_size=MAX_MESSAGE_BYTES,
                    timeout=aiohttp.ClientWSTimeout(ws_close=_CLOSE_DEADLINE_S),
                )
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise connection_error(self._where, error) from error

    @property
    def peer_certificate(self) -> bytes | None:
        """DER; None without TLS."""
        tls = None if self._socket is None else self._socket.get_extra_info("ssl_object")
        return None if tls is None else tls.getpeercert(binary_form=True)

    async def close(self) -> None:
        """Say goodbye if the other end still listens; never raises."""
        self._fail(TransientUpstreamError("closed"))
        try:
            if self._socket is not None:
                await self._socket.close()
        except (aiohttp.ClientError, OSError):
            pass
        finally:
            if self._session is not None:
                await self._session.close()

    def check(self) -> None:
        """Raise what ended the connection, if anything did."""
        if self._fault is not None:
            raise self._fault

    async def send(self, *texts: str) -> None:
        """Send messages.

        Raises:
            TransientUpstreamError: the connection is gone, or the other end does not read.
        """
        async with self._writing() as socket:
            for text in texts:
                await socket.send_str(text)

    async def confirm(self) -> None:
        """Return when the other end has read everything that was sent before.

        Raises:
            TransientUpstreamError: the connection is gone, or there is no answer within 15 s.
        """
        self._pings += 1
        number = self._pings
        pong = self._pongs[number] = asyncio.get_running_loop().create_future()
        try:
            async with self._writing() as socket:
                await socket.ping(number.to_bytes(8, "big"))
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                await pong
        except TimeoutError:
            raise TransientUpstreamError(
                f"{self._where}: no PONG within {ANSWER_DEADLINE_S:.0f} s"
            ) from None
        finally:
            del self._pongs[number]

    async def receive(self) -> str | bytes:
        """The next message; pings of the other end are answered on the way.

        Raises:
            TransientUpstreamError: the connection is gone.
        """
        socket = self._open_socket()
        while True:
            message = await socket.receive()
            if message.type in _ENDS:
                raise self._fail(TransientUpstreamError(self._goodbye(socket, message)))
            if message.type is aiohttp.WSMsgType.PING:
                async with self._writing():
                    await socket.pong(message.data)
            elif message.type is aiohttp.WSMsgType.PONG:
                self._answered(message.data)
            else:
                content: str | bytes = message.data
                return content

    def _answered(self, data: bytes) -> None:
        """A PONG stands for the earlier PINGs as well (RFC 6455, section 5.5.3)."""
        if len(data) != 8:
            return
        for number, pong in self._pongs.items():
            if number <= int.from_bytes(data, "big") and not pong.done():
                pong.set_result(None)

    def _goodbye(self, socket: aiohttp.ClientWebSocketResponse, message: aiohttp.WSMessage) -> str:
        text = f"{self._where} closed the connection, code {socket.close_code}"
        said = message.extra if message.type is aiohttp.WSMsgType.CLOSE else message.data
        return f"{text}: {ascii(said)[:200]}" if said else text

    @asynccontextmanager
    async def _writing(self) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """What is written inside has a deadline, and its faults end the connection."""
        socket = self._open_socket()
        try:
            async with asyncio.timeout(ANSWER_DEADLINE_S):
                yield socket
        except TimeoutError:
            raise self._fail(TransientUpstreamError(f"{self._where} does not read")) from None
        except (aiohttp.ClientError, OSError) as error:
            raise self._fail(TransientUpstreamError(f"{self._where}: {error}")) from None

    def _open_socket(self) -> aiohttp.ClientWebSocketResponse:
        self.check()
        if self._socket is None:
            raise TransientUpstreamError("not connected")
        return self._socket

    def _fail(self, fault: UpstreamError) -> UpstreamError:
        """Remember why, and tell everybody who waits."""
        self._fault = self._fault or fault
        for pong in self._pongs.values():
            if not pong.done():
                pong.set_exception(self._fault)
        return self._fault


def connection_error(where: str, error: Exception) -> UpstreamError:
    """What an exception of aiohttp's while connecting means for the forwarder."""
    if isinstance(error, TimeoutError):
        return TransientUpstreamError(f"{where}: no answer within {CONNECT_DEADLINE_S:.0f} s")
    if isinstance(error, aiohttp.WSServerHandshakeError):
        status = error.status
        busy = status >= 500 or status in _RETRIED_STATUS or status < 400
        kind = TransientUpstreamError if busy else PermanentUpstreamError
        return kind(f"{where} answers HTTP {status} instead of WebSocket")
    cause = getattr(error, "certificate_error", None)
    if isinstance(cause, ssl.SSLCertVerificationError):
        return certificate_error(where, cause)
    return TransientUpstreamError(f"{where}: {str(error) or type(error).__name__}")
