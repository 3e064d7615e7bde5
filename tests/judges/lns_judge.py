"""``pamoja-gateway`` on messages of the LNS protocol; runs in the judges' environment."""

import json
from typing import Any

from pamoja import gateway


def heard(frame: dict[str, Any]) -> Any:
    """The message that it makes of a frame of the air."""
    levels = gateway.StationLevels(
        rctx=frame["rctx"],
        xtime=frame["xtime"],
        gpstime=frame["gpstime"],
        rssi=frame["rssi"],
        snr=frame["snr"],
    )
    message = gateway.station_heard(
        bytes.fromhex(frame["phy"]), frame["data_rate"], frame["frequency_hz"], levels
    )
    return json.loads(gateway.station_encode(message))


def parse_uplink(text: str) -> Any:
    """Our message, as it reads it."""
    message = gateway.station_parse(text)
    return {
        "msgtype": message.msgtype,
        "mic": message.mic,
        "dev_addr": message.dev_addr,
        "join_eui": message.join_eui,
        "dev_eui": message.dev_eui,
        "data_rate": message.data_rate,
        "frequency_hz": message.frequency_hz,
        "xtime": message.levels.xtime,
        "gpstime": message.levels.gpstime,
        "rssi": message.levels.rssi,
        "snr": message.levels.snr,
        "rctx": message.levels.rctx,
    }


def encode_downlink(wanted: dict[str, Any]) -> str:
    """A server's ``dnmsg``, as it writes it."""
    message = gateway.StationMessage(
        "dnmsg",
        dev_eui=wanted["dev_eui"],
        class_=wanted["class"],
        diid=wanted["diid"],
        payload=bytes.fromhex(wanted["payload"]),
        rx_delay=wanted["rx_delay"],
        rx1=gateway.StationWindow(*wanted["rx1"]),
        rx2=gateway.StationWindow(*wanted["rx2"]),
        priority=1,
        xtime=wanted["xtime"],
        rctx=wanted["rctx"],
    )
    return str(gateway.station_encode(message))


def parse_transmitted(text: str) -> Any:
    """Our ``dntxed``, as it reads it."""
    message = gateway.station_parse(text)
    return {
        "msgtype": message.msgtype,
        "diid": message.diid,
        "dev_eui": message.dev_eui,
        "xtime": message.xtime,
        "gpstime": message.gpstime,
    }


def encode_configuration(data_rates: list[list[int]]) -> str:
    """A server's ``router_config``, as it writes it."""
    message = gateway.StationMessage(
        "router_config",
        region="AS923-2",
        hwspec="sx1301/1",
        freq_min=920_000_000,
        freq_max=923_000_000,
        max_eirp=16.0,
        data_rates=[gateway.StationDataRate(factor, hz) for factor, hz in data_rates],
    )
    return str(gateway.station_encode(message))


def id6(eui: str) -> str:
    """An EUI-64 (16 hexadecimal digits) as ID6."""
    return str(gateway.station_id6(eui))


def xtime_parts(xtime: int) -> list[int]:
    """Unit, session, microseconds."""
    parts = gateway.station_xtime_parts(xtime)
    return [parts.unit, parts.session, parts.micros]
