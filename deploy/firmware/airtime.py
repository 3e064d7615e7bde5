"""Time on air of a packet from the chip's registers (data sheet, section 4.1.1.7)."""

MODEM_CONFIG_1, MODEM_CONFIG_2, MODEM_CONFIG_3 = 0x1D, 0x1E, 0x26
PREAMBLE_MSB, PREAMBLE_LSB = 0x20, 0x21
_BANDWIDTHS_HZ = (7_812, 10_416, 15_625, 20_833, 31_250, 41_666, 62_500, 125_000, 250_000, 500_000)


def time_on_air_us(read, length):
    """Microseconds from the first symbol to the last.

    Args:
        read: value of a register, as it will be while the packet is sent.
        length: bytes of payload.
    """
    first, second = read(MODEM_CONFIG_1), read(MODEM_CONFIG_2)
    implicit, coding_rate = first & 1, first >> 1 & 7
    spreading, crc = max(6, second >> 4), second >> 2 & 1
    low_rate = read(MODEM_CONFIG_3) >> 3 & 1
    symbol_us = (1_000_000 << spreading) // _BANDWIDTHS_HZ[min(first >> 4, 9)]
    bits = max(0, 8 * length - 4 * spreading + 28 + 16 * crc - 20 * implicit)
    each = 4 * (spreading - 2 * low_rate)
    symbols = 8 + (bits + each - 1) // each * (coding_rate + 4)
    preamble = read(PREAMBLE_MSB) << 8 | read(PREAMBLE_LSB)
    return (preamble + symbols) * symbol_us + 17 * symbol_us // 4
