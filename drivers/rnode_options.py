"""What devices with RNode firmware cannot do of what a configuration asks."""

from collections.abc import Iterator, Sequence

from drivers.base import DriverOptions, OptionFault
from drivers.option_checks import (
    chip_faults,
    fixed_sync_word,
    needs_crc,
    tells_signal_itself,
    too_many_radios,
)
from protocol.lora.sx127x_configuration import Chip

SYNC_WORD = 0x12
IDENTITY_BYTES = 7
MAX_RADIOS = 4  # of boards that the Community Edition's firmware knows, and some more


def check_options(options: DriverOptions) -> Sequence[OptionFault]:
    """The firmware fixes the sync word and keeps damaged frames to itself."""
    return (
        *_identity_faults(options),
        *too_many_radios(options, MAX_RADIOS, "an RNode"),
        *chip_faults(options, Chip.SX1276),
        *fixed_sync_word(options, SYNC_WORD, "an RNode"),
        *needs_crc(options, "an RNode"),
        *tells_signal_itself(options, "an RNode"),
    )


def _identity_faults(options: DriverOptions) -> Iterator[OptionFault]:
    if options.unique_id and len(options.unique_id) != 2 * IDENTITY_BYTES:
        yield OptionFault(
            None,
            "unique_id",
            f"an RNode's identity has {2 * IDENTITY_BYTES} hexadecimal digits: product, model,"
            " revision and serial number",
            "leave it out once: the log says what the device reports",
        )
