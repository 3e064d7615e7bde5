"""Registers of the chip model against the data sheet's map: reset values, pages, access rights."""

import pytest

from tests.simulator.chip_on_bus import (
    FSK_STANDBY,
    RXCONT,
    SLEEP,
    STANDBY,
    Bench,
    receiving,
)

COMMON_RESET_VALUES = {
    0x01: 0x09,  # FSK, standby, low frequency
    0x06: 0x6C, 0x07: 0x80, 0x08: 0x00,  # 434 MHz
    0x09: 0x4F, 0x0A: 0x09, 0x0B: 0x2B, 0x0C: 0x20,
    0x40: 0x00, 0x41: 0x00,
    0x42: 0x12,  # RegVersion of an SX1276
    0x4B: 0x09, 0x4D: 0x84,
}  # fmt: skip

LORA_RESET_VALUES = {
    0x0D: 0x00, 0x0E: 0x80, 0x0F: 0x00,
    0x11: 0x00, 0x12: 0x00, 0x13: 0x00,
    0x18: 0x10,
    0x1D: 0x72, 0x1E: 0x70, 0x1F: 0x64, 0x20: 0x00, 0x21: 0x08, 0x22: 0x01, 0x23: 0xFF,
    0x24: 0x00, 0x26: 0x00, 0x27: 0x00,
    0x31: 0xC3, 0x33: 0x27, 0x36: 0x03, 0x37: 0x0A, 0x39: 0x12, 0x3B: 0x1D,
}  # fmt: skip


@pytest.mark.parametrize(("address", "value"), COMMON_RESET_VALUES.items())
def test_common_registers_have_their_reset_values(address: int, value: int) -> None:
    assert Bench().read(address) == value


@pytest.mark.parametrize(("address", "value"), LORA_RESET_VALUES.items())
def test_lora_registers_have_their_reset_values(address: int, value: int) -> None:
    bench = Bench()
    bench.lora_standby()
    assert bench.read(address) == value


def test_a_reset_brings_everything_back() -> None:
    """Brown-out, NRST and power-on are alike."""
    bench = receiving({0x06: 0xE6, 0x39: 0x34})
    bench.receive(b"lost")
    bench.chip.reset(bench.now_us)
    assert {address: bench.read(address) for address in COMMON_RESET_VALUES} == COMMON_RESET_VALUES
    bench.lora_standby()
    assert {address: bench.read(address) for address in LORA_RESET_VALUES} == LORA_RESET_VALUES


@pytest.mark.parametrize("address", [0x10, 0x13, 0x14, 0x17, 0x18, 0x19, 0x1A, 0x1C, 0x25, 0x42])
def test_status_registers_cannot_be_written(address: int) -> None:
    bench = Bench()
    bench.lora_standby()
    before = bench.read(address)
    bench.write(address, before ^ 0xFF)
    assert bench.read(address) == before


def test_a_burst_goes_through_consecutive_registers() -> None:
    """921.4 MHz is Frf E6599A."""
    bench = Bench()
    bench.write(0x06, 0xE6, 0x59, 0x9A)
    assert bench.burst(0x06, 4) == bytes([0xE6, 0x59, 0x9A, 0x4F])


def test_a_burst_wraps_at_the_end_of_the_address_space() -> None:
    """The bus has seven bits for an address."""
    assert Bench().burst(0x7F, 3)[2:] == b"\x09"


def test_the_two_pages_do_not_mix() -> None:
    """0x0D to 0x3F belong to FSK or to LoRa; 0x40 and above to both."""
    bench = Bench()
    bench.lora_standby({0x39: 0x34, 0x40: 0x40})
    for mode in (SLEEP, 0x00):
        bench.mode(mode)
    bench.write(0x39, 0x55)
    assert (bench.read(0x39), bench.read(0x40)) == (0x55, 0x40)
    bench.lora_standby()
    assert (bench.read(0x39), bench.read(0x40)) == (0x34, 0x40)


def test_access_shared_reg_shows_the_fsk_page_in_lora_mode() -> None:
    """RegOpMode bit 6, for 0x0D to 0x3F."""
    bench = Bench()
    bench.lora_standby({0x39: 0x34})
    bench.write(0x01, STANDBY | 0x40)
    assert bench.read(0x39) == 0x00
    bench.write(0x01, STANDBY)
    assert bench.read(0x39) == 0x34


def test_unknown_accesses_are_counted_and_harmless() -> None:
    """A driver that touches what the data sheet reserves can be found out."""
    bench = Bench()
    bench.lora_standby()
    bench.write(0x2B, 0x55)
    bench.read(0x7E)
    bench.read(0x7E)
    assert dict(bench.chip.unknown_accesses) == {0x2B: 1, 0x7E: 2}


def test_image_calibration_runs_in_fsk_standby_for_ten_milliseconds() -> None:
    """RegImageCal on the FSK page: bit 6 starts and reads 0, bit 5 says that it runs."""
    bench = Bench()
    assert bench.read(0x3B) == 0x82
    bench.write(0x3B, 0xC2)
    assert bench.read(0x3B) == 0xA2
    bench.wait(9_999)
    assert bench.read(0x3B) == 0xA2
    bench.wait(1)
    assert bench.read(0x3B) == 0x82


@pytest.mark.parametrize("mode", [SLEEP, STANDBY, RXCONT, 0x00])
def test_image_calibration_does_not_start_elsewhere(mode: int) -> None:
    """LoRa mode and sleep only take note of the other bits."""
    bench = Bench()
    bench.lora_standby()
    if not mode & 0x80:
        bench.mode(SLEEP)
    bench.mode(mode)
    bench.write(0x01, mode | 0x40 if mode & 0x80 else mode)
    bench.write(0x3B, 0x42)
    assert bench.read(0x3B) & 0x60 == 0


def test_fsk_modes_do_nothing_but_read_back() -> None:
    """The model has no FSK modem: it neither hears nor ends by itself."""
    bench = Bench()
    for mode in (0x03, 0x05):
        bench.mode(mode)
        assert bench.read(0x01) == mode
        assert bench.chip.listening(bench.now_us) is None
        assert bench.chip.transmitting() is None
    bench.mode(FSK_STANDBY)
    assert bench.edges == []
