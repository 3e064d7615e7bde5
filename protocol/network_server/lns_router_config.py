"""``router_config``: what a network server has a Basics Station do, read for a few radios.

A station of eight channels sets its concentrator up from it. Our radios listen to what a person has
configured, so it tells us three things: how data rates are numbered, which frames are wanted, and
which channels devices of that network use, for comparing them with ours. Source: LoRa Basics
Station documentation, "LNS Protocol", router_config.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from protocol.network_server.lns_json import LnsFault, malformed, number, whole

MAX_DATA_RATES = 16
MAX_CHANNELS = 256
_MAX_RANGES = 64
_MAX_HZ = 3_000_000_000
_SPREADING_FACTORS = range(5, 13)
_RADIO_BLOCKS = ("sx1301_conf", "SX1301_conf", "sx1302_conf", "SX1302_conf", "radio_conf")
_MULTI_SF = re.compile(r"chan_multiSF_[0-9]{1,2}")
_TUNING_STEP_HZ = 500  # a radio of 61 Hz steps is this near to the channel that it is set to

# RP002, "AS923": the two channels that every device knows, by group.
_AS923_GROUPS = {
    "AS923-1": (923_200_000, 923_400_000),
    "AS923-2": (921_400_000, 921_600_000),
    "AS923-3": (916_600_000, 916_800_000),
    "AS923-4": (917_300_000, 917_500_000),
}

# What the protocol's documentation calls regions that RP002 has other names for.
_REGION_NAMES = {"EU863": "EU868", "US902": "US915", "AS923JP": "AS923-1"}


@dataclass(frozen=True, slots=True)
class LnsDataRate:
    """A LoRa data rate of the server's table."""

    spreading_factor: int
    bandwidth_hz: int
    downlink_only: bool


@dataclass(frozen=True, slots=True)
class Channel:
    """Where the server expects uplinks, with all spreading factors that it expects there."""

    frequency_hz: int
    bandwidth_hz: int
    spreading_factors: tuple[int, ...]

    def holds(self, frequency_hz: int, spreading_factor: int, bandwidth_hz: int) -> bool:
        """Whether a radio with these settings hears a part of it."""
        return (
            abs(frequency_hz - self.frequency_hz) <= _TUNING_STEP_HZ
            and bandwidth_hz == self.bandwidth_hz
            and spreading_factor in self.spreading_factors
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class RouterConfig:
    """What is of use to us.

    Attributes:
        region: by its name in RP002, AS923 with its group where that can be told; "" = not given.
        data_rates: by number; None = not defined, or not LoRa.
        channels: those that are enabled; empty if the server does not say.
        net_ids: the low 7 bits of the NetIDs whose data frames are wanted; None = all.
        join_euis: ranges, both ends included, of the join requests that are wanted; empty = all.
        eui_keys: how the server spells ``JoinEui`` and ``DevEui``.
        max_eirp_dbm: None = not given.
    """

    region: str
    data_rates: tuple[LnsDataRate | None, ...]
    channels: tuple[Channel, ...]
    net_ids: frozenset[int] | None
    join_euis: tuple[tuple[int, int], ...]
    eui_keys: tuple[str, str]
    max_eirp_dbm: float | None

    def data_rate(self, spreading_factor: int, bandwidth_hz: int) -> int | None:
        """Number of an uplink's data rate; None = the server has none for it."""
        wanted = LnsDataRate(spreading_factor, bandwidth_hz, downlink_only=False)
        return self.data_rates.index(wanted) if wanted in self.data_rates else None

    def wants_address(self, dev_addr: bytes) -> bool:
        """Whether data frames of this address (most significant byte first) are wanted."""
        return self.net_ids is None or dev_addr[0] >> 1 in self.net_ids

    def wants_join(self, join_eui: bytes) -> bool:
        """Whether join requests for this JoinEUI are wanted."""
        number_of_it = int.from_bytes(join_eui, "big")
        return not self.join_euis or any(
            lowest <= number_of_it <= highest for lowest, highest in self.join_euis
        )

    def nominal_hz(self, frequency_hz: int) -> int:
        """The frequency of the channel that a radio's tuning means.

        Servers look channels up by their exact frequency.
        """
        near = (c.frequency_hz for c in self.channels)
        return next((hz for hz in near if abs(hz - frequency_hz) <= _TUNING_STEP_HZ), frequency_hz)

    def unheard(self, radios: Iterable[tuple[int, int, int]]) -> tuple[Channel, ...]:
        """Channels, with those spreading factors only that no radio listens to.

        Args:
            radios: frequency, spreading factor and bandwidth of each.
        """
        settings = list(radios)
        return tuple(
            Channel(channel.frequency_hz, channel.bandwidth_hz, missing)
            for channel in self.channels
            if (
                missing := tuple(
                    factor
                    for factor in channel.spreading_factors
                    if not any(
                        channel.holds(hz, factor, bandwidth_hz)
                        for hz, spreading_factor, bandwidth_hz in settings
                        if spreading_factor == factor
                    )
                )
            )
        )


def parse_router_config(message: dict[str, Any]) -> RouterConfig:
    """Read a ``router_config``; what we do not know is of no interest.

    Raises:
        LnsFault: there are no usable data rates, or a filter is not what it should be. To take a
            filter for "everything" would send what the server does not want to have.
    """
    data_rates = _data_rates(message.get("DRs"))
    channels = (*_configured_channels(message), *_up_channels(message, data_rates))
    spelled_large = "JoinEUI" in message
    return RouterConfig(
        region=_region(message, channels),
        data_rates=data_rates,
        channels=channels[:MAX_CHANNELS],
        net_ids=_net_ids(message.get("NetID")),
        join_euis=_join_euis(message.get("JoinEUI" if spelled_large else "JoinEui")),
        eui_keys=("JoinEUI", "DevEUI") if spelled_large else ("JoinEui", "DevEui"),
        max_eirp_dbm=number(message, "max_eirp"),
    )


def _data_rates(table: object) -> tuple[LnsDataRate | None, ...]:
    if not isinstance(table, list):
        raise malformed("DRs")
    rates = tuple(map(_data_rate, table[:MAX_DATA_RATES]))
    if not any(rates):
        raise malformed("DRs")
    return rates


def _data_rate(row: object) -> LnsDataRate | None:
    """One row ``[SF, kHz, downlink only]``; SF 0 is FSK, -1 is undefined."""
    if not isinstance(row, list) or len(row) < 2:
        return None
    fields = dict(zip(("sf", "khz", "down"), row, strict=False))
    factor, bandwidth_khz = whole(fields, "sf", -1, 99), whole(fields, "khz", 0, 9999)
    if factor is None or factor not in _SPREADING_FACTORS or not bandwidth_khz:
        return None
    return LnsDataRate(factor, bandwidth_khz * 1000, bool(fields.get("down")))


def _net_ids(value: object) -> frozenset[int] | None:
    if value is None:
        return None
    if not isinstance(value, list) or not all(_is_within(item, 0, 2**32) for item in value):
        raise malformed("NetID")
    return frozenset(item & 0x7F for item in value)


def _join_euis(value: object) -> tuple[tuple[int, int], ...]:
    """Ranges; as numbers, which may be negative where a server takes them for 64 bits signed."""
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > _MAX_RANGES:
        raise malformed("JoinEui")
    ranges = []
    for pair in value:
        if not isinstance(pair, list) or len(pair) != 2:
            raise malformed("JoinEui")
        if not all(_is_within(end, -(2**63), 2**64) for end in pair):
            raise malformed("JoinEui")
        ranges.append((pair[0] % 2**64, pair[1] % 2**64))
    return tuple(ranges)


def _is_within(value: object, lowest: int, end: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and lowest <= value < end


def _configured_channels(message: dict[str, Any]) -> tuple[Channel, ...]:
    """Channels of the concentrators that the message configures; faulty ones are left out."""
    found = []
    blocks = [block for key in _RADIO_BLOCKS for block in _list(message.get(key))]
    for block in blocks[:MAX_CHANNELS]:
        for name, settings in block.items() if isinstance(block, dict) else ():
            if isinstance(settings, dict) and settings.get("enable"):
                try:
                    channel = _channel(block, name, settings)
                except LnsFault:
                    continue
                if channel is not None:
                    found.append(channel)
    return tuple(found)


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else [value]


def _channel(block: dict[str, Any], name: str, settings: dict[str, Any]) -> Channel | None:
    """One channel: the frequency of its radio and an offset."""
    factors = tuple(range(7, 13))
    bandwidth_hz: int | None = 125_000
    if name == "chan_Lora_std":
        factor = whole(settings, "spread_factor", 5, 12)
        bandwidth_hz = whole(settings, "bandwidth", 1, _MAX_HZ)
        factors = () if factor is None else (factor,)
    elif not _MULTI_SF.fullmatch(name):
        return None
    radio = block.get(f"radio_{whole(settings, 'radio', 0, 9) or 0}")
    centre_hz = whole(radio, "freq", 1, _MAX_HZ) if isinstance(radio, dict) else None
    offset_hz = whole(settings, "if", -_MAX_HZ, _MAX_HZ) or 0
    if centre_hz is None or not factors or bandwidth_hz is None:
        return None
    return Channel(centre_hz + offset_hz, bandwidth_hz, factors)


def _up_channels(
    message: dict[str, Any], data_rates: tuple[LnsDataRate | None, ...]
) -> tuple[Channel, ...]:
    """``upchannels``: ``[frequency, lowest, highest data rate]`` each; faulty ones are left out."""
    found = []
    for row in _list(message.get("upchannels"))[:MAX_CHANNELS]:
        if not isinstance(row, list) or len(row) < 3:
            continue
        fields = dict(zip(("hz", "first", "last"), row, strict=False))
        try:
            frequency_hz = whole(fields, "hz", 1, _MAX_HZ)
            first = whole(fields, "first", 0, MAX_DATA_RATES - 1) or 0
            last = whole(fields, "last", 0, MAX_DATA_RATES - 1) or 0
        except LnsFault:
            continue
        if frequency_hz is None:
            continue
        rates = [rate for rate in data_rates[first : last + 1] if rate is not None]
        for bandwidth_hz in sorted({rate.bandwidth_hz for rate in rates}):
            factors = {r.spreading_factor for r in rates if r.bandwidth_hz == bandwidth_hz}
            found.append(Channel(frequency_hz, bandwidth_hz, tuple(sorted(factors))))
    return tuple(found)


def _region(message: dict[str, Any], channels: tuple[Channel, ...]) -> str:
    """The region's name; servers say only "AS923" or worse for all four of its groups.

    The channels tell which group it is, or else the frequencies that the server allows.
    """
    name = message.get("region")
    name = name[:32] if isinstance(name, str) else ""
    if not re.sub(r"[-_ ]", "", name).upper().startswith("AS923"):
        return _REGION_NAMES.get(name, name)
    used = {channel.frequency_hz for channel in channels}
    for group, known_hz in _AS923_GROUPS.items():
        if used.issuperset(known_hz):
            return group
    bounds = message.get("freq_range")
    if (
        isinstance(bounds, list)
        and len(bounds) == 2
        and all(_is_within(b, 0, 2**32) for b in bounds)
    ):
        inside = [
            group
            for group, known_hz in _AS923_GROUPS.items()
            if bounds[0] <= known_hz[0] and known_hz[1] <= bounds[1]
        ]
        if len(inside) == 1:
            return inside[0]
    return _REGION_NAMES.get(name, name)
