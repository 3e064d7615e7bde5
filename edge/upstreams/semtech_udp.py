"""Upstream ``semtech-udp``: a network server that speaks the Semtech UDP protocol (GWMP version 2).

Every LoRaWAN network server knows it. It neither encrypts nor authenticates, so it has to be
allowed for any server that is not on this host; a VPN such as WireGuard makes it fit for the
Internet. A frame is acknowledged by the PUSH_ACK of its datagram; servers send that before they
have worked on it, so this is the weakest acknowledgement of all kinds.
"""

import asyncio
import ipaddress
import logging
import socket
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import urlsplit

from edge.config.fields import DURATION
from edge.upstreams.base import (
    Batch,
    Lane,
    SendResult,
    TransientUpstreamError,
    UpstreamContext,
)
from edge.upstreams.beside import task_group
from edge.upstreams.gwmp_downlinks import GwmpDownlinks
from edge.upstreams.gwmp_link import LOOK_UP_S, GwmpLink
from edge.upstreams.gwmp_statistics import GwmpStatistics
from edge.upstreams.network_server import (
    MAX_BATCH,
    NetworkServerLane,
    NetworkServerOptions,
    Parcels,
)
from edge.upstreams.urls import url_notation
from protocol.network_server.gwmp import HEADER_BYTES, MAX_DATAGRAM, Reject
from protocol.network_server.gwmp_reports import MAX_UPLINKS, OVERHEAD_BYTES, push_data, rxpk
from protocol.network_server.uplink import Uplink
from protocol.records.sensor_frame import FrameId

logger = logging.getLogger(__name__)

DEFAULT_PORT = 1700
IN_FLIGHT = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class SemtechUdpOptions(NetworkServerOptions):
    """``[[upstream]] kind = "semtech-udp"``.

    Raises:
        ValueError: the server is on another host, and plaintext was not accepted.
    """

    url: str = field(
        metadata={
            "help": "udp://host:1700",
            "notation": url_notation("udp"),
            "example": "udp://127.0.0.1:1700",
        }
    )
    i_accept_plaintext: bool = field(
        default=False,
        metadata={
            "help": "send to another host: anyone on the way can read, forge and swallow frames and"
            " downlinks, unless a VPN is between"
        },
    )
    keepalive_s: float = field(
        default=10.0,
        metadata={
            "help": "how often a PULL_DATA keeps the way back open; servers and routers forget it"
            " after a minute or less",
            "notation": DURATION,
            "toml": "keepalive",
            "minimum": 1.0,
            "maximum": 300.0,
        },
    )
    statistics_s: float = field(
        default=30.0,
        metadata={
            "help": "how often the gateway reports itself (stat)",
            "notation": DURATION,
            "toml": "statistics",
            "minimum": 5.0,
        },
    )
    acknowledge_timeout_s: float = field(
        default=15.0,
        metadata={
            "help": "frames that have no PUSH_ACK after this long are taken for not delivered",
            "notation": DURATION,
            "toml": "acknowledge_timeout",
            "minimum": 1.0,
            "maximum": 120.0,
        },
    )
    metadata: bool = field(
        default=True,
        metadata={"help": "tell how long a frame was held, and whether it is a replay (meta)"},
    )

    def __post_init__(self) -> None:
        """Have it said that there is no protection."""
        host = urlsplit(self.url).hostname or ""
        if not (self.i_accept_plaintext or _is_this_host(host)):
            raise ValueError(
                "semtech-udp protects nothing on the way to another host: use a VPN, and set"
                " i_accept_plaintext = true"
            )


class SemtechUdpUpstream:
    """One server; see :class:`edge.upstreams.base.Upstream`."""

    Options: ClassVar[type[SemtechUdpOptions]] = SemtechUdpOptions
    lane: ClassVar[Lane] = Lane.NETWORK_SERVER
    max_batch: ClassVar[int] = MAX_BATCH

    def __init__(self, options: SemtechUdpOptions, context: UpstreamContext) -> None:
        self._options = options
        self._context = context
        self._lane = NetworkServerLane(options, context)
        self._parcels = Parcels(
            limit=MAX_UPLINKS,
            room_bytes=MAX_DATAGRAM - HEADER_BYTES - OVERHEAD_BYTES,
            weigh=lambda uplink: len(self._rxpk(uplink)) + len(b","),
            in_flight=IN_FLIGHT,
        )
        self._address: tuple[str, int] | None = None
        self._link: GwmpLink | None = None
        self._statistics = GwmpStatistics(context, round(options.statistics_s * 1e6))
        self._stack = AsyncExitStack()
        rejects = context.metrics.network_server_rejects
        self._rejects = {each: rejects.labels(context.name, each.value) for each in Reject}

    async def __aenter__(self) -> Self:
        self._address = await self._look_up()
        async with AsyncExitStack() as opening:
            group = await opening.enter_async_context(task_group())
            link = GwmpLink(
                self._context.gateway,
                keepalive_s=self._options.keepalive_s,
                rejected=lambda reason: self._rejects[reason].inc(),
            )
            opening.callback(link.close)
            downlinks = GwmpDownlinks(self._context, group, link.answer)
            opening.callback(downlinks.cancel)
            await link.open(self._address, downlinks.take)
            self._stack = opening.pop_all()
        self._statistics.begin(link.counts, downlinks)
        self._link = link
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._link = None
        # Nothing of ours is wrong here: the group is only to end its tasks.
        await self._stack.aclose()

    async def send(self, batch: Batch) -> SendResult:
        """Send what is for a network server, each device's frames in order and at their pace.

        Raises:
            TransientUpstreamError: a datagram was not acknowledged in time.
        """
        link = self._open_link()
        before = link.counts.sent_bytes
        result = await self._lane.send(batch, self._transmit, self._parcels)
        return replace(result, sent_bytes=link.counts.sent_bytes - before)

    async def tick(self) -> None:
        """Notice that answers have ceased, and report the gateway itself.

        Raises:
            TransientUpstreamError: twelve answers in a row did not come.
        """
        link = self._open_link()
        body = self._statistics.due()
        if body is not None:
            link.push_once(body)

    async def _transmit(self, uplinks: Sequence[Uplink]) -> Mapping[FrameId, str]:
        body = push_data(map(self._rxpk, uplinks))
        await self._open_link().push(body, within_s=self._options.acknowledge_timeout_s)
        self._statistics.forwarded += len(uplinks)
        return {}

    def _rxpk(self, uplink: Uplink) -> bytes:
        now_us = self._context.clock.boottime_us()
        return rxpk(uplink, now_us, with_metadata=self._options.metadata)

    def _open_link(self) -> GwmpLink:
        if self._link is None:
            raise TransientUpstreamError("not connected")
        self._link.check()
        return self._link

    async def _look_up(self) -> tuple[str, int]:
        """The server's address now; the last good one while names cannot be looked up."""
        parts = urlsplit(self._options.url)
        host, port = parts.hostname or "", parts.port or DEFAULT_PORT
        try:
            async with asyncio.timeout(LOOK_UP_S):
                found = await asyncio.get_running_loop().getaddrinfo(
                    host, port, type=socket.SOCK_DGRAM
                )
        except (OSError, UnicodeError, TimeoutError) as error:
            why = f"no answer in {LOOK_UP_S:.0f} s" if isinstance(error, TimeoutError) else error
            if self._address is None:
                raise TransientUpstreamError(f"look-up of {host}: {why}") from None
            logger.warning("look-up of %s: %s; its last address is used", host, why)
            return self._address
        address = found[0][4]
        return str(address[0]), int(address[1])


def _is_this_host(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
