"""What frames do to each other: capture within a spreading factor, leakage between them.

Pairwise and worst case: the one interferer that harms most decides.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum

from simulator.sensors import Transmission

INTER_SF_REJECTION_DB: Mapping[int, tuple[int, ...]] = {
    7: (1, -8, -9, -9, -9, -9),
    8: (-11, 1, -11, -12, -13, -13),
    9: (-15, -13, 1, -13, -14, -15),
    10: (-19, -18, -17, 1, -17, -18),
    11: (-22, -22, -21, -20, 1, -20),
    12: (-25, -25, -25, -24, -23, 1),
}
"""Wanted SF -> lead needed over SF7 to SF12, in dB; measured by Croce et al., "Impact of LoRa
Imperfect Orthogonality", IEEE Communications Letters 22(4), 2018. The diagonal gives way to the
scenario's capture threshold."""

_PREAMBLE_SYMBOLS_NEEDED = 5  # a receiver that gets the last five still locks (LoRaSim)
_SYNC_SYMBOLS = 4.25  # sync word and start of frame follow the preamble (Semtech AN1200.13)
_HEADER_SYMBOLS = 8  # the explicit header travels in the first eight symbols, coded 4/8


class Outcome(Enum):
    """What becomes of a frame at a radio that listens for it, from best to worst."""

    DECODED = "decoded"
    CRC_ERROR = "crc_error"  # the header survived, the payload was hit
    INTERFERENCE = "inter_sf"
    COLLISION = "co_sf"
    BELOW_SENSITIVITY = "below_sensitivity"


def share_spectrum(one: Transmission, other: Transmission) -> bool:
    """Whether two channels overlap at all."""
    apart_hz = abs(one.frequency_hz - other.frequency_hz)
    return 2 * apart_hz < one.bandwidth_hz + other.bandwidth_hz


def share_air(one: Transmission, other: Transmission) -> bool:
    """Whether two transmissions overlap in time and in spectrum."""
    return (
        one.start_us < other.end_us and other.start_us < one.end_us and share_spectrum(one, other)
    )


def same_chirps(one: Transmission, other: Transmission) -> bool:
    """Whether a demodulator cannot tell the two apart but by strength."""
    return one.spreading_factor == other.spreading_factor and _same_slope(one, other)


def _same_slope(one: Transmission, other: Transmission) -> bool:
    return (one.bandwidth_hz, one.invert_iq) == (other.bandwidth_hz, other.invert_iq)


def required_lead_db(wanted: Transmission, interferer: Transmission, capture_db: float) -> float:
    """By how much ``wanted`` (SF7 to SF12) has to be stronger; negative = may be weaker."""
    if same_chirps(wanted, interferer):
        return capture_db
    row = INTER_SF_REJECTION_DB[wanted.spreading_factor]
    if not _same_slope(wanted, interferer):
        # Other bandwidths and downlinks were not measured: taken as the worst of the other SFs.
        return max(value for value in row if value < 0)
    return row[interferer.spreading_factor - 7]


def harm(
    wanted: Transmission, interferer: Transmission, lead_db: float, capture_db: float
) -> Outcome:
    """What one interferer does to a frame that is ``lead_db`` stronger than it."""
    if not share_air(wanted, interferer) or lead_db >= required_lead_db(
        wanted, interferer, capture_db
    ):
        return Outcome.DECODED
    spare_symbols = max(wanted.preamble_symbols - _PREAMBLE_SYMBOLS_NEEDED, 0)
    if interferer.end_us <= wanted.start_us + spare_symbols * wanted.symbol_us:
        return Outcome.DECODED
    header_symbols = wanted.preamble_symbols + _SYNC_SYMBOLS + _HEADER_SYMBOLS
    if interferer.start_us >= wanted.start_us + header_symbols * wanted.symbol_us:
        return Outcome.CRC_ERROR
    return Outcome.COLLISION if same_chirps(wanted, interferer) else Outcome.INTERFERENCE


def worst(outcomes: Iterable[Outcome]) -> Outcome:
    """The worst of them; DECODED if there is none."""
    severity = list(Outcome).index
    return max(outcomes, key=severity, default=Outcome.DECODED)


class OverlapWindow:
    """The transmissions of the last seconds, to be asked which of them overlap.

    Args:
        keep_us: how long an ended transmission is kept; more than the longest frame's time on
            air, so that whoever asks at a frame's end still finds all that it met.
    """

    def __init__(self, keep_us: int = 10_000_000) -> None:
        self._keep_us = keep_us
        self._recent: deque[Transmission] = deque()

    def __len__(self) -> int:
        return len(self._recent)

    def add(self, transmission: Transmission) -> None:
        """Take note of a transmission that starts; in order of start."""
        oldest_us = transmission.start_us - self._keep_us
        while self._recent and self._recent[0].end_us < oldest_us:
            self._recent.popleft()
        self._recent.append(transmission)

    def overlapping(self, transmission: Transmission) -> tuple[Transmission, ...]:
        """All others that share time and spectrum with it, in order of start."""
        return tuple(
            other
            for other in self._recent
            if other is not transmission and share_air(transmission, other)
        )
