"""Work beside a body: it ends with it, and each fault reaches the caller as what it is."""

import asyncio

import pytest

from edge.upstreams.beside import beside


class Work:
    """Runs until it is cancelled, or told to fail."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.fails = asyncio.Event()
        self.ended = False

    async def run(self) -> None:
        self.began.set()
        try:
            await self.fails.wait()
            raise ValueError("work")
        finally:
            self.ended = True


async def test_it_ends_with_the_body() -> None:
    work = Work()
    async with beside(work.run()):
        await work.began.wait()
        assert not work.ended
    assert work.ended


async def test_a_fault_of_the_body_stays_what_it_is() -> None:
    work = Work()

    async def body() -> None:
        async with beside(work.run()):
            await work.began.wait()
            raise KeyError

    with pytest.raises(KeyError):
        await body()
    assert work.ended


async def test_a_fault_of_the_work_ends_the_body() -> None:
    work = Work()

    async def body() -> None:
        async with beside(work.run()):
            work.fails.set()
            await asyncio.Event().wait()

    with pytest.raises(ExceptionGroup) as caught:
        await body()
    assert isinstance(caught.value.exceptions[0], ValueError)


async def test_cancelled() -> None:
    work = Work()

    async def use() -> None:
        async with beside(work.run()):
            await asyncio.Event().wait()

    using = asyncio.ensure_future(use())
    await work.began.wait()
    using.cancel()
    with pytest.raises(asyncio.CancelledError):
        await using
    assert work.ended
