"""Maps a board's microsecond counter to the host's clock from request and answer times.

The answer was made somewhere between the request's departure and its own arrival; the exchange
with the shortest round trip tells most (the rule of NTP's clock filter, RFC 5905 section 10). An
exchange that contradicts the others says that the counter jumped: it alone is believed.
"""

from collections import deque
from dataclasses import dataclass

_SAMPLES = 16
_DRIFT_PPM = 500  # more than any crystal drifts
_LONGEST_US = 1 << 45  # no board waits for 13 months: a faulty counter makes no absurd dates


@dataclass(frozen=True, slots=True)
class TimeSample:
    """One exchange, all in microseconds: host clock at both ends, board counter in between."""

    sent_us: int
    received_us: int
    count_us: int

    @property
    def round_trip_us(self) -> int:
        return self.received_us - self.sent_us

    @property
    def offset_us(self) -> int:
        return (self.sent_us + self.received_us) // 2 - self.count_us


class ClockEstimate:
    """The offset from a board's counter to the host's clock; empty until the first sample."""

    def __init__(self) -> None:
        self._samples: deque[TimeSample] = deque(maxlen=_SAMPLES)

    def add(self, sample: TimeSample) -> None:
        """Take in one exchange."""
        if self._samples and _contradict(self._samples[-1], sample):
            self._samples.clear()
        self._samples.append(sample)

    @property
    def known(self) -> bool:
        return bool(self._samples)

    @property
    def uncertainty_us(self) -> int:
        """Half the best round trip; only when :attr:`known`."""
        return min(sample.round_trip_us for sample in self._samples) // 2

    def host_us(self, count_us: int, now_us: int) -> int:
        """Host time of the board's ``count_us``, never later than ``now_us``.

        With no sample yet the answer is ``now_us``.
        """
        if not self._samples:
            return now_us
        best = min(self._samples, key=lambda sample: sample.round_trip_us)
        return max(min(count_us + best.offset_us, now_us), now_us - _LONGEST_US)


def _contradict(before: TimeSample, after: TimeSample) -> bool:
    """Whether no steady counter can have given both answers."""
    drift_us = (after.received_us - before.sent_us) * _DRIFT_PPM // 1_000_000
    doubt_us = (before.round_trip_us + after.round_trip_us) // 2 + drift_us
    return abs(after.offset_us - before.offset_us) > doubt_us + 1
