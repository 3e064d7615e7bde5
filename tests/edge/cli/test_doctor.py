"""``lora-edge doctor`` on machines with and without faults."""

import json
import os
import pty
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from edge.cli.main import main
from tests.edge.cli.served_gateway import ServedGateway, served_gateway, write_config

Findings = dict[str, dict[str, str]]


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs of a machine on which the unit is enabled; nothing else is on the path."""
    programs = tmp_path / "bin"
    programs.mkdir()
    write_program(programs / "systemctl", "echo enabled")
    monkeypatch.setenv("PATH", str(programs))
    return programs


@pytest.fixture
def listener() -> Iterator[int]:
    """A TCP port that accepts connections."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def write_program(path: Path, script: str) -> None:
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def add_upstream(config: Path, url: str) -> None:
    table = f'\n[[upstream]]\nname = "city"\nkind = "mqtt"\nurl = "{url}"\n'
    config.write_text(config.read_text() + table)


def diagnose(
    config: Path, capsys: pytest.CaptureFixture[str], *options: str
) -> tuple[int, Findings]:
    """Exit status, and findings by the name of the check; of several the worst."""
    status = main(["doctor", "--json", "-c", str(config), *options])
    order = {"ok": 0, "warning": 1, "fault": 2}
    findings: Findings = {}
    for finding in json.loads(capsys.readouterr().out):
        before = findings.get(finding["check"])
        if before is None or order[before["result"]] < order[finding["result"]]:
            findings[finding["check"]] = finding
    return status, findings


def test_a_healthy_gateway_has_no_faults(
    tmp_path: Path, machine: Path, listener: int, capsys: pytest.CaptureFixture[str]
) -> None:
    board, line = pty.openpty()
    with served_gateway(tmp_path) as gateway:
        (tmp_path / "roof").symlink_to(os.ttyname(line))
        add_upstream(gateway.config, f"mqtt://127.0.0.1:{listener}")
        with gateway.config.open("a") as config:
            config.write("[outbox]\nmax_bytes = 8_000_000\n")
        status, findings = diagnose(gateway.config, capsys, "--no-probe")
    os.close(board)
    os.close(line)

    results = {check: finding["result"] for check, finding in findings.items()}
    for machines_own in ("clock", "power", "heat", "usb power", "file system", "flush"):
        results.pop(machines_own, None)
    assert status == 0
    assert results == {
        "configuration": "ok",
        "port of roof": "ok",
        "state": "ok",
        "disk": "ok",
        "root file system": "ok",
        "unit": "ok",
        "service": "ok",
        "upstream city": "ok",
    }


def test_a_stopped_gateway_without_its_board_has_faults_with_fixes(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    write_program(machine / "systemctl", "echo disabled; exit 1")

    status, findings = diagnose(config, capsys)

    assert status == 1
    assert f"{tmp_path}/roof is not there" in findings["port of roof"]["text"]
    assert findings["unit"]["text"].endswith("disabled")
    assert findings["unit"]["fix"] == "sudo systemctl enable lora-edge"
    assert "the service is not running" in findings["service"]["text"]
    assert all(finding["fix"] for finding in findings.values() if finding["result"] != "ok")


def test_people_read_one_line_a_finding_and_one_a_fix(
    gateway: ServedGateway, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["doctor", "-c", str(gateway.config)]) == 1

    shown = capsys.readouterr().out.splitlines()
    assert f"ok       configuration: {gateway.config} can be used" in shown
    fault = next(number for number, line in enumerate(shown) if line.startswith("fault "))
    assert shown[fault].startswith("fault    port of roof: ")
    assert shown[fault + 1].startswith("         fix: serial ports here: ")


def test_a_faulty_configuration_does_not_hide_the_other_checks(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text().replace("AS923-2", "Mars"))

    status, findings = diagnose(config, capsys)

    assert status == 2
    assert "must be AS923-1" in findings["configuration"]["text"]
    assert findings["state"]["result"] == "ok"
    assert "service" in findings


def test_a_port_must_be_a_device(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    (tmp_path / "roof").touch()

    assert "is no serial port" in diagnose(config, capsys)[1]["port of roof"]["text"]


def test_an_upstream_that_refuses_connections_is_a_fault_without_its_password(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    config = write_config(tmp_path)
    add_upstream(config, f"mqtt://127.0.0.1:{free}")

    finding = diagnose(config, capsys)[1]["upstream city"]

    assert finding["result"] == "fault"
    assert f"mqtt://127.0.0.1:{free} cannot be reached" in finding["text"]
    assert "refused" in finding["text"]


def test_a_missing_state_directory_is_a_fault(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    (tmp_path / "state").rmdir()

    assert "is no directory" in diagnose(config, capsys)[1]["state"]["text"]


def test_a_disk_smaller_than_the_outbox_may_become_is_a_warning(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = write_config(tmp_path)
    config.write_text(config.read_text() + '[outbox]\nmax_bytes = "900TB"\n')

    finding = diagnose(config, capsys)[1]["disk"]

    assert finding["result"] == "warning"
    assert "the outbox may take 900000 GB" in finding["text"]


def test_a_machine_without_systemd_is_a_warning(
    tmp_path: Path, machine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (machine / "systemctl").unlink()

    finding = diagnose(write_config(tmp_path), capsys)[1]["unit"]

    assert (finding["result"], finding["text"]) == ("warning", "there is no systemd here")
