"""install.sh below a directory of its own: run twice, nothing changes, nothing is overwritten."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.deploy.exported import DEPLOY
from tests.deploy.needs import needs

CONFIG = Path("etc/lora-edge/gateway.toml")
FILES = {
    Path("etc/systemd/system/lora-edge.service"): "lora-edge.service",
    Path("etc/udev/rules.d/60-lora-edge.rules"): "60-lora-edge.rules",
    Path("etc/sysusers.d/lora-edge.conf"): "lora-edge.sysusers",
    Path("etc/tmpfiles.d/lora-edge.conf"): "lora-edge.tmpfiles",
    Path("etc/systemd/system/lora-edge-power.path"): "lora-edge-power.path",
    Path("etc/systemd/system/lora-edge-power.service"): "lora-edge-power.service",
    Path("usr/local/lib/lora-edge/power-helper.sh"): "power-helper.sh",
}


@pytest.fixture
def printer(tmp_path: Path) -> Path:
    """A program that prints a configuration."""
    program = tmp_path / "print-config"
    program.write_text("#!/bin/sh\necho '[gateway]'\necho 'id = \"auto\"'\n")
    program.chmod(0o755)
    return program


def run(script: str, *arguments: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [DEPLOY / script, *map(str, arguments)],
        env={"PATH": os.environ["PATH"], **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def tree(root: Path) -> dict[Path, tuple[int, bytes]]:
    """Return mode and content of everything below a directory."""
    return {
        path.relative_to(root): (path.stat().st_mode, path.read_bytes() if path.is_file() else b"")
        for path in root.rglob("*")
    }


def test_every_file_comes_to_its_place(tmp_path: Path, printer: Path) -> None:
    done = run("install.sh", "--prefix", tmp_path / "root", "--config-from", printer)

    assert (done.returncode, done.stderr) == (0, "")
    for place, source in FILES.items():
        assert (tmp_path / "root" / place).read_bytes() == (DEPLOY / source).read_bytes()
    config = tmp_path / "root" / CONFIG
    assert tomllib.loads(config.read_text()) == {"gateway": {"id": "auto"}}
    # It may name passwords: nobody but root and the service's group reads it.
    assert config.stat().st_mode & 0o777 == 0o640
    assert config.parent.stat().st_mode & 0o777 == 0o750


def test_a_second_run_changes_nothing(tmp_path: Path, printer: Path) -> None:
    root = tmp_path / "root"
    run("install.sh", "--config-from", printer, DESTDIR=str(root))
    first = tree(root)

    again = run("install.sh", "--config-from", printer, DESTDIR=str(root))

    assert again.returncode == 0
    assert tree(root) == first
    assert CONFIG in first


def test_a_configuration_is_never_overwritten(tmp_path: Path, printer: Path) -> None:
    config = tmp_path / CONFIG
    config.parent.mkdir(parents=True)
    config.write_text("mine")

    done = run("install.sh", "--prefix", tmp_path, "--config-from", printer)

    assert config.read_text() == "mine"
    assert "kept" in done.stdout


def test_a_configuration_that_cannot_be_printed_leaves_none_behind(tmp_path: Path) -> None:
    done = run("install.sh", "--prefix", tmp_path, "--config-from", "false")

    assert done.returncode != 0
    assert not (tmp_path / CONFIG).exists()


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_an_unknown_option_is_refused_before_anything_is_done(script: str, tmp_path: Path) -> None:
    done = run(script, "--prefix", tmp_path, "--prugge")

    assert done.returncode == 2
    assert "unknown option" in done.stderr
    assert tree(tmp_path) == {}


@pytest.mark.parametrize("script", ["install.sh", "uninstall.sh"])
def test_help_is_the_head_of_the_script(script: str) -> None:
    shown = run(script, "--help").stdout

    assert "--prefix DIR" in shown
    assert "#" not in shown
    assert "set -eu" not in shown


def test_uninstall_keeps_configuration_and_frames(tmp_path: Path, printer: Path) -> None:
    run("install.sh", "--prefix", tmp_path, "--config-from", printer)
    store = tmp_path / "var/lib/lora-edge/outbox.db"
    store.parent.mkdir(parents=True)
    store.write_text("frames")

    done = run("uninstall.sh", "--prefix", tmp_path)

    assert (done.returncode, done.stderr) == (0, "")
    assert not any((tmp_path / place).exists() for place in FILES)
    assert (tmp_path / CONFIG).exists()
    assert store.exists()


def test_purge_removes_everything(tmp_path: Path, printer: Path) -> None:
    root = tmp_path / "root"
    run("install.sh", "--prefix", root, "--config-from", printer)
    (root / "var/lib/lora-edge").mkdir(parents=True)

    assert run("uninstall.sh", "--prefix", root, "--purge").returncode == 0
    assert run("uninstall.sh", "--prefix", root, "--purge").returncode == 0
    assert [path for path in tree(root) if (root / path).is_file()] == []
    assert not (root / "var/lib/lora-edge").exists()


@needs("shellcheck", "shellcheck")
def test_shellcheck_has_nothing_to_say() -> None:
    check = subprocess.run(
        ["shellcheck", *DEPLOY.glob("*.sh")], capture_output=True, text=True, check=False
    )

    assert (check.returncode, check.stdout) == (0, "")
