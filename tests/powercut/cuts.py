"""One run of the workload, logged, and power cuts at hundreds of places of it."""

import os
import random
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.powercut.oracle import Verdict, judge
from tests.powercut.preload import DIED, DIES, Failure, environment, run_workload, scratch_directory
from tests.powercut.promises import Promises
from tests.powercut.replay import Disk, write_files
from tests.powercut.workload import UPSTREAMS
from tests.powercut.write_log import Kind, Record, read_log

DRAINED = 5
"""Each so-many-th image also has its pending frames read to the end."""


@dataclass(frozen=True, slots=True)
class Place:
    """A cut: after so many records, and what then happens to what was not synced."""

    records: int
    model: str


@dataclass(frozen=True, slots=True)
class Prepared:
    """A store that is there before the workload begins, and the lines of who filled it."""

    files: dict[str, bytes]
    lines: str


@dataclass(frozen=True, slots=True)
class Recording:
    """A finished run.

    Attributes:
        before: files that were there when it began.
        lines: of the promises that had been made by then.
        after: files that were there when it had ended, without a cut.
        told: what the workload printed, for the message of a failed test.
        began: where the second process begins, if the first one died.
    """

    records: Sequence[Record]
    before: dict[str, bytes]
    lines: str
    after: dict[str, bytes]
    told: str
    began: int = 0

    def places(self, count: int, model: str, chance: random.Random) -> list[Place]:
        """Half of them anywhere, half soon after a promise, where there is most to lose."""
        after_promise = self.after_promises()
        chosen = []
        for number in range(count):
            if number % 2:
                record = chance.choice(after_promise) + chance.randint(0, 4)
            else:
                record = chance.randint(self.began, len(self.records))
            chosen.append(Place(min(record, len(self.records)), model))
        return chosen

    def lines_until(self, records: int) -> str:
        """What had been told when so many records had been written."""
        told = (record.data for record in self.records[:records] if record.kind is Kind.PROMISE)
        return self.lines + b"".join(told).decode()

    def after_promises(self) -> list[int]:
        """Where a promise has just been made."""
        return [
            index
            for index, record in enumerate(self.records, start=1)
            if index > self.began
            and record.kind is Kind.PROMISE
            and record.data.startswith(b"promise")
        ]

    def after_next_writes(self) -> list[int]:
        """Where, after a promise, the store has just begun to write again."""
        found = []
        for index in self.after_promises():
            later = range(index, len(self.records))
            writes = (i + 1 for i in later if self.records[i].kind is Kind.WRITE)
            found += [after for after in [next(writes, None)] if after is not None]
        return found


@dataclass(frozen=True, slots=True)
class Cut:
    """What is left at a place, and what was promised until then."""

    place: Place
    files: dict[str, bytes]
    promises: Promises
    evictable: int


def record(
    *arguments: object,
    disk_bytes: int | None = None,
    prepared: Prepared | None = None,
    failure: Failure | None = None,
) -> Recording:
    """Run the workload with its writes logged.

    Args:
        disk_bytes: size of the disk that it finds.
        prepared: a store to begin with, such as one of an older version.
        failure: a storage call that fails. If the process dies of it, the workload is run once
            more on what is there, and both runs are in the log.

    Raises:
        AssertionError: it did not end as it should.
    """
    prepared = prepared or Prepared({}, "")
    with _folder() as folder:
        directory, log = folder / "state", folder / "log"
        directory.mkdir()
        write_files(directory, prepared.files)
        variables = environment(directory, log=log, disk_bytes=disk_bytes, failure=failure)
        ended = run_workload(directory, *arguments, variables=variables)
        began = 0
        if failure is not None and failure.errno == DIES and ended.returncode == DIED:
            promises = Promises(UPSTREAMS)
            promises.hear_all((directory / "promises").read_text())
            began = len(read_log(log))
            variables = environment(directory, log=log, disk_bytes=disk_bytes)
            again = ("--first", promises.newest + 1)
            ended = run_workload(directory, *arguments, *again, variables=variables)
        assert ended.returncode == 0, ended.stdout
        after = {p.name: p.read_bytes() for p in directory.iterdir() if p.name != "promises"}
        records = read_log(log)
        return Recording(records, prepared.files, prepared.lines, after, ended.stdout, began)


def cut_at(recording: Recording, places: Iterable[Place], chance: random.Random) -> Iterator[Cut]:
    """Go through the log once and cut at each of the places; use each before the next."""
    disk, promises, done = Disk(recording.before), Promises(UPSTREAMS), 0
    promises.hear_all(recording.lines)
    evictable = _evictable(recording.records)
    for place in sorted(places, key=lambda place: place.records):
        for record in recording.records[done : place.records]:
            if record.kind is Kind.PROMISE:
                promises.hear(record.data.decode())
            disk.apply(record)
        done = place.records
        files = disk.after_cut(place.model, chance)
        yield Cut(place, files, promises, evictable[done])


async def judge_cut(cut: Cut, *, drain: bool = True, has_failed: bool = False) -> Verdict:
    """Open the image and compare; POWERCUT_KEEP=FOLDER keeps an image that has faults."""
    with _folder() as folder:
        write_files(folder, cut.files)
        verdict = await judge(
            folder,
            cut.promises,
            evictable=cut.evictable,
            drain=drain,
            has_failed=has_failed,
        )
    if verdict.faults and (kept := os.environ.get("POWERCUT_KEEP")):
        write_files(Path(tempfile.mkdtemp(prefix=f"{cut.place.model}-", dir=kept)), cut.files)
    return verdict


def _evictable(records: Sequence[Record]) -> list[int]:
    """How many frames may have been evicted by each place: what is told there or next after it.

    The store counts after it has removed, and a cut may come between the two.
    """
    totals, newest = [], 0
    for record in reversed(records):
        if record.kind is Kind.PROMISE and record.data.startswith(b"evicted"):
            newest = int(record.data.split()[1])
        totals.append(newest)
    last = max(totals, default=0)
    # Behind the last such line its total holds.
    return [total or last for total in [*reversed(totals), last]]


@contextmanager
def _folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="powercut-", dir=scratch_directory()))
    try:
        yield path
    finally:
        shutil.rmtree(path)
