"""LoRa modulation: symbols, time on air, limits of reception.

Sources: Semtech AN1200.13 (time on air); SX1276/77/78/79 data sheet section 4.1.1 (modulation),
table 10 (sensitivity), table 13 (SNR limits), RegModemConfig1 to 3. Nothing here belongs to one
chip's registers, so the driver's side and the simulator may both use it.
"""

from collections.abc import Mapping

SPREADING_FACTORS = range(6, 13)
"""SF6 to SF12. SF6 exists with an implicit header only."""

CODING_RATES: Mapping[str, int] = {"4/5": 1, "4/6": 2, "4/7": 3, "4/8": 4}
"""Coding rate as people write it -> redundant bits per four."""

BANDWIDTH_DIVISORS: Mapping[int, int] = {
    7_800: 64,
    10_400: 48,
    15_600: 32,
    20_800: 24,
    31_250: 16,
    41_700: 12,
    62_500: 8,
    125_000: 4,
    250_000: 2,
    500_000: 1,
}
"""Nominal bandwidth in Hz -> what 500 kHz is divided by, in the order of RegModemConfig1.

The narrow ones have rounded names: "7.8 kHz" is 7,812.5 Hz. Timing follows the divisor.
"""

SNR_LIMIT_DB: Mapping[int, float] = {
    6: -5.0,
    7: -7.5,
    8: -10.0,
    9: -12.5,
    10: -15.0,
    11: -17.5,
    12: -20.0,
}
"""Spreading factor -> lowest SNR that demodulates (data sheet table 13)."""

SENSITIVITY_DBM: Mapping[int, Mapping[int, int]] = {
    62_500: {6: -121, 7: -126, 8: -129, 9: -132, 10: -135, 11: -137, 12: -139},
    125_000: {6: -118, 7: -123, 8: -126, 9: -129, 10: -132, 11: -133, 12: -136},
    250_000: {6: -115, 7: -120, 8: -123, 9: -125, 10: -128, 11: -130, 12: -133},
    500_000: {6: -111, 7: -116, 8: -119, 9: -122, 10: -125, 11: -128, 12: -130},
}
"""Bandwidth in Hz -> spreading factor -> sensitivity in dBm, SX1276, HF port, LNA boost (table 10).

Only the row of 125 kHz has been compared with a second source (DOI 10.3390/s16091466).
"""

MAX_PAYLOAD_LENGTH = 255
MIN_PREAMBLE_SYMBOLS = 6

_LOW_DATA_RATE_SYMBOL_US = 16_000


def symbol_time_us(spreading_factor: int, bandwidth_hz: int) -> int:
    """Duration of one symbol, exactly: every LoRa symbol lasts a whole number of microseconds.

    Raises:
        ValueError: the modem has no such spreading factor or bandwidth.
    """
    if spreading_factor not in SPREADING_FACTORS:
        raise ValueError(f"spreading factor {spreading_factor} does not exist; 6 to 12 do")
    divisor = BANDWIDTH_DIVISORS.get(bandwidth_hz)
    if divisor is None:
        known = ", ".join(f"{known_hz:_}" for known_hz in BANDWIDTH_DIVISORS)
        raise ValueError(f"bandwidth {bandwidth_hz} Hz does not exist; {known} do")
    return (2 * divisor) << spreading_factor  # 2 us is one chip at 500 kHz


def low_data_rate_optimize(spreading_factor: int, bandwidth_hz: int) -> bool:
    """Whether LowDataRateOptimize must be on: symbols of 16 ms and more (RegModemConfig3).

    Transmitter and receiver must agree, or nothing is decoded. Raises as :func:`symbol_time_us`.
    """
    return symbol_time_us(spreading_factor, bandwidth_hz) >= _LOW_DATA_RATE_SYMBOL_US


def coding_rate_code(coding_rate: str) -> int:
    """1 to 4 for "4/5" to "4/8".

    Raises:
        ValueError: another text.
    """
    try:
        return CODING_RATES[coding_rate]
    except KeyError:
        raise ValueError(
            f'coding rate "{coding_rate}" does not exist; {", ".join(CODING_RATES)} do'
        ) from None


def time_on_air_us(
    *,
    payload_length: int,
    spreading_factor: int,
    bandwidth_hz: int,
    coding_rate: str = "4/5",
    preamble_symbols: int = 8,
    crc: bool = True,
    explicit_header: bool = True,
) -> int:
    """Duration of a frame on the air, exactly (AN1200.13 section 4).

    Args:
        payload_length: PHY payload, 0 to 255 bytes.
        preamble_symbols: programmed length; the chip adds 4.25 symbols.

    Raises:
        ValueError: the modem cannot send such a frame.
    """
    symbol_us = symbol_time_us(spreading_factor, bandwidth_hz)
    if not 0 <= payload_length <= MAX_PAYLOAD_LENGTH:
        raise ValueError(f"a payload has 0 to {MAX_PAYLOAD_LENGTH} bytes, not {payload_length}")
    if preamble_symbols < MIN_PREAMBLE_SYMBOLS:
        raise ValueError(f"a preamble has {MIN_PREAMBLE_SYMBOLS} symbols or more")
    if spreading_factor == 6 and explicit_header:
        raise ValueError("SF6 works with an implicit header only")
    bits = 8 * payload_length - 4 * spreading_factor + 28
    bits += 16 if crc else 0
    bits -= 0 if explicit_header else 20
    reduced = 2 if low_data_rate_optimize(spreading_factor, bandwidth_hz) else 0
    blocks = max(-(-bits // (4 * (spreading_factor - reduced))), 0)
    payload_symbols = 8 + blocks * (coding_rate_code(coding_rate) + 4)
    # Counted in quarters: the sync word and the start of frame take 4.25 symbols, and every symbol
    # is a multiple of 4 us, so nothing is rounded.
    return (4 * (preamble_symbols + payload_symbols) + 17) * (symbol_us // 4)
