"""Tables of a configuration for what was found on this machine, as text to paste."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from drivers.base import DriverOptions, RadioOptions
from drivers.registry import DRIVERS, options_check
from edge.config.toml_text import quoted
from protocol.lora.regions import Region

_SPREADING_FACTOR = 9  # 53 bytes of LoRaWAN payload within a dwell limit of 400 ms


@dataclass(frozen=True, slots=True)
class SuggestedConcentrator:
    """A device that was found; ``unique_id`` "" = it does not tell any."""

    name: str
    driver: str
    port: str
    unique_id: str = ""
    radios: int = 1


def concentrator_table(concentrator: SuggestedConcentrator, place: Region) -> str:
    """``[[concentrator]]`` with one radio a channel, beginning with the region's own channels.

    More radios than the region has channels for all devices are left for people to plan.
    """
    frequencies_hz = place.uplink_channels_hz[: concentrator.radios]
    refused = _refused(concentrator, frequencies_hz)
    lines = [
        "[[concentrator]]",
        f"name = {quoted(concentrator.name)}",
        f"driver = {quoted(concentrator.driver)}",
        f"port = {quoted(concentrator.port)}",
    ]
    if concentrator.unique_id and "unique_id" not in refused:
        lines.append(f"unique_id = {quoted(concentrator.unique_id)}")
    # Some families have the sync word of private networks and no other.
    private = bool(refused & {"payload", "sync_word"})
    for frequency_hz in frequencies_hz:
        lines += _radio(frequency_hz, private=private)
    return "\n".join(lines) + "\n"


def _refused(concentrator: SuggestedConcentrator, frequencies_hz: Sequence[int]) -> set[str]:
    """Keys that the family would refuse if it were to hear LoRaWAN."""
    radios = tuple(RadioOptions(frequency_hz, _SPREADING_FACTOR) for frequency_hz in frequencies_hz)
    options = DriverOptions(
        name=concentrator.name,
        port=concentrator.port,
        baud=DRIVERS[concentrator.driver].baud,
        unique_id=concentrator.unique_id,
        radios=radios,
    )
    return {fault.key for fault in options_check(concentrator.driver)(options)}


def _radio(frequency_hz: int, *, private: bool) -> list[str]:
    lines = [
        "[[concentrator.radio]]",
        f"frequency_hz = {frequency_hz:_}",
        f"spreading_factor = {_SPREADING_FACTOR}",
    ]
    if private:
        lines += ["sync_word = 0x12", 'payload = "cbor"']
    return lines


def free_name(driver: str, taken: Iterable[str]) -> str:
    """``rnode-1``, or the next number that nobody has."""
    names: Sequence[str] = list(taken)
    return next(
        name for number in range(1, len(names) + 2) if (name := f"{driver}-{number}") not in names
    )
