"""What devices with RNode firmware cannot do of what a configuration asks."""

from collections.abc import Sequence

from drivers.base import DriverOptions, OptionFault
from drivers.option_checks import (
    chip_faults,
    fixed_sync_word,
    needs_crc,
    no_identity,
    too_many_radios,
)
from protocol.lora.sx127x_configuration import Chip

SYNC_WORD = 0x12
MAX_RADIOS = 4  # of boards that the Community Edition's firmware knows, and some more


def check_options(options: DriverOptions) -> Sequence[OptionFault]:
    """The firmware fixes the sync word and keeps damaged frames to itself."""
    return (
        *no_identity(options, "an RNode"),
        *too_many_radios(options, MAX_RADIOS, "an RNode"),
        *chip_faults(options, Chip.SX1276),
        *fixed_sync_word(options, SYNC_WORD, "an RNode"),
        *needs_crc(options, "an RNode"),
    )
