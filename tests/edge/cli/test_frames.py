"""``lora-edge frames`` against a real store and a real socket."""

import csv
import io
import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import cbor2
import pytest

from edge.cli.main import main
from tests.edge.cli.served_gateway import (
    EIGHT_US,
    FRAMES,
    ServedGateway,
    plain_content,
    served_gateway,
    write_config,
)

LORA_EDGE = [sys.executable, "-m", "edge"]


@pytest.fixture(autouse=True)
def _da_nang(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Local time is UTC+7."""
    with monkeypatch.context() as patch:
        patch.setenv("TZ", "Asia/Ho_Chi_Minh")
        time.tzset()
        yield
    time.tzset()


def frames(gateway: ServedGateway, *words: str) -> int:
    """Run ``frames`` on the gateway's configuration."""
    return main(["frames", *words, "-c", str(gateway.config)])


def test_each_frame_is_one_readable_line(
    gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway) == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FRAMES)
    assert lines[1] == (
        "      2  2026-11-24 15:00:00  01a2b3c4              port 5      -97 dBm    7.5 dB"
        "  1 radio   8 bytes"
    )
    assert lines[2] == (
        "      3  2026-11-24 15:01:00  flood-cam-le-01       port 5      -97 dBm    7.5 dB"
        "  2 radios  ALARM  water_level 2.94 m; open true"
    )
    assert lines[4].endswith("not verified: replay  not decoded: =cmd|' /C calc'!A0  8 bytes")
    assert "  join-a81758fffe04b1c1  " in lines[5]


def test_a_frame_from_before_the_clock_was_set_has_its_uptime(
    gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    frames(gateway)

    assert "  uptime+61.5s  " in capsys.readouterr().out.splitlines()[0]


@pytest.mark.parametrize("words", [["list"], ["show", "4"], ["export"], ["export", "--json"]])
def test_text_from_the_air_cannot_steer_the_terminal(
    words: list[str], gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway, *words) == 0

    shown = capsys.readouterr().out
    assert "root:" in shown
    assert all(character.isprintable() or character == "\n" for character in shown)


def test_limit_keeps_the_newest_oldest_first(
    gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway, "--limit", "2", "list") == 0

    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == ["5", "6"]


@pytest.mark.parametrize(
    ("words", "seqs"),
    [
        (["--device", "flood-cam-le-01"], ["3"]),
        (["--device", "01A2B3C4"], ["1", "2", "3", "5"]),
        (["--device", "a81758fffe04b1c1"], ["6"]),
        (["--device", "nobody"], []),
        (["--since", "2026-11-24T08:02:00Z"], ["4", "5", "6"]),
        (["--since", "2026-11-24T15:02:00"], ["4", "5", "6"]),
        (["--until", "2026-11-24T08:01:00+00:00"], ["2"]),
        (["--since", "2026-11-24T08:01Z", "--until", "2026-11-24T08:03Z"], ["3", "4"]),
        (["--since", "2026-11-24T08:01Z", "--limit", "1"], ["6"]),
        (["--until", "2026-11-24T08:03Z", "--limit", "1", "--device", "01a2b3c4"], ["3"]),
        (["--since", "1970-01-01"], ["2", "3", "4", "5", "6"]),
        (["--since", "0001-01-01T00:00Z"], ["2", "3", "4", "5", "6"]),
        (["--limit", "0"], []),
    ],
)
def test_only_wanted_frames_come(
    words: list[str], seqs: list[str], gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway, "list", *words) == 0
    shown = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert frames(gateway, "count", *words) == 0

    assert shown == seqs
    assert capsys.readouterr().out == f"{len(seqs)}\n"


def test_a_duration_counts_back_from_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_gateway(tmp_path) as gateway:
        offset_s = round(time.time() - EIGHT_US / 1e6)
        gateway.append(plain_content(offset_s - 3 * 3600), plain_content(offset_s - 3600))

        assert frames(gateway, "count", "--since", "2h") == 0
        assert frames(gateway, "count", "--since", "1d", "--json") == 0

    assert capsys.readouterr().out == '1\n{"count": 2}\n'


@pytest.mark.parametrize(
    "words",
    [
        ["show"],
        ["list", "3"],
        ["count", "--follow"],
        ["--follow", "--until", "1h"],
    ],
)
def test_what_makes_no_sense_is_refused(
    words: list[str], gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway, *words) == 2
    assert "lora-edge frames: " in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [["--since", "yesterday"], ["--since", "9999-12-31T23:59:59-14:00"], ["--limit", "-1"],
     ["--limit", "٣"], ["--format", "xml"], ["lists"]],
)  # fmt: skip
def test_words_that_cannot_be_read_are_refused(
    words: list[str], gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        frames(gateway, *words)

    assert ended.value.code == 2


def test_show_tells_everything_by_number_and_by_id(
    gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway, "show", "3") == 0
    by_number = capsys.readouterr().out
    rows = dict(line.split(maxsplit=1) for line in by_number.splitlines())
    assert frames(gateway, "show", rows["frame_id"]) == 0

    assert capsys.readouterr().out == by_number
    assert rows["phy_payload"] == "40c4b3a201800100"
    assert rows["received_at"] == "2026-11-24T08:01:00.000000Z"
    assert by_number.count("\nreception ") == 2
    assert "water_level 2.94 m" in by_number


@pytest.mark.parametrize(
    ("frame_id", "reason"),
    [
        ("7", "not stored here"),
        ("0", "not stored here"),
        ("b827ebfffe123456-0000000000000000-3", "not stored here"),
        ("9" * 30, "not a frame id"),
        ("nonsense", "not a frame id"),
    ],
)
def test_a_frame_that_is_not_there_is_a_failure(
    frame_id: str, reason: str, gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway, "show", frame_id) == 1
    assert reason in capsys.readouterr().err


def test_export_is_json_lines(gateway: ServedGateway, capsys: pytest.CaptureFixture[str]) -> None:
    assert frames(gateway, "export") == 0

    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [record["seq"] for record in records] == [1, 2, 3, 4, 5, 6]
    assert records[0]["received_at"] is None
    assert records[3]["measurements"][0]["vs"] == "\x1b[2J\x9b2J\r\nroot:"


def test_csv_cells_never_become_formulas(gateway: ServedGateway, tmp_path: Path) -> None:
    path = tmp_path / "frames.csv"
    assert frames(gateway, "export", "--format", "csv", "--output", str(path)) == 0

    rows = list(csv.DictReader(io.StringIO(path.read_bytes().decode())))
    assert len(rows) == len(FRAMES)
    assert rows[4]["decode_error"] == "'=cmd|' /C calc'!A0"
    assert (rows[2]["rssi_dbm"], rows[2]["snr_db"], rows[2]["radios"]) == ("-97.0", "7.5", "2")
    assert rows[2]["measurements"] == "water_level 2.94 m; open true"
    for row in rows:
        for cell in row.values():
            if cell.startswith(("=", "+", "-", "@", "\t", "\r")):
                float(cell)  # a number may be negative


def test_cbor_is_a_sequence_of_records(
    gateway: ServedGateway, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    assert frames(gateway, "export", "--format", "cbor") == 0

    sequence = io.BytesIO(capfdbinary.readouterr().out)
    records = []
    while sequence.tell() < len(sequence.getvalue()):
        records.append(cbor2.load(sequence))
    # Keys as of sensor_frame.cddl: 3 = seq, 10 = phy_payload, 7 = received_at in microseconds.
    assert [record[3] for record in records] == [1, 2, 3, 4, 5, 6]
    assert records[1][10] == bytes.fromhex("40c4b3a201800100")
    assert records[1][7] == EIGHT_US


def test_a_file_that_cannot_be_written_is_said_so(
    gateway: ServedGateway, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert frames(gateway, "export", "-o", str(tmp_path / "no" / "frames")) == 1
    assert "frames: No such file or directory" in capsys.readouterr().err


def follower(gateway: ServedGateway, *words: str) -> "subprocess.Popen[str]":
    """``frames --follow`` as a process."""
    return subprocess.Popen(
        [*LORA_EDGE, "frames", "--follow", "-c", str(gateway.config), *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_following_shows_each_new_frame_and_ends_quietly_on_ctrl_c(tmp_path: Path) -> None:
    with (
        served_gateway(tmp_path, FRAMES[:3]) as gateway,
        follower(gateway, "--limit", "1") as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        first = process.stdout.readline()
        gateway.append(plain_content(500))
        second = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=20)

    assert [line.split()[0] for line in (first, second)] == ["3", "4"]
    assert (process.returncode, rest, errors) == (0, "", "")


def test_following_filters_new_frames_too(tmp_path: Path) -> None:
    with (
        served_gateway(tmp_path) as gateway,
        follower(gateway, "--device", "wanted", "--json") as process,
    ):
        gateway.append(plain_content(500), plain_content(501, device="wanted"))
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["device"] == "wanted"
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)

    assert process.returncode == 0


def test_a_follower_whose_reader_is_gone_ends_quietly_without_new_frames(tmp_path: Path) -> None:
    with (
        served_gateway(tmp_path, FRAMES[:3]) as gateway,
        follower(gateway, "--limit", "1") as process,
    ):
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.wait(20) == 0
        assert process.stderr.read() == ""


def test_a_service_that_ends_is_a_failure_of_its_follower(tmp_path: Path) -> None:
    with served_gateway(tmp_path, FRAMES[:1]) as gateway:
        process = follower(gateway)
        assert process.stdout is not None
        process.stdout.readline()
    with process:
        _, errors = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "the service went away" in errors


def test_a_stopped_service_has_nothing_to_follow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["frames", "--follow", "-c", str(write_config(tmp_path))]) == 1
    assert "the service is not running" in capsys.readouterr().err
