"""How long to wait before trying again: exponential, with jitter, bounded."""

from collections.abc import Callable


class Backoff:
    """Delays drawn between ``first_s`` and a bound that doubles up to ``ceiling_s``.

    The whole span is drawn from, so that a fleet that lost its broker at one moment does not come
    back at one moment.

    Args:
        jitter: returns a number in [0, 1), e.g. ``random.random``.
        first_s: shortest delay; the first one is at most twice as long.
        ceiling_s: longest delay.
    """

    def __init__(
        self, jitter: Callable[[], float], *, first_s: float = 1.0, ceiling_s: float = 300.0
    ) -> None:
        self._jitter = jitter
        self._first_s = first_s
        self._ceiling_s = ceiling_s
        self._bound_s = first_s

    def next_delay_s(self) -> float:
        """Draw a delay and widen the span of the next one."""
        self._bound_s = min(2 * self._bound_s, self._ceiling_s)
        return self._first_s + self._jitter() * (self._bound_s - self._first_s)

    def reset(self) -> None:
        """It worked: begin with short delays again."""
        self._bound_s = self._first_s
