"""Channel plans and limits of the regions this gateway knows: a closed list, compiled in.

Sources: LoRaWAN Regional Parameters RP002 (channels, data rates, payload sizes, MaxEIRP, dwell
time); Vietnam: Circular 08/2021/TT-BTTTT and the draft of QCVN 122:2020/BTTTT (band, duty cycle; a
person on the spot must confirm them before a transmitter goes live); Europe: EN 300 220-2 and
ERC/REC 70-03 annex 1; United States: 47 CFR 15.247.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from protocol.lora.phy import MAX_PAYLOAD_LENGTH, time_on_air_us

_MAC_HEADER_AND_MIC_BYTES = 5  # what PHYPayload has beyond the MACPayload that RP002 limits


@dataclass(frozen=True, slots=True)
class DataRate:
    """A numbered LoRa data rate; ``max_mac_payload`` bytes is RP002's "M" without dwell limit."""

    number: int
    spreading_factor: int
    bandwidth_hz: int
    max_mac_payload: int


@dataclass(frozen=True, slots=True)
class SubBand:
    """Part of a band with limits of its own; a carrier must lie inside with its whole bandwidth.

    Duty cycles are fractions of one hour; None = not limited.
    """

    low_hz: int
    high_hz: int
    max_eirp_dbm: float
    gateway_duty_cycle: float | None
    device_duty_cycle: float | None

    def holds(self, frequency_hz: int, bandwidth_hz: int) -> bool:
        """Whether a signal lies wholly inside."""
        return (
            2 * self.low_hz <= 2 * frequency_hz - bandwidth_hz
            and 2 * frequency_hz + bandwidth_hz <= 2 * self.high_hz
        )


@dataclass(frozen=True, slots=True)
class Region:
    """One channel plan.

    Attributes:
        name: as RP002 writes it.
        spellings: other names in use; case, "-", "_" and blanks never matter.
        max_eirp_dbm: RP002's default limit for end devices.
        uplink_dwell_us: longest uplink allowed, None = not limited.
        uplink_channels_hz: channels that every device of the region knows.
        rx2_hz / rx2_data_rate: where devices listen in their second window.
    """

    name: str
    spellings: tuple[str, ...]
    sub_bands: tuple[SubBand, ...]
    data_rates: tuple[DataRate, ...]
    uplink_channels_hz: tuple[int, ...]
    rx2_hz: int
    rx2_data_rate: int
    max_eirp_dbm: float
    uplink_dwell_us: int | None = None

    @property
    def band_hz(self) -> tuple[int, int]:
        """Lowest and highest edge of all sub-bands."""
        return self.sub_bands[0].low_hz, self.sub_bands[-1].high_hz

    def sub_band(self, frequency_hz: int, bandwidth_hz: int) -> SubBand | None:
        """The sub-band that holds a signal, None = not allowed here."""
        return next(
            (band for band in self.sub_bands if band.holds(frequency_hz, bandwidth_hz)), None
        )

    def max_phy_payload(
        self, spreading_factor: int, bandwidth_hz: int, *, dwell: bool = True
    ) -> int:
        """Longest PHY payload of an uplink in bytes; 0 = nothing may be sent at all.

        Args:
            dwell: False once a network has lifted the dwell limit (TxParamSetupReq).

        Raises:
            ValueError: the modem has no such spreading factor or bandwidth.
        """
        longest = self._longest_listed(spreading_factor, bandwidth_hz)
        if not dwell:
            return longest
        return next(
            (
                length
                for length in range(longest, 0, -1)
                if self.dwell_violation(length, spreading_factor, bandwidth_hz) is None
            ),
            0,
        )

    def dwell_violation(
        self, payload_length: int, spreading_factor: int, bandwidth_hz: int
    ) -> str | None:
        """In plain words, why an uplink of this length (PHY payload, bytes) is too long on the air.

        None = it is allowed. Coding rate 4/5, preamble of 8 symbols, as LoRaWAN has them.

        Raises:
            ValueError: the modem cannot send such a frame.
        """
        airtime_us = time_on_air_us(
            payload_length=payload_length,
            spreading_factor=spreading_factor,
            bandwidth_hz=bandwidth_hz,
        )
        if self.uplink_dwell_us is None or airtime_us <= self.uplink_dwell_us:
            return None
        return (
            f"{payload_length} bytes at SF{spreading_factor} and {bandwidth_hz / 1e3:g} kHz are"
            f" {airtime_us / 1e3:.0f} ms on the air, {self.name} allows"
            f" {self.uplink_dwell_us / 1e3:.0f} ms"
        )

    def _longest_listed(self, spreading_factor: int, bandwidth_hz: int) -> int:
        for rate in self.data_rates:
            if (rate.spreading_factor, rate.bandwidth_hz) == (spreading_factor, bandwidth_hz):
                return rate.max_mac_payload + _MAC_HEADER_AND_MIC_BYTES
        return MAX_PAYLOAD_LENGTH  # private networks may use what RP002 does not number


class UnknownRegion(LookupError):
    """No region has this name; the text lists those that exist."""


def _rates(
    first: int, spreading_factors: Iterable[int], bandwidth_hz: int, payloads: Iterable[int]
) -> tuple[DataRate, ...]:
    return tuple(
        DataRate(number, spreading_factor, bandwidth_hz, max_mac_payload)
        for number, (spreading_factor, max_mac_payload) in enumerate(
            zip(spreading_factors, payloads, strict=True), first
        )
    )


_AS923_RATES = (
    *_rates(0, range(12, 6, -1), 125_000, (59, 59, 123, 123, 250, 250)),
    *_rates(6, (7,), 250_000, (250,)),
)

AS923_1 = Region(
    name="AS923-1",
    spellings=("AS923",),
    # National rules are narrower nearly everywhere; 1 % is RP002's own for end devices.
    sub_bands=(SubBand(915_000_000, 928_000_000, 16.0, 0.01, 0.01),),
    data_rates=_AS923_RATES,
    uplink_channels_hz=(923_200_000, 923_400_000),
    rx2_hz=923_200_000,
    rx2_data_rate=2,
    max_eirp_dbm=16.0,
    uplink_dwell_us=400_000,
)

AS923_2 = Region(
    name="AS923-2",
    spellings=("VN920-923", "Vietnam"),
    sub_bands=(SubBand(920_000_000, 923_000_000, 16.0, 0.1, 0.01),),
    data_rates=_AS923_RATES,
    uplink_channels_hz=(921_400_000, 921_600_000),
    rx2_hz=921_400_000,
    rx2_data_rate=2,
    max_eirp_dbm=16.0,
    uplink_dwell_us=400_000,
)

EU868 = Region(
    name="EU868",
    spellings=("EU863-870",),
    sub_bands=(
        SubBand(863_000_000, 865_000_000, 16.0, 0.001, 0.001),
        SubBand(865_000_000, 868_000_000, 16.0, 0.01, 0.01),
        SubBand(868_000_000, 868_600_000, 16.0, 0.01, 0.01),
        SubBand(868_700_000, 869_200_000, 16.0, 0.001, 0.001),
        SubBand(869_400_000, 869_650_000, 29.0, 0.1, 0.1),
        SubBand(869_700_000, 870_000_000, 16.0, 0.01, 0.01),
    ),
    data_rates=(
        *_rates(0, range(12, 6, -1), 125_000, (59, 59, 59, 123, 250, 250)),
        *_rates(6, (7,), 250_000, (250,)),
    ),
    uplink_channels_hz=(868_100_000, 868_300_000, 868_500_000),
    rx2_hz=869_525_000,
    rx2_data_rate=0,
    max_eirp_dbm=16.0,
)

US915 = Region(
    name="US915",
    spellings=("US902-928",),
    sub_bands=(SubBand(902_000_000, 928_000_000, 30.0, None, None),),
    data_rates=(
        *_rates(0, range(10, 6, -1), 125_000, (19, 61, 133, 250)),
        *_rates(4, (8,), 500_000, (250,)),
        *_rates(8, range(12, 6, -1), 500_000, (61, 137, 250, 250, 250, 250)),
    ),
    # 64 channels of 125 kHz, then 8 of 500 kHz.
    uplink_channels_hz=(
        *range(902_300_000, 914_900_001, 200_000),
        *range(903_000_000, 914_200_001, 1_600_000),
    ),
    rx2_hz=923_300_000,
    rx2_data_rate=8,
    max_eirp_dbm=30.0,
    uplink_dwell_us=400_000,
)

REGIONS = (AS923_1, AS923_2, EU868, US915)


def _folded(name: str) -> str:
    return "".join(character for character in name.casefold() if character not in "-_ ")


_BY_NAME = {
    _folded(spelling): region for region in REGIONS for spelling in (region.name, *region.spellings)
}


def region(name: str) -> Region:
    """The region of a name, in any of its spellings ("AS923-2", "as923_2", "AS_923_2").

    Raises:
        UnknownRegion: there is none.
    """
    known = _BY_NAME.get(_folded(name))
    if known is None:
        names = ", ".join(region.name for region in REGIONS)
        raise UnknownRegion(f'region "{name}" is not known; known are {names}')
    return known
