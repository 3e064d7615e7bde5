"""How the firmware of other people's devices sets up its SX127x, in the data sheet's terms.

Written for the simulator from the register tables (LoRa page) and section 4.1.1.6 (low data rate),
so that a device's radio hears exactly what its registers say.
"""

from dataclasses import dataclass

from protocol.link.register_lists import RegisterImage
from protocol.lora.phy import low_data_rate_optimize

_BANDWIDTH_CODES = {
    7_800: 0, 10_400: 1, 15_600: 2, 20_800: 3, 31_250: 4, 41_700: 5, 62_500: 6, 125_000: 7,
    250_000: 8, 500_000: 9,
}  # fmt: skip
_CRYSTAL_HZ = 32_000_000


@dataclass(frozen=True, slots=True)
class ChipSettings:
    """What a firmware wants its chip to receive; ``coding_rate`` 1 to 4 for 4/5 to 4/8."""

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: int
    sync_word: int
    crc_on: bool = True
    preamble_symbols: int = 8
    invert_iq: bool = False

    @property
    def usable(self) -> bool:
        """Whether an SX1276 can be set up like this with an explicit header."""
        return (
            self.bandwidth_hz in _BANDWIDTH_CODES
            and 7 <= self.spreading_factor <= 12
            and 1 <= self.coding_rate <= 4
            and 137_000_000 <= self.frequency_hz <= 1_020_000_000
        )


def receive_image(settings: ChipSettings) -> RegisterImage:
    """The registers for continuous reception; ``settings`` must be usable."""
    frf = round(settings.frequency_hz * (1 << 19) / _CRYSTAL_HZ)
    slow = low_data_rate_optimize(settings.spreading_factor, settings.bandwidth_hz)
    return (
        *zip((0x06, 0x07, 0x08), frf.to_bytes(3, "big"), strict=True),
        (0x0C, 0x23),  # highest gain, boost
        (0x1D, _BANDWIDTH_CODES[settings.bandwidth_hz] << 4 | settings.coding_rate << 1),
        (0x1E, settings.spreading_factor << 4 | settings.crc_on << 2),
        (0x20, settings.preamble_symbols >> 8),
        (0x21, settings.preamble_symbols & 0xFF),
        (0x26, slow << 3 | 0x04),  # automatic gain
        (0x33, 0x67 if settings.invert_iq else 0x27),
        (0x39, settings.sync_word),
        (0x3B, 0x19 if settings.invert_iq else 0x1D),
    )
