"""What MeshCore modems cannot do of what a configuration asks."""

from collections.abc import Sequence

from drivers.base import DriverOptions, OptionFault
from drivers.option_checks import (
    chip_faults,
    fixed_sync_word,
    needs_crc,
    tells_signal_itself,
    too_many_radios,
)
from protocol.lora.sx127x_configuration import Chip

FAMILY = "a MeshCore modem"
SYNC_WORD = 0x12


def check_options(options: DriverOptions) -> Sequence[OptionFault]:
    """The firmware fixes the sync word and keeps damaged frames to itself."""
    return (
        *too_many_radios(options, 1, FAMILY),
        *chip_faults(options, Chip.SX1276),
        *fixed_sync_word(options, SYNC_WORD, FAMILY),
        *needs_crc(options, FAMILY),
        *tells_signal_itself(options, FAMILY),
    )
