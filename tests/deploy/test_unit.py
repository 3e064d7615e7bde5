"""The unit: what systemd says to it, and the promises that the service's design rests on."""

import re
import subprocess
from pathlib import Path

import pytest

from tests.deploy.exported import DEPLOY
from tests.deploy.needs import needs

UNIT = DEPLOY / "lora-edge.service"
PROGRAM = "/opt/lora-edge/bin/lora-edge"


def settings(section: str) -> dict[str, list[str]]:
    """Return all values of each key."""
    found: dict[str, list[str]] = {}
    current = ""
    for line in UNIT.read_text().splitlines():
        if line.startswith("["):
            current = line.strip("[]")
        elif current == section and line and not line.startswith("#"):
            key, _, value = line.partition("=")
            found.setdefault(key, []).append(value)
    return found


@pytest.mark.systemd
@needs("systemd-analyze", "systemd")
def test_systemd_finds_no_fault(tmp_path: Path) -> None:
    # The program has to exist; "true" stands in for it here.
    unit = tmp_path / UNIT.name
    text = UNIT.read_text().replace(PROGRAM, "/usr/bin/true").replace("/opt/lora-edge ", "/usr ")
    unit.write_text(text)

    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit],
        capture_output=True,
        text=True,
        check=False,
    )

    # An unknown key is only a warning, with exit code 0: any word is a fault.
    assert (verify.returncode, verify.stdout, verify.stderr) == (0, "", "")


@pytest.mark.systemd
@needs("systemd-analyze", "systemd")
def test_systemd_finds_no_fault_in_the_power_helper(tmp_path: Path) -> None:
    for name in ("lora-edge-power.path", "lora-edge-power.service"):
        text = (DEPLOY / name).read_text()
        text = text.replace("/usr/local/lib/lora-edge/power-helper.sh", "/usr/bin/true")
        (tmp_path / name).write_text(text)

    verify = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *tmp_path.iterdir()],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (verify.returncode, verify.stdout, verify.stderr) == (0, "", "")


@pytest.mark.systemd
@needs("systemd-analyze", "systemd")
def test_the_exposure_is_at_most_2() -> None:
    command = ["systemd-analyze", "security", "--offline=yes", "--threshold=20", "--no-pager"]
    score = subprocess.run([*command, UNIT], capture_output=True, text=True, check=False)

    assert score.returncode == 0, score.stdout
    exposure = re.search(r"Overall exposure level.*: ([0-9.]+)", score.stdout)
    assert exposure is not None
    assert 0.5 < float(exposure[1]) <= 2.0


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("Type", "notify"),
        ("ExecStart", f"{PROGRAM} run -c /etc/lora-edge/gateway.toml"),
        ("WatchdogSec", "30"),
        ("Restart", "always"),
        ("TimeoutStopSec", "10"),
        ("User", "lora-edge"),
        ("StateDirectory", "lora-edge"),
        ("RuntimeDirectory", "lora-edge"),
        ("ConfigurationDirectory", "lora-edge"),
    ],
)
def test_what_the_service_and_its_documents_rely_on(key: str, value: str) -> None:
    assert settings("Service")[key] == [value]


def test_it_never_gives_up_and_never_waits_for_a_network() -> None:
    unit = settings("Unit")

    assert unit["StartLimitIntervalSec"] == ["0"]
    assert "network-online.target" not in " ".join(unit["After"] + unit["Wants"])


def test_serial_ports_are_the_only_devices() -> None:
    service = settings("Service")

    assert service["DevicePolicy"] == ["closed"]
    assert service["DeviceAllow"] == [
        f"char-{driver} rw" for driver in ("ttyUSB", "ttyACM", "ttyAMA", "ttyS")
    ]


def test_what_can_be_written_cannot_be_executed() -> None:
    service = settings("Service")

    # A path that is named here is left out of ProtectSystem=strict (seen with systemd 252: its
    # mount stays writable). So it may only be one that is writable anyway.
    assert service["NoExecPaths"] == [
        "/var/lib/lora-edge /run/lora-edge /tmp /var/tmp /dev/shm",
        "-/run/lora-edge-power",
    ]
    assert "ExecPaths" not in service
    assert service["ProtectSystem"] == ["strict"]


@pytest.mark.parametrize("key", ["ProcSubset", "ProtectClock", "PrivateDevices"])
def test_hardening_that_would_break_the_service_is_left_out(key: str) -> None:
    assert key not in settings("Service")


def test_the_memory_that_the_dashboard_names_is_that_of_the_unit() -> None:
    dashboard = (DEPLOY / "grafana" / "lora-edge.json").read_text()

    assert settings("Service")["MemoryMax"] == ["224M"]
    assert "the unit ends it at 224 MiB" in dashboard
