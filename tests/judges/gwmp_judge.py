"""``pamoja-gateway`` on datagrams of the Semtech UDP protocol; runs in the judges' environment."""

from typing import Any

from pamoja import gateway
from pamoja.lora import link


def parse_push_data(datagram: str) -> Any:
    """A gateway's PUSH_DATA (hexadecimal), as it reads it."""
    packet = gateway.parse(bytes.fromhex(datagram))
    return {
        "kind": str(packet.kind),
        "token": packet.token,
        "gateway": packet.gateway,
        "status": packet.status and _stat(packet.status),
        "packets": [_rxpk(each) for each in packet.packets or ()],
    }


def parse_tx_ack(datagram: str) -> Any:
    """A gateway's TX_ACK."""
    packet = gateway.parse(bytes.fromhex(datagram))
    return {
        "kind": str(packet.kind),
        "token": packet.token,
        "gateway": packet.gateway,
        "status": str(packet.tx_status),
    }


def acknowledgment(datagram: str) -> Any:
    """What a server owes for a gateway's datagram."""
    owed = gateway.acknowledgment(gateway.parse(bytes.fromhex(datagram)))
    return (owed if isinstance(owed, bytes) else gateway.encode(owed)).hex()


def encode_pull_resp(wanted: dict[str, Any]) -> str:
    """A server's PULL_RESP, as it writes it."""
    radio = link(
        wanted["spreading_factor"],
        wanted["bandwidth_hz"],
        coding_rate_denominator=int(wanted["coding_rate"][2]),
    )
    transmit = gateway.Txpk(
        wanted["frequency_hz"],
        bytes.fromhex(wanted["payload"]),
        link=radio,
        immediate=wanted["immediate"],
        timestamp_us=wanted["tmst"],
        gps_millis=wanted["gps_ms"],
        power_dbm=wanted["power_dbm"],
        invert_polarity=wanted["invert_iq"],
    )
    packet = gateway.Packet(gateway.PacketKind.PULL_RESP, wanted["token"], transmit=transmit)
    return str(gateway.encode(packet).hex())


def _rxpk(packet: Any) -> dict[str, Any]:
    radio = packet.link
    return {
        "payload": packet.payload.hex(),
        "frequency_hz": packet.frequency_hz,
        "spreading_factor": radio.spreading_factor,
        "bandwidth_hz": radio.bandwidth_hz,
        "coding_rate": f"4/{radio.coding_rate_denominator}",
        "rssi_dbm": packet.rssi_dbm,
        "snr_db": packet.snr_db,
        "crc": str(packet.crc),
        "tmst": packet.timestamp_us,
        "received_at_us": packet.received_at_us,
        "gps_ms": packet.gps_millis,
        "channel": packet.channel,
    }


def _stat(status: Any) -> dict[str, Any]:
    return {
        name: getattr(status, name)
        for name in (
            "time_s",
            "latitude_deg",
            "longitude_deg",
            "altitude_m",
            "received",
            "received_ok",
            "forwarded",
            "acknowledged_percent",
            "downlinks",
            "transmitted",
        )
    }
