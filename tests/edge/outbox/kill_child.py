"""Appends frames and tells their numbers, until it is killed.

``python kill_child.py STORE FIRST promise|early``: with ``promise`` a number is told after the
append has returned, with ``early`` before it, which is what a broken outbox would amount to.
"""

import asyncio
import sys
from itertools import count
from pathlib import Path

from edge.outbox.admission import OutboxSettings, UpstreamLimits
from edge.outbox.store import Outbox
from tests.edge.outbox.open_store import admission, running

PRODUCERS = 8


def tell(number: int) -> None:
    print(number, flush=True)


async def produce(outbox: Outbox, numbers: "count[int]", *, early: bool) -> None:
    while True:
        number = next(numbers)
        if early:
            tell(number)
        [frame_id] = await outbox.append(admission(number, last=number.to_bytes(8, "big")))
        if not early:
            tell(number)
        if number % 3 == 0:
            await outbox.acknowledge("city", [frame_id])


async def main(path: Path, first: int, *, early: bool) -> None:
    settings = OutboxSettings(commit_linger_s=0.005, upstreams={"city": UpstreamLimits()})
    numbers = count(first)
    async with running(path, settings=settings) as outbox, asyncio.TaskGroup() as group:
        for _ in range(PRODUCERS):
            group.create_task(produce(outbox, numbers, early=early))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), early=sys.argv[3] == "early"))
