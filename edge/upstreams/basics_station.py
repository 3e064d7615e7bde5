"""Upstream ``basics-station``: LoRaWAN frames to a network server, over the LNS protocol.

The protocol has no acknowledgement of uplinks. A frame counts as delivered when the server's end of
the connection has answered a PING that was sent behind it: the server has read the frame, and for
most servers has begun to work on it. If it dies before it has passed the frame on, the frame is
lost to it; ``hold_after_ack`` sends frames again then. Frames that come twice do no harm: network
servers drop a counter that they have seen.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, ClassVar, Self
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
from protocol.network_server.lns_uplink import Heard, NotCarried, NotCarriedError, why_not
from protocol.network_server.uplink import Uplink
from protocol.records.sensor_frame import FrameId

logger = logging.getLogger(__name__)

TIME_REQUEST_INTERVAL_US = 3_600_000_000
QUIET_US = 60_000_000
"""Without a word from the server for this long we ask whether it is still there."""

_PARCELS = Parcels(limit=32, in_flight=4)
_FRAMING_BYTES = 8  # of a WebSocket message of up to 64 kB from a client (RFC 6455, section 5.2)
_UNKNOWN_DBM = -140  # below what a radio can hear: no server would answer by us if it has a choice


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
        async with AsyncExitStack() as stack:
            self._socket = await self._connect(stack, credentials)
            group = await stack.enter_async_context(asyncio.TaskGroup())
            receiving = group.create_task(self._receive(self._socket, group))
            stack.callback(receiving.cancel)
            stack.callback(self._downlinks.cancel)
            await self._await_configuration(self._socket)
            self._stack = stack.pop_all()
        return self
