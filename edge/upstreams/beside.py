"""Work that an adapter does beside its sends, such as answering commands."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager


@asynccontextmanager
async def beside(work: Coroutine[None, None, None]) -> AsyncIterator[None]:
    """Have it run while the body runs; it is cancelled when that ends.

    A fault of the work ends the body as well, by an :class:`ExceptionGroup`; one of the body stays
    what it is.
    """
    fault: Exception | None = None
    async with asyncio.TaskGroup() as group:
        task = group.create_task(work)
        try:
            yield
        except Exception as error:  # past the group, which would wrap it
            fault = error
        finally:
            task.cancel()
    if fault is not None:
        raise fault
