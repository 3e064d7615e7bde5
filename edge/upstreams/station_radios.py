"""Whether a network server and this gateway's radios mean the same channels, in plain words.

A server configures a station as if it heard eight channels at all spreading factors. Radios of
this gateway hear what a person has configured: what is missing is no fault, but it has to be known.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from protocol.lora.regions import UnknownRegion, region
from protocol.network_server.lns_router_config import Channel, RouterConfig

Radio = tuple[int, int, int]
"""Frequency in Hz, spreading factor, bandwidth in Hz."""


def radios_of(statistics: Mapping[str, Any]) -> list[Radio]:
    """All radios of the gateway, from its status."""
    return [
        (radio["frequency_hz"], radio["spreading_factor"], radio["bandwidth_hz"])
        for concentrator in statistics.get("concentrators", ())
        for radio in concentrator["radios"]
    ]


def compare(config: RouterConfig, radios: list[Radio], place: str) -> Iterator[str]:
    """What a person should know, one line each.

    Args:
        place: the gateway's region.
    """
    if not _same_region(config.region, place):
        yield f"the server is set for region {config.region or 'unknown'}, this gateway for {place}"
    unheard = config.unheard(radios)
    if unheard:
        yield "devices of that network also send where no radio listens: " + ", ".join(
            map(_shown, unheard)
        )
    for frequency_hz, spreading_factor, bandwidth_hz in radios:
        setting = f"{frequency_hz / 1e6:g} MHz SF{spreading_factor}"
        if config.data_rate(spreading_factor, bandwidth_hz) is None:
            yield f"the server has no data rate for a radio on {setting}: its frames are not sent"
        elif config.channels and not any(
            channel.holds(frequency_hz, spreading_factor, bandwidth_hz)
            for channel in config.channels
        ):
            yield f"no channel of the server's is what a radio listens to: {setting}"


def _same_region(name: str, place: str) -> bool:
    try:
        return region(name).name == region(place).name
    except UnknownRegion:
        return name.casefold() == place.casefold()


def _shown(channel: Channel) -> str:
    factors = "/".join(map(str, channel.spreading_factors))
    return f"{channel.frequency_hz / 1e6:g} MHz SF{factors}"
