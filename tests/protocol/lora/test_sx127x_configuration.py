"""Receive images byte by byte, calibration, and what the chips refuse."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lora.phy import BANDWIDTH_DIVISORS, CODING_RATES
from protocol.lora.register_operations import (
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)
from protocol.lora.sx127x_configuration import (
    SX127X_VERSION,
    Chip,
    ReceiveSettings,
    UnsupportedSettings,
    calibration_operations,
    check_receive,
    receive_image,
)

DA_NANG = ReceiveSettings(frequency_hz=921_400_000, spreading_factor=9, bandwidth_hz=125_000)

SETTINGS = st.builds(
    ReceiveSettings,
    frequency_hz=st.integers(137_000_000, 1_020_000_000),
    spreading_factor=st.integers(7, 12),
    bandwidth_hz=st.sampled_from(sorted(BANDWIDTH_DIVISORS)),
    coding_rate=st.sampled_from(sorted(CODING_RATES)),
    sync_word=st.integers(0, 255),
    invert_iq=st.booleans(),
    preamble_symbols=st.integers(6, 0xFFFF),
)


def test_da_nang() -> None:
    """921.4 MHz, SF9, 125 kHz, 4/5, public sync word: every register by hand."""
    assert receive_image(DA_NANG) == (
        (0x06, 0xE6), (0x07, 0x59), (0x08, 0x9A),  # 921.4 MHz
        (0x09, 0x00), (0x0B, 0x2B),  # power amplifier at its lowest, 100 mA
        (0x0C, 0x23),  # highest gain, 150 % LNA current
        (0x0E, 0x00), (0x0F, 0x00),  # FIFO bases
        (0x1D, 0x72), (0x1E, 0x94), (0x26, 0x04),  # 125 kHz 4/5 explicit; SF9 CRC; AGC
        (0x1F, 0x64), (0x20, 0x00), (0x21, 0x08),
        (0x22, 0x01), (0x23, 0xFF), (0x24, 0x00), (0x27, 0x00),
        (0x31, 0x43), (0x2F, 0x40), (0x30, 0x00), (0x37, 0x0A),  # errata 2.3, SF7 to 12
        (0x36, 0x03),  # errata 2.1
        (0x33, 0x27), (0x3B, 0x1D),  # normal IQ
        (0x39, 0x34), (0x4D, 0x84),
    )  # fmt: skip


def test_narrow_band_at_433_mhz() -> None:
    """31.25 kHz, SF12, 4/8: tuned 31.25 kHz higher, low data rate, a longer preamble."""
    settings = ReceiveSettings(
        frequency_hz=433_300_000,
        spreading_factor=12,
        bandwidth_hz=31_250,
        coding_rate="4/8",
        sync_word=0x12,
        preamble_symbols=300,
    )
    assert receive_image(settings) == (
        (0x06, 0x6C), (0x07, 0x55), (0x08, 0x33),  # 433.33125 MHz = 7,099,699 steps
        (0x09, 0x00), (0x0B, 0x2B), (0x0C, 0x23), (0x0E, 0x00), (0x0F, 0x00),
        (0x1D, 0x48), (0x1E, 0xC4), (0x26, 0x0C),
        (0x1F, 0x64), (0x20, 0x01), (0x21, 0x2C),
        (0x22, 0x01), (0x23, 0xFF), (0x24, 0x00), (0x27, 0x00),
        (0x31, 0x43), (0x2F, 0x44), (0x30, 0x00), (0x37, 0x0A),
        (0x36, 0x03),
        (0x33, 0x27), (0x3B, 0x1D),
        (0x39, 0x12), (0x4D, 0x84),
    )  # fmt: skip


def test_wide_band_downlinks_of_us915() -> None:
    """500 kHz, SF12, inverted IQ, as a monitor of other gateways hears them."""
    settings = ReceiveSettings(
        frequency_hz=923_300_000, spreading_factor=12, bandwidth_hz=500_000, invert_iq=True
    )
    assert receive_image(settings) == (
        (0x06, 0xE6), (0x07, 0xD3), (0x08, 0x33),
        (0x09, 0x00), (0x0B, 0x2B), (0x0C, 0x23), (0x0E, 0x00), (0x0F, 0x00),
        (0x1D, 0x92), (0x1E, 0xC4), (0x26, 0x04),
        (0x1F, 0x64), (0x20, 0x00), (0x21, 0x08),
        (0x22, 0x01), (0x23, 0xFF), (0x24, 0x00), (0x27, 0x00),
        (0x31, 0xC3), (0x37, 0x0A),  # the chip chooses the intermediate frequency
        (0x36, 0x02), (0x3A, 0x64),
        (0x33, 0x67), (0x3B, 0x19),
        (0x39, 0x34), (0x4D, 0x84),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("frequency_hz", "expected"),
    [
        (409_999_999, {0x36: 0x03}),
        (410_000_000, {0x36: 0x02, 0x3A: 0x7F}),
        (525_000_000, {0x36: 0x02, 0x3A: 0x7F}),
        (861_999_999, {0x36: 0x03}),
        (862_000_000, {0x36: 0x02, 0x3A: 0x64}),
        (1_020_000_000, {0x36: 0x02, 0x3A: 0x64}),
    ],
)
def test_sensitivity_at_500_khz(frequency_hz: int, expected: dict[int, int]) -> None:
    """Errata note 2.1."""
    image = dict(receive_image(replace(DA_NANG, frequency_hz=frequency_hz, bandwidth_hz=500_000)))
    assert {address: image[address] for address in (0x36, 0x3A) if address in image} == expected


@pytest.mark.parametrize(
    ("bandwidth_hz", "if_frequency", "frf"),
    [
        # 434 MHz is 7,110,656 steps; the offsets of errata note 2.3 in steps of 61.035 Hz
        (7_800, 0x48, 7_110_656 + 128),
        (10_400, 0x44, 7_110_656 + 171),
        (15_600, 0x44, 7_110_656 + 256),
        (20_800, 0x44, 7_110_656 + 341),
        (31_250, 0x44, 7_110_656 + 512),
        (41_700, 0x44, 7_110_656 + 683),
        (62_500, 0x40, 7_110_656),
        (125_000, 0x40, 7_110_656),
        (250_000, 0x40, 7_110_656),
    ],
)
def test_no_spurious_reception(bandwidth_hz: int, if_frequency: int, frf: int) -> None:
    """Errata note 2.3."""
    image = dict(
        receive_image(replace(DA_NANG, frequency_hz=434_000_000, bandwidth_hz=bandwidth_hz))
    )
    assert image[0x31] == 0x43
    assert image[0x2F] == if_frequency
    assert image[0x30] == 0x00
    assert bytes((image[0x06], image[0x07], image[0x08])) == frf.to_bytes(3, "big")


@given(SETTINGS)
def test_images_keep_to_the_host_s_registers(settings: ReceiveSettings) -> None:
    """The board refuses an image with one of its own, and reads every value back."""
    image = receive_image(settings)
    addresses = [address for address, _ in image]
    assert not {0x00, 0x01, 0x0D, 0x11, 0x12, 0x40} & set(addresses)
    assert len(set(addresses)) == len(addresses)
    assert all(0 <= address <= 0x7F for address in addresses)
    assert all(0 <= value <= 0xFF for _, value in image)


@given(SETTINGS, SETTINGS)
def test_images_leave_nothing_of_an_earlier_one(
    first: ReceiveSettings, second: ReceiveSettings
) -> None:
    """Only what the chip chooses by itself may differ: the errata's three registers."""
    automatic = {0x2F, 0x30, 0x3A}
    before, after = dict(receive_image(first)), dict(receive_image(second))
    assert before.keys() - after.keys() <= automatic


def test_calibration() -> None:
    """Data sheet 4.2.3.8: in FSK standby, at the frequency in use, with the amplifier cut."""
    assert calibration_operations(921_400_000) == (
        RegisterWrite(0x01, b"\x00"),
        RegisterWrite(0x01, b"\x01"),
        RegisterWrite(0x09, b"\x00"),
        RegisterWrite(0x06, bytes.fromhex("e6599a")),
        RegisterReadModifyWrite(0x3B, 0x40, 0x40),
        RegisterWait(0x3B, 0x20, 0x00, 20),
        RegisterWrite(0x01, b"\x00"),
        RegisterWrite(0x01, b"\x80"),
    )


def test_version() -> None:
    assert SX127X_VERSION == 0x12


@pytest.mark.parametrize(
    ("chip", "change"),
    [
        (Chip.SX1276, {"frequency_hz": 137_000_000}),
        (Chip.SX1276, {"frequency_hz": 175_000_000, "bandwidth_hz": 125_000}),
        (Chip.SX1276, {"frequency_hz": 525_000_000, "bandwidth_hz": 500_000}),
        (Chip.SX1276, {"frequency_hz": 779_000_000}),
        (Chip.SX1276, {"frequency_hz": 1_020_000_000, "spreading_factor": 12}),
        (Chip.SX1277, {"spreading_factor": 9}),
        (Chip.SX1278, {"frequency_hz": 433_175_000, "spreading_factor": 12}),
        (Chip.SX1279, {"frequency_hz": 960_000_000, "spreading_factor": 12}),
        (Chip.SX1276, {"preamble_symbols": 6}),
        (Chip.SX1276, {"preamble_symbols": 65_535, "sync_word": 255}),
    ],
)
def test_what_chips_can_receive(chip: Chip, change: dict[str, int]) -> None:
    check_receive(chip, replace(DA_NANG, **change))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("chip", "change", "message"),
    [
        (
            Chip.SX1278,
            {},
            "SX1278 cannot tune to 921.4 MHz, only to 137 to 525 MHz",
        ),
        (Chip.SX1276, {"frequency_hz": 136_999_999}, "only to 137 to 1020 MHz"),
        (Chip.SX1276, {"frequency_hz": 1_020_000_001}, "only to 137 to 1020 MHz"),
        (Chip.SX1277, {"frequency_hz": 1_020_000_001}, "only to 137 to 1020 MHz"),
        (Chip.SX1279, {"frequency_hz": 960_000_001}, "only to 137 to 960 MHz"),
        (Chip.SX1276, {"frequency_hz": 525_000_001}, "SX1276 has no input for 525 MHz"),
        (Chip.SX1276, {"frequency_hz": 778_999_999}, "has no input for 779 MHz"),
        (Chip.SX1277, {"spreading_factor": 10}, "SX1277 cannot do SF10, only up to SF9"),
        (Chip.SX1276, {"spreading_factor": 6}, "SF6 works with an implicit header only"),
        (Chip.SX1276, {"spreading_factor": 13}, "spreading factor 13 does not exist"),
        (Chip.SX1276, {"bandwidth_hz": 100_000}, "bandwidth 100000 Hz does not exist"),
        (
            Chip.SX1276,
            {"frequency_hz": 169_000_000, "bandwidth_hz": 250_000},
            "bandwidth 250000 Hz does not work below 175 MHz",
        ),
        (Chip.SX1276, {"coding_rate": "5/4"}, 'coding rate "5/4" does not exist'),
        (Chip.SX1276, {"sync_word": 256}, "sync word 0x100 is not one byte"),
        (Chip.SX1276, {"sync_word": -1}, "is not one byte"),
        (Chip.SX1276, {"preamble_symbols": 5}, "6 to 65535 symbols"),
        (Chip.SX1276, {"preamble_symbols": 65_536}, "6 to 65535 symbols"),
    ],
)
def test_what_chips_cannot_receive(chip: Chip, change: dict[str, int | str], message: str) -> None:
    with pytest.raises(UnsupportedSettings, match=message):
        check_receive(chip, replace(DA_NANG, **change))  # type: ignore[arg-type]


def test_there_is_no_image_of_what_no_modem_can_do() -> None:
    with pytest.raises(UnsupportedSettings, match="SF6"):
        receive_image(replace(DA_NANG, spreading_factor=6))
    with pytest.raises(UnsupportedSettings, match="sync word"):
        receive_image(replace(DA_NANG, sync_word=0x100))
    with pytest.raises(UnsupportedSettings, match="symbols"):
        receive_image(replace(DA_NANG, preamble_symbols=0x10000))
