"""``check-config``, ``print-config`` and ``init``: configurations made, judged and shown."""

import json
import stat
import tomllib
from pathlib import Path

import pytest

from edge.cli.location import Location, locate
from edge.cli.main import main
from edge.config.document import parse_document
from edge.config.load import load_document
from tests.edge.cli.served_gateway import write_config

FAULTY = '[gateway]\nregion = "AS923-2"\nlatitud = 16.0\n[outbox]\nmax_age = "soon"\n'


@pytest.fixture
def faulty(tmp_path: Path) -> Path:
    path = tmp_path / "gateway.toml"
    path.write_text(FAULTY)
    return path


def test_a_good_configuration_is_fine(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = write_config(tmp_path)

    assert main(["check-config", "-c", str(config)]) == 0
    assert capsys.readouterr().out == f"{config} is fine\n"


def test_every_fault_is_listed_with_its_line(
    faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check-config", "-c", str(faulty)]) == 2

    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith(f"{faulty}:3: gateway.latitud: unknown key (did you mean latitude?)")
    assert f"{faulty}:5: outbox.max_age: must be a duration" in shown[1]
    assert shown[-1] == f"{faulty} cannot be used: 2 faults"


def test_findings_are_there_for_programs(faulty: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check-config", "--json", "-c", str(faulty)]) == 2

    findings = json.loads(capsys.readouterr().out)
    assert not findings["ok"]
    assert [fault["origin"] for fault in findings["faults"]] == [f"{faulty}:3", f"{faulty}:5"]
    assert findings["faults"][0]["hint"] == "did you mean latitude?"


def test_a_warning_does_not_fail(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text('[gateway]\nregion = "EU868"\n')

    assert main(["check-config", "-c", str(config)]) == 0

    shown = capsys.readouterr().out
    assert "there is no [[concentrator]]" in shown
    assert shown.endswith(f"{config} is fine, with 2 warnings\n")


def test_a_file_that_is_not_there_is_a_configuration_fault(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "gateway.toml"

    assert main(["check-config", "-c", str(config)]) == 2
    assert main(["print-config", "--effective", "-c", str(config)]) == 2

    printed = capsys.readouterr()
    assert "does not exist (lora-edge init makes one)" in printed.out
    assert "does not exist (lora-edge init makes one)" in printed.err


def test_the_printed_default_can_be_used(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["print-config"]) == 0

    document = parse_document(Path("printed"), capsys.readouterr().out.encode())
    assert load_document(document, {}).config.gateway.region == "AS923-2"


def test_the_effective_configuration_has_the_environment_in_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    config = write_config(tmp_path)
    monkeypatch.setenv("LORA_EDGE_OUTBOX__MAX_AGE", "7d")
    monkeypatch.setenv("LORA_EDGE_CONCENTRATOR__ROOF__RADIO__1__SPREADING_FACTOR", "8")

    assert main(["print-config", "--effective", "-c", str(config)]) == 0

    shown = tomllib.loads(capsys.readouterr().out)
    assert shown["outbox"]["max_age"] == "7d"
    assert shown["concentrator"][0]["radio"][1]["spreading_factor"] == 8


def test_init_writes_a_configuration_that_can_be_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "gateway.toml"

    assert main(["init", str(path), "--region", "EU868", "--no-probe"]) == 0
    assert "lora-edge check-config" in capsys.readouterr().out
    assert main(["check-config", "-c", str(path)]) == 0

    assert tomllib.loads(path.read_text())["gateway"]["region"] == "EU868"
    assert stat.S_IMODE(path.stat().st_mode) & 0o027 == 0


def test_init_never_touches_a_file_that_is_there(
    faulty: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["init", "-c", str(faulty)]) == 1

    assert faulty.read_text() == FAULTY
    assert "is there already" in capsys.readouterr().err


def test_init_says_why_it_cannot_write(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", str(tmp_path / "no" / "gateway.toml"), "--no-probe"]) == 1
    assert "No such file or directory" in capsys.readouterr().err


def test_tools_find_the_gateway_although_its_configuration_is_faulty(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STATE_DIRECTORY", raising=False)
    path = tmp_path / "gateway.toml"
    defaults = Location(Path("/var/lib/lora-edge"), Path("/run/lora-edge/control.sock"))
    assert locate(path) == defaults

    path.write_text('[gateway]\nstate_dir = "/s"\ncontrol_socket = "/c"\nregion = 7\n')
    assert locate(path) == Location(Path("/s"), Path("/c"))

    path.write_text('[gateway]\nstate_dir = "/s"\nregion = \n')
    assert locate(path) == Location(Path("/s"), defaults.control_socket)

    for faulty in ("gateway = 7", "gateway.state_dir = 7", 'gateway.state_dir = "/a\\u0000"',
                   'gateway.control_socket = "relative"'):  # fmt: skip
        path.write_text(faulty)
        assert locate(path) == defaults

    monkeypatch.setenv("STATE_DIRECTORY", "/systemd")
    monkeypatch.setenv("LORA_EDGE_GATEWAY__CONTROL_SOCKET", "/e")
    assert locate(tmp_path / "none.toml") == Location(Path("/systemd"), Path("/e"))
