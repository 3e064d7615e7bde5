"""What ``frames`` does with the whole store, as a person uses it.

Each with the service running, over its real socket, and with the service stopped.
"""

import asyncio
import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from edge.cli.main import main
from tests.edge.cli.served_gateway import (
    FRAMES,
    ServedGateway,
    plain_content,
    served_gateway,
    write_config,
)

Frames = Callable[..., int]


def call(config: Path) -> Frames:
    """``lora-edge frames`` on a configuration."""
    return lambda *words: main(["frames", *words, "-c", str(config)])


def refuse(gateway: ServedGateway, count: int, reason: str = "no such device") -> None:
    """Have the upstream refuse its oldest frames."""

    async def bury() -> None:
        frames = await gateway.outbox.pending("disk", limit=count)
        await gateway.outbox.bury("disk", {frame.frame_id: reason for frame in frames})

    asyncio.run_coroutine_threadsafe(bury(), gateway.loop).result(10)


@pytest.fixture(params=["running", "stopped"])
def frames(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Frames]:
    """Of a gateway with six frames, of which the upstream has refused two."""
    with served_gateway(tmp_path, FRAMES) as gateway:
        refuse(gateway, 2, "no such\x1b[31m device")
        if request.param == "running":
            yield call(gateway.config)
            return
    with nullcontext():
        yield call(gateway.config)


def store_of(tmp_path: Path) -> Path:
    return tmp_path / "state" / "outbox.db"


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


def test_a_sound_store_is_summed_up(frames: Frames, capsys: pytest.CaptureFixture[str]) -> None:
    assert frames("verify") == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    rows = dict(line.split(maxsplit=1) for line in shown.out.splitlines())
    assert rows["frames"] == "6: alarm 1, telemetry 5, bulk 0"
    assert rows["numbers"] == "1 to 6"
    assert rows["pending"] == "4 for disk"
    assert rows["all"] == "is as it was written"
    assert frames("verify", "--json") == 0
    summary = json.loads(capsys.readouterr().out)
    assert summary["findings"] == 0
    assert summary["classes"]["alarm"]["frames"] == 1


def test_what_is_wrong_is_told_with_what_to_do(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_gateway(tmp_path, FRAMES) as gateway:
        pass
    change(store_of(tmp_path), "DELETE FROM telemetry WHERE seq = 4")
    change(store_of(tmp_path), "UPDATE telemetry SET crc = 0 WHERE seq = 1")
    frames = call(gateway.config)

    assert frames("verify") == 1
    shown = capsys.readouterr().out
    assert "frames 4 to 4 are missing" in shown
    assert "at number 1 is damaged: its checksum is wrong" in shown
    assert "hole: these frames are lost" in shown
    assert frames("verify", "--json") == 1
    found = json.loads(capsys.readouterr().out)
    assert [finding["fault"] for finding in found["list"]][:2] == ["damaged", "hole"]
    assert frames("verify", "--file", str(store_of(tmp_path))) == 1
    assert "take another backup" in capsys.readouterr().out


def test_the_running_service_salvages_what_verify_has_found(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_gateway(tmp_path, FRAMES):
        pass
    change(store_of(tmp_path), "UPDATE telemetry SET crc = 0 WHERE seq = 1")
    with served_gateway(tmp_path) as gateway:
        frames = call(gateway.config)
        assert frames("verify") == 1
        assert "damaged" in capsys.readouterr().out
        while not list(store_of(tmp_path).parent.glob("outbox.db.corrupt-*")):
            gateway.append(plain_content(900))
        while gateway.outbox.is_salvaging:
            gateway.append(plain_content(901))
        assert frames("verify") == 0


def test_a_backup_is_a_sound_store(
    frames: Frames, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup.db"

    assert frames("backup", str(backup), "--json") == 0
    written = json.loads(capsys.readouterr().out)
    assert written["frames"] == 6
    assert written["bytes"] == backup.stat().st_size
    assert written["pending"] == {"disk": 4}
    assert frames("verify", "--file", str(backup)) == 0
    assert "dead letters  2" in capsys.readouterr().out
    assert backup.stat().st_mode & 0o777 == 0o600
    assert frames("backup", str(backup)) == 1
    assert "--force" in capsys.readouterr().err
    assert frames("backup", str(backup), "--force") == 0
    assert "6 frames" in capsys.readouterr().out
    assert [path.name for path in tmp_path.glob("backup*")] == ["backup.db"]


def test_a_backup_that_cannot_be_written_is_said_so(
    frames: Frames, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames("backup", str(tmp_path / "no" / "backup.db")) == 1
    assert "No such file or directory" in capsys.readouterr().err


def listed(frames: Frames, capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    """All that a store shows of its frames."""
    assert frames("export", "--json") == 0
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]


def test_there_and_back_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    backup = tmp_path / "backup.db"
    with served_gateway(tmp_path, FRAMES) as gateway:
        frames = call(gateway.config)
        epoch = gateway.outbox.epoch
        before = listed(frames, capsys)
        assert frames("backup", str(backup)) == 0
        gateway.append(plain_content(900))
        assert frames("restore", str(backup)) == 1
        assert "the service is running" in capsys.readouterr().err
    capsys.readouterr()

    assert frames("restore", str(backup)) == 1
    assert "--replace" in capsys.readouterr().err
    assert frames("restore", str(backup), "--replace") == 0
    shown = capsys.readouterr().out
    assert "disk is sent 6 frames" in shown
    assert "outbox.db.replaced-1" in shown

    assert listed(frames, capsys) == before
    replaced = tmp_path / "state" / "outbox.db.replaced-1"
    assert frames("verify", "--file", str(replaced)) == 0
    assert "frames        7" in capsys.readouterr().out
    with served_gateway(tmp_path) as gateway:
        assert gateway.outbox.epoch != epoch
        [new] = gateway.append(plain_content(950))
        assert new.seq == 7
        assert listed(frames, capsys)[:6] == before
        assert frames("verify") == 0
    with served_gateway(tmp_path) as gateway:
        assert gateway.outbox.epoch == new.epoch  # the new epoch begins once


def test_a_faulty_backup_is_not_restored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup.db"
    with served_gateway(tmp_path, FRAMES) as gateway:
        frames = call(gateway.config)
        assert frames("backup", str(backup)) == 0
    change(backup, "UPDATE telemetry SET crc = 0 WHERE seq = 1")
    store = store_of(tmp_path).read_bytes()

    assert frames("restore", str(backup), "--replace") == 1

    shown = capsys.readouterr()
    assert "is damaged" in shown.out
    assert "not sound, and nothing was changed" in shown.err
    assert store_of(tmp_path).read_bytes() == store
    assert not list(store_of(tmp_path).parent.glob("outbox.db.new*"))


@pytest.mark.parametrize("what", ["nothing", "empty", "text"])
def test_what_is_no_backup_is_not_restored(
    what: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    backup = tmp_path / "backup.db"
    if what != "nothing":
        backup.write_bytes(b"" if what == "empty" else b"no database at all " * 500)
    frames = call(write_config(tmp_path))

    assert frames("restore", str(backup)) == 1
    assert frames("verify", "--file", str(backup)) == 1

    assert capsys.readouterr().err
    assert not store_of(tmp_path).exists()


def test_dead_letters_are_listed_and_sent_again(
    frames: Frames, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames("dead-letters") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == ["1", "2"]
    assert "2026-11-24" in lines[0]
    assert "01a2b3c4" in lines[0]
    assert lines[0].endswith("no such\N{REPLACEMENT CHARACTER}[31m device")
    assert frames("dead-letters", "--json") == 0
    letters = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [letter["seq"] for letter in letters] == [1, 2]
    assert letters[0]["frame"]["frame_id"] == letters[0]["frame_id"]

    assert frames("requeue", "all", "--upstream", "other") == 0
    assert capsys.readouterr().out == "0 frames are sent again\n"
    assert frames("requeue", "2") == 0
    assert capsys.readouterr().out == "1 frames are sent again\n"
    assert frames("requeue", "2") == 1
    assert "there is no dead letter 2" in capsys.readouterr().err
    assert frames("requeue", "all", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"requeued": 1, "kept": 0}
    assert frames("dead-letters") == 0
    assert "no dead letters" in capsys.readouterr().out
    assert frames("verify") == 0
    assert "6 for disk" in capsys.readouterr().out


def test_dead_letters_are_thrown_away(frames: Frames, capsys: pytest.CaptureFixture[str]) -> None:
    """One by its number, or all of one upstream; frames of others stay."""
    assert frames("discard", "all", "--upstream", "other", "--yes") == 0
    assert capsys.readouterr().out.startswith("0 frames")
    assert frames("discard", "7") == 1
    assert "there is no dead letter 7" in capsys.readouterr().err
    assert frames("discard", "1") == 0
    assert capsys.readouterr().out.startswith("1 frames are thrown away")
    assert frames("dead-letters", "--json") == 0
    [left] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert left["number"] == 2
    assert frames("discard", "all", "--yes", "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"discarded": 1}
    assert frames("dead-letters") == 0
    assert "no dead letters" in capsys.readouterr().out
    assert frames("verify") == 0
    assert "4 for disk" in capsys.readouterr().out


@pytest.mark.parametrize(
    "words",
    [
        ["verify", "7"],
        ["backup"],
        ["restore"],
        ["requeue"],
        ["requeue", "some"],
        ["discard", "all"],
        ["discard", "some", "--yes"],
        ["requeue", "all", "--yes"],
        ["verify", "--follow"],
        ["backup", "x", "--since", "1h"],
        ["dead-letters", "--format", "csv"],
        ["verify", "--force"],
        ["backup", "x", "--replace"],
        ["list", "--file", "x"],
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert call(write_config(tmp_path))(*words) == 2
    assert "lora-edge frames: " in capsys.readouterr().err


def test_status_tells_of_dead_letters_and_classes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_gateway(tmp_path, FRAMES) as gateway:
        refuse(gateway, 1)
        assert main(["status", "-c", str(gateway.config)]) == 0
        shown = capsys.readouterr().out
        assert main(["status", "--json", "-c", str(gateway.config)]) == 0
        outbox = json.loads(capsys.readouterr().out)["outbox"]

    assert "alarm 1 in" in shown
    assert "1 dead letters: lora-edge frames dead-letters" in shown
    assert outbox["classes"]["telemetry"]["frames"] == 5
    assert (outbox["fault"], outbox["salvaging"]) == (None, False)
