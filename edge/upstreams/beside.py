"""Work that an adapter does beside its sends, such as answering commands."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def task_group() -> AsyncIterator[asyncio.TaskGroup]:
    """A task group for the body's tasks; whoever makes one cancels it before the body ends.

    A fault of a task ends the body as well, by an :class:`ExceptionGroup`; one of the body stays
    what it is, so that the forwarder knows it.
    """
    fault: Exception | None = None
    async with asyncio.TaskGroup() as group:
        try:
            yield group
        except Exception as error:  # past the group, which would wrap it
            fault = error
    if fault is not None:
        raise fault


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have it run while the body runs, in a :func:`task_group`; it is cancelled when that ends."""
    async with task_group() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()
