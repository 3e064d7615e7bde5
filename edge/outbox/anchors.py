"""What is known of a boot's wall clock: a few anchors that tie CLOCK_BOOTTIME to Unix time.

Both clocks of the kernel run at the same rate, slewed alike, so their difference changes only when
the wall clock is set. While nobody corrects it, the host's crystal carries both away from the
truth, and the next synchronisation sets the wall clock right in one go. If a crystal can explain
the difference, the time between two anchors is interpolated. If it cannot, somebody had vouched
for a wrong clock, and the newest anchor counts for the whole boot.

Every time comes with a bound on its error. It holds if each anchor was as good as it claimed, and
if the crystal is within :data:`DRIFT_PPM`.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

from protocol.records.sensor_frame import WallTime

DRIFT_PPM = 100
"""By how much an uncorrected clock may run fast or slow. Crystals of single-board computers are
sold within 20 to 50 ppm; temperature in a box on a mast, age and load may double that."""

PLAUSIBLE_DRIFT_PPM = 2 * DRIFT_PPM
"""What is still taken for drift; beyond it a clock was set from something that was wrong."""

AGREEMENT_US = 50_000
"""Offsets that differ by less are the same one measured again: not worth a write."""

ANCHOR_INTERVAL_US = 3_600_000_000
"""How often an anchor is written although it tells nothing new but that the clock still holds."""

MAX_ANCHORS = 16
"""Kept for one boot."""

_GOOD_ENOUGH_US = (
    10_000  # times are promised to 1 s: a better anchor than this is not worth a write
)
_HELD_GAP_US = 2 * ANCHOR_INTERVAL_US  # time daemons ask every 2,048 s or more often
_HELD_READING_US = 250_000


@dataclass(frozen=True, slots=True)
class Anchor:
    """At ``boottime_us``, Unix time was ``boottime_us + offset_us``, give or take the uncertainty.

    ``held`` tells that the clock was looked after since the anchor before this one: good readings
    came without long gaps, and all agreed.
    """

    boottime_us: int
    offset_us: int
    uncertainty_us: int
    held: bool = False


@dataclass(frozen=True, slots=True)
class Learned:
    """What a reading of the clock led to.

    Attributes:
        anchored: the anchors are no longer the same.
        step_us: by how much the clock was set since, beyond what drift explains; 0 if it was not.
    """

    anchored: bool = False
    step_us: int = 0


@dataclass(frozen=True)
class ClockHistory:
    """Anchors of one boot, oldest first, and the best reading since, which is in memory only."""

    anchors: tuple[Anchor, ...] = ()
    latest: Anchor | None = None

    def wall(self, boottime_us: int) -> WallTime | None:
        """Unix time of an instant of this boot, if it is known."""
        return wall_at(self._known, boottime_us)

    def learn(self, reading: Anchor) -> tuple["ClockHistory", Learned]:
        """Take in what the clock says now.

        A reading that is worse than what the reading before foretells is ignored: the kernel
        keeps calling a clock synchronised for hours after the last answer of a time server.
        """
        if not self.anchors:
            return ClockHistory((reading,)), Learned(anchored=True)
        last = self.anchors[-1]
        before = self.latest or last
        elapsed_us = reading.boottime_us - before.boottime_us
        if elapsed_us < 0:
            return self, Learned()
        if not _agree(last, reading):
            return self._corrected(before, reading)
        if reading.uncertainty_us >= before.uncertainty_us + _drift_us(elapsed_us):
            return self, Learned()
        held = (before is last or before.held) and _holds(before, reading)
        reading = replace(reading, held=held)
        if not _worth_writing(last, reading):
            later = reading.boottime_us > last.boottime_us
            return (ClockHistory(self.anchors, reading) if later else self), Learned()
        return ClockHistory(_thinned(_extended(self.anchors, reading))), Learned(anchored=True)

    def _corrected(self, before: Anchor, reading: Anchor) -> tuple["ClockHistory", Learned]:
        """Begin anew from a clock that was set; the last good reading shows where drift began."""
        kept = _consistent(self._known, reading)
        step_us = 0 if plausible(before, reading) else reading.offset_us - before.offset_us
        return ClockHistory(_thinned((*kept, reading))), Learned(anchored=True, step_us=step_us)

    @cached_property
    def _known(self) -> tuple[Anchor, ...]:
        return self.anchors if self.latest is None else _joined(self.anchors, self.latest)


def wall_at(anchors: Sequence[Anchor], boottime_us: int) -> WallTime | None:
    """Unix time of an instant, and how far it may be off; None without an anchor.

    Args:
        anchors: of one boot, oldest first, each plausible with every other.
    """
    if not anchors:
        return None
    index = bisect_left(anchors, boottime_us, key=lambda anchor: anchor.boottime_us)
    if 0 < index < len(anchors):
        return _between(anchors[index - 1], anchors[index], boottime_us)
    nearest = anchors[min(index, len(anchors) - 1)]
    distance_us = abs(boottime_us - nearest.boottime_us)
    return WallTime(
        boottime_us + nearest.offset_us, nearest.uncertainty_us + _drift_us(distance_us)
    )


def plausible(earlier: Anchor, later: Anchor) -> bool:
    """Whether drift and the uncertainties explain how two anchors of a boot differ.

    Uncertainties explain at most half the distance, so that times between the two stay in order.
    """
    distance_us = later.boottime_us - earlier.boottime_us
    uncertain_us = min(earlier.uncertainty_us + later.uncertainty_us, distance_us // 2)
    explained_us = distance_us * PLAUSIBLE_DRIFT_PPM // 1_000_000 + uncertain_us
    return abs(later.offset_us - earlier.offset_us) <= explained_us


def _between(earlier: Anchor, later: Anchor, boottime_us: int) -> WallTime:
    """Interpolate. The error is at most that of both ends in proportion, and twice the drift.

    The worst crystal runs fast up to the instant and slow after it. Where the clock was held, the
    readings between the anchors bound the error: one gap's drift, one reading's uncertainty, and
    three times the agreement (reading to anchor, anchor to anchor before, and that one to the
    interpolated offset).
    """
    distance_us = later.boottime_us - earlier.boottime_us
    elapsed_us = boottime_us - earlier.boottime_us
    remaining_us = distance_us - elapsed_us
    difference_us = later.offset_us - earlier.offset_us
    ends_us = earlier.uncertainty_us * remaining_us + later.uncertainty_us * elapsed_us
    drift_us = _drift_us(-(-2 * elapsed_us * remaining_us // distance_us))
    uncertainty_us = -(-ends_us // distance_us) + drift_us
    if later.held:
        held_us = _HELD_READING_US + 3 * AGREEMENT_US + _drift_us(_HELD_GAP_US // 2)
        uncertainty_us = min(uncertainty_us, held_us)
    offset_us = earlier.offset_us + difference_us * elapsed_us // distance_us
    return WallTime(boottime_us + offset_us, uncertainty_us)


def _drift_us(distance_us: int) -> int:
    """How far a crystal may have carried the clock, rounded up."""
    return -(-distance_us * DRIFT_PPM // 1_000_000)


def _agree(earlier: Anchor, later: Anchor) -> bool:
    return abs(later.offset_us - earlier.offset_us) <= AGREEMENT_US


def _holds(before: Anchor, reading: Anchor) -> bool:
    """Whether the time from one reading to the next is without doubt."""
    gap_us = reading.boottime_us - before.boottime_us
    worst_us = max(before.uncertainty_us, reading.uncertainty_us)
    return gap_us <= _HELD_GAP_US and worst_us <= _HELD_READING_US


def _worth_writing(last: Anchor, reading: Anchor) -> bool:
    """Whether an hour has gone by, or the reading is much better than the last anchor."""
    much_better = reading.uncertainty_us * 2 < last.uncertainty_us > _GOOD_ENOUGH_US
    return much_better or reading.boottime_us - last.boottime_us >= ANCHOR_INTERVAL_US


def _extended(anchors: tuple[Anchor, ...], reading: Anchor) -> tuple[Anchor, ...]:
    """Add a reading that agrees with the last anchor, or put it in that one's place."""
    *others, last = anchors
    if others and last.held and reading.held and _agree(others[-1], reading):
        return _joined(others, reading)
    distance_us = reading.boottime_us - last.boottime_us
    if reading.uncertainty_us + _drift_us(distance_us) <= last.uncertainty_us:
        # Seen from here, even the instant of the last anchor is known better than from itself.
        return _joined(others, replace(reading, held=False))
    return _joined(anchors, reading)


def _joined(anchors: Sequence[Anchor], reading: Anchor) -> tuple[Anchor, ...]:
    """Add a reading, and leave out what cannot be true if it is."""
    held = reading.held and plausible(anchors[-1], reading)
    return (*_consistent(anchors, reading), replace(reading, held=held))


def _consistent(anchors: Sequence[Anchor], reading: Anchor) -> tuple[Anchor, ...]:
    kept: list[Anchor] = []
    follows = False
    for anchor in anchors:
        consistent = plausible(anchor, reading)
        if consistent:
            kept.append(anchor if follows else replace(anchor, held=False))
        follows = consistent
    return tuple(kept)


def _thinned(anchors: tuple[Anchor, ...]) -> tuple[Anchor, ...]:
    """Give up the anchors that the others tell best; the first and the last one stay."""
    while len(anchors) > MAX_ANCHORS:
        index = min(range(1, len(anchors) - 1), key=lambda i: _loss_us(*anchors[i - 1 : i + 2]))
        after = replace(anchors[index + 1], held=False)
        anchors = (*anchors[:index], after, *anchors[index + 2 :])
    return anchors


def _loss_us(before: Anchor, anchor: Anchor, after: Anchor) -> int:
    """How much worse the instant of an anchor would be known without it."""
    without = _between(before, replace(after, held=False), anchor.boottime_us)
    change_us = abs(without.unix_us - anchor.boottime_us - anchor.offset_us)
    return change_us + max(0, without.uncertainty_us - anchor.uncertainty_us)
