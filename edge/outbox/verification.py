"""Verifies a whole store for a person: the chain of packs, every frame, and the small tables.

What comes out are objects for JSON: ``progress`` and ``finding`` while it goes on, a ``summary`` at
the end. Nothing is changed.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import asdict
from typing import Protocol, TypeVar

from edge.outbox.checking import Fault, Finding, Portion, Walk, content_faults
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.errors import StoreCorrupt
from edge.outbox.ranges import SeqRanges

TURN_PACKS = 256
TURN_BYTES = 1_000_000
"""Read in one go: meanwhile nothing is committed."""

SMALL_TABLES = ("meta", "mark", "cursor", "boot", "anchor", "epoch", "hole", "dead_letter")

_MAX_FINDINGS = 1_000
_T = TypeVar("_T")


class StoreAccess(Protocol):
    """A store whose owner does something short with it."""

    async def with_store(self, work: Callable[[Database, Contents], Awaitable[_T]]) -> _T: ...


async def verify(store: StoreAccess, *, fault: str = "") -> AsyncIterator[dict[str, object]]:
    """Go over everything.

    Args:
        fault: why the store's state could not be read: then only the packs are looked at.

    Raises:
        StoreError: the store cannot be read, and not because it is damaged.
    """
    tally = _Tally()
    findings = await store.with_store(_small_tables)
    if fault:
        findings.insert(0, Finding(Fault.STATE, 0, 0, f"the state cannot be read: {fault}"))
    for answer in tally.take(findings):
        yield answer
    walk = await store.with_store(_begin)
    walk.has_state = not fault
    is_last = False
    while not is_last:
        portion = await store.with_store(lambda _d, _c: _turn(walk))
        is_last = portion.is_last
        contents = await asyncio.to_thread(content_faults, portion.packs)
        for answer in tally.take([*portion.findings, *contents]):
            yield answer
        frames = sum(counted.frames for counted in walk.counted.values())
        yield {"progress": {"frames": frames, "of": walk.contents.frames}}
    yield {"summary": _summary(walk) | tally.counts()}


class _Tally:
    """Hands findings on, and counts those that would be too many to read."""

    def __init__(self) -> None:
        self._counts = dict.fromkeys(Fault, 0)

    def take(self, findings: list[Finding]) -> list[dict[str, object]]:
        """Findings as answers."""
        answers: list[dict[str, object]] = []
        for finding in findings:
            if sum(self._counts.values()) < _MAX_FINDINGS:
                answers.append({"finding": asdict(finding)})
            self._counts[finding.fault] += 1
        return answers

    def counts(self) -> dict[str, object]:
        """How many there were."""
        findings = {fault.value: count for fault, count in self._counts.items()}
        return {"findings": sum(self._counts.values()), "by_fault": findings}


async def _begin(database: Database, contents: Contents) -> Walk:
    return Walk(database, contents)


async def _turn(walk: Walk) -> Portion:
    try:
        return await walk.turn(TURN_PACKS, TURN_BYTES)
    except StoreCorrupt:
        # Not to be reported as the writer's: whoever verifies wants to know all of it.
        pass
    try:
        return await walk.turn(1, 1)
    except StoreCorrupt:
        return await walk.skip()


def _summary(walk: Walk) -> dict[str, object]:
    contents = walk.contents
    return {
        "classes": {
            frame_class.value: {"frames": counted.frames, "bytes": counted.bytes}
            for frame_class, counted in walk.counted.items()
        },
        "packs": sum(counted.packs for counted in walk.counted.values()),
        "frames": sum(counted.frames for counted in walk.counted.values()),
        "first_seq": walk.first_seq,
        "last_seq": walk.last_seq,
        "epochs": [
            {"first_seq": e.first_seq, "gateway": e.gateway.hex(), "epoch": e.epoch.hex()}
            for e in contents.epochs
        ],
        "pending": {name: cursor.pending for name, cursor in contents.cursors.items()},
        "dead_letters": contents.dead_letters,
    }


async def _small_tables(database: Database, _contents: Contents) -> list[Finding]:
    findings = [Finding(Fault.STATE, 0, 0, text) for text in await small_table_faults(database)]
    try:
        meta = dict(await database.read("SELECT k, v FROM meta"))
        cursors = await database.read("SELECT upstream, acknowledged FROM cursor")
        odd = "SELECT k FROM mark WHERE typeof(k) != 'text' OR typeof(v) != 'blob'"
        marks = [f"the mark {key!r} is none" for (key,) in await database.read(odd)]
    except StoreCorrupt as error:
        return [*findings, Finding(Fault.STATE, 0, 0, str(error))]
    faults = [*_meta_faults(meta), *(_cursor_fault(*row) for row in cursors), *marks]
    return findings + [Finding(Fault.STATE, 0, 0, text) for text in faults if text]


async def small_table_faults(database: Database) -> list[str]:
    """What SQLite finds wrong with the tables beside the packs.

    Raises:
        StoreError: they cannot be read, and not because they are damaged.
    """
    faults = []
    for table in SMALL_TABLES:
        try:
            rows = await database.read(f"PRAGMA quick_check({table})")
        except StoreCorrupt as error:
            rows = [(str(error),)]
        faults += [f"table {table}: {text}" for (text,) in rows if text != "ok"]
    return faults


def _meta_faults(meta: dict[object, object]) -> list[str]:
    faults = []
    if "state" not in meta:
        faults.append("the state is missing: it is counted anew at the next start")
    for key in meta.keys() & {"state", "cursors", "salvage", "checked"}:
        try:
            if not isinstance(json.loads(str(meta[key])), dict):
                raise ValueError("no object")
        except ValueError as error:
            faults.append(f"the entry {key} of table meta is damaged: {error}")
    return faults


def _cursor_fault(upstream: object, acknowledged: object) -> str:
    try:
        SeqRanges.from_text(str(acknowledged))
    except ValueError:
        return f"what {upstream} has acknowledged is damaged: everything would be sent to it again"
    return ""
