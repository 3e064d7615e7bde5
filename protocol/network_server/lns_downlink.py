"""Downlinks in the LNS protocol: ``dnmsg``, ``dnsched`` and the older ``dnframe``.

A server gives one payload and up to two windows; the first that works ends it. There is no negative
answer: silence means that nothing was sent, and ``dntxed`` that it was. Source: LoRa Basics Station
documentation, "LNS Protocol".
"""

from dataclasses import dataclass
from typing import Any

from protocol.lorawan.frame import MAX_PHY_PAYLOAD
from protocol.lorawan.gps_time import unix_us
from protocol.network_server.eui import parse_eui
from protocol.network_server.lns_clock import LATE, LnsClock, Xtime, unpack_xtime
from protocol.network_server.lns_json import LnsFault, LnsReject, dumps, malformed, octets, whole
from protocol.network_server.lns_router_config import RouterConfig

MAX_SCHEDULE = 128
_MAX_HZ = 3_000_000_000
_XTIME_LIMIT = 2**63 - 1
_CLASS_A, _CLASS_B, _CLASS_C = 0, 1, 2
_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class Window:
    """When and how a device listens; ``at_boottime_us`` None = at once."""

    at_boottime_us: int | None
    frequency_hz: int
    data_rate: int
    spreading_factor: int
    bandwidth_hz: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Downlink:
    """One frame to send in the first window that works.

    Attributes:
        dev_eui: as the server wrote it; "" = it wants no ``dntxed``.
        diid: the server's number for it.
    """

    payload: bytes
    windows: tuple[Window, ...]
    dev_eui: str
    diid: int
    rctx: int


@dataclass(frozen=True, slots=True)
class Times:
    """What is needed to say when something is due.

    Attributes:
        now_us: CLOCK_BOOTTIME.
        gps_offset_us: GPS time minus CLOCK_BOOTTIME while our own clock is set.
    """

    now_us: int
    gps_offset_us: int | None


class DownlinkReader:
    """Reads downlinks under one configuration."""

    def __init__(self, config: RouterConfig, clock: LnsClock, times: Times) -> None:
        self._config = config
        self._clock = clock
        self._times = times

    def message(self, message: dict[str, Any]) -> Downlink:
        """A ``dnmsg``.

        Raises:
            LnsFault: it cannot be done, or not be understood.
        """
        device_class = whole(message, "dC", _CLASS_A, _CLASS_C)
        if device_class is None:
            raise malformed("dC")
        if device_class == _CLASS_B:
            windows = [self._window(self._at_gps_time(message), message, "")]
        else:
            windows = self._after_uplink(message, device_class)
        return self._downlink(message, windows)

    def frame(self, message: dict[str, Any]) -> Downlink:
        """A ``dnframe``: one window, whose time is that of the transmission itself.

        Raises:
            LnsFault: as above.
        """
        at_us = None if message.get("asap") is True else self._at_xtime(message)
        return self._downlink(message, [self._window(at_us, message, "")])

    def scheduled(self, entry: object) -> Downlink:
        """One entry of a ``dnsched``; nobody wants to be told that it was sent.

        Raises:
            LnsFault: as above.
        """
        if not isinstance(entry, dict):
            raise malformed("schedule")
        by_gps = any(entry.get(key) is not None for key in ("gpstime", "ontime"))
        at_us = self._at_gps_time(entry) if by_gps else self._at_xtime(entry)
        return self._downlink({**entry, "DevEui": None}, [self._window(at_us, entry, "")])

    def _after_uplink(self, message: dict[str, Any], device_class: int) -> list[Window]:
        """RX1, and RX2 a second later; a device of class C listens in RX2 all the time."""
        delay_s = max(1, whole(message, "RxDelay", 0, 15) or 0)
        windows = []
        at_once = device_class == _CLASS_C
        if message.get("RX1Freq") is not None:
            try:
                at_us = self._at_xtime(message) + delay_s * _SECOND_US
                windows.append(self._window(at_us, message, "RX1"))
            except LnsFault as fault:
                if not at_once or fault.reason is LnsReject.MALFORMED:
                    raise
        if message.get("RX2Freq") is not None:
            later_us = None
            if not at_once:
                later_us = self._at_xtime(message) + (delay_s + 1) * _SECOND_US
            windows.append(self._window(later_us, message, "RX2"))
        if not windows:
            raise malformed("neither RX1 nor RX2")
        return windows

    def _at_xtime(self, message: dict[str, Any]) -> int:
        value = whole(message, "xtime", 0, _XTIME_LIMIT)
        if not value:
            raise malformed("xtime")
        xtime = unpack_xtime(value)
        if xtime.session != self._clock.session or xtime.boottime_us > self._times.now_us + (
            3600 * _SECOND_US
        ):
            raise LnsFault(LnsReject.OLD_SESSION, "not of this boot")
        if xtime.unit == LATE:
            raise LnsFault(LnsReject.TOO_LATE, "answers a frame that was delivered late")
        return xtime.boottime_us

    def _at_gps_time(self, message: dict[str, Any]) -> int:
        gps_time_us = whole(message, "gpstime", 1, _XTIME_LIMIT)
        if gps_time_us is None:
            seconds = whole(message, "ontime", 1, _XTIME_LIMIT // _SECOND_US)
            if seconds is None:
                raise malformed("gpstime")
            gps_time_us = seconds * _SECOND_US
        at_us = self._clock.boottime_us(gps_time_us, self._times.gps_offset_us)
        if at_us is None:
            raise LnsFault(LnsReject.NO_TIME, "our clock is not set")
        return at_us

    def _window(self, at_us: int | None, message: dict[str, Any], prefix: str) -> Window:
        index = whole(message, f"{prefix}DR", 0, 255)
        frequency_hz = whole(message, f"{prefix}Freq", 1, _MAX_HZ)
        if index is None or frequency_hz is None:
            raise malformed(f"{prefix}DR, {prefix}Freq")
        rates = self._config.data_rates
        rate = rates[index] if index < len(rates) else None
        if rate is None:
            raise LnsFault(LnsReject.DATA_RATE, f"{prefix}DR {index}")
        return Window(at_us, frequency_hz, index, rate.spreading_factor, rate.bandwidth_hz)

    def _downlink(self, message: dict[str, Any], windows: list[Window]) -> Downlink:
        diid = whole(message, "diid", -_XTIME_LIMIT, 2**64)
        if diid is None:
            diid = whole(message, "seqno", -_XTIME_LIMIT, 2**64)
        return Downlink(
            payload=octets(message, "pdu", MAX_PHY_PAYLOAD),
            windows=tuple(windows),
            dev_eui=_dev_eui(message),
            diid=diid or 0,
            rctx=whole(message, "rctx", -_XTIME_LIMIT, _XTIME_LIMIT) or 0,
        )


def _dev_eui(message: dict[str, Any]) -> str:
    """The text, if the server wants to hear of it: zero stands for "no"."""
    value = message.get("DevEui", message.get("DevEUI"))
    if value is None:
        return ""
    try:
        is_zero = not any(parse_eui(value)) if isinstance(value, str) else None
    except ValueError:
        is_zero = None
    if is_zero is None:
        raise malformed("DevEui")
    return "" if is_zero else str(value)


def transmitted_message(downlink: Downlink, window: Window, session: int, times: Times) -> str:
    """``dntxed``: the radio has sent it in this window."""
    at_us = times.now_us if window.at_boottime_us is None else window.at_boottime_us
    gps_time_us = 0 if times.gps_offset_us is None else at_us + times.gps_offset_us
    return dumps(
        {
            "msgtype": "dntxed",
            "seqno": downlink.diid,
            "diid": downlink.diid,
            "DR": window.data_rate,
            "Freq": window.frequency_hz,
            "DevEui": downlink.dev_eui,
            "rctx": downlink.rctx,
            "xtime": Xtime(downlink.rctx, session, at_us).pack(),
            "txtime": _unix_s(gps_time_us),
            "gpstime": gps_time_us,
        }
    )


def _unix_s(gps_time_us: int) -> float:
    return unix_us(gps_time_us) / 1e6 if gps_time_us else 0.0
