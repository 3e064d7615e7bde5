"""One side of the LNS protocol of LoRa Basics Station: that of the gateway.

Texts and time in, values out. A session lasts as long as the service; connections come and go in
it, and each begins with :meth:`LnsSession.hello`. Source: LoRa Basics Station documentation, "LNS
Protocol"; it is the protocol of The Things Stack, ChirpStack, AWS IoT and others.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from protocol.network_server.eui import id6
from protocol.network_server.lns_clock import LATE, LATE_AFTER_US, LnsClock, Xtime, unpack_xtime
from protocol.network_server.lns_downlink import (
    MAX_SCHEDULE,
    Downlink,
    DownlinkReader,
    Times,
    Window,
    transmitted_message,
)
from protocol.network_server.lns_json import (
    LnsFault,
    LnsReject,
    dumps,
    malformed,
    number,
    read_message,
    whole,
)
from protocol.network_server.lns_router_config import RouterConfig, parse_router_config
from protocol.network_server.lns_uplink import Heard, uplink_message

PROTOCOL_VERSION = 2
_LONGEST_TEXT = 200
_XTIME_LIMIT = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Configured:
    """The server has configured us, perhaps anew."""

    config: RouterConfig


@dataclass(frozen=True, slots=True)
class DownlinkAsked:
    """The server wants this transmitted."""

    downlink: Downlink


@dataclass(frozen=True, slots=True)
class ServerError:
    """The server says that something is wrong, in its words."""

    text: str


@dataclass(frozen=True, slots=True)
class Rejected:
    """A message, or one entry of it, was not taken."""

    reason: LnsReject
    detail: str


LnsEvent = Configured | DownlinkAsked | ServerError | Rejected


class DiscoveryError(Exception):
    """The server does not say where to connect; the text is its own, or what is wrong with it."""


def discovery_request(gateway: bytes) -> str:
    """What is sent to ``/router-info``."""
    return dumps({"router": id6(gateway)})


def discovered_uri(text: str, *, secure: bool) -> str:
    """Where the server wants us to connect.

    Args:
        secure: whether it was asked over TLS. Servers behind a proxy that speaks TLS for them say
            ``ws`` where they mean ``wss``; and a token must not travel in the clear.

    Raises:
        DiscoveryError: it refuses us, or its answer is of no use.
    """
    try:
        answer = read_message(text)
    except LnsFault as fault:
        raise DiscoveryError(f"its answer is {fault}") from None
    if answer.get("error"):
        raise DiscoveryError(_shown(answer["error"]))
    uri = answer.get("uri")
    if not isinstance(uri, str):
        raise DiscoveryError("its answer has no uri")
    try:
        parts = urlsplit(uri)
        usable = parts.scheme in ("ws", "wss") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise DiscoveryError(f"its uri is of no use: {_shown(uri)}")
    return parts._replace(scheme="wss").geturl() if secure else uri


def _shown(value: object) -> str:
    """A server's text, fit to be logged."""
    return ascii(value)[:_LONGEST_TEXT].strip("'\"")


class LnsSession:
    """What outlives a connection: the clock's session, and the times that a server told.

    Args:
        boot_id: of the host.
        software: name and version.
        model: of the hardware.
    """

    def __init__(self, boot_id: bytes, *, software: str, model: str) -> None:
        self._clock = LnsClock(boot_id)
        self._software = software
        self._model = model
        self.config: RouterConfig | None = None

    def hello(self) -> str:
        """The first message of a connection; the server answers with its configuration."""
        self.config = None
        return dumps(
            {
                "msgtype": "version",
                "station": self._software,
                "firmware": "",
                "package": "",
                "model": self._model,
                "protocol": PROTOCOL_VERSION,
                # Not "rmtsh", not "updn", not "gps": only that no test switches are wanted.
                "features": "prod",
            }
        )

    def receive(self, text: str, times: Times) -> list[LnsEvent]:
        """Read one message of the server; never raises."""
        try:
            message = read_message(text)
            mux_time_s = number(message, "MuxTime")
            if mux_time_s:
                self._clock.note_mux_time(mux_time_s, times.now_us)
            return list(self._events(message, times))
        except LnsFault as fault:
            return [Rejected(fault.reason, str(fault))]

    def _events(self, message: dict[str, Any], times: Times) -> Iterator[LnsEvent]:
        match message.get("msgtype"):
            case "router_config":
                self.config = parse_router_config(message)
                yield Configured(self.config)
            case "dnmsg":
                yield DownlinkAsked(self._reader(times).message(message))
            case "dnframe":
                yield DownlinkAsked(self._reader(times).frame(message))
            case "dnsched":
                yield from self._schedule(message, self._reader(times))
            case "timesync":
                self._time(message, times.now_us)
            case "error":
                yield ServerError(_shown(message.get("error")))
            case "runcmd" | "rmtsh" as name:
                raise LnsFault(LnsReject.NOT_ALLOWED, name)
            case name:
                raise LnsFault(LnsReject.UNKNOWN, _shown(name))

    def _reader(self, times: Times) -> DownlinkReader:
        if self.config is None:
            raise LnsFault(LnsReject.NOT_CONFIGURED, "no router_config yet")
        return DownlinkReader(self.config, self._clock, times)

    def _schedule(self, message: dict[str, Any], reader: DownlinkReader) -> Iterator[LnsEvent]:
        entries = message.get("schedule")
        if not isinstance(entries, list):
            raise malformed("schedule")
        for entry in entries[:MAX_SCHEDULE]:
            try:
                yield DownlinkAsked(reader.scheduled(entry))
            except LnsFault as fault:
                yield Rejected(fault.reason, str(fault))
        if len(entries) > MAX_SCHEDULE:
            yield Rejected(LnsReject.TOO_LONG, f"schedule of {len(entries)} frames")

    def _time(self, message: dict[str, Any], now_us: int) -> None:
        """An answer to our request, or the server telling it of its own accord."""
        gps_time_us = whole(message, "gpstime", 0, _XTIME_LIMIT)
        xtime = whole(message, "xtime", 0, _XTIME_LIMIT)
        txtime = whole(message, "txtime", 0, _XTIME_LIMIT)
        if not gps_time_us:
            raise malformed("gpstime")
        if xtime:
            self._clock.pushed(unpack_xtime(xtime), gps_time_us)
        if txtime:
            self._clock.answered(txtime, gps_time_us, now_us)

    def time_request(self, now_us: int) -> str:
        """Ask the server for the time."""
        return dumps({"msgtype": "timesync", "txtime": self._clock.ask(now_us)})

    def xtime(self, radio: int, boot_id_is_ours: bool, received_us: int, now_us: int) -> Xtime:
        """The ``xtime`` of a frame that is delivered now.

        Args:
            radio: index of the radio that heard it.
            boot_id_is_ours: whether it was heard in this boot of the host.
            received_us: when, on the CLOCK_BOOTTIME of its boot.
        """
        if boot_id_is_ours and now_us - received_us < LATE_AFTER_US:
            return Xtime(min(radio, LATE - 1), self._clock.session, received_us)
        return Xtime(LATE, self._clock.session, now_us)

    def uplink(self, phy_payload: bytes, heard: Heard, now_us: int) -> str:
        """The message for a frame.

        Raises:
            NotCarriedError: it is not for this server.
            LnsFault: the server has not configured us yet.
        """
        if self.config is None:
            raise LnsFault(LnsReject.NOT_CONFIGURED, "no router_config yet")
        reference_time_s = self._clock.reference_time_s(now_us)
        return uplink_message(phy_payload, heard, self.config, reference_time_s)

    def transmitted(self, downlink: Downlink, window: Window, times: Times) -> str | None:
        """What the server is told once the radio has sent a downlink; None = nothing."""
        if not downlink.dev_eui:
            return None
        return transmitted_message(downlink, window, self._clock.session, times)
