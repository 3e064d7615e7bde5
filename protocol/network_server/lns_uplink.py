"""Uplinks in the LNS protocol: the fields of a LoRaWAN frame, which the server joins together.

Source: LoRa Basics Station documentation, "LNS Protocol", and what Basics Station 2.0.6 sends.
DevAddr and MIC travel as signed 32-bit numbers.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from protocol.lorawan.frame import (
    MIC_BYTES,
    DataFrame,
    FrameError,
    JoinRequest,
    Proprietary,
    parse,
)
from protocol.network_server.eui import dashed
from protocol.network_server.lns_clock import Xtime
from protocol.network_server.lns_json import dumps
from protocol.network_server.lns_router_config import RouterConfig


class NotCarried(StrEnum):
    """Why a frame is not for this server; a closed list."""

    NOT_LORAWAN = "not_lorawan"
    NOT_AN_UPLINK = "not_an_uplink"
    """A downlink of another gateway, or a rejoin request: the protocol has no message for it."""
    NET_ID = "net_id"
    JOIN_EUI = "join_eui"
    """The server's configuration says that it does not want it."""
    DATA_RATE = "data_rate"
    """The server's data rates do not have this spreading factor and bandwidth."""


class NotCarriedError(Exception):
    """This frame is not sent to this server; ``reason`` says why."""

    def __init__(self, reason: NotCarried) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True, kw_only=True)
class Heard:
    """How and when a frame was heard.

    Attributes:
        rctx: which radio heard it; comes back with a downlink.
        gps_time_us: 0 = unknown.
        unix_us: 0 = unknown.
    """

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    rssi_dbm: float
    snr_db: float
    rctx: int
    xtime: Xtime
    gps_time_us: int
    unix_us: int


def uplink_message(
    phy_payload: bytes, heard: Heard, config: RouterConfig, reference_time_s: float
) -> str:
    """The message for one frame.

    Raises:
        NotCarriedError: it is not for this server.
    """
    data_rate = config.data_rate(heard.spreading_factor, heard.bandwidth_hz)
    fields = _frame_fields(phy_payload, config)
    if data_rate is None:
        raise NotCarriedError(NotCarried.DATA_RATE)
    return dumps(
        {
            **fields,
            "RefTime": reference_time_s,
            "DR": data_rate,
            "Freq": config.nominal_hz(heard.frequency_hz),
            "upinfo": {
                "rctx": heard.rctx,
                "xtime": heard.xtime.pack(),
                "gpstime": heard.gps_time_us,
                "fts": -1,  # no fine time stamp
                "rssi": round(heard.rssi_dbm),
                "snr": heard.snr_db,
                "rxtime": heard.unix_us / 1e6,
            },
        }
    )


def _frame_fields(phy_payload: bytes, config: RouterConfig) -> dict[str, Any]:
    try:
        frame = parse(phy_payload)
    except FrameError:
        raise NotCarriedError(NotCarried.NOT_LORAWAN) from None
    match frame:
        case DataFrame(uplink=True):
            return _data(phy_payload, frame, config)
        case JoinRequest():
            return _join_request(phy_payload, frame, config)
        case Proprietary():
            return {"msgtype": "propdf", "FRMPayload": phy_payload.hex()}
        case _:
            raise NotCarriedError(NotCarried.NOT_AN_UPLINK)


def _data(phy_payload: bytes, frame: DataFrame, config: RouterConfig) -> dict[str, Any]:
    if not config.wants_address(frame.dev_addr):
        raise NotCarriedError(NotCarried.NET_ID)
    return {
        "msgtype": "updf",
        "MHdr": phy_payload[0],
        "DevAddr": int.from_bytes(frame.dev_addr, "big", signed=True),
        "FCtrl": phy_payload[5],
        "FCnt": frame.f_cnt,
        "FOpts": frame.f_opts.hex(),
        "FPort": -1 if frame.f_port is None else frame.f_port,
        "FRMPayload": frame.frm_payload.hex(),
        "MIC": _mic(phy_payload),
    }


def _join_request(phy_payload: bytes, frame: JoinRequest, config: RouterConfig) -> dict[str, Any]:
    if not config.wants_join(frame.join_eui):
        raise NotCarriedError(NotCarried.JOIN_EUI)
    join_eui_key, dev_eui_key = config.eui_keys
    return {
        "msgtype": "jreq",
        "MHdr": phy_payload[0],
        join_eui_key: dashed(frame.join_eui),
        dev_eui_key: dashed(frame.dev_eui),
        "DevNonce": frame.dev_nonce,
        "MIC": _mic(phy_payload),
    }


def _mic(phy_payload: bytes) -> int:
    return int.from_bytes(phy_payload[-MIC_BYTES:], "little", signed=True)
