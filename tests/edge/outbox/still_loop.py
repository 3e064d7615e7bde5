"""An event loop whose clock tests move, and a store that has done all that is due by it.

Waiting for threads is real, so SQLite works as always; only timers stand still. A test that moves
the clock by hand meets the writer's ticks and retries when it wants them, at once, and never else.
"""

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any, ParamSpec

from edge.outbox.store import Outbox

_P = ParamSpec("_P")


class StillLoop(asyncio.SelectorEventLoop):
    """Tells the time that it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1_000.0

    def time(self) -> float:
        return self.now_s

    def finish(self) -> None:
        """Close it, threads included."""
        self.run_until_complete(self.shutdown_default_executor())
        self.close()


async def settle(outbox: Outbox) -> None:
    """Wait until the writer has nothing to do before the clock moves."""

    async def nothing() -> None:
        """A turn of the writer."""

    turns = 0
    while turns < 3:
        await outbox._do(nothing)
        idle = outbox._writer.due_in_s(asyncio.get_running_loop().time()) > 0
        turns = turns + 1 if idle else 0


async def advance(outbox: Outbox, seconds: float) -> None:
    """Move the loop's clock, and let the writer do what is due then."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, StillLoop)
    loop.now_s += seconds
    await settle(outbox)


def still(test: Callable[_P, Coroutine[Any, Any, None]]) -> Callable[_P, None]:
    """Have a test run in a loop of its own whose clock only :func:`advance` moves."""

    @wraps(test)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> None:
        loop = StillLoop()
        try:
            loop.run_until_complete(test(*args, **kwargs))
        finally:
            loop.finish()

    return run
