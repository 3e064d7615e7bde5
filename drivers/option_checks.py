"""What several families have in common when they say which options they cannot meet. Pure."""

from collections.abc import Iterator, Sequence

from drivers.base import DriverOptions, OptionFault, RadioOptions
from drivers.errors import UnsupportedConfiguration
from protocol.lora.sx127x_configuration import (
    Chip,
    ReceiveSettings,
    UnsupportedSettings,
    check_receive,
)


def refuse(options: DriverOptions, faults: Sequence[OptionFault]) -> None:
    """For drivers, before they open their port.

    Raises:
        UnsupportedConfiguration: there are faults; all of them are in its text.
    """
    if faults:
        raise UnsupportedConfiguration(f"{options.port}: {'; '.join(map(str, faults))}")


def receive_settings(radio: RadioOptions) -> ReceiveSettings:
    """What a radio is to listen to, in the chip's own terms."""
    return ReceiveSettings(
        frequency_hz=radio.frequency_hz,
        spreading_factor=radio.spreading_factor,
        bandwidth_hz=radio.bandwidth_hz,
        coding_rate=radio.coding_rate,
        sync_word=radio.sync_word,
    )


def chip_faults(options: DriverOptions, chip: Chip) -> Iterator[OptionFault]:
    """What no chip of this kind can receive, whatever firmware drives it."""
    for index, radio in enumerate(options.radios):
        try:
            check_receive(chip, receive_settings(radio))
        except UnsupportedSettings as error:
            yield OptionFault(index, "", str(error))


def too_many_radios(options: DriverOptions, at_most: int, family: str) -> Iterator[OptionFault]:
    """More radios than a device of the family has."""
    if len(options.radios) > at_most:
        noun = "radio" if at_most == 1 else "radios"
        yield OptionFault(
            at_most,
            "",
            f"{family} has {at_most} {noun}, {len(options.radios)} are configured",
            'one device for each, or a board with driver = "bridge"',
        )


def no_identity(options: DriverOptions, family: str) -> Iterator[OptionFault]:
    """An identity is asked for that the family cannot report."""
    if options.unique_id:
        yield OptionFault(
            None,
            "unique_id",
            f"{family} reports no identity of its own",
            "leave it out, and name the port by its link in /dev/serial/by-id",
        )


def fixed_sync_word(options: DriverOptions, sync_word: int, family: str) -> Iterator[OptionFault]:
    """LoRaWAN or another sync word is asked of a firmware that has but one."""
    for index, radio in enumerate(options.radios):
        if radio.payload == "lorawan":
            yield OptionFault(
                index,
                "payload",
                f"{family} cannot hear LoRaWAN: its firmware fixes the sync word at"
                f" 0x{sync_word:02x}, LoRaWAN has 0x34",
                'payload = "cbor" or "raw" for private sensors; for LoRaWAN a board with'
                ' driver = "bridge"',
            )
        if radio.sync_word != sync_word:
            yield OptionFault(
                index,
                "sync_word",
                f"{family} fixes the sync word at 0x{sync_word:02x}, it cannot be"
                f" 0x{radio.sync_word:02x}",
                f"sync_word = 0x{sync_word:02x}, and sensors that are set to it",
            )


def tells_signal_itself(options: DriverOptions, family: str) -> Iterator[OptionFault]:
    """A device that nobody has to ask for SNR and RSSI is told when to be asked."""
    if options.signal_reading != "before":
        yield OptionFault(
            None,
            "signal_reading",
            f"{family} tells SNR and RSSI with each frame, nobody asks for them",
            'leave it out; it is for driver = "rn2xx3"',
        )


def needs_crc(options: DriverOptions, family: str) -> Iterator[OptionFault]:
    """Frames with a bad CRC are asked of a firmware that keeps them to itself."""
    for index, radio in enumerate(options.radios):
        if radio.crc == "any":
            yield OptionFault(
                index,
                "crc",
                f"{family} does not pass on frames with a bad CRC",
                'crc = "required"; driver = "bridge" can do "any"',
            )
