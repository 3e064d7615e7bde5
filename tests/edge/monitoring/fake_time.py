"""A clock that only sleeping moves, and that ends a loop after a number of sleeps."""

from collections.abc import Iterable


class OutOfTime(Exception):
    """The test has seen enough."""


class FakeTime:
    """``late_s`` says by how much each sleep is overslept; the sleep after the last one ends."""

    def __init__(self, late_s: Iterable[float]) -> None:
        self.now_us = 0
        self.slept_s: list[float] = []
        self._late_s = iter(late_s)

    def boottime_us(self) -> int:
        return self.now_us

    async def sleep(self, seconds: float) -> None:
        late_s = next(self._late_s, None)
        if late_s is None:
            raise OutOfTime
        self.slept_s.append(seconds)
        self.now_us += round((seconds + late_s) * 1e6)
