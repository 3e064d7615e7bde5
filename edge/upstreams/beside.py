"""Work that an adapter does beside its sends, such as answering commands."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have it run while the body runs; it is cancelled when that ends.

    A fault of the work ends the body as well, by an :class:`ExceptionGroup`.
    """
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        finally:
            task.cancel()
