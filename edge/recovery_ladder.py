"""What to do about a radio that is deaf or a board that does not answer, one step after the other.

The gentle steps come first, each gets time to show whether it helped, and the last one is repeated
ever more seldom, at most once an hour at the end: a board that nothing helps must not be kept from
its work by resets.
"""

from collections.abc import Collection, Sequence

from protocol.lora.events import RecoveryStep

LADDER = tuple(step for step in RecoveryStep if step is not RecoveryStep.COMMAND)
"""What is tried here; commands are the drivers' business."""

PATIENCE_US = 120_000_000
"""How long a step may take to help: a board boots, is set up, and is looked at for a minute."""

LONGEST_PAUSE_US = 3_600_000_000
SETTLED_US = 3_600_000_000
"""So long without trouble: the next trouble is a new one."""


class RecoveryLadder:
    """One device; times are CLOCK_BOOTTIME in microseconds."""

    def __init__(self, steps: Sequence[RecoveryStep] = LADDER) -> None:
        self._steps = tuple(steps)
        self._taken = 0
        self._next_us = 0
        self._pause_us = PATIENCE_US
        self._trouble_us: int | None = None

    def next_step(self, now_us: int, possible: Collection[RecoveryStep]) -> RecoveryStep | None:
        """There is trouble: the step to take now, or None while the last one has its time.

        Steps that are not possible are passed over; if none of those that are left is, the harshest
        possible one is repeated.
        """
        if self._trouble_us is not None and now_us - self._trouble_us >= SETTLED_US:
            self._begin()
        if now_us < self._next_us:
            self._trouble_us = now_us
            return None
        self._trouble_us = now_us
        usable = [step for step in self._steps if step in possible]
        if not usable:
            return None
        left = [step for step in self._steps[self._taken :] if step in possible]
        if left:
            step = left[0]
            self._taken = self._steps.index(step) + 1
        else:
            step = usable[-1]
            self._pause_us = min(2 * self._pause_us, LONGEST_PAUSE_US)
        self._next_us = now_us + self._pause_us
        return step

    def _begin(self) -> None:
        self._taken, self._next_us, self._pause_us = 0, 0, PATIENCE_US
