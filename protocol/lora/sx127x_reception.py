"""What an SX1276/77/78/79 tells of a packet, from raw register values to physical ones.

Sources: SX1276/77/78/79 data sheet sections 4.1.1.6 and 4.1.5 (header, frequency error), 5.5.5
(RSSI and SNR in LoRa mode), 6.4; errata note section 2.3.
"""

from dataclasses import dataclass

from protocol.lora.events import CrcStatus
from protocol.lora.phy import BANDWIDTH_DIVISORS
from protocol.lora.sx127x_registers import (
    BANDWIDTHS_HZ,
    CODING_RATE_BY_CODE,
    HF_MIN_HZ,
    RECEIVE_OFFSET_HZ,
    IrqFlags,
    hz_from_frf,
)

RSSI_MODEL = "sx127x"
"""Names the formulas of this module: strengths of other models do not compare to the decibel."""

UNKNOWN_CODING_RATE = "unknown"

CRC_ON_PAYLOAD = 0x40  # RegHopChannel
_STRONG_DBM = -100


@dataclass(frozen=True, slots=True)
class RawReception:
    """Registers as they were at RxDone, unsigned; ``frequency_error`` and ``frf`` have 3 bytes."""

    irq_flags: int
    modem_status: int
    hop_channel: int
    packet_snr: int
    packet_rssi: int
    modem_config_1: int
    modem_config_2: int
    frequency_error: int
    frf: int


@dataclass(frozen=True, slots=True)
class ReceptionReport:
    """How one packet was received.

    Attributes:
        rssi_dbm: packet strength, of the signal alone where it is below the noise.
        frequency_error_hz: positive means that our receiver is tuned high.
        coding_rate: of the received header, "4/5" to "4/8".
        frequency_hz: what the radio listens to, within half a step of 61 Hz.

    Registers that a disturbed bus has garbled give a bandwidth of 0, a frequency error of None and
    a coding rate of ``UNKNOWN_CODING_RATE``.
    """

    rssi_dbm: float
    snr_db: float
    frequency_error_hz: float | None
    crc_status: CrcStatus
    coding_rate: str
    spreading_factor: int
    bandwidth_hz: int
    frequency_hz: int


def decode_reception(raw: RawReception) -> ReceptionReport:
    """Compute what the registers mean; any values are accepted, nothing is raised.

    An event that raised would come again from the board for ever, and hold up all that follow.
    """
    code = raw.modem_config_1 >> 4
    bandwidth_hz = BANDWIDTHS_HZ[code] if code < len(BANDWIDTHS_HZ) else 0
    frequency_hz = max(0, hz_from_frf(raw.frf) - RECEIVE_OFFSET_HZ.get(bandwidth_hz, 0))
    snr_db = _signed(raw.packet_snr, 8) / 4
    return ReceptionReport(
        rssi_dbm=_packet_strength_dbm(raw.packet_rssi, snr_db, frequency_hz),
        snr_db=snr_db,
        frequency_error_hz=_frequency_error_hz(raw.frequency_error, bandwidth_hz),
        crc_status=_crc_status(raw.irq_flags, raw.hop_channel),
        coding_rate=_coding_rate(raw.modem_status, raw.modem_config_1),
        spreading_factor=raw.modem_config_2 >> 4,
        bandwidth_hz=bandwidth_hz,
        frequency_hz=frequency_hz,
    )


def rssi_offset_dbm(frequency_hz: int) -> int:
    """What a value of 0 in the RSSI registers stands for: -157 dBm (HF port) or -164 (LF port)."""
    return -157 if frequency_hz >= HF_MIN_HZ else -164


def _packet_strength_dbm(packet_rssi: int, snr_db: float, frequency_hz: int) -> float:
    offset_dbm = rssi_offset_dbm(frequency_hz)
    rssi_dbm = offset_dbm + packet_rssi
    if snr_db < 0:
        return rssi_dbm + snr_db
    if rssi_dbm > _STRONG_DBM:
        return offset_dbm + packet_rssi * 16 / 15  # section 5.5.5, note 3
    return float(rssi_dbm)


def _frequency_error_hz(register: int, bandwidth_hz: int) -> float | None:
    divisor = BANDWIDTH_DIVISORS.get(bandwidth_hz)
    if divisor is None:
        return None
    return _signed(register & 0xFFFFF, 20) * 2**24 / 32e6 / divisor


def _crc_status(irq_flags: int, hop_channel: int) -> CrcStatus:
    """RxDone without PayloadCrcError is no proof: without a CRC in the frame nothing is checked."""
    if not irq_flags & IrqFlags.RX_DONE:
        return CrcStatus.UNKNOWN
    if irq_flags & IrqFlags.PAYLOAD_CRC_ERROR:
        return CrcStatus.BAD
    return CrcStatus.OK if hop_channel & CRC_ON_PAYLOAD else CrcStatus.MISSING


def _coding_rate(modem_status: int, modem_config_1: int) -> str:
    received, configured = modem_status >> 5, modem_config_1 >> 1 & 0x07
    return CODING_RATE_BY_CODE.get(
        received, CODING_RATE_BY_CODE.get(configured, UNKNOWN_CODING_RATE)
    )


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) else value
