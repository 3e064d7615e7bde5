"""What to write into an SX1276/77/78/79 for one transmission, on top of a receive image.

Sources: SX1276/77/78/79 data sheet sections 5.4.2 (power amplifiers), 5.4.3 (+20 dBm), 5.4.4 with
table 37 (over-current protection), RegPaConfig and RegPaDac; docs/CONCENTRATOR-LINK.md section 9.
How much power is *allowed* is decided elsewhere.
"""

from dataclasses import dataclass
from enum import StrEnum

from protocol.lora.sx127x_configuration import (
    OCP_100_MA,
    PA_DAC_NORMAL,
    Chip,
    RegisterImage,
    UnsupportedSettings,
    check_beginning,
    check_chip,
    check_modem,
    frequency_registers,
    modem_registers,
    preamble_registers,
)
from protocol.lora.sx127x_registers import Register

_OCP_140_MA = 0x31  # on; -30 + 10 * 17 mA
_PA_DAC_20_DBM = 0x87
_PA_BOOST = 0x80
_MAX_POWER_15_DBM = 0x70  # 10.8 + 0.6 * 7 dBm


class PaPin(StrEnum):
    """The pin that a board has wired to its antenna; the other one gives almost no power."""

    RFO = "rfo"
    PA_BOOST = "pa_boost"


@dataclass(frozen=True, slots=True)
class TransmitSettings:
    """One frame to send.

    Attributes:
        power_dbm: at the chip's pin, conducted.
        payload_length: 1 to 255 bytes.
        invert_iq: True for downlinks to end devices, which hear nothing else.
        payload_crc: False for LoRaWAN downlinks (LoRaWAN 1.0.4 section 3).
    """

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    power_dbm: int
    payload_length: int
    sync_word: int = 0x34
    invert_iq: bool = True
    payload_crc: bool = False
    preamble_symbols: int = 8


def transmit_overlay(chip: Chip, pa_pin: PaPin, settings: TransmitSettings) -> RegisterImage:
    """The registers of one transmission; writing the receive image again undoes all of them.

    The payload, RegOpMode, RegFifoAddrPtr and the interrupts are the board's.

    Raises:
        UnsupportedSettings: the chip cannot send this.
    """
    check_modem(settings.spreading_factor, settings.bandwidth_hz, settings.coding_rate)
    check_beginning(settings.sync_word, settings.preamble_symbols)
    check_chip(chip, settings.frequency_hz, settings.spreading_factor, settings.bandwidth_hz)
    if not 1 <= settings.payload_length <= 255:
        raise UnsupportedSettings(f"a frame has 1 to 255 bytes, not {settings.payload_length}")
    return (
        *frequency_registers(settings.frequency_hz),
        *power_registers(settings.power_dbm, pa_pin),
        *modem_registers(
            settings.spreading_factor,
            settings.bandwidth_hz,
            settings.coding_rate,
            payload_crc=settings.payload_crc,
        ),
        *preamble_registers(settings.preamble_symbols),
        (Register.PAYLOAD_LENGTH, settings.payload_length),
        # Bit 0 inverts the transmitted signal when it is 0: the opposite sense of bit 6, which is
        # the receiver's. The data sheet's text reads the other way; radios in the field do not.
        (Register.INVERT_IQ, 0x26 if settings.invert_iq else 0x27),
        (Register.INVERT_IQ_2, 0x19 if settings.invert_iq else 0x1D),
        (Register.SYNC_WORD, settings.sync_word),
    )


def power_registers(power_dbm: int, pa_pin: PaPin) -> RegisterImage:
    """RegPaConfig, RegOcp and RegPaDac for a power at the pin, never more than asked for.

    Above 17 dBm the chip needs 2.4 V or more, an antenna with a VSWR of 3:1 or better, and may
    transmit at most 1 % of the time (data sheet section 5.4.3).

    Raises:
        UnsupportedSettings: the pin cannot give it: RFO -4 to 15 dBm, PA_BOOST 2 to 20 dBm.
    """
    ocp, pa_dac = OCP_100_MA, PA_DAC_NORMAL
    match pa_pin:
        case PaPin.RFO if -4 <= power_dbm < 0:
            # At the smallest Pmax of 10.8 dBm the outputs are -4.2, -3.2, -2.2 and -1.2 dBm.
            pa_config = power_dbm + 4
        case PaPin.RFO if 0 <= power_dbm <= 15:
            pa_config = _MAX_POWER_15_DBM | power_dbm
        case PaPin.PA_BOOST if 2 <= power_dbm <= 17:
            pa_config = _PA_BOOST | power_dbm - 2
        case PaPin.PA_BOOST if 18 <= power_dbm <= 20:
            pa_config = _PA_BOOST | power_dbm - 5
            ocp, pa_dac = _OCP_140_MA, _PA_DAC_20_DBM
        case _:
            limits = "-4 to 15" if pa_pin is PaPin.RFO else "2 to 20"
            raise UnsupportedSettings(
                f"pin {pa_pin.value} gives {limits} dBm, {power_dbm} dBm is impossible"
            )
    return (Register.PA_CONFIG, pa_config), (Register.OCP, ocp), (Register.PA_DAC, pa_dac)
