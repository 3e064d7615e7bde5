"""``verify`` finds whatever is not as it was written, and nothing else."""

import asyncio
import contextlib
import json
import sqlite3
import tempfile
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edge.outbox.admission import Admission, ClassLimits, OutboxSettings, UpstreamLimits
from edge.outbox.database import Database
from edge.outbox.pack import PackHead, checksum, join
from edge.outbox.schema import MIGRATIONS
from edge.outbox.store import Outbox
from edge.outbox.store_file import StoreFile, own
from edge.outbox.verification import verify
from protocol.records.sensor_frame import FrameClass
from protocol.records.sensor_frame_codec import encode_content
from tests.edge.outbox.open_store import BOOT, GATEWAY, admission, content, running
from tests.scale import SCALE

SMALL = OutboxSettings(commit_linger_s=0, keep_acknowledged=0, upstreams={"city": UpstreamLimits()})


async def verified(database: Database) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Findings and summary of a store that nobody has open."""
    await database.open(create=False)
    try:
        store = await own(database)
        answers: list[Any] = [answer async for answer in verify(store, fault=store.fault)]
    finally:
        await database.close()
    findings = [answer["finding"] for answer in answers if "finding" in answer]
    return findings, answers[-1]["summary"]


def findings_of(path: Path) -> list[str]:
    """Texts of all findings."""
    findings, summary = asyncio.run(verified(StoreFile(path)))
    assert summary["findings"] == len(findings)
    return [finding["text"] for finding in findings]


def change(path: Path, *statements: str) -> None:
    """Do to a store what it would never do."""
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


def of_class(number: int, frame_class: FrameClass) -> Admission:
    return Admission.of(content(number, frame_class=frame_class))


async def fill(path: Path, sizes: Sequence[int] = (1,) * 10) -> None:
    """Packs of so many frames, with marks."""
    number = 0
    async with running(path) as outbox:
        for size in sizes:
            admissions = [admission(number + n, board=bytes([n])) for n in range(size)]
            await outbox.append(*admissions)
            number += size


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A store of ten frames, each in a pack of its own, that was closed."""
    path = tmp_path / "outbox.db"
    asyncio.run(fill(path))
    return path


def test_a_sound_store_has_no_finding_and_is_summed_up(path: Path) -> None:
    before = path.read_bytes()

    findings, summary = asyncio.run(verified(StoreFile(path)))

    assert findings == []
    assert summary["frames"] == summary["packs"] == 10
    assert (summary["first_seq"], summary["last_seq"]) == (1, 10)
    assert summary["classes"]["telemetry"]["frames"] == 10
    assert summary["pending"] == {"city": 10}
    assert len(summary["epochs"]) == 1
    assert path.read_bytes() == before
    assert [found.name for found in path.parent.iterdir() if "ballast" not in found.name] == [
        path.name
    ]


@pytest.mark.parametrize(
    ("statements", "texts"),
    [
        (["DELETE FROM telemetry WHERE seq = 4"], ["frames 4 to 4 are missing", "state counts"]),
        (["DELETE FROM telemetry WHERE seq = 1"], ["the state counts 10 frames of telemetry"]),
        (["DELETE FROM telemetry WHERE seq = 10"], ["frames 10 to 10 are missing"]),
        (["UPDATE telemetry SET crc = crc + 1 WHERE seq = 4"], ["number 4 is damaged: its check"]),
        (["UPDATE telemetry SET n = 2 WHERE seq = 4"], ["number 4 is damaged: its checksum"]),
        (["UPDATE telemetry SET delta = x'00' WHERE seq = 4"], ["marks beside frame 4 are dam"]),
        (
            ["INSERT INTO alarm SELECT * FROM telemetry WHERE seq = 4"],
            ["are there twice", "frame 4 of class telemetry is in alarm"],
        ),
        (["DELETE FROM meta WHERE k = 'state'"], ["the state is missing"]),
        (["UPDATE meta SET v = 'x' WHERE k = 'state'"], ["the entry state of table meta is dam"]),
        (["UPDATE cursor SET acknowledged = '1-x'"], ["what city has acknowledged is damaged"]),
        (["UPDATE cursor SET pending = 3"], ["counts 3 frames pending for city, it is 10"]),
        (["UPDATE mark SET v = 7"], ["the mark 'board' is none"]),
        (["UPDATE epoch SET first_seq = 3"], ["frames before 3 belong to no epoch"]),
        (["DELETE FROM epoch"], ["it has no epoch"]),
    ],
)
def test_what_is_wrong_is_told_in_plain_words(
    path: Path, statements: list[str], texts: list[str]
) -> None:
    change(path, *statements)

    found = findings_of(path)

    for text in texts:
        assert any(text in one for one in found), found


def test_a_frame_that_does_not_decode_is_found(path: Path) -> None:
    head, body = PackHead(4, 1, 1, 1_000_000_000), join([b"no frame"])
    change(
        path,
        f"UPDATE telemetry SET boottime_us = {head.boottime_us}, boot = 1,"
        f" crc = {checksum(head, body)}, body = x'{body.hex()}' WHERE seq = 4",
    )

    assert any("frame 4 is none: " in text for text in findings_of(path))


def test_a_hole_that_the_store_knows_of_is_explained(path: Path) -> None:
    change(path, "DELETE FROM telemetry WHERE seq = 4", "INSERT INTO hole VALUES (4, 4, 'evicted')")

    assert not any("missing" in text for text in findings_of(path))


def packs_of(path: Path) -> list[tuple[object, ...]]:
    """All rows of telemetry, as SQLite reads them."""
    with contextlib.closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as connection:
        try:
            return connection.execute("SELECT * FROM telemetry").fetchall()
        except sqlite3.Error:
            return []


def leaf_bytes(data: bytes) -> list[int]:
    """Places of all bytes of rows of packs, in pages that are in use."""
    mark = encode_content(content(0))[-8:]
    pages = [at for at in range(0, len(data), 4096) if data[at] == 0x0D]
    places: list[int] = []
    for at in pages:
        page = data[at : at + 4096]
        if mark in page:
            count = int.from_bytes(page[3:5])
            starts = sorted(
                int.from_bytes(page[8 + 2 * index : 10 + 2 * index]) for index in range(count)
            )
            places += range(at + starts[0], at + 4096)
    return places


@settings(max_examples=60 * SCALE, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    sizes=st.lists(st.integers(1, 12), min_size=1, max_size=12),
    place=st.integers(0, 10_000),
    change=st.integers(1, 255),
)
@example(sizes=[1], place=3, change=9).via("a body that has become NULL")
def test_any_damaged_byte_of_a_pack_is_found(sizes: list[int], place: int, change: int) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "outbox.db"
        asyncio.run(fill(path, sizes))
        assert findings_of(path) == []
        before = packs_of(path)
        content_ = bytearray(path.read_bytes())
        places = leaf_bytes(bytes(content_))
        content_[places[place % len(places)]] ^= change
        path.write_bytes(content_)

        # SQLite reads nothing from where the number of a row would be a second time.
        assert findings_of(path) or packs_of(path) == before


classes = st.sampled_from(list(FrameClass))
steps = st.one_of(
    st.tuples(st.just("append"), st.lists(classes, min_size=1, max_size=30)),
    st.tuples(st.just("acknowledge"), st.integers(1, 60)),
    st.tuples(st.just("bury"), st.just(None)),
    st.tuples(st.just("requeue"), st.just(None)),
    st.tuples(st.just("restart"), st.just(None)),
)


async def act(outbox: Outbox, step: str, argument: Any) -> None:
    """One step of a history."""
    match step:
        case "append":
            admissions = [of_class(n, frame_class) for n, frame_class in enumerate(argument)]
            await outbox.append(*admissions)
        case "acknowledge":
            frames = await outbox.pending("city", limit=argument)
            await outbox.acknowledge("city", [frame.frame_id for frame in frames])
        case "bury":
            for frame in await outbox.pending("city", limit=1):
                await outbox.bury("city", {frame.frame_id: "no"})
        case "requeue":
            for letter in await outbox.dead_letters(limit=1):
                await outbox.requeue(letter)


async def live(path: Path, history: Sequence[tuple[str, Any]]) -> None:
    """A life of a store, up to a stop; the running store is verified as well."""
    lives: list[list[tuple[str, Any]]] = [[]]
    for step in history:
        lives.append([]) if step[0] == "restart" else lives[-1].append(step)
    for one in lives:
        async with running(path, settings=SMALL) as outbox:
            for step in one:
                await act(outbox, *step)
            answers: list[Any] = [answer async for answer in verify(outbox)]
            assert [answer["finding"] for answer in answers if "finding" in answer] == []


@settings(max_examples=40 * SCALE, deadline=None, suppress_health_check=list(HealthCheck))
@given(history=st.lists(steps, max_size=20))
def test_a_store_of_any_history_has_no_finding(history: list[tuple[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "outbox.db"
        asyncio.run(live(path, history))
        assert findings_of(path) == []


async def test_a_store_that_was_killed_has_no_finding(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    async with running(path, crash=True) as outbox:
        for number in range(5):
            await outbox.append(admission(number, board=b"x"))

    findings, summary = await verified(Database(path, 8_000_000))

    assert findings == []
    assert summary["frames"] == 5


async def test_frames_go_on_being_stored_while_a_store_is_verified(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    await fill(path, [1] * 700)
    async with running(path, settings=replace(SMALL, keep_acknowledged=10)) as outbox:
        findings = []
        async for answer in verify(outbox):
            findings += [answer["finding"]] if "finding" in answer else []
            await outbox.append(of_class(1, FrameClass.BULK))
            frames = await outbox.pending("city", limit=120)
            await outbox.acknowledge("city", [frame.frame_id for frame in frames])
        assert findings == []


def test_pages_that_cannot_be_read_do_not_hide_the_rest(tmp_path: Path) -> None:
    path = tmp_path / "outbox.db"
    asyncio.run(fill(path, [1] * 300))
    content_ = bytearray(path.read_bytes())
    mark = (150).to_bytes(8)
    [page] = [
        at
        for at in range(0, len(content_), 4096)
        if content_[at] == 0x0D and mark in content_[at : at + 4096]
    ]
    content_[page] = 0xEE
    content_[content_.rindex((290).to_bytes(8)) + 7] ^= 1
    path.write_bytes(content_)

    texts = findings_of(path)

    assert any("cannot be read" in text for text in texts)
    assert any("its checksum is wrong" in text for text in texts)


def test_an_older_or_newer_store_is_not_looked_at(path: Path) -> None:
    for version in (1, 99):
        change(path, f"PRAGMA user_version={version}")
        with pytest.raises(Exception, match=r"version"):
            findings_of(path)


def test_a_summary_can_be_sent_as_json(path: Path) -> None:
    _, summary = asyncio.run(verified(StoreFile(path)))

    assert json.loads(json.dumps(summary)) == summary


async def test_what_an_older_version_has_removed_is_explained(tmp_path: Path) -> None:
    """Schema 1 did not tell what it had removed, always from the oldest end."""
    path = tmp_path / "outbox.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in MIGRATIONS[0]:
            connection.execute(statement)
        connection.execute("PRAGMA user_version=1")
        connection.execute("INSERT INTO epoch VALUES (1, ?, ?)", (GATEWAY, bytes(8)))
        connection.execute("INSERT INTO boot VALUES (1, ?, NULL, NULL)", (BOOT,))
        connection.executemany(
            "INSERT INTO frame VALUES (?, 1, 5, 1, ?)",
            [(seq, encode_content(content(seq))) for seq in range(50, 60)],
        )
    async with running(path) as outbox:
        await outbox.append(admission(60))
        answers: list[Any] = [answer async for answer in verify(outbox)]

    assert [answer for answer in answers if "finding" in answer] == []
    assert answers[-1]["summary"]["first_seq"] == 50


async def test_what_one_class_had_to_give_up_is_explained(tmp_path: Path) -> None:
    """Bulk frames between others, evicted over their bound."""
    path = tmp_path / "outbox.db"
    bounded = replace(SMALL, classes={FrameClass.BULK: ClassLimits(max_bytes=2_000)})
    async with running(path, settings=bounded) as outbox:
        for number in range(120):
            frame_class = (FrameClass.BULK, FrameClass.TELEMETRY, FrameClass.ALARM)[number % 3]
            await outbox.append(of_class(number, frame_class))
        answers: list[Any] = [answer async for answer in verify(outbox)]

    assert [answer for answer in answers if "finding" in answer] == []
    findings, summary = await verified(StoreFile(path))
    assert findings == []
    assert summary["classes"]["bulk"]["frames"] < 40
    assert summary["classes"]["telemetry"]["frames"] == 40
