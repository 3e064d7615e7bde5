"""One connection to a NATS server, with the answer to every message.

nats-py carries the protocol. Not used of it are its reconnecting (the forwarder owns that) and its
JetStream face: ``publish_async`` never ends when the answer is an error, e.g. of a full stream.
"""

import asyncio
import logging
import re
import ssl
from dataclasses import dataclass
from typing import Any

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.nats_answers import Answer
from edge.upstreams.nats_login import Login
from edge.upstreams.nats_wire import Msg, Subscription, Wire, client_on, end
from edge.upstreams.sockets import CONNECT_DEADLINE_S
from edge.upstreams.tls import certificate_error

logger = logging.getLogger(__name__)

PING_INTERVAL_S = 20
MAX_UNANSWERED_PINGS = 2
CLOSE_DEADLINE_S = 1.0

_NO_RESPONDERS = "503"
# Texts of -ERR that trying again at once cannot mend (NATS client protocol, "+OK/-ERR").
_PERMANENT = re.compile(r"authorization violation|authentication (expired|revoked)", re.IGNORECASE)
_NOT_PERMITTED = re.compile(r'permissions violation for (publish|subscription) to "(.*?)"', re.I)
# TLS alerts about our certificate: bad, revoked, expired, unknown, required, of an unknown CA.
_OUR_CERTIFICATE = re.compile(r"ALERT_.*(CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED)")


class NotPermitted(PermanentUpstreamError):
    """The server's account does not let us publish there."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where and as whom to connect; ``name`` is what the server's monitoring shows."""

    url: str
    login: Login
    tls: ssl.SSLContext | None
    name: str
    inbox_prefix: str


class NatsConnection:
    """Connected between :meth:`open` and :meth:`close`; one inbox for all answers."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._wire = Wire(secure=server.tls is not None, lost=self._on_lost)
        self._client = client_on(self._wire, server.login.public_key)
        self._opening = True
        self._fault: UpstreamError | None = None
        self._inbox = ""
        self._answers: Subscription | None = None
        self._next_token = 0
        self._waiting: dict[str, tuple[str, asyncio.Future[Answer]]] = {}

    @property
    def max_payload(self) -> int:
        """Bytes that headers and payload of one message may have, as the server says."""
        limit: Any = self._client.max_payload
        return limit if isinstance(limit, int) else 0

    @property
    def has_jetstream(self) -> bool:
        """Whether the server itself says so; another of its cluster may have it all the same."""
        return b'"jetstream":true' in self._wire.greeting

    @property
    def sent_bytes(self) -> int:
        """What went to the socket so far."""
        return self._wire.sent_bytes

    @property
    def peer_certificate(self) -> bytes | None:
        """The server's, in DER; None without TLS."""
        return self._wire.peer_certificate

    async def open(self) -> None:
        """Connect, log in, and listen for answers.

        Raises:
            TransientUpstreamError: the server cannot be reached or is busy.
            PermanentUpstreamError: it refuses us, or its certificate is not to be trusted.
        """
        url = self._server.url
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await self._connect()
                self._opening = False
                if not self._client.is_connected:
                    raise TransientUpstreamError("the server did not finish its greeting")
                self._inbox = self._client.new_inbox()
                self._answers = await self._client.subscribe(f"{self._inbox}.*", cb=self._on_answer)
        except TimeoutError:
            text = f"{url}: no answer in {CONNECT_DEADLINE_S:.0f} s"
            raise TransientUpstreamError(text) from None
        except UpstreamError as error:
            raise type(error)(f"{url}: {error}") from None
        except Exception as error:  # what nats-py makes of bytes that are no NATS is not documented
            raise self._connect_error(error) from None

    async def _connect(self) -> None:
        login = self._server.login
        jwt = login.jwt
        await self._client.connect(
            servers=[self._server.url],
            name=self._server.name,
            error_cb=self._on_error,
            closed_cb=self._on_closed,
            allow_reconnect=False,
            connect_timeout=int(CONNECT_DEADLINE_S),
            ping_interval=PING_INTERVAL_S,
            max_outstanding_pings=MAX_UNANSWERED_PINGS,
            tls=self._server.tls,
            user=login.username,
            password=login.password,
            token=login.token,
            signature_cb=login.sign,
            user_jwt_cb=None if jwt is None else jwt.encode,
            inbox_prefix=self._server.inbox_prefix,
            # No buffer of its own for times without a connection; our batches are the window.
            pending_size=0,
        )

    async def close(self) -> None:
        """Say goodbye if the server still listens; never raises but for being cancelled."""
        try:
            if self._client.is_connected:
                async with asyncio.timeout(CLOSE_DEADLINE_S):
                    await self._client.close()
        except TimeoutError:
            pass  # it does not read any more
        except Exception as error:  # nats-py reports what a dead connection says at its end
            logger.debug("goodbye to the server failed: %r", error)
        finally:
            self._fail(TransientUpstreamError("closed"))
            if self._answers is not None:
                end(self._answers)
            self._wire.abort()

    def check(self) -> None:
        """Raise what ended the connection, if anything did."""
        if self._fault is not None:
            raise self._fault

    async def publish(
        self, subject: str, payload: bytes, headers: dict[str, str] | None = None
    ) -> asyncio.Future[Answer]:
        """Send, without waiting for the line; the future gives the answer.

        It fails with :class:`UpstreamError` when the connection goes or the subject is forbidden.

        Raises:
            UpstreamError: the connection is gone.
        """
        self.check()
        token = f"{self._next_token:x}"
        self._next_token += 1
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting[token] = (subject, future)
        try:
            await self._client.publish(subject, payload, f"{self._inbox}.{token}", headers)
        except Exception as error:
            self._waiting.pop(token, None)
            raise TransientUpstreamError(f"publish: {error}") from None
        return future

    async def request(self, subject: str, payload: bytes, timeout_s: float) -> Answer:
        """Send and wait for the answer.

        Raises:
            NotPermitted: the account may not publish there.
            UpstreamError: the connection is gone, or nothing was answered in time.
        """
        future = await self.publish(subject, payload)
        try:
            async with asyncio.timeout(timeout_s):
                return await future
        except TimeoutError:
            text = f"no answer to {subject} in {timeout_s:.0f} s"
            raise TransientUpstreamError(text) from None

    async def _on_answer(self, message: Msg) -> None:
        self._wire.unheard_bytes = 0
        _, future = self._waiting.pop(message.subject.rpartition(".")[2], ("", None))
        if future is None or future.done():
            return
        status = (message.headers or {}).get("Status")
        future.set_result(Answer(message.data, no_responders=status == _NO_RESPONDERS))

    async def _on_error(self, error: Exception) -> None:
        """nats-py tries on while it connects, unless this raises."""
        if self._opening:
            raise error
        refusal = _NOT_PERMITTED.search(str(error))
        if refusal is None:
            logger.debug("the server says: %s", error)
        elif refusal[1].lower() == "subscription":
            place = f"{self._server.inbox_prefix}.>"
            text = f"the account may not subscribe to {place}, where answers come: see inbox_prefix"
            self._fail(PermanentUpstreamError(text))
        else:
            self._forbid(refusal[2])

    def _forbid(self, refused: str) -> None:
        """nats-py gives the server's words in small letters."""
        for token, (subject, future) in list(self._waiting.items()):
            if subject.lower() == refused.lower() and not future.done():
                del self._waiting[token]
                _give_up(future, NotPermitted(f"the account may not publish to {subject}"))

    def _on_lost(self, error: Exception) -> None:
        """The wire has ended; perhaps the server said before why it would."""
        if not self._opening:
            self._fail(_server_error(str(self._client.last_error or error)))

    async def _on_closed(self) -> None:
        self._on_lost(ConnectionError("the connection was given up"))

    def _connect_error(self, error: Exception) -> UpstreamError:
        url = self._server.url
        match error:
            case ssl.SSLCertVerificationError():
                return certificate_error(url, error)
            case ssl.SSLError() if _OUR_CERTIFICATE.search(error.reason or ""):
                return PermanentUpstreamError(f"{url}: it refuses our certificate ({error.reason})")
            case OSError() if self._wire.is_secret:
                # Its alert is destroyed by the reset if it has not read what we sent meanwhile.
                text = f"{url}: {error}; perhaps the server does not accept our certificate"
                return TransientUpstreamError(text)
            case OSError():
                return TransientUpstreamError(f"{url}: {error}")
        said = _server_error(str(error) or repr(error))
        return type(said)(f"{url}: {said}")

    def _fail(self, error: UpstreamError) -> None:
        if self._fault is None:
            self._fault = error
        for _, future in self._waiting.values():
            _give_up(future, error)
        self._waiting.clear()


def _give_up(future: asyncio.Future[Answer], error: UpstreamError) -> None:
    if not future.done():
        future.set_exception(error)
        future.exception()  # whoever waited for it may have given up already


def _server_error(text: str) -> UpstreamError:
    kind = PermanentUpstreamError if _PERMANENT.search(text) else TransientUpstreamError
    return kind(text.removeprefix("nats: ").strip("'"))
