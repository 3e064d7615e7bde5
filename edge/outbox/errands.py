"""What other tasks want of the one that owns the database, and how both wait for each other."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from edge.outbox.errors import StoreClosed, StoreCorrupt, StoreError

MAX_WAITING = 1024
"""Errands that may wait; further callers wait for their turn."""

_SAME_INSTANT_TURNS = 3
"""Of the loop, after a wait: what comes in the same instant shares the commit."""

_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class _Errand:
    """Work that only the owner's task may do, and somebody who waits for it."""

    work: Callable[[], Awaitable[Any]]
    done: asyncio.Future[Any]


class Errands:
    """The owner wakes when something is wanted; others wake when something has become true.

    Attributes:
        wanted: something is; waking the owner once more is not needed.
    """

    def __init__(self) -> None:
        self.stopping = False
        self.wanted = False
        self._errands: deque[_Errand] = deque()
        self._wake = asyncio.Event()
        self._news: asyncio.Event | None = None
        self._loop = asyncio.get_running_loop()

    def wake(self) -> None:
        """Have the owner look what there is to do."""
        if not self.wanted:
            self.wanted = True
            self._wake.set()

    def awake(self) -> None:
        """The owner looks: what comes from now on wakes it again."""
        self.wanted = False
        self._wake.clear()

    async def sleep(self, seconds: float) -> None:
        """The owner waits until something is wanted, but not for longer."""
        await asyncio.sleep(0)  # those who were told of a commit may have more by now
        if self.wanted or seconds <= 0:
            return
        until_s = self._loop.time() + seconds
        alarm = self._loop.call_at(until_s, self.wake)
        try:
            await self._wake.wait()
        finally:
            alarm.cancel()
        if self._loop.time() >= until_s:
            for _ in range(_SAME_INSTANT_TURNS):
                await asyncio.sleep(0)

    async def do(self, work: Callable[[], Awaitable[_T]]) -> _T:
        """Have the owner's task do something.

        Raises:
            StoreClosed: the outbox was stopped.
            StoreError: the work failed.
        """
        await self.until(lambda: len(self._errands) < MAX_WAITING)
        errand = _Errand(work, self._loop.create_future())
        self._errands.append(errand)
        self.wake()
        result: _T = await errand.done
        return result

    async def run(self) -> None:
        """The owner does what is wanted at this moment.

        Raises:
            StoreCorrupt: met by one of them; the caller was told.
        """
        for _ in range(len(self._errands)):
            errand = self._errands.popleft()
            if errand.done.done():
                continue
            try:
                result = await errand.work()
            except StoreError as error:
                if not errand.done.done():
                    errand.done.set_exception(error)
                if isinstance(error, StoreCorrupt):
                    raise
            else:
                if not errand.done.done():
                    errand.done.set_result(result)

    def announce(self) -> None:
        """Wake all who wait for something to become true, so that they look again."""
        if self._news is not None:
            self._news.set()
            self._news = None

    async def until(self, is_true: Callable[[], bool]) -> None:
        """Wait for something to become true.

        Raises:
            StoreClosed: the outbox was stopped.
        """
        self.check_open()
        while not is_true():
            if self._news is None:
                self._news = asyncio.Event()
            await self._news.wait()
            self.check_open()

    def check_open(self) -> None:
        """Raises :class:`StoreClosed` once the outbox was stopped."""
        if self.stopping:
            raise StoreClosed("the outbox was stopped")

    def stop(self) -> None:
        """Nothing new is taken from now on."""
        self.stopping = True
        self.wake()
        self.announce()

    def refuse_all(self, refusal: StoreClosed) -> None:
        """Tell all who wait that nothing becomes of it."""
        self.stopping = True
        for errand in self._errands:
            if not errand.done.done():
                errand.done.set_exception(refusal)
        self._errands.clear()
        self.announce()
