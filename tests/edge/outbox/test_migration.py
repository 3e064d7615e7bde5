"""A store of an older version becomes one of today's, however often that is cut short."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import aiosqlite
import pytest

from edge.outbox.admission import OutboxSettings, UpstreamLimits
from edge.outbox.errors import StoreError, StoreTooNew
from edge.outbox.schema import CLASSES, MIGRATIONS, SCHEMA_VERSION
from protocol.records.sensor_frame import FrameClass, FrameContent, FrameId, WallTime
from protocol.records.sensor_frame_codec import encode_content
from tests.edge.outbox.open_store import GATEWAY, StillClock, admission, content, running
from tests.edge.outbox.still_loop import still
from tests.scale import SCALE

SETTINGS = OutboxSettings(
    commit_linger_s=0, upstreams={"city": UpstreamLimits(), "lab": UpstreamLimits()}
)
FIRST_SEQ, LAST_SEQ = 731, 5_000  # what everybody had is gone
OTHER_GATEWAY = bytes(8)
EPOCHS = ((1, OTHER_GATEWAY, b"epoch  1"), (2_000, GATEWAY, b"epoch  2"))
BOOTS = (  # id, boot id, offset and uncertainty in microseconds, first number
    (1, b"boot number one.", None, None, 1),
    (2, b"boot number two.", 1_790_000_000_000_000, 1_000, 1_400),
    (3, b"boot number 3333", 1_790_000_900_000_000, 250_000, 3_333),
)
CURSORS = {"city": "1-1500,1800-1900,4990-4995", "lab": "1-730"}
MARKS = {"board/aa": b"\x01\x02", "fcnt/flood": bytes(40)}
MANY = 1_000_000 if SCALE >= 10 else 20_000


def boot_of(seq: int) -> tuple[int, bytes, int | None, int | None, int]:
    return max((boot for boot in BOOTS if boot[4] <= seq), key=lambda boot: boot[4])


def frame_class_of(seq: int) -> int:
    """0 alarm, 1 telemetry, 2 bulk: in long runs and in turns, as rows of many callers came."""
    if seq % 1_000 < 300:
        return 1
    return seq % 3 if seq % 2 else seq // 40 % 3


def frame_of(seq: int) -> FrameContent:
    return content(
        seq,
        boot_id=boot_of(seq)[1],
        received_us=seq * 1_000,
        frame_class=CLASSES[frame_class_of(seq)],
        size=5 + seq % 200,
    )


def create(path: Path, rows: Iterator[tuple[object, ...]], last_seq: int) -> None:
    """Write what the first version wrote, with SQLite alone."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA page_size=4096")
        connection.execute("PRAGMA journal_mode=WAL")
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version=1")
        connection.execute("BEGIN")
        connection.execute("INSERT INTO meta VALUES ('last_seq', ?)", (last_seq,))
        connection.executemany("INSERT INTO epoch VALUES (?, ?, ?)", EPOCHS)
        boots = [(number, boot_id, offset, error) for number, boot_id, offset, error, _ in BOOTS]
        connection.executemany("INSERT INTO boot VALUES (?, ?, ?, ?)", boots)
        connection.executemany("INSERT INTO cursor VALUES (?, ?)", CURSORS.items())
        connection.executemany("INSERT INTO mark VALUES (?, ?)", MARKS.items())
        connection.executemany("INSERT INTO frame VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute("COMMIT")


def old_rows() -> Iterator[tuple[object, ...]]:
    for seq in range(FIRST_SEQ, LAST_SEQ + 1):
        body = encode_content(frame_of(seq))
        yield seq, boot_of(seq)[0], seq * 1_000 + 500, frame_class_of(seq), body


def wall_time(seq: int) -> WallTime | None:
    """Its boot's offset, and what the crystal may have done since that was measured, somewhere."""
    _, _, offset_us, uncertainty_us, _ = boot_of(seq)
    if offset_us is None or uncertainty_us is None:
        return None
    drift_us = -(-seq * 1_000 * 100 // 1_000_000)  # 100 ppm
    return WallTime(seq * 1_000 + offset_us, uncertainty_us + drift_us)


def acknowledged(seq: int, text: str) -> bool:
    ranges = [tuple(map(int, part.split("-"))) for part in text.split(",")]
    return any(first <= seq <= last for first, last in ranges)


def is_converted(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        query = "SELECT count(*) FROM sqlite_master WHERE name = 'frame'"
        [(tables,)] = connection.execute(query).fetchall()
    return not tables


async def check(path: Path) -> None:
    """Everything is as it was."""
    kept = range(FIRST_SEQ, LAST_SEQ + 1)
    async with running(path, settings=SETTINGS) as outbox:
        frames = await outbox.frames(limit=2 * LAST_SEQ)
        assert [frame.content for frame in frames] == [frame_of(seq) for seq in kept]
        identities = [
            FrameId(*(EPOCHS[1] if seq >= EPOCHS[1][0] else EPOCHS[0])[1:], seq) for seq in kept
        ]
        assert [frame.frame_id for frame in frames] == identities
        assert [frame.received_at for frame in frames] == [wall_time(seq) for seq in kept]
        assert {key: outbox.mark(key) for key in MARKS} == MARKS
        statistics = outbox.statistics()
        assert statistics.frames == len(kept)
        counts = {
            frame_class: sum(CLASSES[frame_class_of(seq)] is frame_class for seq in kept)
            for frame_class in FrameClass
        }
        assert {c: frames for c, (frames, _) in statistics.by_class.items()} == counts
        for name, text in CURSORS.items():
            expected = [seq for seq in kept if not acknowledged(seq, text)]
            assert statistics.pending[name] == len(expected)
            pending = await outbox.pending(name, limit=2 * LAST_SEQ)
            assert [frame.frame_id.seq for frame in pending] == expected
        [after] = await outbox.append(admission(1, **{"board/aa": b"\x03"}))
        assert after == FrameId(GATEWAY, EPOCHS[1][2], LAST_SEQ + 1)
    async with running(path, settings=SETTINGS) as outbox:
        assert outbox.statistics().frames == len(kept) + 1
        assert outbox.mark("board/aa") == b"\x03"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


@still
async def test_nothing_is_lost(path: Path) -> None:
    """Frames, identities, times, marks, and what upstreams have."""
    create(path, old_rows(), LAST_SEQ)
    await check(path)
    assert is_converted(path)


@dataclass
class Killer:
    """Ends each start at its commits: so many pass, the next one fails, before or after."""

    passing: int
    after: bool
    commits: int = 0

    def install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        real = aiosqlite.Connection.commit

        async def commit(connection: aiosqlite.Connection) -> None:
            self.commits += 1
            if self.commits <= self.passing:
                return await real(connection)
            if self.after:
                await real(connection)
            raise sqlite3.OperationalError("killed")

        monkeypatch.setattr(aiosqlite.Connection, "commit", commit)


async def open_and_stop(path: Path) -> None:
    async with running(path, settings=SETTINGS):
        pass


@pytest.mark.parametrize(("passing", "after"), [(1, False), (0, True), (3, False)])
@still
async def test_cut_short_at_every_transaction(path: Path, passing: int, *, after: bool) -> None:
    """Each start goes on where the one before was killed: the connection closes, nothing more."""
    create(path, old_rows(), LAST_SEQ)
    starts = 0
    while not is_converted(path):
        starts += 1
        with pytest.MonkeyPatch.context() as monkeypatch:
            Killer(passing, after).install(monkeypatch)
            # The last start may be killed when all is converted: then it goes on without writing.
            with suppress(StoreError):
                await open_and_stop(path)
    assert starts >= (LAST_SEQ - FIRST_SEQ) // 256 // 4
    await check(path)


@still
async def test_without_frames_numbers_go_on(path: Path) -> None:
    """All had been delivered and removed."""
    create(path, iter(()), LAST_SEQ)
    async with running(path, settings=SETTINGS) as outbox:
        assert outbox.statistics().frames == 0
        assert outbox.statistics().pending == {"city": 0, "lab": 0}
        [frame_id] = await outbox.append(admission(1))
        assert frame_id.seq == LAST_SEQ + 1
        assert [f.frame_id for f in await outbox.pending("city", limit=10)] == [frame_id]


@still
async def test_a_newer_schema_is_refused(path: Path) -> None:
    """And left as it is."""
    create(path, old_rows(), LAST_SEQ)
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    before = path.read_bytes()
    with pytest.raises(StoreTooNew, match=f"schema {SCHEMA_VERSION + 1}, this one knows"):
        async with running(path, settings=SETTINGS):
            pass
    assert path.read_bytes() == before


@pytest.mark.timeout(120 * SCALE)
@still
async def test_how_long_it_takes(path: Path) -> None:
    """A week's frames of a small site, or with SCALE >= 10 of a large one; printed."""
    bodies = [encode_content(frame_of(seq)) for seq in range(1, 3_001)]
    rows = ((n, 3, n, frame_class_of(n % 3_000), bodies[n % 3_000]) for n in range(1, MANY + 1))
    create(path, rows, MANY)
    began_s = time.monotonic()
    async with running(path, settings=SETTINGS, clock=StillClock()) as outbox:
        took_s = time.monotonic() - began_s
        assert outbox.statistics().frames == MANY
    print(f"{MANY} rows: {took_s:.1f} s, {MANY / took_s:.0f} rows/s")
