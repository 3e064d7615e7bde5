"""``lora-edge frames`` while the service does not run: the store is read, and left as it was."""

import sqlite3
from pathlib import Path

import pytest

from edge.cli.main import main
from tests.edge.cli.served_gateway import FRAMES, served_gateway, write_config


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """Of a gateway that has stored frames and was stopped."""
    with served_gateway(tmp_path, FRAMES) as gateway:
        return gateway.config


def rows(config: Path) -> list[tuple[object, ...]]:
    """All that the store holds but what it has learnt of the present boot."""
    with sqlite3.connect(config.parent / "state" / "outbox.db") as database:
        found = [
            row
            for table in ("alarm", "telemetry", "epoch", "cursor", "mark", "meta")
            for row in database.execute(f"SELECT '{table}', * FROM {table}")
        ]
    database.close()
    return found


def test_stored_frames_can_be_seen(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = rows(config)

    assert main(["frames", "-c", str(config)]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert main(["frames", "count", "-c", str(config)]) == 0
    assert capsys.readouterr().out == "6\n"
    assert main(["frames", "show", "3", "-c", str(config)]) == 0

    assert "water_level 2.94 m" in capsys.readouterr().out
    assert [line.split()[0] for line in listed] == ["1", "2", "3", "4", "5", "6"]
    assert rows(config) == before


def test_a_frame_that_is_not_there_is_a_failure(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["frames", "show", "99", "-c", str(config)]) == 1
    assert "frame 99 is not stored here" in capsys.readouterr().err


def test_a_store_in_use_is_not_opened(config: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As while the service starts: it has the store, but does not answer yet."""
    store = sqlite3.connect(config.parent / "state" / "outbox.db", isolation_level=None)
    store.execute("PRAGMA locking_mode=EXCLUSIVE")
    store.execute("BEGIN EXCLUSIVE")
    try:
        assert main(["frames", "-c", str(config)]) == 1
    finally:
        store.close()

    assert "is in use" in capsys.readouterr().err


def test_a_gateway_that_never_ran_has_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)

    assert main(["frames", "-c", str(config)]) == 1

    assert "nothing has been stored here" in capsys.readouterr().err
    assert list((tmp_path / "state").iterdir()) == []


def test_an_empty_file_is_no_store(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)
    (tmp_path / "state" / "outbox.db").touch()

    assert main(["frames", "-c", str(config)]) == 1
    assert "nothing has been stored here" in capsys.readouterr().err


def test_a_damaged_store_is_left_for_the_service(
    config: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = config.parent / "state" / "outbox.db"
    store.write_bytes(b"this is no database, but long enough to be looked at" * 100)

    assert main(["frames", "-c", str(config)]) == 1

    assert "the service sets it aside when it starts" in capsys.readouterr().err
    assert store.exists()
