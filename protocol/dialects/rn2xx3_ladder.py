"""What is done about an RN2483 or RN2903 that does not obey: from the mildest to the last.

The modules are known to say ``busy`` for ever, or nothing, after hours of service. Users report
that some come back by a command, some by a break with 0x55, which sets their baud rate anew, and
some by their RESET pin or a power cycle alone.
"""

from collections import Counter
from enum import StrEnum

from protocol.dialects.rn2xx3_scripts import Silence, Trouble


class Rung(StrEnum):
    """Steps of the ladder."""

    WAIT = "wait"
    RXSTOP = "rxstop"
    SYS_RESET = "sys_reset"
    BREAK = "break"
    DTR = "dtr"


PAUSE_US = {
    Rung.WAIT: 200_000,
    Rung.RXSTOP: 200_000,
    Rung.SYS_RESET: 500_000,
    Rung.BREAK: 1_000_000,
    Rung.DTR: 2_000_000,
}
"""How long to leave the device alone before each step."""

_LADDER = tuple(Rung)
_FIRST_FOR_SILENCE = _LADDER.index(Rung.BREAK)  # what does not say who it is obeys no command


class Ladder:
    """Where on the ladder one is; ``taken`` counts each step ever since the port was opened."""

    def __init__(self) -> None:
        self._next = 0
        self.taken: Counter[Rung] = Counter()

    def leave(self) -> None:
        """The device works: the next trouble begins at the foot."""
        self._next = 0

    def climb(self, trouble: Trouble, *, set_up: bool) -> Rung | None:
        """The step to take now; None when there are no more."""
        if isinstance(trouble, Silence) and not set_up:
            self._next = max(self._next, _FIRST_FOR_SILENCE)
        if self._next == len(_LADDER):
            return None
        rung = _LADDER[self._next]
        self._next += 1
        self.taken[rung] += 1
        return rung
