"""Tables of a configuration for what was found on this machine, as text to paste."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from edge.config.toml_text import quoted
from protocol.lora.regions import Region

_PRIVATE = ("rnode", "meshcore")
"""Families whose sync word is fixed to that of private networks: no LoRaWAN can be heard."""

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
    lines = [
        "[[concentrator]]",
        f"name = {quoted(concentrator.name)}",
        f"driver = {quoted(concentrator.driver)}",
        f"port = {quoted(concentrator.port)}",
    ]
    if concentrator.unique_id:
        lines.append(f"unique_id = {quoted(concentrator.unique_id)}")
    for frequency_hz in place.uplink_channels_hz[: concentrator.radios]:
        lines += _radio(frequency_hz, private=concentrator.driver in _PRIVATE)
    return "\n".join(lines) + "\n"


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
