"""Power that flapped for months: the boots that nothing refers to any more leave the store."""

import asyncio
import contextlib
import sqlite3
from dataclasses import replace
from pathlib import Path

from edge.outbox.admission import Admission
from edge.outbox.boots import MAX_BOOTS
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from tests.edge.outbox.open_store import AT_ONCE, StillClock, admission, content, running

BOOTS = 2 * MAX_BOOTS
WITH_A_FRAME = BOOTS - 100
SET_ASIDE = 5
SETTINGS = replace(AT_ONCE, keep_acknowledged=0)
Y2026_US = 1_767_225_600_000_000


def boot_name(number: int) -> bytes:
    return number.to_bytes(16, "big")


def boots_of(path: Path) -> list[int]:
    """Numbers of the boots on disk, and as a check that their anchors went with them."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        numbers = [n for (n,) in connection.execute("SELECT id FROM boot ORDER BY id")]
        anchored = {n for (n,) in connection.execute("SELECT DISTINCT boot FROM anchor")}
    assert anchored <= set(numbers)
    return numbers


async def has_too_many_boots(_: Database, contents: Contents) -> bool:
    return contents.boots.are_too_many


async def test_two_thousand_boots(tmp_path: Path) -> None:
    """All but a thousand go, none of them that dates a frame, kept or set aside."""
    path = tmp_path / "outbox.db"
    async with running(path, clock=StillClock(boot_name(0)), settings=SETTINGS) as outbox:
        old = content(1, boot_id=boot_name(SET_ASIDE))
        [frame_id] = await outbox.append(Admission.of(old))
        await outbox.bury("city", {frame_id: "refused"})
        delivered = await outbox.append(*map(admission, range(1000)))
        await outbox.acknowledge("city", delivered)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(
            "INSERT INTO boot VALUES (?, ?, 5)", [(n, boot_name(n)) for n in range(2, BOOTS + 1)]
        )
        connection.executemany(
            "INSERT INTO anchor VALUES (?, 0, ?, 1000, 0)",
            [(n, Y2026_US) for n in range(2, BOOTS + 1)],
        )
    clock = StillClock(boot_name(WITH_A_FRAME))
    async with running(path, clock=clock, settings=SETTINGS) as outbox:
        await outbox.append(Admission.of(content(2, boot_id=boot_name(WITH_A_FRAME))))
    clock = StillClock(b"the present one.")
    async with running(path, clock=clock, settings=SETTINGS) as outbox:
        async with asyncio.timeout(20):
            while await outbox.with_store(has_too_many_boots):
                await asyncio.sleep(0.05)
        [frame] = await outbox.frames()
        assert frame.received_at is not None
        assert frame.received_at.unix_us == Y2026_US + frame.content.received_boottime_us
    left = boots_of(path)
    assert len(left) == MAX_BOOTS
    assert SET_ASIDE in left
    assert left[1] > MAX_BOOTS
