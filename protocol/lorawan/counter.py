"""Uplink counters: 32 bits rebuilt from the 16 that travel, and what a session has already used.

LoRaWAN L2 1.0.4 section 4.3.1.5: a frame carries the lower half of its counter; the upper half is
whatever makes the MIC fit. The sliding window is that of RFC 4303 section 3.4.3 (IPsec).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from itertools import chain

WINDOW = 64  # counters, the last one included
_HALF = 1 << 16
_COUNTERS = 1 << 32
_MARK = struct.Struct(">IQ4s4s")


class Verdict(Enum):
    """What a window says of a counter."""

    NEW = auto()
    REPEAT = auto()  # this very counter was used
    TOO_OLD = auto()  # below the window: nobody remembers


@dataclass(frozen=True, slots=True)
class ReplayWindow:
    """Which counters one session has used: the highest, and a bitmap of the 64 up to it.

    Move it only for a frame whose MIC fits, and commit it together with that frame.

    Attributes:
        session: 4 bytes that tell one set of keys from another, because a counter means nothing
            under other keys.
        last: the highest counter used.
        seen: bit ``n`` is set when ``last - n`` was used; bit 0 always is.
        last_mic: MIC of the frame that used ``last``: recognises its repetition on the air.
    """

    session: bytes
    last: int
    seen: int
    last_mic: bytes

    @classmethod
    def start(cls, counter: int, *, session: bytes, mic: bytes) -> "ReplayWindow":
        """The window of a session of which only this counter has been heard."""
        return cls(session, counter, 1, mic)

    def check(self, counter: int) -> Verdict:
        """Whether a counter may still be used."""
        age = self.last - counter
        if age < 0:
            return Verdict.NEW
        if age >= WINDOW:
            return Verdict.TOO_OLD
        return Verdict.REPEAT if self.seen >> age & 1 else Verdict.NEW

    def mark(self, counter: int, *, mic: bytes) -> "ReplayWindow":
        """The window after ``counter`` was used; a counter below the window changes nothing."""
        advance = counter - self.last
        if advance > 0:
            # A shift by more than the window would build a number of up to 2^32 bits first.
            older = self.seen << min(advance, WINDOW) & (1 << WINDOW) - 1
            return ReplayWindow(self.session, counter, older | 1, mic)
        if advance <= -WINDOW:
            return self
        return ReplayWindow(self.session, self.last, self.seen | 1 << -advance, self.last_mic)

    def is_last(self, counter: int, mic: bytes) -> bool:
        """Whether a verified frame is the last one again, not another with its counter."""
        return counter == self.last and mic == self.last_mic

    def to_bytes(self) -> bytes:
        """20 bytes for the store."""
        return _MARK.pack(self.last, self.seen, self.session, self.last_mic)

    @classmethod
    def from_bytes(cls, stored: bytes) -> "ReplayWindow":
        """Undo :meth:`to_bytes`.

        Raises:
            ValueError: these bytes are no window.
        """
        if len(stored) != _MARK.size:
            raise ValueError(f"a replay window has {_MARK.size} bytes, not {len(stored)}")
        last, seen, session, last_mic = _MARK.unpack(stored)
        if not seen & 1:
            raise ValueError("a replay window must hold its own last counter")
        return cls(session, last, seen, last_mic)


def candidates(low_half: int, window: ReplayWindow | None) -> Iterator[int]:
    """All 32-bit counters that ``low_half`` may stand for, the most likely first.

    The upper half as it was and the next one come first, then what a late frame of the window or a
    device that lost its counter has sent, then every later upper half: a gateway may have been
    deaf for long. The caller decides how many are worth a MIC.
    """
    if window is None:
        return iter(range(low_half, _COUNTERS, _HALF))
    same = window.last - window.last % _HALF + low_half
    upwards = range(same, _COUNTERS, _HALF)
    behind = []
    if same != low_half:
        late = same - _HALF
        if window.check(late) is not Verdict.TOO_OLD:
            behind.append(late)
        if low_half not in behind:
            behind.append(low_half)
    return chain(upwards[:2], behind, upwards[2:])
