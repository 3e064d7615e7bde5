"""The state directory, and file systems that lose what they are given."""

import os
from pathlib import Path

import pytest

from edge.cli import doctor_storage
from edge.cli.doctor_finding import Finding
from edge.cli.doctor_storage import examine_state, mounted_as


def look(directory: Path, proc: Path = Path("/proc")) -> dict[str, Finding]:
    return {finding.check: finding for finding in examine_state(directory, 0, proc=proc)}


def mounted(tmp_path: Path, kind: str) -> Path:
    """A kernel that says that the directory's file system is of this kind."""
    device = tmp_path.stat().st_dev
    proc = tmp_path / "proc"
    (proc / "self").mkdir(parents=True)
    (proc / "self/mountinfo").write_text(
        "24 27 0:6 / /dev rw - devtmpfs devtmpfs rw\n"
        f"30 27 {os.major(device)}:{os.minor(device)} / / rw shared:1 - {kind} /dev/x rw\n"
    )
    return proc


def test_a_flush_is_measured_and_leaves_nothing_behind(tmp_path: Path) -> None:
    finding = look(tmp_path)["flush"]

    assert finding.result in ("ok", "warning")
    assert " ms, at worst " in finding.text
    assert list(tmp_path.iterdir()) == []


def test_a_slow_card_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_storage, "_SLOW_FLUSH_S", -1.0)

    assert look(tmp_path)["flush"].result == "warning"


def test_a_disk_that_refuses_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_descriptor: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", refuse)

    assert "Input/output error" in look(tmp_path)["flush"].text


@pytest.mark.parametrize(
    ("kind", "result"),
    [
        ("ext4", "ok"),
        ("btrfs", "ok"),
        ("tmpfs", "fault"),
        ("overlay", "fault"),
        ("nfs4", "fault"),
        ("vfat", "warning"),
    ],
)
def test_file_systems(tmp_path: Path, kind: str, result: str) -> None:
    finding = look(tmp_path, mounted(tmp_path, kind))["file system"]

    assert finding.result == result
    assert finding.text.startswith(f"{kind}, blocks of ")


def test_small_blocks_are_warned_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_storage, "PAGE_BYTES", 1 << 20)

    assert "blocks" in look(tmp_path, mounted(tmp_path, "ext4"))["file system"].fix


def test_a_kernel_that_does_not_tell_is_no_fault(tmp_path: Path) -> None:
    assert mounted_as(tmp_path, tmp_path) == ""
    (tmp_path / "self").mkdir()
    (tmp_path / "self/mountinfo").write_text("30 27 250:77 / / rw - ext4 /dev/x rw\n")
    assert mounted_as(tmp_path, tmp_path) == ""


def test_little_room_is_a_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor_storage, "_LEAST_FREE_BYTES", 1 << 60)

    assert look(tmp_path)["disk"].result == "fault"
