"""Upstream ``nats``: one frame a message, into a JetStream stream.

A frame is acknowledged when the stream's own acknowledgement says that it is stored. Each message
carries its frame's id as ``Nats-Msg-Id``, so that within its duplicate window the stream itself
drops what we send twice. How durable "stored" is, the stream and its server decide: see
docs/UPSTREAMS.md.
"""

import asyncio
import ssl
from collections.abc import Iterable
from types import TracebackType
from typing import ClassVar, Self

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
from edge.upstreams.frame_names import sender_of
from edge.upstreams.nats_answers import Answer, Fault, Stored, read_publish
from edge.upstreams.nats_connection import NatsConnection, Server
from edge.upstreams.nats_login import Login, read_login
from edge.upstreams.nats_options import NatsOptions
from edge.upstreams.nats_stream import StreamState, WantedStream, prepare, refusal
from edge.upstreams.nats_subject import fill, token
from protocol.records.sensor_frame import FrameId, SensorFrame, uplink_id
from protocol.records.sensor_frame_codec import encode
from protocol.records.sensor_frame_json import encode_json

ACKNOWLEDGE_TIMEOUT_S = 15.0

_LATE = f"no acknowledgement in {ACKNOWLEDGE_TIMEOUT_S:.0f} s"
_MESSAGE_ID = "Nats-Msg-Id"
# "NATS/1.0", the header's own ": ", three line ends; what max_payload counts besides the payload.
_HEADER_BYTES = len("NATS/1.0\r\n") + len(_MESSAGE_ID) + len(": \r\n\r\n")
_FRAMES_AT_ONCE = 32


class NatsUpstream:
    """One stream; see :class:`edge.upstreams.base.Upstream`."""

    Options: ClassVar[type[NatsOptions]] = NatsOptions
    lane: ClassVar[Lane] = Lane.DATA

    def __init__(self, options: NatsOptions, context: UpstreamContext) -> None:
        self._options = options
        self._gateway = token(context.gateway.hex())
        self._client_name = f"{context.gateway.hex()}-{context.name}"
        self._duplicates = context.metrics.upstream_frames_duplicate.labels(context.name)
        self._urls = [options.url, *options.more_urls]
        self._connection: NatsConnection | None = None
        self._stream: StreamState | None = None
        self._stored_seq = 0
        self.session_lost = True

    async def __aenter__(self) -> Self:
        login, tls = await asyncio.to_thread(self._read_files)
        faults: list[UpstreamError] = []
        for url in list(self._urls):
            connection = NatsConnection(
                Server(url, login, tls, self._client_name, self._options.inbox_prefix)
            )
            try:
                await connection.open()
                self._recognise(await prepare(connection, self._wanted()))
            except UpstreamError as error:
                await connection.close()
                faults.append(error)
                # The next connection begins with another server.
                self._urls.append(self._urls.pop(0))
            except BaseException:
                await connection.close()
                raise
            else:
                self._connection = connection
                return self
        raise _worst(faults)

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close()

    @property
    def max_batch(self) -> int:
        """As many as may be in flight."""
        return self._options.in_flight

    @property
    def peer_certificate(self) -> bytes | None:
        """The server's, in DER; None without TLS."""
        return None if self._connection is None else self._connection.peer_certificate

    async def send(self, batch: Batch) -> SendResult:
        """Publish frames one behind the other and wait for the stream's answers to all of them.

        Raises:
            TransientUpstreamError: the connection went, the stream is full, or nothing was
                answered for 15 s.
            PermanentUpstreamError: we may not publish there, or another stream took it.
        """
        connection = self._open_connection()
        sent_before = connection.sent_bytes
        verdicts = _Verdicts(self._options.stream)
        waiting: dict[FrameId, asyncio.Future[Answer]] = {}
        try:
            for number, frame in enumerate(batch):
                if number % _FRAMES_AT_ONCE == 0:
                    await asyncio.sleep(0)  # what is there can go out while we write the rest
                payload, headers = self._payload(frame), {_MESSAGE_ID: self._message_id(frame)}
                size = _HEADER_BYTES + len(headers[_MESSAGE_ID]) + len(payload)
                if size > connection.max_payload:
                    verdicts.rejected[frame.frame_id] = (
                        f"{size} bytes, and the server takes {connection.max_payload} (max_payload)"
                    )
                else:
                    subject = self.subject(frame)
                    waiting[frame.frame_id] = await connection.publish(subject, payload, headers)
        except UpstreamError as error:
            verdicts.note(error)
        if not await _all_answered(waiting.values()):
            verdicts.note(TransientUpstreamError(_LATE))
        for frame_id, future in waiting.items():
            verdicts.add(frame_id, future)
        self._duplicates.inc(verdicts.duplicates)
        self._stored_seq = max(self._stored_seq, verdicts.last_seq)
        return verdicts.result(connection.sent_bytes - sent_before)

    async def tick(self) -> None:
        """Notice a lost connection; nats-py pings every 20 s.

        Raises:
            UpstreamError: the connection is gone.
        """
        self._open_connection()

    def subject(self, frame: SensorFrame) -> str:
        """The template with this gateway and the frame's sender."""
        device = token(sender_of(frame))
        return fill(self._options.subject, gateway=self._gateway, device=device)

    def _message_id(self, frame: SensorFrame) -> str:
        content = frame.content
        # Only of what was read as LoRaWAN: elsewhere equal bytes may well be different readings.
        if self._options.message_id == "uplink_id" and content.message_type is not None:
            return uplink_id(content.phy_payload).hex()
        return str(frame.frame_id)

    def _payload(self, frame: SensorFrame) -> bytes:
        return encode(frame) if self._options.format == "cbor" else encode_json(frame)

    def _recognise(self, found: StreamState | None) -> None:
        """A stream made anew, or one whose end is missing, has forgotten what it acknowledged."""
        known, self._stream = self._stream, found
        self.session_lost = (
            found is None
            or known is None
            or found.created != known.created
            or found.last_seq < self._stored_seq
        )
        if self.session_lost:
            self._stored_seq = 0

    def _open_connection(self) -> NatsConnection:
        if self._connection is None:
            raise TransientUpstreamError("not connected")
        self._connection.check()
        return self._connection

    def _wanted(self) -> WantedStream:
        options = self._options
        return WantedStream(
            name=options.stream,
            subject=fill(options.subject, gateway=self._gateway, device="*"),
            all_subjects=fill(options.subject, gateway="*", device="*"),
            create=options.create_stream,
            replicas=options.replicas,
            duplicate_window_s=options.duplicate_window_s,
            api=f"$JS.{options.domain}.API" if options.domain else "$JS.API",
        )

    def _read_files(self) -> tuple[Login, ssl.SSLContext | None]:
        """In a thread, because they may be on a slow card."""
        credentials = Credentials.of(self._options)
        tls = credentials.tls() if self._options.url.startswith("tls://") else None
        return read_login(self._options, credentials), tls


class _Verdicts:
    """What became of each frame of a batch, and the fault that ends the connection, if any."""

    def __init__(self, stream: str) -> None:
        self._stream = stream
        self._fault: UpstreamError | None = None
        self._acknowledged: set[FrameId] = set()
        self.rejected: dict[FrameId, str] = {}
        self.duplicates = 0
        self.last_seq = 0

    def note(self, error: UpstreamError) -> None:
        """The first fault counts, but one that a person has to mend goes before others."""
        if self._fault is None or (
            isinstance(error, PermanentUpstreamError)
            and not isinstance(self._fault, PermanentUpstreamError)
        ):
            self._fault = error

    def add(self, frame_id: FrameId, future: asyncio.Future[Answer]) -> None:
        """Judge one answer; none is no answer yet."""
        if not future.done():
            return
        error = future.exception()
        if error is not None:
            self.note(error if isinstance(error, UpstreamError) else _unforeseen(error))
            return
        answer = read_publish(future.result())
        if isinstance(answer, Stored):
            self._take(frame_id, answer)
        elif answer.fault is Fault.REJECTED:
            self.rejected[frame_id] = answer.reason
        else:
            self.note(refusal(f"stream {self._stream}", answer))

    def _take(self, frame_id: FrameId, stored: Stored) -> None:
        if stored.stream != self._stream:
            text = f"stream {stored.stream} takes our subject, and not {self._stream}"
            self.note(PermanentUpstreamError(text))
            return
        self._acknowledged.add(frame_id)
        self.duplicates += stored.duplicate
        self.last_seq = max(self.last_seq, stored.seq)

    def result(self, sent_bytes: int) -> SendResult:
        """Raises the fault, with what was acknowledged before it."""
        acknowledged = frozenset(self._acknowledged)
        if self._fault is not None:
            raise type(self._fault)(str(self._fault), acknowledged)
        return SendResult(acknowledged, self.rejected, sent_bytes=sent_bytes)


async def _all_answered(futures: Iterable[asyncio.Future[Answer]]) -> bool:
    """Wait as long as answers go on coming; a slow line is no dead one."""
    left = set(futures)
    while left:
        answered, left = await asyncio.wait(left, timeout=ACKNOWLEDGE_TIMEOUT_S)
        if not answered:
            return False
    return True


def _unforeseen(error: BaseException) -> UpstreamError:
    return TransientUpstreamError(repr(error))


def _worst(faults: list[UpstreamError]) -> UpstreamError:
    """Of several servers: permanent only if it is so at each of them."""
    text = "; ".join(dict.fromkeys(map(str, faults)))
    if all(isinstance(fault, PermanentUpstreamError) for fault in faults):
        return PermanentUpstreamError(text)
    return TransientUpstreamError(text)
