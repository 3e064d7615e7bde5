"""What ChirpStack is told and asks for, in its words and in ours.

A downlink that answers an uplink comes with the uplink's *context*, bytes that only we read: when
the uplink ended, on which boot's clock, and which radio heard it.
"""

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from edge.clock import Clock
from edge.downlink.gate import DownlinkOutcome, DownlinkRequest
from edge.upstreams.base import Site
from protocol.lora.events import CrcStatus
from protocol.lorawan.gps_time import unix_us
from protocol.network_server.gateway_proto import (
    CodeRate,
    CrcState,
    DownlinkFrameItem,
    DownlinkTxInfo,
    GatewayStats,
    Location,
    LocationSource,
    LoraModulation,
    Modulation,
    PerModulationCount,
    TxAckStatus,
    UplinkFrame,
    UplinkRxInfo,
    UplinkTxInfo,
)
from protocol.network_server.uplink import UNKNOWN_RSSI_DBM, Uplink

_CONTEXT = struct.Struct(">4sqB")  # boot id's first bytes, CLOCK_BOOTTIME in us, radio
_CODE_RATES = {f"4/{5 + index}": CodeRate(1 + index) for index in range(4)}
_CODING_RATES = {rate: text for text, rate in _CODE_RATES.items()}
_CRC = {CrcStatus.OK: CrcState.CRC_OK, CrcStatus.UNKNOWN: CrcState.CRC_OK}
_STATUS = {
    DownlinkOutcome.SENT: TxAckStatus.OK,
    DownlinkOutcome.TOO_LATE: TxAckStatus.TOO_LATE,
    DownlinkOutcome.TOO_EARLY: TxAckStatus.TOO_EARLY,
    DownlinkOutcome.COLLISION: TxAckStatus.COLLISION_PACKET,
    DownlinkOutcome.FREQUENCY: TxAckStatus.TX_FREQ,
    DownlinkOutcome.POWER: TxAckStatus.TX_POWER,
    DownlinkOutcome.QUEUE_FULL: TxAckStatus.QUEUE_FULL,
    DownlinkOutcome.NOT_ALLOWED: TxAckStatus.INTERNAL_ERROR,
}


def status_of(outcome: DownlinkOutcome) -> TxAckStatus:
    """The gate's verdict as ChirpStack knows it."""
    return _STATUS[outcome]


def uplink_frame(uplink: Uplink, site: Site) -> UplinkFrame:
    """``event/up`` of one frame; its time only where it is known."""
    heard = uplink.reception
    time_ns = None if uplink.received_at is None else uplink.received_at.unix_us * 1000
    gps_ns = None if uplink.gps_time_us is None else uplink.gps_time_us * 1000
    lora = LoraModulation(
        bandwidth_hz=heard.bandwidth_hz,
        spreading_factor=heard.spreading_factor,
        code_rate=_CODE_RATES.get(heard.coding_rate, CodeRate.CR_UNDEFINED),
    )
    return UplinkFrame(
        phy_payload=uplink.phy_payload,
        tx_info=UplinkTxInfo(frequency_hz=heard.frequency_hz, modulation=Modulation(lora=lora)),
        rx_info=UplinkRxInfo(
            gateway_id=uplink.frame_id.gateway.hex(),
            uplink_id=uplink.frame_id.seq & 0xFFFF_FFFF,
            gw_time_ns=time_ns,
            gps_time_ns=gps_ns,
            rssi_dbm=UNKNOWN_RSSI_DBM if heard.rssi_dbm is None else round(heard.rssi_dbm),
            snr_db=heard.snr_db or 0.0,
            channel=heard.radio,
            location=_location(site),
            context=_context(uplink),
            metadata=_metadata(uplink),
            crc_status=_CRC.get(heard.crc_status, CrcState.NO_CRC),
        ),
    )


def _context(uplink: Uplink) -> bytes:
    return _CONTEXT.pack(uplink.boot_id[:4], uplink.counter_us, uplink.reception.radio & 0xFF)


def _metadata(uplink: Uplink) -> dict[str, str]:
    """What applications see. A message with the text "gatewayId" is taken for JSON: never here."""
    received_at = uplink.received_at
    metadata = {
        "frame": str(uplink.frame_id),
        "radio": f"{uplink.reception.concentrator}-{uplink.reception.radio}",
        "replay": "1" if uplink.is_replay else "0",
        "clock": "unknown" if received_at is None else f"{received_at.uncertainty_us} us",
    }
    if uplink.held_us is not None:
        metadata["hold_ms"] = str(uplink.held_us // 1000)
    return metadata


def _location(site: Site) -> Location | None:
    if site.position is None:
        return None
    latitude, longitude, altitude_m = site.position
    return Location(
        latitude=latitude,
        longitude=longitude,
        altitude_m=altitude_m,
        source=LocationSource.CONFIG,
    )


# Downlinks.


def downlink_request(
    item: DownlinkFrameItem, upstream: str, clock: Clock
) -> DownlinkRequest | TxAckStatus:
    """What to ask of the gate for one item, or why it cannot even be asked."""
    info = item.tx_info
    lora = info.modulation.lora if info is not None and info.modulation is not None else None
    if info is None or lora is None or lora.code_rate not in _CODING_RATES:
        return TxAckStatus.INTERNAL_ERROR  # FSK, or nothing that says how to send it
    if not 0 < len(item.phy_payload) <= 255:
        return TxAckStatus.INTERNAL_ERROR
    at_us = _start_us(info, clock)
    if isinstance(at_us, TxAckStatus):
        return at_us
    return DownlinkRequest(
        upstream=upstream,
        payload=item.phy_payload,
        frequency_hz=info.frequency_hz,
        spreading_factor=lora.spreading_factor,
        bandwidth_hz=lora.bandwidth_hz,
        coding_rate=_CODING_RATES[lora.code_rate],
        power_dbm=float(info.power_dbm),
        invert_iq=lora.polarization_inversion,
        at_boottime_us=at_us,
    )


def _start_us(info: DownlinkTxInfo, clock: Clock) -> int | TxAckStatus | None:
    """When it has to begin on CLOCK_BOOTTIME; None = at once."""
    timing = info.timing
    if timing is None:
        return TxAckStatus.INTERNAL_ERROR
    if timing.immediately is not None:
        return None
    if timing.gps_epoch is not None:
        wall = clock.wall()
        if wall is None:
            return TxAckStatus.GPS_UNLOCKED
        at_unix_us = unix_us((timing.gps_epoch.gps_time_ns or 0) // 1000)
        return clock.boottime_us() + at_unix_us - wall.unix_us
    if timing.delay is None or len(info.context) != _CONTEXT.size:
        return TxAckStatus.INTERNAL_ERROR
    boot, heard_us, _ = _CONTEXT.unpack(info.context)
    if boot != clock.boot_id[:4]:
        return TxAckStatus.TOO_LATE  # the answer to a frame from before we booted
    return int(heard_us) + (timing.delay.delay_ns or 0) // 1000


# Statistics.


@dataclass(frozen=True, slots=True)
class RadioCount:
    """Frames that one radio has heard since the start, and on what."""

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    frames: int


@dataclass(slots=True)
class Interval:
    """Counts since the last ``event/stats``; the gateway's own counts go on for ever."""

    radios: tuple[RadioCount, ...] = ()
    downlinks: int = 0
    statuses: dict[str, int] = field(default_factory=dict)
    sent: list[tuple[int, LoraModulation]] = field(default_factory=list)

    def begin(self, radios: tuple[RadioCount, ...]) -> None:
        """What is counted from here on belongs to the next message."""
        self.radios = radios
        self.downlinks = 0
        self.statuses = {}
        self.sent = []

    def note(self, status: TxAckStatus, item: DownlinkFrameItem) -> None:
        """An item of a downlink has been tried."""
        self.statuses[status.name] = self.statuses.get(status.name, 0) + 1
        info = item.tx_info
        if status is TxAckStatus.OK and info is not None and info.modulation is not None:
            self.sent.append((info.frequency_hz, info.modulation.lora or LoraModulation()))

    def stats(
        self, gateway: bytes, site: Site, time_ns: int | None, radios: tuple[RadioCount, ...]
    ) -> GatewayStats:
        """The message; ``radios`` are the counts now."""
        # A process that began anew counts from 0 again, so that none can have fallen.
        before = self.radios if len(self.radios) == len(radios) else radios
        heard = [
            replace(now, frames=max(0, now.frames - old.frames))
            for now, old in zip(radios, before, strict=True)
        ]
        received = sum(one.frames for one in heard)
        return GatewayStats(
            gateway_id=gateway.hex(),
            time_ns=time_ns,
            location=_location(site),
            rx_packets_received=received,
            rx_packets_received_ok=received,
            tx_packets_received=self.downlinks,
            tx_packets_emitted=len(self.sent),
            tx_per_status=self.statuses,
            rx_per_frequency=_sums((one.frequency_hz, one.frames) for one in heard),
            tx_per_frequency=_sums((frequency_hz, 1) for frequency_hz, _ in self.sent),
            rx_per_modulation=_per_modulation((_modulation(one), one.frames) for one in heard),
            tx_per_modulation=_per_modulation((lora, 1) for _, lora in self.sent),
        )


def radio_counts(status: Mapping[str, object]) -> tuple[RadioCount, ...]:
    """From what ``lora-edge status`` shows."""
    concentrators = status.get("concentrators")
    return tuple(
        RadioCount(
            radio["frequency_hz"], radio["spreading_factor"], radio["bandwidth_hz"], radio["frames"]
        )
        for concentrator in (concentrators if isinstance(concentrators, list) else ())
        for radio in concentrator["radios"]
    )


def _modulation(radio: RadioCount) -> LoraModulation:
    return LoraModulation(
        bandwidth_hz=radio.bandwidth_hz,
        spreading_factor=radio.spreading_factor,
        code_rate=CodeRate.CR_4_5,
    )


def _sums(counts: Iterable[tuple[int, int]]) -> dict[int, int]:
    sums: dict[int, int] = {}
    for key, count in counts:
        if count:
            sums[key] = sums.get(key, 0) + count
    return sums


def _per_modulation(
    counts: Iterable[tuple[LoraModulation, int]],
) -> tuple[PerModulationCount, ...]:
    sums: dict[LoraModulation, int] = {}
    for lora, count in counts:
        if count:
            sums[lora] = sums.get(lora, 0) + count
    return tuple(
        PerModulationCount(modulation=Modulation(lora=lora), count=count)
        for lora, count in sums.items()
    )
