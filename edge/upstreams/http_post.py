"""Upstream ``http``: batches of frames in POST requests.

A batch is acknowledged by any 2xx answer; docs/UPSTREAMS.md has what a receiver has to do, and
:mod:`edge.upstreams.http_answer` what other answers mean. Frames are sent again until they are
acknowledged, so a receiver tells repeats by ``frame_id``; whole batches it may tell by their
``Idempotency-Key``.
"""

import asyncio
import gzip
import re
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import urlsplit

from edge.upstreams.base import (
    Batch,
    Lane,
    PermanentUpstreamError,
    SendResult,
    TransientUpstreamError,
    UpstreamContext,
    UpstreamError,
)
from edge.upstreams.credentials import Credentials
from edge.upstreams.http_answer import Answer, Judgement, Meaning, judge
from edge.upstreams.http_exchange import Endpoint, HttpExchange
from edge.version import VERSION
from protocol.records.frame_batch import CONTENT_TYPES, BatchFormat, encode_batch
from protocol.records.sensor_frame import FrameId, SensorFrame

MAX_BATCH = 256
MAX_REFUSED = 8
"""So many frames one by one are refused before a server that takes nothing is given up."""

_GROW_AFTER = 64
"""Batches that have to be taken before a larger one is tried again."""

_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+): ?([\x20-\x7e]*)")  # RFC 9110, section 5.6.2
_TOKEN = re.compile(r"[\x21-\x7e]+")
_OURS = {"host", "content-length", "content-type", "content-encoding", "transfer-encoding"}
_OURS |= {"connection", "idempotency-key", "accept-encoding", "expect"}


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpOptions:
    """``[[upstream]] kind = "http"``.

    Raises:
        ValueError: the URL or a header is none.
    """

    url: str = field(
        metadata={
            "help": "where frames are posted, http:// or https://",
            "example": "https://collector.example/frames",
        }
    )
    format: str = field(
        default="json",
        metadata={
            "help": "body: a JSON array, JSON lines or a CBOR sequence",
            "choices": tuple(BatchFormat),
        },
    )
    compression: str = field(
        default="auto",
        metadata={
            "help": "of bodies; auto = gzip once an answer says Accept-Encoding: gzip",
            "choices": ("auto", "gzip", "none"),
        },
    )
    token_file: str = field(default="", metadata={"help": "file that holds a bearer token"})
    headers: tuple[str, ...] = field(
        default=(), metadata={"help": "further headers", "example": ["X-Site: roof"]}
    )
    ca_file: str = field(
        default="", metadata={"help": "CA certificates that sign the server's; empty = system's"}
    )
    cert_file: str = field(default="", metadata={"help": "our certificate, for mutual TLS"})
    key_file: str = field(default="", metadata={"help": "key of our certificate"})
    proxy: str = field(
        default="", metadata={"help": "URL of an HTTP proxy; the environment's is never used"}
    )
    max_frames: int = field(
        default=MAX_BATCH,
        metadata={"help": "frames in one request", "minimum": 1, "maximum": 1000},
    )
    timeout_s: float = field(
        default=60.0,
        metadata={"help": "for one whole request, in seconds", "minimum": 1.0, "maximum": 600.0},
    )
    accept_html: bool = field(
        default=False,
        metadata={
            "help": "over http://, count a web page with 2xx as an acknowledgement; hot spots and"
            " SIM cards without credit answer with one"
        },
    )

    def __post_init__(self) -> None:
        _check_url("url", self.url, ("http", "https"))
        if self.proxy:
            _check_url("proxy", self.proxy, ("http",))
        for header in self.headers:
            match = _HEADER.fullmatch(header)
            if match is None:
                raise ValueError('headers must be texts such as "X-Site: roof"')
            if match[1].lower() in _OURS:
                raise ValueError(f"headers: {match[1]} is set by the gateway itself")


class HttpUpstream:
    """One receiver; see :class:`edge.upstreams.base.Upstream`.

    Args:
        sleep: waits so many seconds.
    """

    Options: ClassVar[type[HttpOptions]] = HttpOptions
    lane: ClassVar[Lane] = Lane.DATA

    def __init__(
        self,
        options: HttpOptions,
        context: UpstreamContext,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._options = options
        self._clock = context.clock
        self._sleep = sleep
        self._format = BatchFormat(options.format)
        self._exchange: HttpExchange | None = None
        self._compress = options.compression == "gzip"
        self._has_taken = False
        self._not_before_us = 0
        # What a request may carry is learned, and stays known while the server is away.
        self._limit = options.max_frames
        self._taken_in_a_row = 0

    async def __aenter__(self) -> Self:
        await self._stay_away()
        self._has_taken = False
        exchange = HttpExchange(await asyncio.to_thread(self._endpoint))
        try:
            await exchange.open()
        except BaseException:
            await exchange.close()
            raise
        self._exchange = exchange
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            await exchange.close()

    @property
    def max_batch(self) -> int:
        """Frames of one request, fewer after the server wanted that or a request took too long."""
        return self._limit

    async def send(self, batch: Batch) -> SendResult:
        """Post frames; a batch that is too large or that holds a bad frame is halved.

        Raises:
            TransientUpstreamError: no answer came, or one that says to try again.
            PermanentUpstreamError: a person has to mend the configuration or the receiver.
        """
        delivery = _Delivery()
        try:
            await self._deliver(batch, delivery)
        except UpstreamError as error:
            raise type(error)(str(error), frozenset(delivery.acknowledged)) from error
        return SendResult(
            frozenset(delivery.acknowledged), delivery.rejected, sent_bytes=delivery.sent_bytes
        )

    async def tick(self) -> None:
        """Nothing to do: an idle HTTP connection may close at any time, and is opened again."""

    async def _deliver(self, batch: Batch, delivery: "_Delivery") -> None:
        parts = deque([batch])
        while parts:
            part = parts.popleft()
            judgement = await self._post(part, delivery)
            match judgement.meaning:
                case Meaning.TAKEN:
                    self._has_taken = True
                    delivery.take(part, judgement)
                case Meaning.TOO_LARGE | Meaning.REFUSED if len(part) > 1:
                    if judgement.meaning is Meaning.TOO_LARGE:
                        self._shrink(len(part))
                    middle = len(part) // 2
                    parts.extendleft([part[middle:], part[:middle]])
                case Meaning.TOO_LARGE | Meaning.REFUSED:
                    delivery.refused[part[0].frame_id] = judgement.text
                    self._check_sanity(delivery)
                case _:
                    raise self._fault(judgement)
        self._check_sanity(delivery, finished=True)
        delivery.rejected.update(delivery.refused)

    def _check_sanity(self, delivery: "_Delivery", *, finished: bool = False) -> None:
        """Do not believe a server that refuses everything: it is not the one we look for.

        Proxies answer 400 to whatever they do not understand, such as a missing certificate. What
        is refused by a server that takes others is set aside; what is refused by one that takes
        none is kept.
        """
        if self._has_taken or not delivery.refused:
            return
        if finished or len(delivery.refused) >= MAX_REFUSED:
            reason = next(iter(delivery.refused.values()))
            raise TransientUpstreamError(f"it has taken nothing so far, and says {reason}")

    async def _post(self, part: Sequence[SensorFrame], delivery: "_Delivery") -> Judgement:
        if self._exchange is None:
            raise TransientUpstreamError("not connected")
        body, headers = await asyncio.to_thread(self._request, part, self._compress)
        try:
            answer, sent_bytes = await self._exchange.post(body, headers)
        except TransientUpstreamError as error:
            if isinstance(error.__cause__, TimeoutError):
                self._shrink(len(part))
            raise
        delivery.sent_bytes += sent_bytes
        self._note(answer, len(part))
        wall = self._clock.wall()
        trust_html = self._options.accept_html or self._options.url.startswith("https:")
        unix_s = None if wall is None else wall.unix_us / 1e6
        return judge(answer, trust_html=trust_html, unix_s=unix_s)

    def _request(self, part: Sequence[SensorFrame], compress: bool) -> tuple[bytes, dict[str, str]]:
        """Body and headers; in a thread, because a batch takes milliseconds."""
        body = encode_batch(part, self._format)
        headers = {
            "Content-Type": CONTENT_TYPES[self._format],
            # Of the body, so that the same frames have another key once their time is known: a
            # server may refuse one key with two bodies.
            "Idempotency-Key": f'"{blake2b(body, digest_size=16).hexdigest()}"',
        }
        if compress:
            body = gzip.compress(body, 6, mtime=0)
            headers["Content-Encoding"] = "gzip"
        return body, headers

    def _note(self, answer: Answer, frames: int) -> None:
        """Learn what the server can take."""
        if self._options.compression == "auto":
            # RFC 7694: in an answer this tells which codings requests may have.
            self._compress = answer.status != 415 and (
                self._compress or "gzip" in answer.accept_encoding.lower()
            )
        if answer.status < 300 and frames >= self._limit < self._options.max_frames:
            self._taken_in_a_row += 1
            if self._taken_in_a_row >= _GROW_AFTER:
                self._limit = min(2 * self._limit, self._options.max_frames)
                self._taken_in_a_row = 0

    def _shrink(self, frames: int) -> None:
        self._limit = max(1, min(self._limit, frames // 2))
        self._taken_in_a_row = 0

    def _fault(self, judgement: Judgement) -> UpstreamError:
        if judgement.meaning is Meaning.PERMANENT:
            return PermanentUpstreamError(judgement.text)
        if judgement.wait_s is not None:
            self._not_before_us = self._clock.boottime_us() + round(judgement.wait_s * 1e6)
        return TransientUpstreamError(judgement.text)

    async def _stay_away(self) -> None:
        """For as long as the server has asked for, with ``Retry-After``."""
        left_us = self._not_before_us - self._clock.boottime_us()
        self._not_before_us = 0
        if left_us > 0:
            await self._sleep(left_us / 1e6)

    def _endpoint(self) -> Endpoint:
        """Read the files; in a thread, because they may be on a slow card."""
        options, credentials = self._options, Credentials.of(self._options)
        headers = {"User-Agent": f"lora-edge/{VERSION}"}
        for header in options.headers:
            name, _, value = header.partition(":")
            headers[name] = value.strip()
        if (token := credentials.token()) is not None:
            if not _TOKEN.fullmatch(token):
                raise PermanentUpstreamError(
                    f"token file: {options.token_file} does not hold a token"
                )
            headers["Authorization"] = f"Bearer {token}"
        return Endpoint(
            url=options.url,
            headers=headers,
            tls=credentials.tls() if options.url.startswith("https:") else None,
            proxy=options.proxy,
            timeout_s=options.timeout_s,
        )


@dataclass(slots=True)
class _Delivery:
    """What became of one batch so far.

    Attributes:
        refused: one by one; believed when others are taken.
        rejected: by a server that took the others of the same request.
    """

    acknowledged: set[FrameId] = field(default_factory=set)
    refused: dict[FrameId, str] = field(default_factory=dict)
    rejected: dict[FrameId, str] = field(default_factory=dict)
    sent_bytes: int = 0

    def take(self, part: Sequence[SensorFrame], judgement: Judgement) -> None:
        for frame in part:
            reason = judgement.rejected.get(str(frame.frame_id))
            if reason is None:
                self.acknowledged.add(frame.frame_id)
            else:
                self.rejected[frame.frame_id] = reason


def _check_url(key: str, text: str, schemes: tuple[str, ...]) -> None:
    """Raises ValueError if it has another scheme, or no host, or no possible port."""
    wanted = f'{key} must be a URL such as "{schemes[-1]}://collector.example/frames"'
    try:
        url = urlsplit(text)
        good = url.scheme in schemes and bool(url.hostname) and url.port != 0
    except ValueError:
        good = False
    if not good or not text.isascii() or " " in text:
        raise ValueError(wanted)
