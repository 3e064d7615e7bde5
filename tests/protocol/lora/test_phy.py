"""Time on air and limits, against published figures."""

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lora.phy import (
    BANDWIDTH_DIVISORS,
    CODING_RATES,
    SENSITIVITY_DBM,
    SNR_LIMIT_DB,
    coding_rate_code,
    low_data_rate_optimize,
    symbol_time_us,
    time_on_air_us,
)

BANDWIDTHS = st.sampled_from(sorted(BANDWIDTH_DIVISORS))
RATES = st.sampled_from(sorted(CODING_RATES))

# Rows of 125 kHz, 4/5, 8 symbols, CRC, explicit header; SF7 to SF12. The row of 59 bytes is what
# ns-3's lorawan module computes, 12 bytes at SF9 what the Rust crate lora-modulation does.
ROWS = {
    12: (41_216, 82_432, 144_384, 288_768, 577_536, 1_155_072),
    20: (56_576, 102_912, 185_344, 370_688, 741_376, 1_318_912),
    59: (112_896, 205_312, 369_664, 657_408, 1_478_656, 2_629_632),
}


@pytest.mark.parametrize(
    ("payload_length", "spreading_factor", "expected_us"),
    [
        (payload_length, spreading_factor, expected_us)
        for payload_length, row in ROWS.items()
        for spreading_factor, expected_us in enumerate(row, 7)
    ]
    + [(51, 10, 616_448), (51, 12, 2_465_792), (255, 7, 399_616)],
)
def test_time_on_air_at_125_khz(
    payload_length: int, spreading_factor: int, expected_us: int
) -> None:
    assert (
        time_on_air_us(
            payload_length=payload_length,
            spreading_factor=spreading_factor,
            bandwidth_hz=125_000,
        )
        == expected_us
    )


def test_time_on_air_of_other_frames() -> None:
    """500 kHz; coding rate 4/8; no header and no CRC; SF6 (vectors of other calculators)."""
    assert time_on_air_us(payload_length=33, spreading_factor=8, bandwidth_hz=500_000) == 33_408
    assert (
        time_on_air_us(
            payload_length=20, spreading_factor=12, bandwidth_hz=125_000, coding_rate="4/8"
        )
        == 1_712_128
    )
    assert (
        time_on_air_us(
            payload_length=6,
            spreading_factor=12,
            bandwidth_hz=125_000,
            crc=False,
            explicit_header=False,
        )
        == 827_392
    )
    assert (
        time_on_air_us(
            payload_length=20, spreading_factor=6, bandwidth_hz=500_000, explicit_header=False
        )
        == 7_072
    )


@given(
    payload_length=st.integers(0, 255),
    spreading_factor=st.integers(7, 12),
    bandwidth_hz=st.sampled_from((62_500, 125_000, 250_000, 500_000)),
    coding_rate=RATES,
    preamble_symbols=st.integers(6, 65_535),
    crc=st.booleans(),
    explicit_header=st.booleans(),
)
def test_time_on_air_is_the_published_formula(
    *,
    payload_length: int,
    spreading_factor: int,
    bandwidth_hz: int,
    coding_rate: str,
    preamble_symbols: int,
    crc: bool,
    explicit_header: bool,
) -> None:
    """AN1200.13 as printed there, in fractions."""
    symbol = Fraction(2**spreading_factor, bandwidth_hz)
    low_rate = symbol > Fraction(16, 1000)
    bits = 8 * payload_length - 4 * spreading_factor + 28 + 16 * crc - 20 * (not explicit_header)
    blocks = ceil(Fraction(bits, 4 * (spreading_factor - 2 * low_rate)))
    symbols = preamble_symbols + Fraction("4.25") + 8
    symbols += max(blocks * int(coding_rate[-1]), 0)
    assert (
        time_on_air_us(
            payload_length=payload_length,
            spreading_factor=spreading_factor,
            bandwidth_hz=bandwidth_hz,
            coding_rate=coding_rate,
            preamble_symbols=preamble_symbols,
            crc=crc,
            explicit_header=explicit_header,
        )
        == symbols * symbol * 1_000_000
    )


@given(st.integers(0, 254), st.integers(7, 12), BANDWIDTHS, RATES)
def test_a_longer_payload_is_never_shorter_on_the_air(
    payload_length: int, spreading_factor: int, bandwidth_hz: int, coding_rate: str
) -> None:
    shorter, longer = (
        time_on_air_us(
            payload_length=length,
            spreading_factor=spreading_factor,
            bandwidth_hz=bandwidth_hz,
            coding_rate=coding_rate,
        )
        for length in (payload_length, payload_length + 1)
    )
    assert shorter <= longer


@pytest.mark.parametrize(
    ("bandwidth_hz", "exact"),
    [
        (7_800, Fraction("7812.5")),
        (10_400, Fraction(31_250, 3)),
        (15_600, Fraction(15_625)),
        (20_800, Fraction(62_500, 3)),
        (31_250, Fraction(31_250)),
        (41_700, Fraction(125_000, 3)),
        (62_500, Fraction(62_500)),
        (125_000, Fraction(125_000)),
        (250_000, Fraction(250_000)),
        (500_000, Fraction(500_000)),
    ],
)
def test_symbols_follow_the_true_bandwidth_not_its_rounded_name(
    bandwidth_hz: int, exact: Fraction
) -> None:
    """The true ones are the offsets that the errata note gives: 7.81, 10.42, 15.62 kHz ..."""
    for spreading_factor in range(6, 13):
        expected = 2**spreading_factor / exact * 1_000_000
        assert symbol_time_us(spreading_factor, bandwidth_hz) == expected


def test_low_data_rate_optimization_of_lorawan_rates() -> None:
    """LoRaMac-node, RNode and RadioLib agree on these."""
    needed = {
        (spreading_factor, bandwidth_hz)
        for spreading_factor in range(6, 13)
        for bandwidth_hz in (125_000, 250_000, 500_000)
        if low_data_rate_optimize(spreading_factor, bandwidth_hz)
    }
    assert needed == {(11, 125_000), (12, 125_000), (12, 250_000)}
    assert low_data_rate_optimize(8, 15_600)  # 16.384 ms
    assert not low_data_rate_optimize(9, 41_700)  # 12.288 ms


def test_tables_are_those_of_the_data_sheet() -> None:
    assert [SNR_LIMIT_DB[factor] for factor in range(6, 13)] == [
        -5.0, -7.5, -10.0, -12.5, -15.0, -17.5, -20.0,
    ]  # fmt: skip
    assert list(SENSITIVITY_DBM[125_000].values()) == [-118, -123, -126, -129, -132, -133, -136]
    for bandwidth_hz, row in SENSITIVITY_DBM.items():
        assert list(row) == list(range(6, 13)), bandwidth_hz
        assert list(row.values()) == sorted(row.values(), reverse=True), bandwidth_hz


def test_coding_rates() -> None:
    assert [coding_rate_code(text) for text in ("4/5", "4/6", "4/7", "4/8")] == [1, 2, 3, 4]
    with pytest.raises(ValueError, match='coding rate "4/9" does not exist; 4/5, 4/6'):
        coding_rate_code("4/9")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"payload_length": 256}, "0 to 255 bytes, not 256"),
        ({"payload_length": -1}, "0 to 255 bytes, not -1"),
        ({"spreading_factor": 5}, "spreading factor 5 does not exist"),
        ({"spreading_factor": 13}, "spreading factor 13 does not exist"),
        ({"bandwidth_hz": 203_000}, "bandwidth 203000 Hz does not exist; 7_800, 10_400"),
        ({"preamble_symbols": 5}, "6 symbols or more"),
        ({"spreading_factor": 6}, "SF6 works with an implicit header only"),
    ],
)
def test_frames_that_no_modem_can_send(change: dict[str, int], message: str) -> None:
    arguments = {"payload_length": 20, "spreading_factor": 7, "bandwidth_hz": 125_000} | change
    with pytest.raises(ValueError, match=message):
        time_on_air_us(
            payload_length=arguments["payload_length"],
            spreading_factor=arguments["spreading_factor"],
            bandwidth_hz=arguments["bandwidth_hz"],
            preamble_symbols=arguments.get("preamble_symbols", 8),
        )
