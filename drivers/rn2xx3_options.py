"""What RN2483 and RN2903 modules cannot do of what a configuration asks.

Which of the two it is shows only when it answers: what one of them can do passes here, and is
refused when the device turns out to be the other one.
"""

from collections.abc import Iterator, Sequence

from drivers.base import DriverOptions, OptionFault, RadioOptions
from drivers.option_checks import needs_crc, too_many_radios
from protocol.dialects.rn2xx3_events import SignalReading
from protocol.dialects.rn2xx3_settings import (
    BANDWIDTHS_HZ,
    CODING_RATES,
    FREQUENCIES_HZ,
    SPREADING_FACTORS,
    can_tune,
    ranges_in_words,
)

_FAMILY = "an RN2483 or RN2903"


def check_options(options: DriverOptions) -> Sequence[OptionFault]:
    """One radio, the modules' own bands, and what their commands accept."""
    return (
        *_signal_faults(options),
        *too_many_radios(options, 1, _FAMILY),
        *needs_crc(options, _FAMILY),
        *(
            OptionFault(index, key, reason)
            for index, radio in enumerate(options.radios)
            for key, reason in _radio_faults(radio)
        ),
    )


def _signal_faults(options: DriverOptions) -> Iterator[OptionFault]:
    if options.signal_reading not in set(SignalReading):
        choices = ", ".join(SignalReading)
        yield OptionFault(
            None, "signal_reading", f"{options.signal_reading!r} is none of: {choices}"
        )


def _radio_faults(radio: RadioOptions) -> Iterator[tuple[str, str]]:
    if not any(can_tune(model, radio.frequency_hz) for model in FREQUENCIES_HZ):
        bands = ", ".join(f"an RN{model} {ranges_in_words(model)}" for model in FREQUENCIES_HZ)
        yield "frequency_hz", f"{radio.frequency_hz / 1e6:g} MHz cannot be tuned to: {bands}"
    if radio.spreading_factor not in SPREADING_FACTORS:
        yield "spreading_factor", f"{_FAMILY} can do SF7 to SF12, not SF{radio.spreading_factor}"
    if radio.bandwidth_hz not in BANDWIDTHS_HZ:
        yield (
            "bandwidth_hz",
            f"{_FAMILY} can do 125, 250 and 500 kHz, not {radio.bandwidth_hz / 1000:g} kHz",
        )
    if radio.coding_rate not in CODING_RATES:
        yield "coding_rate", f"{_FAMILY} can do 4/5 to 4/8, not {radio.coding_rate}"
    if not 0 <= radio.sync_word <= 0xFF:
        yield "sync_word", f"0x{radio.sync_word:x} is more than one byte"
