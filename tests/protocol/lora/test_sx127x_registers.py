"""Frequencies in steps of the synthesizer, and the codes of register fields."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lora.sx127x_registers import (
    BANDWIDTHS_HZ,
    BOARD_OWNED,
    CODING_RATE_BY_CODE,
    IrqFlags,
    frf_from_hz,
    hz_from_frf,
)

STEP_HZ = Fraction(32_000_000, 2**19)


@pytest.mark.parametrize(
    ("frequency_hz", "frf"),
    [(921_400_000, 0xE6599A), (922_000_000, 0xE68000), (434_000_000, 0x6C8000)],
)
def test_known_frequencies(frequency_hz: int, frf: int) -> None:
    assert frf_from_hz(frequency_hz) == frf
    assert abs(hz_from_frf(frf) - frequency_hz) <= 31


@given(st.integers(137_000_000, 1_020_000_000))
def test_the_nearest_step_is_taken(frequency_hz: int) -> None:
    assert abs(frf_from_hz(frequency_hz) * STEP_HZ - frequency_hz) <= STEP_HZ / 2


@given(st.integers(0, 0xFFFFFF))
def test_every_register_value_survives(frf: int) -> None:
    assert abs(hz_from_frf(frf) - frf * STEP_HZ) <= Fraction(1, 2)
    assert frf_from_hz(hz_from_frf(frf)) == frf


def test_field_codes() -> None:
    """RegModemConfig1: bandwidth 0 to 9, coding rate 1 to 4."""
    assert BANDWIDTHS_HZ == (
        7_800, 10_400, 15_600, 20_800, 31_250, 41_700, 62_500, 125_000, 250_000, 500_000,
    )  # fmt: skip
    assert CODING_RATE_BY_CODE == {1: "4/5", 2: "4/6", 3: "4/7", 4: "4/8"}
    assert [flag.name for flag in IrqFlags] == [
        "CAD_DETECTED", "FHSS_CHANGE_CHANNEL", "CAD_DONE", "TX_DONE",
        "VALID_HEADER", "PAYLOAD_CRC_ERROR", "RX_DONE", "RX_TIMEOUT",
    ]  # fmt: skip


def test_the_board_owns_what_the_link_specification_says() -> None:
    """docs/CONCENTRATOR-LINK.md section 6.2."""
    assert set(BOARD_OWNED) == {0x00, 0x01, 0x0D, 0x11, 0x12, 0x40}
