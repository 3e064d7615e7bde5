"""What esp32_loraprs modems cannot do of what a configuration asks."""

from collections.abc import Iterator, Sequence

from drivers.base import DriverOptions, OptionFault
from drivers.option_checks import (
    chip_faults,
    needs_crc,
    no_identity,
    tells_signal_itself,
    too_many_radios,
)
from protocol.lora.sx127x_configuration import Chip

FAMILY = "an esp32_loraprs modem"

BANDS_HZ = (
    (137_000_000, 175_000_000),
    (410_000_000, 525_000_000),
    (862_000_000, 1_020_000_000),
)
"""What RadioLib tunes an SX1276 to (``SX1276.cpp``); all else it refuses, and nobody is told."""

SX1278_MAX_HZ = 525_000_000
"""Above, the firmware must have been built for an SX1276."""


def check_options(options: DriverOptions) -> Sequence[OptionFault]:
    """Any sync word, so LoRaWAN too; damaged frames stay in the firmware."""
    return (
        *too_many_radios(options, 1, FAMILY),
        *no_identity(options, FAMILY),
        *chip_faults(options, Chip.SX1276),
        *_outside_the_bands(options),
        *needs_crc(options, FAMILY),
        *tells_signal_itself(options, FAMILY),
    )


def _outside_the_bands(options: DriverOptions) -> Iterator[OptionFault]:
    for index, radio in enumerate(options.radios):
        frequency_hz = radio.frequency_hz
        if BANDS_HZ[0][0] <= frequency_hz <= BANDS_HZ[-1][1] and not any(
            low_hz <= frequency_hz <= high_hz for low_hz, high_hz in BANDS_HZ
        ):
            yield OptionFault(
                index,
                "frequency_hz",
                f"{FAMILY} does not tune to {frequency_hz / 1e6:g} MHz, and would not say so",
                "its bands are 137 to 175, 410 to 525 and 862 to 1020 MHz",
            )
