"""Power amplifier settings and transmit overlays byte by byte."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lora.sx127x_configuration import (
    Chip,
    ReceiveSettings,
    UnsupportedSettings,
    receive_image,
)
from protocol.lora.sx127x_transmission import (
    PaPin,
    TransmitSettings,
    power_registers,
    transmit_overlay,
)

RX2_DA_NANG = TransmitSettings(
    frequency_hz=921_400_000,
    spreading_factor=10,
    bandwidth_hz=125_000,
    coding_rate="4/5",
    power_dbm=14,
    payload_length=17,
)


def test_downlink_of_da_nang() -> None:
    """RX2: SF10, no CRC, inverted IQ, 14 dBm at PA_BOOST: every register by hand."""
    assert transmit_overlay(Chip.SX1276, PaPin.PA_BOOST, RX2_DA_NANG) == (
        (0x06, 0xE6), (0x07, 0x59), (0x08, 0x9A),
        (0x09, 0x8C), (0x0B, 0x2B), (0x4D, 0x84),  # 17 - (15 - 12) dBm
        (0x1D, 0x72), (0x1E, 0xA0), (0x26, 0x04),
        (0x20, 0x00), (0x21, 0x08),
        (0x22, 17),
        (0x33, 0x26), (0x3B, 0x19),
        (0x39, 0x34),
    )  # fmt: skip


def test_an_uplink_to_another_gateway() -> None:
    """Normal IQ, CRC, low data rate, the chip's other pin."""
    settings = replace(
        RX2_DA_NANG, spreading_factor=12, invert_iq=False, payload_crc=True, power_dbm=-3
    )
    overlay = dict(transmit_overlay(Chip.SX1276, PaPin.RFO, settings))
    assert (overlay[0x33], overlay[0x3B]) == (0x27, 0x1D)
    assert (overlay[0x1E], overlay[0x26]) == (0xC4, 0x0C)
    assert overlay[0x09] == 0x01


@pytest.mark.parametrize(
    ("pa_pin", "power_dbm", "pa_config", "ocp", "pa_dac"),
    [
        (PaPin.RFO, -4, 0x00, 0x2B, 0x84),  # 10.8 - 15 = -4.2
        (PaPin.RFO, -1, 0x03, 0x2B, 0x84),
        (PaPin.RFO, 0, 0x70, 0x2B, 0x84),  # 15 - 15
        (PaPin.RFO, 14, 0x7E, 0x2B, 0x84),
        (PaPin.RFO, 15, 0x7F, 0x2B, 0x84),
        (PaPin.PA_BOOST, 2, 0x80, 0x2B, 0x84),
        (PaPin.PA_BOOST, 17, 0x8F, 0x2B, 0x84),
        (PaPin.PA_BOOST, 18, 0x8D, 0x31, 0x87),  # 5 + 13
        (PaPin.PA_BOOST, 20, 0x8F, 0x31, 0x87),
    ],
)
def test_power(pa_pin: PaPin, power_dbm: int, pa_config: int, ocp: int, pa_dac: int) -> None:
    assert power_registers(power_dbm, pa_pin) == ((0x09, pa_config), (0x0B, ocp), (0x4D, pa_dac))


def chip_output_dbm(pa_config: int, pa_dac: int) -> float:
    """What the data sheet says these registers give (RegPaConfig, section 5.4.3)."""
    output = pa_config & 0x0F
    if pa_config & 0x80:
        return 5 + output if pa_dac == 0x87 else 17 - (15 - output)
    return 10.8 + 0.6 * (pa_config >> 4 & 0x07) - (15 - output)


@given(st.sampled_from(PaPin), st.integers(-4, 20))
def test_never_more_power_than_asked_and_enough_current(pa_pin: PaPin, power_dbm: int) -> None:
    try:
        registers = dict(power_registers(power_dbm, pa_pin))
    except UnsupportedSettings:
        assert power_dbm not in (range(-4, 16) if pa_pin is PaPin.RFO else range(2, 21))
        return
    given_dbm = chip_output_dbm(registers[0x09], registers[0x4D])
    assert power_dbm - 0.21 < given_dbm < power_dbm + 1e-9
    assert bool(registers[0x09] & 0x80) == (pa_pin is PaPin.PA_BOOST)
    assert registers[0x0B] & 0x20
    trim = registers[0x0B] & 0x1F
    limit_ma = 45 + 5 * trim if trim <= 15 else -30 + 10 * trim
    assert limit_ma == (140 if power_dbm > 17 else 100)


@pytest.mark.parametrize(
    ("pa_pin", "power_dbm", "message"),
    [
        (PaPin.RFO, -5, "pin rfo gives -4 to 15 dBm, -5 dBm is impossible"),
        (PaPin.RFO, 16, "pin rfo gives -4 to 15 dBm"),
        (PaPin.PA_BOOST, 1, "pin pa_boost gives 2 to 20 dBm"),
        (PaPin.PA_BOOST, 21, "pin pa_boost gives 2 to 20 dBm"),
    ],
)
def test_impossible_power(pa_pin: PaPin, power_dbm: int, message: str) -> None:
    with pytest.raises(UnsupportedSettings, match=message):
        power_registers(power_dbm, pa_pin)


@given(
    receive=st.builds(
        ReceiveSettings,
        frequency_hz=st.sampled_from((921_400_000, 868_100_000)),
        spreading_factor=st.integers(7, 12),
        bandwidth_hz=st.sampled_from((31_250, 125_000, 500_000)),
    ),
    transmit=st.builds(
        TransmitSettings,
        frequency_hz=st.sampled_from((921_600_000, 869_525_000)),
        spreading_factor=st.integers(7, 12),
        bandwidth_hz=st.sampled_from((125_000, 500_000)),
        coding_rate=st.sampled_from(("4/5", "4/8")),
        power_dbm=st.integers(2, 20),
        payload_length=st.integers(1, 255),
        sync_word=st.integers(0, 255),
        invert_iq=st.booleans(),
    ),
)
def test_the_receive_image_undoes_a_transmission(
    receive: ReceiveSettings, transmit: TransmitSettings
) -> None:
    """The board writes the image again after a frame: nothing of it may stay behind."""
    image = receive_image(receive)
    overlay = transmit_overlay(Chip.SX1276, PaPin.PA_BOOST, transmit)
    assert not {0x00, 0x01, 0x0D, 0x11, 0x12, 0x40} & dict(overlay).keys()
    registers = dict(image) | dict(overlay)
    registers |= dict(image)
    assert registers == dict(image)


@pytest.mark.parametrize(
    ("chip", "change", "message"),
    [
        (Chip.SX1278, {}, "SX1278 cannot tune to 921.4 MHz"),
        (Chip.SX1276, {"spreading_factor": 6}, "SF6"),
        (Chip.SX1276, {"payload_length": 0}, "1 to 255 bytes, not 0"),
        (Chip.SX1276, {"payload_length": 256}, "1 to 255 bytes, not 256"),
        (Chip.SX1276, {"power_dbm": 21}, "21 dBm is impossible"),
        (Chip.SX1276, {"sync_word": 0x100}, "sync word 0x100 is not one byte"),
        (Chip.SX1276, {"preamble_symbols": 65_536}, "6 to 65535 symbols"),
    ],
)
def test_what_cannot_be_sent(chip: Chip, change: dict[str, int], message: str) -> None:
    with pytest.raises(UnsupportedSettings, match=message):
        transmit_overlay(chip, PaPin.PA_BOOST, replace(RX2_DA_NANG, **change))  # type: ignore[arg-type]
