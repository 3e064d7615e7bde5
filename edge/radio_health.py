"""Whether a radio hears, is quiet because nobody sends, or is deaf.

Frames alone cannot tell: at night there may be none. So a radio is *deaf* only by what it shows
itself: it does not receive although it should, the board has to repair its registers again and
again, or it misses far more than it usually does at this hour *and* the noise it measures does not
move at all. Silence alone makes it *silent*: people are told, and nothing is reset.
"""

from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from edge.reception_rate import ReceptionRate
from protocol.lora.events import RadioStatistics

NOT_RECEIVING_US = 60_000_000
"""Longer than any set-up or repair by the board itself takes."""

REPAIRS = 3
REPAIRS_WITHIN_US = 600_000_000

MISSED = 10.0
"""Receptions missed; if they came by chance one by one, this happens once in 20,000 times."""

FROZEN_US = 600_000_000
FROZEN_SAMPLES = 30  # true noise moves by several dB from one sample to the next


class Verdict(StrEnum):
    """How a radio does."""

    FINE = "fine"
    SILENT = "silent"
    DEAF = "deaf"


@dataclass(frozen=True, slots=True)
class Judgement:
    """A verdict, and for people why."""

    verdict: Verdict
    reason: str = ""


_FINE = Judgement(Verdict.FINE)


class RadioHealth:
    """One radio through all connections; times are CLOCK_BOOTTIME in microseconds."""

    def __init__(self, now_us: int) -> None:
        self.rate = ReceptionRate(now_us)
        self._faults: int | None = None
        self._repairs_us: deque[int] = deque(maxlen=REPAIRS)
        self._not_receiving_since_us: int | None = None
        self._noise_dbm: float | None = None
        self._noise_since_us = now_us
        self._noise_samples = 0

    def heard(self, now_us: int) -> None:
        """Note a reception: whatever its CRC says, the radio hears."""
        self.rate.heard(now_us)

    def heartbeat(self, statistics: RadioStatistics, now_us: int) -> None:
        """Note what the board tells of the radio."""
        if statistics.receiving:
            self._not_receiving_since_us = None
        elif self._not_receiving_since_us is None:
            self._not_receiving_since_us = now_us
        if self._faults is not None and statistics.faults > self._faults:
            self._repairs_us.append(now_us)
        self._faults = statistics.faults
        if statistics.noise_rssi_dbm is None:
            return
        if statistics.noise_rssi_dbm != self._noise_dbm:
            self._noise_dbm, self._noise_since_us = statistics.noise_rssi_dbm, now_us
            self._noise_samples = 0
        self._noise_samples += 1

    def begin_anew(self, now_us: int) -> None:
        """The device was reset or was away: neither what it showed before nor its silence counts.

        A radio that is still deaf shows it again.
        """
        self._faults = None
        self._repairs_us.clear()
        self._not_receiving_since_us = None
        self._noise_dbm, self._noise_since_us, self._noise_samples = None, now_us, 0
        self.rate.forget_silence(now_us)

    def judge(self, now_us: int) -> Judgement:
        """How the radio does now."""
        since_us = self._not_receiving_since_us
        if since_us is not None and now_us - since_us >= NOT_RECEIVING_US:
            return Judgement(Verdict.DEAF, f"not receiving for {(now_us - since_us) // 10**6} s")
        repairs = self._repairs_us
        if len(repairs) == REPAIRS and now_us - repairs[0] <= REPAIRS_WITHIN_US:
            return Judgement(Verdict.DEAF, f"the board has mended it {REPAIRS} times within 10 min")
        missed = self.rate.missed(now_us)
        if missed < MISSED:
            return _FINE
        silence = f"about {missed:.0f} frames missed, by what it hears at this hour of other days"
        if self._noise_is_frozen(now_us):
            return Judgement(Verdict.DEAF, f"{silence}, and its noise stays at {self._noise_dbm}")
        return Judgement(Verdict.SILENT, silence)

    def _noise_is_frozen(self, now_us: int) -> bool:
        return self._noise_samples >= FROZEN_SAMPLES and now_us - self._noise_since_us >= FROZEN_US
