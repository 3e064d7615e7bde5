"""A store that is damaged is set aside, and the gateway goes on with a fresh one."""

import logging
import sqlite3
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.errors import StoreCorrupt, StoreError, StoreTooNew
from edge.outbox.schema import SCHEMA_VERSION
from tests.edge.outbox.open_store import admission, content, numbers, pending, running

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


async def fill(path: Path, count: int = 10) -> bytes:
    """A store with frames; returns its epoch."""
    async with running(path) as outbox:
        await outbox.append(*map(admission, range(count)))
        return outbox.epoch


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
    """Whole, for a person to look at; the fresh one has another epoch, so that no id is reused."""
    assert callable(damage)
    epoch = await fill(path)
    damaged = damage(path.read_bytes())
    path.write_bytes(damaged)
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        assert outbox.epoch != epoch
        assert await numbers(outbox) == []
        [frame_id] = await outbox.append(admission(99))
        assert frame_id.seq == 1
        assert frame_id.epoch == outbox.epoch
    assert Path(f"{path}.corrupt-1").read_bytes()[:PAGE_BYTES] == damaged[:PAGE_BYTES]
    assert corrupt(metrics) == 1
    assert "set aside as" in caplog.text
    async with running(path) as outbox:
        assert await numbers(outbox) == [99]


async def test_damage_that_is_met_later_ends_the_run_and_the_next_one_is_fresh(
    path: Path,
) -> None:
    """The process ends with an error; systemd starts it again, on a store that works."""
    async with running(path) as outbox:
        await outbox.append(*map(admission, range(0x0BAD0000, 0x0BAD0000 + 3_000)))
    data = bytearray(path.read_bytes())
    # A leaf in the middle, which no start reads. (A page begins with 0x0d if it is one.)
    payload = content(0x0BAD0000 + 1_500).phy_payload
    pages = range(0, len(data), PAGE_BYTES)
    leaves = [at for at in pages if data[at] == 0x0D and payload in data[at : at + PAGE_BYTES]]
    for at in leaves:
        data[at : at + 64] = b"\xa5" * 64
    path.write_bytes(data)
    with pytest.raises(ExceptionGroup) as caught:
        async with running(path) as outbox:
            await numbers(outbox)
    assert caught.group_contains(StoreCorrupt)
    metrics = Metrics("test")
    async with running(path, metrics=metrics) as outbox:
        assert await numbers(outbox) == []
        assert await outbox.append(admission(1))
    assert corrupt(metrics) == 1
    assert set_aside(path) == ["outbox.db.corrupt-1"]
    # The mark of damage went with the damaged store.
    async with running(path) as outbox:
        assert await numbers(outbox) == [1]


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
        assert connection.execute("SELECT count(*) FROM frame").fetchone() == (10,)
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


async def test_frames_of_the_journal_are_set_aside_too(path: Path) -> None:
    """The WAL may hold the newest frames; beside a fresh database it would be poison."""
    newest = content(0x0BADCAFE).phy_payload
    async with running(path, crash=True) as outbox:
        await outbox.append(admission(0x0BADCAFE))
        wal = Path(f"{path}-wal").read_bytes()
        data = path.read_bytes()
    assert newest in wal
    assert newest not in data
    path.write_bytes(b"rot!" + data[4:])
    Path(f"{path}-wal").write_bytes(wal)
    async with running(path) as outbox:
        assert await numbers(outbox) == []
    aside = [found.read_bytes() for found in path.parent.glob("*.corrupt-1*")]
    assert any(newest in part for part in aside)
