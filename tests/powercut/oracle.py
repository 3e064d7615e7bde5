"""Judges whether what is left of a store keeps every promise that was made.

It opens the store as the gateway does, recovery included, and looks at it through the public API;
only :func:`stored_seqs` knows tables.
"""

import sqlite3
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from edge.outbox.admission import OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreError
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameClass, FrameId, SensorFrame
from tests.edge.outbox.open_store import running
from tests.powercut.frames import MARKS, admission, frame_content, is_intact, marks_of, number_of
from tests.powercut.promises import Promises
from tests.powercut.workload import STORE, UPSTREAMS

_NOTHING_IS_REMOVED = OutboxSettings(
    max_bytes=1_000_000_000,
    max_age_s=1e12,
    commit_linger_s=0,
    keep_acknowledged=1_000_000_000,
    upstreams=dict.fromkeys(UPSTREAMS, UpstreamLimits()),
)


@dataclass(slots=True)
class Verdict:
    """What is wrong; nothing, if all is as promised.

    Attributes:
        stored: identities of the frames that are there, by number.
        lost: numbers of promised frames that are gone and have no right to be.
        evicted: numbers of those that were removed by the bound in bytes.
        faults: everything, in words.
    """

    stored: dict[int, FrameId] = field(default_factory=dict)
    lost: set[int] = field(default_factory=set)
    evicted: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)

    def check(self, holds: bool, fault: str) -> None:
        """Note a fault unless something holds."""
        if not holds:
            self.faults.append(fault)


async def judge(
    directory: Path,
    promises: Promises,
    *,
    evictable: int,
    drain: bool = True,
    has_failed: bool = False,
) -> Verdict:
    """Open the store in a directory, which is changed by that, and compare.

    Args:
        evictable: so many promised frames may have been removed by the bound in bytes.
        drain: also have an upstream take all that is pending, which takes as long again.
        has_failed: the store had been failing, so frames may have been forwarded from memory: then
            an epoch begins.
    """
    verdict = Verdict()
    path = directory / STORE
    found: list[SensorFrame] = []
    try:
        async with running(path, settings=_NOTHING_IS_REMOVED) as outbox:
            found = await outbox.frames(limit=1_000_000_000)
            _judge_frames(verdict, found, promises, evictable)
            _judge_marks(verdict, outbox, found, promises)
            await _judge_pending(verdict, outbox, found, promises, drain=drain)
            found += await _append_one_more(verdict, outbox, found, promises, has_failed=has_failed)
    except* StoreError as errors:
        verdict.faults += [f"it cannot be used: {error}" for error in errors.exceptions]
    _judge_files(verdict, directory, found)
    return verdict


def _judge_frames(
    verdict: Verdict, found: list[SensorFrame], promises: Promises, evictable: int
) -> None:
    stored = {number_of(frame.content): frame.frame_id for frame in found}
    verdict.stored = stored
    verdict.check(len(stored) == len(found), "a number is stored twice")
    seqs = [frame.frame_id.seq for frame in found]
    verdict.check(len(set(seqs)) == len(seqs), "a sequence number is there twice")
    broken = [frame.frame_id.seq for frame in found if not is_intact(frame.content)]
    verdict.check(not broken, f"not what was appended: {broken}")
    ever = {n for first, last in promises.appended for n in range(first, last + 1)}
    verdict.check(stored.keys() <= ever, f"never appended: {sorted(stored.keys() - ever)}")
    given = Counter(promises.promised.values())
    verdict.check(max(given.values(), default=1) == 1, "an identity was given twice")
    for number, frame_id in stored.items():
        promised = promises.promised.get(number)
        verdict.check(
            frame_id == promised if promised else frame_id not in given,
            f"frame {number} is stored as {frame_id}, promised as {promised}",
        )
    verdict.evicted, verdict.lost = _gone(found, promises, evictable)
    verdict.check(not verdict.lost, f"promised and lost: {sorted(verdict.lost)}")
    for first, last in promises.appended:
        group = set(range(first, last + 1)) - promises.promised.keys()
        # Who gave up waiting was promised nothing, and yet the group may have been committed,
        # delivered and removed like any other.
        missing = {n for n in group - stored.keys() if not promises.may_be_gone(n)}
        is_evicted = len(missing) <= evictable - len(verdict.evicted)
        is_whole = not missing or not group & stored.keys()
        verdict.check(is_whole or is_evicted, f"half of a group: {sorted(missing)}")


def _gone(
    found: list[SensorFrame], promises: Promises, evictable: int
) -> tuple[set[int], set[int]]:
    """Promised frames that are gone and not delivered: those that were evicted, and those lost.

    What is evicted is older than all that is kept of its class.
    """
    stored = {number_of(frame.content) for frame in found}
    oldest: dict[FrameClass, int] = {}
    for frame in found:
        kind = frame.content.frame_class
        oldest[kind] = min(oldest.get(kind, frame.frame_id.seq), frame.frame_id.seq)
    gone = {n for n in promises.promised.keys() - stored if not promises.may_be_gone(n)}
    evicted = {
        number
        for number in gone
        if promises.promised[number].seq < oldest.get(frame_content(number, 0).frame_class, 1 << 63)
    }
    return (evicted, gone - evicted) if len(evicted) <= evictable else (set(), gone)


def _judge_marks(
    verdict: Verdict, outbox: Outbox, found: list[SensorFrame], promises: Promises
) -> None:
    """A mark is as new as the newest promise, and no newer than the frame that it came with."""
    known = {number_of(frame.content) for frame in found} | promises.promised.keys()
    for key in MARKS:
        mark = int.from_bytes(outbox.mark(key) or b"", "big")
        promised = max((n for n in promises.promised if key in marks_of(n)), default=0)
        verdict.check(mark >= promised, f"mark {key} is {mark}, {promised} was promised")
        verdict.check(not mark or key in marks_of(mark), f"mark {key} was never {mark}")
        verdict.check(not mark or mark in known, f"mark {key} tells of {mark}, which is not there")


async def _judge_pending(
    verdict: Verdict, outbox: Outbox, found: list[SensorFrame], promises: Promises, *, drain: bool
) -> None:
    """What nobody acknowledged is still to be sent."""
    statistics = outbox.statistics()
    verdict.check(
        statistics.frames == len(found), f"{statistics.frames} counted, {len(found)} read"
    )
    for upstream in UPSTREAMS:
        unsent = {number_of(f.content) for f in found} - promises.acknowledged[upstream]
        pending = statistics.pending[upstream]
        verdict.check(
            pending >= len(unsent), f"{upstream}: {pending} pending, {len(unsent)} unsent"
        )
        if drain:
            sent = await _drain(outbox, upstream)
            verdict.check(unsent <= sent, f"{upstream} is not sent {sorted(unsent - sent)}")


async def _drain(outbox: Outbox, upstream: str) -> set[int]:
    sent: set[int] = set()
    while frames := await outbox.pending(upstream, limit=256):
        sent |= {number_of(frame.content) for frame in frames}
        await outbox.acknowledge(upstream, [frame.frame_id for frame in frames])
    return sent


async def _append_one_more(
    verdict: Verdict,
    outbox: Outbox,
    found: list[SensorFrame],
    promises: Promises,
    *,
    has_failed: bool,
) -> list[SensorFrame]:
    """The store goes on, and gives no number that it has given before."""
    [frame_id] = await outbox.append(admission(promises.newest + 1, 0))
    given: set[FrameId] = {frame.frame_id for frame in found} | set(promises.promised.values())
    newest = max(given, key=lambda one: one.seq, default=frame_id._replace(seq=0))
    verdict.check(
        frame_id[:2] == newest[:2] or not found or has_failed,
        f"a new epoch has begun: {frame_id} after {newest}",
    )
    verdict.check(frame_id.seq > newest.seq, f"{frame_id} was given after {newest}")
    return await outbox.frames(after_seq=frame_id.seq - 1)


def _judge_files(verdict: Verdict, directory: Path, found: list[SensorFrame]) -> None:
    expected = {STORE, f"{STORE}.ballast"}
    others = sorted(path.name for path in directory.iterdir() if path.name not in expected)
    verdict.check(not others, f"files were left, or set aside: {others}")
    connection = sqlite3.connect(directory / STORE)
    try:
        [(answer,)] = connection.execute("PRAGMA quick_check(1)").fetchall()
        verdict.check(answer == "ok", f"quick_check: {answer}")
        seqs = stored_seqs(connection)
    except sqlite3.Error as error:
        verdict.faults.append(f"SQLite cannot read it: {error}")
    else:
        verdict.check(seqs == sorted(f.frame_id.seq for f in found), "rows that are not told of")
    finally:
        connection.close()


def stored_seqs(connection: sqlite3.Connection) -> list[int]:
    """Sequence numbers of all frames that are on the disk, in order, by the tables' own account."""
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_schema")}
    if "frame" in tables:
        return [seq for (seq,) in connection.execute("SELECT seq FROM frame ORDER BY seq")]
    packs = [
        pack
        for table in ("alarm", "telemetry", "bulk")
        for pack in connection.execute(f"SELECT seq, n FROM {table}")
    ]
    return sorted(seq + i for seq, count in packs for i in range(count))
