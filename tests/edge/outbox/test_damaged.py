"""A damaged store is set aside; the gateway goes on with a fresh one and with what can be read."""

import asyncio
import contextlib
import logging
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edge.monitoring.metrics import Metrics
from edge.outbox.errors import StoreCorrupt, StoreError, StoreTooNew
from edge.outbox.schema import SCHEMA_VERSION
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameId
from tests.edge.outbox.open_store import (
    admission,
    content,
    number_of,
    numbers,
    pending,
    running,
)
from tests.scale import SCALE

PAGE_BYTES = 4_096


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "outbox.db"


def corrupt(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value(
        "lora_edge_frames_dropped_total", {"reason": "corrupt"}
    )


def set_aside(path: Path) -> list[str]:
    return sorted(found.name for found in path.parent.glob("*.corrupt-*"))


def salvaged(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("lora_edge_outbox_salvaged_frames_total")


async def fill(path: Path, count: int = 10) -> bytes:
    """A store with frames, each committed by itself; returns its epoch."""
    async with running(path) as outbox:
        for number in range(count):
            await outbox.append(admission(number, board=number.to_bytes(4)))
        return outbox.epoch


def recoveries(metrics: Metrics) -> float | None:
    return metrics.registry.get_sample_value("lora_edge_outbox_recoveries_total")


def damage_dead_letters(path: Path) -> None:
    """Garble a table that every start reads, and that holds nothing here."""
    wal = Path(f"{path}-wal")
    kept = wal.read_bytes() if wal.exists() else None
    with sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True) as connection:
        query = "SELECT rootpage FROM sqlite_master WHERE name = 'dead_letter'"
        [(page,)] = connection.execute(query).fetchall()
    connection.close()
    with path.open("r+b") as file:
        file.seek((page - 1) * PAGE_BYTES)
        file.write(b"\xa5" * PAGE_BYTES)
    if kept is not None:
        wal.write_bytes(kept)


def leaves_with(data: bytes, payload: bytes) -> list[int]:
    """Where leaf pages (they begin with 0x0d) begin that hold some bytes."""
    pages = range(0, len(data), PAGE_BYTES)
    return [at for at in pages if data[at] == 0x0D and payload in data[at : at + PAGE_BYTES]]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda data: b"no database at all" * 300, id="other content"),
        pytest.param(lambda data: bytes(PAGE_BYTES) + data[PAGE_BYTES:], id="first page zeroed"),
        pytest.param(lambda data: data[:100] + b"\xff" * 400 + data[500:], id="schema garbled"),
        pytest.param(lambda data: data[: 2 * PAGE_BYTES], id="cut short"),
        pytest.param(
            lambda data: data[:PAGE_BYTES] + b"\xa5" * (len(data) - PAGE_BYTES), id="pages garbled"
        ),
    ],
)
async def test_set_aside_at_the_start(
    path: Path, damage: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing can be read. Whole, for a person to look at; numbers cannot meet those of before."""
    assert callable(damage)
    epoch = await fill(path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        assert outbox.epoch != epoch
        [frame_id] = await outbox.append(admission(99))
        assert frame_id.epoch == outbox.epoch
        assert frame_id.seq > 10
        assert await numbers(outbox) == [99]
        assert await pending(outbox) == [99]
        await until(lambda: corrupt(metrics) == 1)  # how many there were is not known
    assert recoveries(metrics) == 1
    assert Path(f"{path}.corrupt-1").read_bytes()[:PAGE_BYTES] == damaged[:PAGE_BYTES]
    assert "set aside as" in caplog.text
    async with running(path) as outbox:
        assert await numbers(outbox) == [99]


@pytest.mark.parametrize("meets", ["reading", "at the start"])
async def test_what_is_readable_is_brought_over(path: Path, meets: str) -> None:
    """Frames keep identity and order, marks and acknowledgements stay; only the page is lost."""
    async with running(path) as outbox:
        epoch = outbox.epoch
        before: list[FrameId] = []
        for number in range(1_000):
            before += await outbox.append(admission(0x0BAD0000 + number, board=bytes([number % 7])))
        await outbox.acknowledge("city", before[:100])
    data = bytearray(path.read_bytes())
    [at] = leaves_with(bytes(data), content(0x0BAD0000 + 500).phy_payload)
    on_page = int.from_bytes(data[at + 3 : at + 5])  # cells; SQLite file format, section 1.6
    data[at : at + 64] = b"\xa5" * 64
    path.write_bytes(data)
    if meets == "at the start":
        damage_dead_letters(path)
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        if meets == "reading":
            with pytest.raises(StoreCorrupt):
                await numbers(outbox)
        [after] = await outbox.append(admission(7))
        await until(lambda: salvaged(metrics) == 1_000 - on_page)
        await until(lambda: corrupt(metrics) == on_page)
        frames = await outbox.frames(limit=2_000)
        expected = [number_of(frame.content) - 0x0BAD0000 for frame in frames[:-1]]
        gone = sorted(set(range(1_000)) - set(expected))
        assert gone == list(range(gone[0], gone[0] + on_page))
        assert 500 in gone
        assert [frame.frame_id for frame in frames] == [*(before[n] for n in expected), after]
        wanted = [0x0BAD0000 + n for n in expected if n >= 100]
        assert outbox.statistics().pending == {"city": len(wanted) + 1}
        assert outbox.mark("board") == bytes([999 % 7])
        assert after.epoch == outbox.epoch != epoch
        assert after.seq == before[-1].seq + 1
    assert recoveries(metrics) == 1
    async with running(path) as outbox:
        assert outbox.statistics().pending == {"city": len(wanted) + 1}
        assert await numbers(outbox) == [number_of(frame.content) for frame in frames]
        assert await pending_all(outbox) == [*wanted, 7]
        assert outbox.statistics().pending == {"city": 0}


async def test_a_rotten_byte_that_sqlite_does_not_see(path: Path) -> None:
    """The pack's own checksum does; its neighbours on the page are brought over."""
    async with running(path) as outbox:
        for number in range(20):
            await outbox.append(admission(0x0BAD0000 + number))
    data = bytearray(path.read_bytes())
    at = data.index(content(0x0BAD0000 + 11).phy_payload)
    data[at] ^= 0x10
    path.write_bytes(data)
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        with pytest.raises(StoreCorrupt, match="its checksum is wrong"):
            await numbers(outbox)
        await until(lambda: salvaged(metrics) == 19)
        assert await numbers(outbox) == [0x0BAD0000 + n for n in range(20) if n != 11]
    assert corrupt(metrics) == 1


async def test_salvage_goes_on_after_a_kill(path: Path) -> None:
    """However often it is cut short, every frame is brought over once."""
    await fill(path, 400)
    damage_dead_letters(path)
    for _ in range(3):
        async with running(path, crash=True) as outbox:
            await outbox.append(admission(9_999))
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        await until(lambda: outbox.statistics().frames == 403)
        assert await numbers(outbox) == [*range(400), 9_999, 9_999, 9_999]
        assert outbox.statistics().pending == {"city": 403}
    assert not corrupt(metrics)


@settings(max_examples=15 * SCALE, deadline=None)
@given(st.data())
def test_any_damage(data: st.DataObject) -> None:
    """Pages zeroed, garbled or exchanged anywhere: the gateway works on, invents nothing, and
    tells no less than it lost."""
    asyncio.run(_any_damage(data))


async def _any_damage(data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "outbox.db"
        await fill(path, 300)
        image = bytearray(path.read_bytes())
        pages = len(image) // PAGE_BYTES
        for page in data.draw(st.sets(st.integers(0, pages - 1), min_size=1, max_size=3)):
            begin, end = page * PAGE_BYTES, (page + 1) * PAGE_BYTES
            match data.draw(st.sampled_from(["zeros", "garbled", "another page", "bit"])):
                case "zeros":
                    image[begin:end] = bytes(PAGE_BYTES)
                case "garbled":
                    image[begin:end] = data.draw(st.randoms()).randbytes(PAGE_BYTES)
                case "another page":
                    other = data.draw(st.integers(0, pages - 1)) * PAGE_BYTES
                    image[begin:end] = image[other : other + PAGE_BYTES]
                case _:
                    image[begin + data.draw(st.integers(0, PAGE_BYTES - 1))] ^= 1
        path.write_bytes(image)
        metrics = Metrics("test")
        async with running(path, metrics=metrics) as outbox:
            with contextlib.suppress(StoreError):
                await numbers(outbox)
            [frame_id] = await outbox.append(admission(1_000))
            assert frame_id.seq > 300 or recoveries(metrics) == 0
            await asyncio.sleep(0)
            found = await numbers(outbox)
        assert set(found) <= {*range(300), 1_000}
        assert len(found) == len(set(found))


async def test_the_newest_two_are_kept(path: Path) -> None:
    """A card that rots again and again must not fill itself with its own past."""
    for number in range(4):
        async with running(path) as outbox:
            await outbox.append(admission(number))
        path.write_bytes(b"rot %d " % number * 1_000)
    async with running(path) as outbox:
        assert await numbers(outbox) == []
    assert set_aside(path) == ["outbox.db.corrupt-3", "outbox.db.corrupt-4"]
    assert Path(f"{path}.corrupt-4").read_bytes().startswith(b"rot 3 ")


async def test_what_cannot_be_set_aside_is_an_error(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never deleted, never written over."""
    path.write_bytes(b"rot " * 2_000)

    def refused(_self: Path, _target: object) -> Path:
        raise PermissionError("read-only directory")

    monkeypatch.setattr(Path, "rename", refused)
    with pytest.raises(StoreError, match="is damaged and cannot be set aside"):
        async with running(path):
            pass
    assert path.read_bytes() == b"rot " * 2_000


async def test_a_newer_schema_is_left_alone(path: Path) -> None:
    """After a downgrade: neither read wrongly nor set aside."""
    await fill(path)
    with sqlite3.connect(path) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(StoreTooNew, match="written by a newer version"):
        async with running(path):
            pass
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT sum(n) FROM telemetry").fetchone() == (10,)
    connection.close()


async def test_a_damaged_cursor_sends_again(path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Twice is better than never."""
    async with running(path) as outbox:
        frame_ids = await outbox.append(*map(admission, range(3)))
        await outbox.acknowledge("city", frame_ids)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE cursor SET acknowledged = '1-'")
    connection.close()
    with caplog.at_level(logging.ERROR):
        async with running(path) as outbox:
            assert await pending(outbox) == [0, 1, 2]
    assert "the cursor of city is damaged: everything is sent again" in caplog.text


async def test_frames_of_the_journal_are_brought_over_too(path: Path) -> None:
    """The WAL may hold the newest frames; beside a fresh database it would be poison."""
    newest = content(0x0BADCAFE).phy_payload
    async with running(path):
        pass  # now the database has its tables
    async with running(path, crash=True) as outbox:
        await outbox.append(admission(0x0BADCAFE))
        wal = Path(f"{path}-wal").read_bytes()
        data = path.read_bytes()
    assert newest in wal
    assert newest not in data
    path.write_bytes(data)
    Path(f"{path}-wal").write_bytes(wal)
    damage_dead_letters(path)
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        await until(lambda: salvaged(metrics) == 1)
        assert await numbers(outbox) == [0x0BADCAFE]


async def until(is_true: Callable[[], object]) -> None:
    """What is brought over comes in portions between the commits."""
    async with asyncio.timeout(20):
        while not is_true():
            await asyncio.sleep(0.01)


async def pending_all(outbox: Outbox) -> list[int]:
    """Numbers of all that the upstream still gets."""
    found = []
    while frames := await outbox.pending("city", limit=300):
        found += [number_of(frame.content) for frame in frames]
        await outbox.acknowledge("city", [frame.frame_id for frame in frames])
    return found
