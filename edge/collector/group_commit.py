"""One transaction for all batches that wait, because a flush of the disk costs more than frames."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from edge.collector.verdict import FrameStore, StoreFailed, Verdict
from protocol.records.frame_batch import ReadFrame

MAX_WAITING = 64
"""Batches. Beyond that whoever brings one waits, and so does its sender."""


@dataclass(frozen=True, slots=True)
class _Waiting:
    frames: Sequence[ReadFrame]
    done: asyncio.Future[list[Verdict]]


class GroupCommit:
    """Hands batches of many connections to one store, in one thread."""

    def __init__(self, store: FrameStore) -> None:
        self._store = store
        self._waiting: asyncio.Queue[_Waiting] = asyncio.Queue(MAX_WAITING)

    async def take(self, frames: Sequence[ReadFrame]) -> list[Verdict]:
        """Have frames stored; returns when they are.

        Raises:
            StoreFailed: they are not.
        """
        waiting = _Waiting(frames, asyncio.get_running_loop().create_future())
        await self._waiting.put(waiting)
        return await waiting.done

    async def run(self) -> None:
        """Store what comes, until cancelled."""
        while True:
            group = [await self._waiting.get()]
            while not self._waiting.empty():
                group.append(self._waiting.get_nowait())
            await self._store_group(group)

    async def _store_group(self, group: Sequence[_Waiting]) -> None:
        together = [frame for waiting in group for frame in waiting.frames]
        try:
            verdicts = await asyncio.to_thread(self._store.take, together)
        except StoreFailed as error:
            for waiting in group:
                if not waiting.done.done():
                    waiting.done.set_exception(error)
            return
        left = iter(verdicts)
        for waiting in group:
            own = [next(left) for _ in waiting.frames]
            if not waiting.done.done():  # a client that has gone waits no more
                waiting.done.set_result(own)
