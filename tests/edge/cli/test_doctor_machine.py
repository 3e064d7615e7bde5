"""Clock, power and file systems, on trees of files and with programs of a machine."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edge.cli.doctor_finding import Finding
from edge.cli.doctor_machine import examine_machine

Look = Callable[[], dict[str, Finding]]


@pytest.fixture
def look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Look:
    """Findings by check, on a machine with only the programs in ``bin``."""
    for name in ("bin", "proc", "sys"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))

    def findings() -> dict[str, Finding]:
        found = examine_machine(proc=tmp_path / "proc", sys=tmp_path / "sys")
        return {finding.check: finding for finding in found}

    return findings


def throttled(tmp_path: Path, answer: str) -> None:
    program = tmp_path / "bin/vcgencmd"
    program.write_text(f"#!/bin/sh\necho '{answer}'\n")
    program.chmod(0o755)


# Documentation of "vcgencmd get_throttled": bit 0 undervoltage now, 16 since the start; 1 to 3 and
# 17 to 19 slowed down or hot.
@pytest.mark.parametrize(
    ("flags", "checks"),
    [
        ("0x0", {"power": "ok"}),
        ("0x1", {"power": "warning"}),
        ("0x50005", {"power": "warning", "heat": "warning"}),
        ("0x80008", {"heat": "warning"}),
    ],
)
def test_the_firmwares_flags(
    tmp_path: Path, look: Look, flags: str, checks: dict[str, str]
) -> None:
    throttled(tmp_path, f"throttled={flags}")

    found = look()

    assert {c: found[c].result for c in ("power", "heat") if c in found} == checks
    assert all(found[c].fix for c in checks if found[c].result != "ok")


def test_a_program_that_may_not_ask_says_nothing(tmp_path: Path, look: Look) -> None:
    throttled(tmp_path, "Can't open device file: /dev/vcio")

    assert "power" not in look()


@pytest.mark.parametrize(("alarm", "result"), [("1", "warning"), ("0", "ok")])
def test_the_kernels_alarm(tmp_path: Path, look: Look, alarm: str, result: str) -> None:
    folder = tmp_path / "sys/class/hwmon/hwmon2"
    folder.mkdir(parents=True)
    (folder / "in0_lcrit_alarm").write_text(f"{alarm}\n")

    assert look()["power"].result == result


def test_other_machines_have_no_such_flags(look: Look) -> None:
    assert "power" not in look()
    assert "usb power" not in look()


def test_a_device_that_asks_for_too_much(tmp_path: Path, look: Look) -> None:
    for socket, demand in (("1-1", "500mA"), ("1-2", "896mA"), ("usb1", "0mA")):
        folder = tmp_path / "sys/bus/usb/devices" / socket
        folder.mkdir(parents=True)
        (folder / "bMaxPower").write_text(f"{demand}\n")
    (tmp_path / "sys/bus/usb/devices/1-2/product").write_text("LTE stick\n")

    assert look()["usb power"].text == "LTE stick in socket 1-2 asks for 896 mA"


@pytest.mark.parametrize(
    ("mounts", "result"),
    [
        ("/dev/mmcblk0p2 / ext4 rw,noatime 0 0", "ok"),
        ("/dev/mmcblk0p2 / ext4 ro,noatime 0 0", "warning"),
        ("rootfs / rootfs ro 0 0\n/dev/mmcblk0p2 / ext4 rw,errors=remount-ro 0 0", "ok"),
        ("tmpfs /run tmpfs ro 0 0", "ok"),
    ],
)
def test_a_root_that_is_read_only(tmp_path: Path, look: Look, mounts: str, result: str) -> None:
    (tmp_path / "proc/mounts").write_text(f"{mounts}\n")

    assert look()["root file system"].result == result


def test_the_clock_is_looked_at(look: Look) -> None:
    assert look()["clock"].result in ("ok", "warning")
