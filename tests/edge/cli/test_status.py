"""``lora-edge status`` against a real store and a real socket."""

import json
from pathlib import Path

import pytest

from edge.cli.main import main
from edge.cli.output import Style
from edge.cli.status import render
from protocol.lora.events import ConcentratorStateChanged, LinkState
from tests.edge.cli.served_gateway import ServedGateway, served_gateway, write_config
from tests.edge.uplinks import uplink

PLAIN = Style(colours=False)


def test_it_shows_what_the_gateway_knows(
    gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "-c", str(gateway.config)]) == 0

    shown = capsys.readouterr().out
    assert shown.splitlines()[0] == (
        "lora-edge 1.2.3, gateway b827ebfffe123456, AS923-2, up 1 h, clock synchronised"
    )
    # What a notice quotes must not steer the terminal.
    assert "notice: disk nearly\N{REPLACEMENT CHARACTER}[2J full" in shown
    assert "921.4 MHz SF9 125 kHz" in shown
    assert "921.6 MHz SF10 125 kHz" in shown
    assert f"down  roof at {gateway.config.parent}/roof: not connected yet" in shown
    assert "outbox  6 frames" in shown
    row = next(line.split() for line in shown.splitlines() if line.startswith("disk "))
    assert row[:5] == ["disk", "file", "not", "connected", "0"]
    assert row[5] == "6"


def test_json_holds_the_same_for_programs(
    gateway: ServedGateway, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["status", "--json", "-c", str(gateway.config)]) == 0

    status = json.loads(capsys.readouterr().out)
    assert status["gateway"] == "b827ebfffe123456"
    assert status["outbox"]["frames"] == 6
    assert status["upstreams"][0]["pending"] == 6
    assert [radio["frequency_hz"] for radio in status["concentrators"][0]["radios"]] == [
        921_400_000,
        921_600_000,
    ]


def test_what_was_heard_is_shown_with_strength_and_age(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with served_gateway(tmp_path) as gateway:
        heard = uplink(at_us=gateway.clock.now_us - 29_000_000, rssi_dbm=-101.4, snr_db=-3.25)
        up = ConcentratorStateChanged("roof", LinkState.UP, "")

        def hear() -> None:
            gateway.ingest.status["roof"] = up
            gateway.ingest.last_heard["roof", 0] = heard
            gateway.ingest.heard["roof", 0] = 12
            gateway.status.note_fault("disk", "no room")
            gateway.clock.now_us += 61_000_000

        gateway.do(hear)
        assert main(["status", "-c", str(gateway.config)]) == 0

    shown = capsys.readouterr().out
    assert "last error of disk, 1 min 1 s ago: no room" in shown
    row = next(line for line in shown.splitlines() if line.startswith("roof"))
    assert row.split()[7:] == ["12", "-101", "dBm", "-3.2", "dB", "1", "min", "30", "s", "ago"]
    assert "down" not in shown


def test_a_service_that_does_not_run_is_said_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)

    assert main(["status", "-c", str(config)]) == 1

    printed = capsys.readouterr()
    assert printed.out == ""
    assert "the service is not running" in printed.err
    assert str(tmp_path / "control.sock") in printed.err


def test_faults_stand_out() -> None:
    shown = render(
        {
            "version": "1",
            "gateway": "00",
            "region": "EU868",
            "uptime_s": 5,
            "clock_synchronised": False,
            "notices": [],
            "concentrators": [],
            "outbox": {
                "frames": 1,
                "bytes": 2_000_000,
                "limit_bytes": 2_000_000_000,
                "stored": 1,
                "uncommitted": 3,
                "dropped": 7,
            },
            "upstreams": [
                {
                    "name": "city",
                    "kind": "mqtt",
                    "connected": False,
                    "parked": True,
                    "acknowledged": 5,
                    "pending": 2,
                    "oldest_pending_age_s": 7200.0,
                    "last_error": "not authorised\x1b[31m",
                    "last_error_age_s": 61,
                }
            ],
        },
        PLAIN,
    )

    assert "clock not synchronised" in shown
    assert "no concentrator is configured" in shown
    assert "3 not yet committed" in shown
    assert "7 frames dropped" in shown
    assert "parked" in shown
    assert "2 h" in shown
    assert "last error of city, 1 min 1 s ago: not authorised\N{REPLACEMENT CHARACTER}[31m" in shown


def test_without_upstreams_it_says_where_frames_stay(gateway: ServedGateway) -> None:
    status = {
        "version": "1",
        "gateway": "00",
        "region": "EU868",
        "uptime_s": 5,
        "clock_synchronised": True,
        "notices": [],
        "concentrators": [],
        "outbox": dict.fromkeys(
            ("frames", "bytes", "limit_bytes", "stored", "uncommitted", "dropped"), 0
        ),
        "upstreams": [],
    }

    assert "no upstream is configured: frames stay in the outbox" in render(status, PLAIN)
