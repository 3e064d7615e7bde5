"""POST requests to one URL over aiohttp, with every bound and deadline in one place.

Redirects are aiohttp's by default, and off here: frames go where the configuration says.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

import aiohttp

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.client_session import client_session
from edge.upstreams.http_answer import Answer
from edge.upstreams.sockets import CONNECT_DEADLINE_S
from edge.upstreams.tls import certificate_error

MAX_ANSWER_BYTES = 256_000
"""More than any list of rejected frames of one batch."""

_HEAD_BYTES = 300  # about what a request or an answer has besides its body


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where to post, and as whom.

    Attributes:
        tls: None = plain HTTP.
        proxy: URL of a proxy; empty = none.
        timeout_s: for one whole request, from the first byte sent to the last one read.
    """

    url: str
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None
    proxy: str
    timeout_s: float


class HttpExchange:
    """Connected between :meth:`open` and :meth:`close`."""

    def __init__(self, endpoint: Endpoint) -> None:
        self._endpoint = endpoint
        self._session: aiohttp.ClientSession | None = None

    async def open(self) -> None:
        """See that the server, or the proxy, accepts connections; nothing is asked of it yet.

        Raises:
            UpstreamError: it does not, or its certificate is not to be trusted.
        """
        await self._knock()
        self._session = client_session(
            self._endpoint.tls,
            auto_decompress=False,
            headers={"Accept-Encoding": "identity", **self._endpoint.headers},
            timeout=aiohttp.ClientTimeout(
                total=self._endpoint.timeout_s, connect=CONNECT_DEADLINE_S
            ),
        )

    async def close(self) -> None:
        """Close all connections; never raises."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def post(self, body: bytes, headers: Mapping[str, str]) -> tuple[Answer, int]:
        """Send a request; returns its answer and about how many bytes both took.

        A server may close a kept connection just when we use it. Posting a batch again harms
        nothing, so that is done once, at once.

        Raises:
            UpstreamError: no answer came, or none that is HTTP.
        """
        try:
            try:
                return await self._post(body, headers)
            except aiohttp.ServerDisconnectedError:
                return await self._post(body, headers)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise self._fault(error) from error

    async def _post(self, body: bytes, headers: Mapping[str, str]) -> tuple[Answer, int]:
        if self._session is None:
            raise TransientUpstreamError("not connected")
        async with self._session.post(
            self._endpoint.url,
            data=body,
            headers=headers,
            proxy=self._endpoint.proxy or None,
            allow_redirects=False,
        ) as response:
            content, whole = await _read_bounded(response)
            answer = Answer(
                status=response.status,
                content_type=response.headers.get("Content-Type", ""),
                retry_after=response.headers.get("Retry-After", ""),
                location=response.headers.get("Location", ""),
                accept_encoding=response.headers.get("Accept-Encoding", ""),
                body=content,
                whole=whole,
            )
        return answer, len(body) + len(content) + 2 * _HEAD_BYTES

    async def _knock(self) -> None:
        url = urlsplit(self._endpoint.proxy or self._endpoint.url)
        secure = url.scheme == "https"
        writer: asyncio.StreamWriter | None = None
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                _, writer = await asyncio.open_connection(
                    url.hostname,
                    url.port or (443 if secure else 80),
                    ssl=self._endpoint.tls if secure else None,
                )
        except (OSError, ValueError) as error:
            raise self._fault(error) from error
        finally:
            if writer is not None:
                writer.transport.abort()

    def _fault(self, error: Exception) -> UpstreamError:
        where = urlsplit(self._endpoint.url).netloc.rpartition("@")[2]
        if isinstance(error, TimeoutError):
            return TransientUpstreamError(f"{where}: no answer in time")
        tls = _tls_error(error)
        if isinstance(tls, ssl.SSLCertVerificationError):
            return certificate_error(where, tls)
        if tls is not None and _is_about_our_certificate(tls):
            return PermanentUpstreamError(f"{where}: it does not accept our certificate: {tls}")
        return TransientUpstreamError(f"{where}: {str(error) or type(error).__name__}")


async def _read_bounded(response: aiohttp.ClientResponse) -> tuple[bytes, bool]:
    """The body's beginning, and whether that is all; the connection is not used again if not."""
    parts = bytearray()
    async for chunk in response.content.iter_any():
        parts += chunk
        if len(parts) > MAX_ANSWER_BYTES:
            response.close()
            return bytes(parts[:MAX_ANSWER_BYTES]), False
    return bytes(parts), True


def _tls_error(error: BaseException | None) -> ssl.SSLError | None:
    """The fault of TLS that is behind an error of aiohttp's, if one is."""
    while error is not None:
        if isinstance(error, ssl.SSLError):
            return error
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            error = error.certificate_error
        else:
            error = error.__cause__ or error.__context__
    return None


def _is_about_our_certificate(error: ssl.SSLError) -> bool:
    """Alerts of RFC 8446, section 6.2, as OpenSSL names them."""
    reason = error.reason or ""
    return "ALERT" in reason and any(
        word in reason for word in ("CERTIFICATE", "UNKNOWN_CA", "ACCESS_DENIED")
    )
