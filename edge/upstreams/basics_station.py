"""Upstream ``basics-station``: LoRaWAN frames to a network server, over the LNS protocol.

The protocol has no acknowledgement of uplinks. A frame counts as delivered when the server's end of
the connection has answered a PING that was sent behind it: the server has read the frame, and for
most servers has begun to work on it. If it dies before it has passed the frame on, the frame is
lost to it; ``hold_after_ack`` sends frames again then. Frames that come twice do no harm: network
servers drop a counter that they have seen.
"""

import asyncio
import logging
import re
import ssl
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
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
from edge.upstreams.beside import task_group
from edge.upstreams.credentials import Credentials, read_secret
from edge.upstreams.network_server import (
    MAX_BATCH,
    NetworkServerLane,
    NetworkServerOptions,
    Parcels,
)
from edge.upstreams.sockets import CONNECT_DEADLINE_S
from edge.upstreams.station_downlinks import StationDownlinks
from edge.upstreams.station_radios import compare, radios_of
from edge.upstreams.urls import url_notation
from edge.upstreams.web_socket import Endpoint, WebSocket
from edge.version import VERSION
from protocol.lorawan.gps_time import gps_us
from protocol.network_server.lns import (
    Configured,
    DiscoveryError,
    DownlinkAsked,
    LnsEvent,
    LnsSession,
    Rejected,
    ServerError,
    discovered_uri,
    discovery_request,
)
from protocol.network_server.lns_downlink import Times
from protocol.network_server.lns_json import LnsReject
from protocol.network_server.lns_uplink import Heard, NotCarried, NotCarriedError
from protocol.network_server.uplink import UNKNOWN_RSSI_DBM, Uplink
from protocol.records.sensor_frame import FrameId

logger = logging.getLogger(__name__)

TIME_REQUEST_INTERVAL_US = 3_600_000_000
QUIET_US = 60_000_000
"""Without a word from the server for this long we ask whether it is still there."""

_PARCELS = Parcels(limit=32, in_flight=4)
_FRAMING_BYTES = 8  # of a WebSocket message of up to 64 kB from a client (RFC 6455, section 5.2)
_HEADER_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")  # RFC 9110, section 5.6.2


@dataclass(frozen=True, slots=True, kw_only=True)
class BasicsStationOptions(NetworkServerOptions):
    """``[[upstream]] kind = "basics-station"``."""

    url: str = field(
        metadata={
            "help": "wss://host:port or ws://host:port of the server's discovery; what Basics"
            " Station has in tc.uri",
            "notation": url_notation("ws", "wss", allow_path=True),
            "example": "wss://lns.example:8887",
        }
    )
    ca_file: str = field(
        default="",
        metadata={
            "help": "CA certificates that sign the server's (tc.trust); empty = the system's"
        },
    )
    cert_file: str = field(
        default="",
        metadata={
            "help": "our certificate, for mutual TLS (tc.crt); ChirpStack wants the gateway's"
            " EUI-64 as its common name"
        },
    )
    key_file: str = field(default="", metadata={"help": "key of our certificate (tc.key)"})
    token_file: str = field(
        default="",
        metadata={
            "help": "file with a token, or with whole lines of an HTTP header as in a tc.key"
            " without tc.crt"
        },
    )


class BasicsStationUpstream:
    """One network server; see :class:`edge.upstreams.base.Upstream`."""

    Options: ClassVar[type[BasicsStationOptions]] = BasicsStationOptions
    lane: ClassVar[Lane] = Lane.NETWORK_SERVER
    max_batch: ClassVar[int] = MAX_BATCH

    def __init__(self, options: BasicsStationOptions, context: UpstreamContext) -> None:
        self._options = options
        self._context = context
        self._lane = NetworkServerLane(options, context)
        self._session = LnsSession(
            context.clock.boot_id, software=f"lora-edge {VERSION}", model="sx127x"
        )
        self._downlinks = StationDownlinks(self._session, context, self._times)
        metrics, name = context.metrics, context.name
        self._passed_over = {
            reason: metrics.network_server_frames_passed_over.labels(name, reason.value)
            for reason in NotCarried
        }
        self._rejects = {
            reason: metrics.network_server_rejects.labels(name, reason.value)
            for reason in LnsReject
        }
        self._uri = ""  # where the server wants us, until a connection to it fails
        self._socket: WebSocket | None = None
        self._stack = AsyncExitStack()
        self._configured = asyncio.Event()
        self._heard_at_us = 0
        self._time_request_at_us = 0
        self._shown: object = None

    async def __aenter__(self) -> Self:
        self._configured.clear()
        self._time_request_at_us = 0
        credentials = await asyncio.to_thread(self._credentials)
        async with AsyncExitStack() as opening:
            socket = await self._connect(opening, credentials)
            group = await opening.enter_async_context(task_group())
            receiving = group.create_task(self._receive(socket, group))
            opening.callback(receiving.cancel)
            opening.callback(self._downlinks.cancel)
            await self._await_configuration(socket)
            self._stack = opening.pop_all()
        self._socket = socket
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket = None
        await self._stack.aclose()

    async def send(self, batch: Batch) -> SendResult:
        """Send frames, each device's in order, and see that the server has read them.

        Raises:
            TransientUpstreamError: the connection went, or no PONG came within 15 s.
        """
        delivery = _Delivery(self._open_socket(), self._session, self._context)
        result = await self._lane.send(batch, delivery.transmit, _PARCELS)
        for reason in delivery.not_carried.values():
            self._passed_over[reason].inc()
        return SendResult(
            result.acknowledged - delivery.not_carried.keys(),
            result.rejected,
            result.passed_over | delivery.not_carried.keys(),
            delivery.sent_bytes,
        )

    async def tick(self) -> None:
        """Notice a lost connection; ask for the time each hour, and after the server's health.

        Raises:
            TransientUpstreamError: the connection is gone, or a quiet server does not answer.
        """
        socket = self._open_socket()
        now_us = self._context.clock.boottime_us()
        if now_us >= self._time_request_at_us:
            self._time_request_at_us = now_us + TIME_REQUEST_INTERVAL_US
            await socket.send(self._session.time_request(now_us))
        if now_us - self._heard_at_us >= QUIET_US:
            await socket.confirm()
            self._heard_at_us = now_us

    @property
    def peer_certificate(self) -> bytes | None:
        """The server's, DER; None without TLS."""
        return None if self._socket is None else self._socket.peer_certificate

    async def _connect(self, stack: AsyncExitStack, credentials: "_Identity") -> WebSocket:
        """To where the server wants us; it is asked again when that fails."""
        uri, self._uri = self._uri, ""
        if not uri:
            uri = await self._discover(credentials)
        socket = WebSocket(credentials.endpoint(uri))
        stack.push_async_callback(socket.close)
        await socket.open()
        self._uri = uri
        return socket

    async def _discover(self, credentials: "_Identity") -> str:
        url = self._options.url.rstrip("/")
        if not url.endswith("/router-info"):
            url += "/router-info"
        socket = WebSocket(credentials.endpoint(url))
        try:
            await socket.open()
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await socket.send(discovery_request(self._context.gateway))
                answer = await socket.receive()
            text = answer if isinstance(answer, str) else ""
            return discovered_uri(text, secure=url.startswith("wss:"))
        except TimeoutError:
            raise TransientUpstreamError(f"{url}: no answer to discovery") from None
        except DiscoveryError as error:
            raise PermanentUpstreamError(f"{url}: {error}") from None
        finally:
            await socket.close()

    async def _await_configuration(self, socket: WebSocket) -> None:
        await socket.send(self._session.hello())
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await self._configured.wait()
        except TimeoutError:
            raise TransientUpstreamError("the server sends no usable router_config") from None
        socket.check()

    async def _receive(self, socket: WebSocket, group: asyncio.TaskGroup) -> None:
        """Take what the server sends until the connection ends, which the socket remembers."""
        try:
            while True:
                message = await socket.receive()
                self._heard_at_us = self._context.clock.boottime_us()
                if isinstance(message, str):
                    for event in self._session.receive(message, self._times()):
                        self._take(event, socket, group)
                else:
                    self._refuse(LnsReject.BINARY, f"{len(message)} bytes")
        except UpstreamError:
            self._configured.set()

    def _take(self, event: LnsEvent, socket: WebSocket, group: asyncio.TaskGroup) -> None:
        match event:
            case Configured(config):
                self._configured.set()
                if config != self._shown:
                    self._shown = config
                    radios = radios_of(self._context.statistics())
                    for line in compare(config, radios, self._context.site.region):
                        logger.warning("%s: %s", self._context.name, line)
            case DownlinkAsked(downlink):
                if not self._downlinks.begin(downlink, socket, group):
                    self._refuse(LnsReject.TOO_MANY, "downlinks at one time")
            case ServerError(text):
                logger.warning("%s: the server says: %s", self._context.name, text)
            case Rejected(reason, detail):
                self._refuse(reason, detail)

    def _refuse(self, reason: LnsReject, detail: str) -> None:
        logger.warning("%s: refused: %s (%s)", self._context.name, reason.value, detail)
        self._context.metrics.network_server_rejects.labels(self._context.name, reason.value).inc()

    def _times(self) -> Times:
        clock = self._context.clock
        now_us, wall = clock.boottime_us(), clock.wall()
        return Times(now_us, None if wall is None else gps_us(wall.unix_us) - now_us)

    def _open_socket(self) -> WebSocket:
        if self._socket is None:
            raise TransientUpstreamError("not connected")
        self._socket.check()
        return self._socket

    def _credentials(self) -> "_Identity":
        """Read the files; in a thread, because they may be on a slow card."""
        credentials = Credentials.of(self._options)
        token = credentials.token()
        if token is None and not self._options.cert_file:
            token = read_secret(self._options.key_file, "key file")
        headers = {} if token is None else token_headers(token)
        secure = self._options.url.startswith("wss:")
        return _Identity(headers, credentials.tls() if secure else None)


@dataclass(frozen=True, slots=True)
class _Identity:
    headers: Mapping[str, str]
    tls: ssl.SSLContext | None

    def endpoint(self, url: str) -> Endpoint:
        return Endpoint(url, self.headers, self.tls)


class _Delivery:
    """One batch under way; what the server does not want is noted and not sent."""

    def __init__(self, socket: WebSocket, session: LnsSession, context: UpstreamContext) -> None:
        self._socket = socket
        self._session = session
        self._clock = context.clock
        self.not_carried: dict[FrameId, NotCarried] = {}
        self.sent_bytes = 0

    async def transmit(self, uplinks: Sequence[Uplink]) -> Mapping[FrameId, str]:
        texts = []
        for uplink in uplinks:
            now_us = self._clock.boottime_us()
            try:
                text = self._session.uplink(uplink.phy_payload, self._heard(uplink, now_us), now_us)
            except NotCarriedError as error:
                self.not_carried[uplink.frame_id] = error.reason
            else:
                texts.append(text)
        if texts:
            await self._socket.send(*texts)
            await self._socket.confirm()
            self.sent_bytes += sum(map(len, texts)) + _FRAMING_BYTES * len(texts)
        return {}

    def _heard(self, uplink: Uplink, now_us: int) -> Heard:
        reception = uplink.reception
        rssi_dbm, snr_db = reception.rssi_dbm, reception.snr_db
        return Heard(
            frequency_hz=reception.frequency_hz,
            spreading_factor=reception.spreading_factor,
            bandwidth_hz=reception.bandwidth_hz,
            rssi_dbm=UNKNOWN_RSSI_DBM if rssi_dbm is None else rssi_dbm,
            snr_db=0.0 if snr_db is None else snr_db,
            rctx=reception.radio,
            xtime=self._session.xtime(reception.radio, uplink.this_boot, uplink.counter_us, now_us),
            gps_time_us=uplink.gps_time_us or 0,
            unix_us=0 if uplink.received_at is None else uplink.received_at.unix_us,
        )


def token_headers(text: str) -> dict[str, str]:
    """HTTP headers of a token file: whole lines as in a ``tc.key``, or a token alone.

    Raises:
        PermanentUpstreamError: it is neither.
    """
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) == 1 and ":" not in lines[0]:
        lines = [f"Authorization: Bearer {lines[0]}"]
    headers = {}
    for line in lines:
        name, separator, value = line.partition(":")
        if not separator or not _HEADER_NAME.fullmatch(name) or not value.isprintable():
            raise PermanentUpstreamError("token file: neither a token nor lines of a header")
        headers[name] = value.strip()
    return headers
