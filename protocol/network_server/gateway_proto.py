"""What a gateway and ChirpStack say to each other: the messages of its ``gw.proto``.

Field numbers and names as in chirpstack-api 4.20, which judges them in the tests. Fields that
ChirpStack calls legacy are not there. An absent message or time is None.
"""

# ruff: noqa: RUF009 - wire() is dataclasses.field() with our metadata

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeVar

from protocol.network_server import proto_json, protobuf
from protocol.network_server.message_schema import MapOf, Repeated, Scalar, wire

Message = TypeVar("Message")


def parse(message: type[Message], data: bytes) -> Message:
    """Read a message in either encoding: no protobuf message of these begins with a brace.

    Raises:
        GatewayProtoError: these bytes are none.
    """
    if data[:1] == b"{":
        return proto_json.decode(message, data)
    return protobuf.decode(message, data)


class CodeRate(IntEnum):
    """Coding rates of LoRa and LR-FHSS."""

    CR_UNDEFINED = 0
    CR_4_5 = 1
    CR_4_6 = 2
    CR_4_7 = 3
    CR_4_8 = 4
    CR_3_8 = 5
    CR_2_6 = 6
    CR_1_4 = 7
    CR_1_6 = 8
    CR_5_6 = 9
    CR_LI_4_5 = 10
    CR_LI_4_6 = 11
    CR_LI_4_8 = 12


class CrcState(IntEnum):
    """``CRCStatus``."""

    NO_CRC = 0
    BAD_CRC = 1
    CRC_OK = 2


class LocationSource(IntEnum):
    """Who knows where the gateway stands."""

    UNKNOWN = 0
    GPS = 1
    CONFIG = 2
    GEO_RESOLVER_TDOA = 3
    GEO_RESOLVER_RSSI = 4
    GEO_RESOLVER_GNSS = 5
    GEO_RESOLVER_WIFI = 6


class TxAckStatus(IntEnum):
    """What became of one item of a downlink."""

    IGNORED = 0
    OK = 1
    TOO_LATE = 2
    TOO_EARLY = 3
    COLLISION_PACKET = 4
    COLLISION_BEACON = 5
    TX_FREQ = 6
    TX_POWER = 7
    GPS_UNLOCKED = 8
    QUEUE_FULL = 9
    INTERNAL_ERROR = 10
    DUTY_CYCLE_OVERFLOW = 11


class Connection(IntEnum):
    """``ConnState.State``."""

    OFFLINE = 0
    ONLINE = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraModulation:
    """``LoraModulationInfo``."""

    bandwidth_hz: int = wire(1, Scalar.UINT32, "bandwidth")
    spreading_factor: int = wire(2, Scalar.UINT32, "spreading_factor")
    polarization_inversion: bool = wire(4, Scalar.BOOL, "polarization_inversion")
    code_rate: CodeRate = wire(5, CodeRate, "code_rate")
    preamble_symbols: int = wire(6, Scalar.UINT32, "preamble")
    no_crc: bool = wire(7, Scalar.BOOL, "no_crc")


@dataclass(frozen=True, slots=True, kw_only=True)
class OtherModulation:
    """FSK or LR-FHSS, which these radios do not do: only that it was asked for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Modulation:
    """One of three."""

    lora: LoraModulation | None = wire(3, LoraModulation, "lora", oneof="parameters")
    fsk: OtherModulation | None = wire(4, OtherModulation, "fsk", oneof="parameters")
    lr_fhss: OtherModulation | None = wire(5, OtherModulation, "lr_fhss", oneof="parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class Location:
    """``common.Location``: degrees (WGS 84), metres above sea level."""

    latitude: float = wire(1, Scalar.DOUBLE, "latitude")
    longitude: float = wire(2, Scalar.DOUBLE, "longitude")
    altitude_m: float = wire(3, Scalar.DOUBLE, "altitude")
    source: LocationSource = wire(4, LocationSource, "source")
    accuracy_m: float = wire(5, Scalar.FLOAT, "accuracy")


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkTxInfo:
    """How the device sent."""

    frequency_hz: int = wire(1, Scalar.UINT32, "frequency")
    modulation: Modulation | None = wire(2, Modulation, "modulation")


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkRxInfo:
    """How the gateway heard it.

    Attributes:
        uplink_id: the gateway's own number for it.
        gw_time_ns: Unix time of reception, and ``gps_time_ns`` the same as GPS time.
        context: comes back in the downlink that answers it.
    """

    gateway_id: str = wire(1, Scalar.STRING, "gateway_id")
    uplink_id: int = wire(2, Scalar.UINT32, "uplink_id")
    gw_time_ns: int | None = wire(3, Scalar.TIMESTAMP, "gw_time")
    gps_time_ns: int | None = wire(4, Scalar.DURATION, "time_since_gps_epoch")
    rssi_dbm: int = wire(6, Scalar.INT32, "rssi")
    snr_db: float = wire(7, Scalar.FLOAT, "snr")
    channel: int = wire(8, Scalar.UINT32, "channel")
    rf_chain: int = wire(9, Scalar.UINT32, "rf_chain")
    board: int = wire(10, Scalar.UINT32, "board")
    antenna: int = wire(11, Scalar.UINT32, "antenna")
    location: Location | None = wire(12, Location, "location")
    context: bytes = wire(13, Scalar.BYTES, "context")
    metadata: Mapping[str, str] = wire(15, MapOf(Scalar.STRING, Scalar.STRING), "metadata")
    crc_status: CrcState = wire(16, CrcState, "crc_status")


@dataclass(frozen=True, slots=True, kw_only=True)
class UplinkFrame:
    """Topic ``event/up``."""

    phy_payload: bytes = wire(1, Scalar.BYTES, "phy_payload")
    tx_info: UplinkTxInfo | None = wire(4, UplinkTxInfo, "tx_info")
    rx_info: UplinkRxInfo | None = wire(5, UplinkRxInfo, "rx_info")


@dataclass(frozen=True, slots=True, kw_only=True)
class Immediately:
    """As soon as it can be."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Delay:
    """So long after the uplink whose context the item carries."""

    delay_ns: int | None = wire(1, Scalar.DURATION, "delay")


@dataclass(frozen=True, slots=True, kw_only=True)
class GpsEpoch:
    """At a GPS time."""

    gps_time_ns: int | None = wire(1, Scalar.DURATION, "time_since_gps_epoch")


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """One of three."""

    immediately: Immediately | None = wire(1, Immediately, "immediately", oneof="parameters")
    delay: Delay | None = wire(2, Delay, "delay", oneof="parameters")
    gps_epoch: GpsEpoch | None = wire(3, GpsEpoch, "gps_epoch", oneof="parameters")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkTxInfo:
    """How the gateway shall send; ``power_dbm`` is EIRP."""

    frequency_hz: int = wire(1, Scalar.UINT32, "frequency")
    power_dbm: int = wire(2, Scalar.INT32, "power")
    modulation: Modulation | None = wire(3, Modulation, "modulation")
    board: int = wire(4, Scalar.UINT32, "board")
    antenna: int = wire(5, Scalar.UINT32, "antenna")
    timing: Timing | None = wire(6, Timing, "timing")
    context: bytes = wire(7, Scalar.BYTES, "context")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkFrameItem:
    """One way to send it."""

    phy_payload: bytes = wire(1, Scalar.BYTES, "phy_payload")
    tx_info: DownlinkTxInfo | None = wire(3, DownlinkTxInfo, "tx_info")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkFrame:
    """Topic ``command/down``: ways to send it, tried in this order until one succeeds."""

    downlink_id: int = wire(3, Scalar.UINT32, "downlink_id")
    items: tuple[DownlinkFrameItem, ...] = wire(5, Repeated(DownlinkFrameItem), "items")
    gateway_id: str = wire(7, Scalar.STRING, "gateway_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkTxAckItem:
    """What became of one way."""

    status: TxAckStatus = wire(1, TxAckStatus, "status")


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkTxAck:
    """Topic ``event/ack``: one item for each of the downlink's."""

    downlink_id: int = wire(2, Scalar.UINT32, "downlink_id")
    items: tuple[DownlinkTxAckItem, ...] = wire(5, Repeated(DownlinkTxAckItem), "items")
    gateway_id: str = wire(6, Scalar.STRING, "gateway_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class PerModulationCount:
    """Frames of one modulation."""

    modulation: Modulation | None = wire(1, Modulation, "modulation")
    count: int = wire(2, Scalar.UINT32, "count")


_COUNTS = MapOf(Scalar.UINT32, Scalar.UINT32)


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayStats:
    """Topic ``event/stats``: counts since the last such message, by frequency in Hz."""

    time_ns: int | None = wire(2, Scalar.TIMESTAMP, "time")
    location: Location | None = wire(3, Location, "location")
    config_version: str = wire(4, Scalar.STRING, "config_version")
    rx_packets_received: int = wire(5, Scalar.UINT32, "rx_packets_received")
    rx_packets_received_ok: int = wire(6, Scalar.UINT32, "rx_packets_received_ok")
    tx_packets_received: int = wire(7, Scalar.UINT32, "tx_packets_received")
    tx_packets_emitted: int = wire(8, Scalar.UINT32, "tx_packets_emitted")
    metadata: Mapping[str, str] = wire(10, MapOf(Scalar.STRING, Scalar.STRING), "metadata")
    tx_per_frequency: Mapping[int, int] = wire(12, _COUNTS, "tx_packets_per_frequency")
    rx_per_frequency: Mapping[int, int] = wire(13, _COUNTS, "rx_packets_per_frequency")
    tx_per_modulation: tuple[PerModulationCount, ...] = wire(
        14, Repeated(PerModulationCount), "tx_packets_per_modulation"
    )
    rx_per_modulation: tuple[PerModulationCount, ...] = wire(
        15, Repeated(PerModulationCount), "rx_packets_per_modulation"
    )
    tx_per_status: Mapping[str, int] = wire(
        16, MapOf(Scalar.STRING, Scalar.UINT32), "tx_packets_per_status"
    )
    gateway_id: str = wire(17, Scalar.STRING, "gateway_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnState:
    """Topic ``state/conn``, retained."""

    state: Connection = wire(2, Connection, "state")
    gateway_id: str = wire(3, Scalar.STRING, "gateway_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecRequest:
    """``GatewayCommandExecRequest``, topic ``command/exec``; what it would run is not read."""

    gateway_id: str = wire(6, Scalar.STRING, "gateway_id")
    exec_id: int = wire(7, Scalar.UINT32, "exec_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResponse:
    """``GatewayCommandExecResponse``, topic ``event/exec``."""

    error: str = wire(5, Scalar.STRING, "error")
    gateway_id: str = wire(6, Scalar.STRING, "gateway_id")
    exec_id: int = wire(7, Scalar.UINT32, "exec_id")
