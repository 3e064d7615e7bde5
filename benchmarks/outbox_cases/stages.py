"""What the parts of an append cost alone: so one can say where the time goes.

Nothing here is the store's own code, so it stays true when the store is rebuilt: the store's own
share is what is left over.
"""

import asyncio
from functools import partial

import aiosqlite

from benchmarks.outbox_cases import frames
from benchmarks.outbox_cases.rate import Case, Figures, Options, produce, repeat
from protocol.records.sensor_frame_codec import decode_content, encode_content

_LOOPS = 500


def _futures(producers: int, options: Options) -> Figures:
    """Many tasks wait, one task answers all of them at once: no frame, no thread, no file."""

    async def measure() -> Figures:
        waiting: list[asyncio.Future[None]] = []
        wake = asyncio.Event()
        loop = asyncio.get_running_loop()

        async def answer() -> None:
            while True:
                await wake.wait()
                wake.clear()
                group = waiting.copy()
                waiting.clear()
                for future in group:
                    future.set_result(None)

        async def append() -> None:
            future = loop.create_future()
            waiting.append(future)
            wake.set()
            await future

        task = loop.create_task(answer())
        try:
            return await produce(options.seconds, producers, 1, append)
        finally:
            task.cancel()

    return asyncio.run(measure())


def _encode(options: Options) -> Figures:
    content = frames.content(1)
    return repeat(options.seconds, _LOOPS, lambda: [encode_content(content) for _ in range(_LOOPS)])


def _decode(options: Options) -> Figures:
    body = encode_content(frames.content(1))
    return repeat(options.seconds, _LOOPS, lambda: [decode_content(body) for _ in range(_LOOPS)])


def _hop(options: Options) -> Figures:
    """To aiosqlite's thread and back, for nothing."""

    async def measure() -> Figures:
        async with aiosqlite.connect(":memory:") as connection:
            return await produce(options.seconds, 1, 1, connection.commit)

    return asyncio.run(measure())


CASES: dict[str, Case] = {
    **{f"futures-{n}": partial(_futures, n) for n in (1, 64, 1000)},
    "encode": _encode,
    "decode": _decode,
    "hop": _hop,
}
