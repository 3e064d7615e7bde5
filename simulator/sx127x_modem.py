"""What the configuration registers of an SX127x mean on the air, and back: received strength as
register values. Formulas of the SX1276/77/78/79 data sheet; time is in microseconds.
"""

import math
from dataclasses import dataclass, replace

from simulator.sx127x_registers import Register

_CRYSTAL_HZ = 32_000_000
_FREQUENCY_STEP_HZ = _CRYSTAL_HZ / (1 << 19)  # 61.03515625 (section 3.3.3)

BANDWIDTHS_HZ = (
    *(7_800, 10_400, 15_600, 20_800, 31_250, 41_700, 62_500),
    *(125_000, 250_000, 500_000),
)
"""By the code in RegModemConfig1, as the data sheet rounds them; codes above 9 are reserved."""

_HIGH_FREQUENCY_PORT_FROM_HZ = 779_000_000
_DETECTION = {6: (0x05, 0x0C)} | dict.fromkeys(range(7, 13), (0x03, 0x0A))
"""Spreading factor -> RegDetectOptimize bits 2 to 0 and RegDetectionThreshold it needs."""

_NARROW_BAND_INTERMEDIATE_FREQUENCIES = frozenset({0x44, 0x48})
_STRONG_DBM = -100  # above it RegPktRssi rises by 15 steps for 16 dB (section 5.5.5, note 3)


@dataclass(frozen=True, slots=True)
class Waveform:
    """What a chip sends, or what it can receive.

    Attributes:
        coding_rate: 1 to 4 for 4/5 to 4/8; of a received explicit header's packet the header tells.
        crc_on: whether a payload CRC is sent; of a received packet it counts without header only.
        low_data_rate_optimize: both ends must have it alike, or the payload cannot be decoded.
        preamble_symbols: as programmed; 4.25 more go on the air.
        invert_iq: chirps are inverted, as in a LoRaWAN downlink.
    """

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: int
    implicit_header: bool
    crc_on: bool
    low_data_rate_optimize: bool
    preamble_symbols: int
    sync_word: int
    invert_iq: bool

    @property
    def symbol_us(self) -> float:
        """Duration of one chirp."""
        return (1 << self.spreading_factor) * 1_000_000 / self.bandwidth_hz


Listening = Waveform
"""What a chip could receive now."""


@dataclass(frozen=True, slots=True)
class Transmitting:
    """A packet that is being sent, or will be as soon as the synthesizer has locked."""

    waveform: Waveform
    power_dbm: float
    payload: bytes
    start_us: int
    end_us: int


def received_waveform(registers: bytes) -> Waveform | None:
    """What a receiver with these registers is set to; None where it cannot receive at all.

    With the intermediate frequencies that the errata note (2.3) gives for bandwidths up to
    41.7 kHz, a chip hears one bandwidth below RegFrf.
    """
    waveform = _waveform(registers, invert_iq=bool(registers[Register.INVERT_IQ] & 0x40))
    if waveform is None or (waveform.implicit_header and not registers[Register.PAYLOAD_LENGTH]):
        return None
    automatic = registers[Register.DETECT_OPTIMIZE] & 0x80
    if not automatic and registers[Register.IF_FREQ_2] in _NARROW_BAND_INTERMEDIATE_FREQUENCIES:
        return replace(waveform, frequency_hz=waveform.frequency_hz - waveform.bandwidth_hz)
    return waveform


def transmitted_waveform(registers: bytes) -> Waveform | None:
    """What a transmitter with these registers sends; None where the setting is illegal.

    Bit 0 of RegInvertIQ is 1 for *normal* chirps: the transmit path has the opposite sense.
    """
    if not registers[Register.PAYLOAD_LENGTH]:
        return None
    return _waveform(registers, invert_iq=not registers[Register.INVERT_IQ] & 0x01)


def _waveform(registers: bytes, *, invert_iq: bool) -> Waveform | None:
    config_1, config_2 = registers[Register.MODEM_CONFIG_1 : Register.MODEM_CONFIG_2 + 1]
    spreading_factor = config_2 >> 4
    coding_rate = config_1 >> 1 & 0x07
    implicit_header = bool(config_1 & 0x01)
    detection = (
        registers[Register.DETECT_OPTIMIZE] & 0x07,
        registers[Register.DETECTION_THRESHOLD],
    )
    if (
        config_1 >> 4 >= len(BANDWIDTHS_HZ)
        or not 1 <= coding_rate <= 4
        or _DETECTION.get(spreading_factor) != detection
        or (spreading_factor == 6 and not implicit_header)
    ):
        return None
    preamble = registers[Register.PREAMBLE_MSB : Register.PREAMBLE_MSB + 2]
    return Waveform(
        frequency_hz=round(carrier_hz(registers)),
        spreading_factor=spreading_factor,
        bandwidth_hz=BANDWIDTHS_HZ[config_1 >> 4],
        coding_rate=coding_rate,
        implicit_header=implicit_header,
        crc_on=bool(config_2 & 0x04),
        low_data_rate_optimize=bool(registers[Register.MODEM_CONFIG_3] & 0x08),
        preamble_symbols=int.from_bytes(preamble, "big"),
        sync_word=registers[Register.SYNC_WORD],
        invert_iq=invert_iq,
    )


def crc_checked(registers: bytes, *, crc_on_payload: bool) -> bool:
    """Whether a receiver looks at the CRC: as the header said, or without one as configured."""
    if registers[Register.MODEM_CONFIG_1] & 0x01:
        return bool(registers[Register.MODEM_CONFIG_2] & 0x04)
    return crc_on_payload


def carrier_hz(registers: bytes) -> float:
    """RegFrf in hertz."""
    frf = int.from_bytes(registers[Register.FRF_MSB : Register.FRF_MSB + 3], "big")
    return frf * _FREQUENCY_STEP_HZ


def symbol_timeout_us(registers: bytes, waveform: Waveform) -> int:
    """How long RXSINGLE waits for a preamble."""
    msb = registers[Register.MODEM_CONFIG_2] & 0x03
    return round((msb << 8 | registers[Register.SYMB_TIMEOUT_LSB]) * waveform.symbol_us)


def activity_detection_us(waveform: Waveform) -> int:
    """How long CAD takes: one symbol to listen and 32 samples to decide."""
    return round(((1 << waveform.spreading_factor) + 32) * 1_000_000 / waveform.bandwidth_hz)


def time_on_air_us(waveform: Waveform, payload_length: int) -> int:
    """From the first chirp to the last (section 4.1.1.7)."""
    spreading_factor = waveform.spreading_factor
    bits = 8 * payload_length - 4 * spreading_factor + 28
    bits += 16 * waveform.crc_on - 20 * waveform.implicit_header
    bits_per_block = 4 * (spreading_factor - 2 * waveform.low_data_rate_optimize)
    blocks = max(math.ceil(bits / bits_per_block), 0)
    payload_symbols = 8 + blocks * (waveform.coding_rate + 4)
    return round((waveform.preamble_symbols + 4.25 + payload_symbols) * waveform.symbol_us)


def output_power_dbm(registers: bytes) -> float:
    """Power at the pin that RegPaConfig selects (section 5.4); the current limit is ignored."""
    config = registers[Register.PA_CONFIG]
    below_maximum_db = 15 - (config & 0x0F)
    if not config & 0x80:
        return 10.8 + 0.6 * (config >> 4 & 0x07) - below_maximum_db
    return (20 if registers[Register.PA_DAC] & 0x07 == 0x07 else 17) - below_maximum_db


def packet_snr_quarters(snr_db: float) -> int:
    """RegPktSnrValue before it is put into two's complement: quarters of a decibel."""
    return _clamp(snr_db * 4, -128, 127)


def packet_rssi(rssi_dbm: float, snr_quarters: int, frequency_hz: float) -> int:
    """RegPktRssiValue, so that the data sheet's formulas (5.5.5) give the packet's strength back.

    Near -100 dBm, where one formula takes over from the other, they leave a gap of 4 dB that no
    register value stands for: strengths in it read up to 4 dB low.
    """
    above_offset_db = rssi_dbm - _rssi_offset_dbm(frequency_hz)
    if snr_quarters < 0:
        return _clamp(above_offset_db - snr_quarters / 4, 0, 255)
    strongest_linear = _STRONG_DBM - _rssi_offset_dbm(frequency_hz)
    return _clamp(max(above_offset_db * 15 / 16, min(above_offset_db, strongest_linear)), 0, 255)


def current_rssi(rssi_dbm: float, frequency_hz: float) -> int:
    """RegRssiValue."""
    return _clamp(rssi_dbm - _rssi_offset_dbm(frequency_hz), 0, 255)


def frequency_error(error_hz: float, bandwidth_hz: int) -> int:
    """RegFei (section 4.1.5): 20 bits, two's complement; positive = the receiver is tuned high."""
    step_hz = (1 << 24) / _CRYSTAL_HZ * bandwidth_hz / 500_000
    return _clamp(error_hz / step_hz, -0x80000, 0x7FFFF) & 0xFFFFF


def _rssi_offset_dbm(frequency_hz: float) -> int:
    """By the port that the frequency comes in on: high (-157) or low (-164)."""
    return -157 if frequency_hz > _HIGH_FREQUENCY_PORT_FROM_HZ else -164


def _clamp(value: float, lowest: int, highest: int) -> int:
    return min(max(round(value), lowest), highest)
