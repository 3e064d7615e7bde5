"""The root helper: it does what its table says for a name that is asked for, and no more."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.power_helper import PowerHelper
from tests.deploy.exported import DEPLOY

TABLE = """\
# concentrator  how   what
roof            usb   1-1 2
mast            usb   1-1.4 3
pole            gpio  gpiochip0 17
evil            usb   ../../1-1 2
odd             magic 1 2
"""


@dataclass
class Host:
    """A machine of files; programs write down how they were called."""

    root: Path

    @property
    def requests(self) -> Path:
        return self.root / "requests"

    @property
    def switch(self) -> Path:
        return self.root / "sys/bus/usb/devices/1-1/1-1:1.0/1-1-port2/disable"

    def program(self, name: str, script: str = "") -> None:
        path = self.root / "bin" / name
        path.write_text(f'#!/bin/sh\necho "{name} $*" >> {self.root}/calls\n{script}\n')
        path.chmod(0o755)

    def calls(self) -> list[str]:
        path = self.root / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def run(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                DEPLOY / "power-helper.sh",
                self.requests,
                self.root / "power.conf",
                self.root / "sys",
            ],
            env={"PATH": f"{self.root}/bin:{os.environ['PATH']}", "OFF_S": "0"},
            capture_output=True,
            text=True,
            check=False,
            timeout=20,
        )


@pytest.fixture
def host(tmp_path: Path) -> Host:
    made = Host(tmp_path)
    for name in ("requests", "bin"):
        (tmp_path / name).mkdir()
    (tmp_path / "power.conf").write_text(TABLE)
    made.switch.parent.mkdir(parents=True)
    made.switch.write_text("")
    made.program("uhubctl")
    return made


def test_what_the_service_asks_for_is_done_and_the_request_is_gone(host: Host) -> None:
    service = PowerHelper(host.root / "power.conf", host.requests)
    assert service.knows("roof")
    service.ask("roof")

    done = host.run()

    assert (done.returncode, done.stderr) == (0, "")
    assert host.switch.read_text() == "0\n"  # 1 before: the file holds the last word
    assert "roof: done by usb 1-1 2" in done.stdout
    assert list(host.requests.iterdir()) == []


def test_without_a_switch_of_the_kernel_uhubctl_does_it(host: Host) -> None:
    (host.requests / "mast").touch()

    assert host.run().returncode == 0
    assert host.calls() == ["uhubctl -l 1-1.4 -p 3 -a cycle -d 0"]


@pytest.mark.parametrize(
    ("version", "call"),
    [
        ("gpioset (libgpiod) v1.6.3", "gpioset --mode=time --usec=200000 gpiochip0 17=0"),
        ("gpioset (libgpiod) v2.2.1", "gpioset --chip gpiochip0 --toggle 200ms,0 17=0"),
    ],
)
def test_a_reset_pin_by_either_libgpiod(host: Host, version: str, call: str) -> None:
    host.program("gpioset", f'[ "$1" != --version ] || echo "{version}"')
    (host.requests / "pole").touch()

    assert host.run().returncode == 0
    assert host.calls()[-1] == call


@pytest.mark.parametrize("name", ["nobody", "evil", "odd", "roof;reboot", "-rf"])
def test_other_names_do_nothing_and_are_gone(host: Host, name: str) -> None:
    (host.requests / name).touch()

    done = host.run()

    assert done.returncode == 1
    assert done.stderr != ""
    assert host.calls() == []
    assert host.switch.read_text() == ""
    assert list(host.requests.iterdir()) == []


def test_links_and_directories_of_the_service_lead_nowhere(host: Host) -> None:
    kept = host.root / "kept"
    kept.mkdir()
    (kept / "file").touch()
    (host.requests / "roof").symlink_to(kept)
    (host.requests / "nobody").mkdir()

    host.run()

    assert (kept / "file").exists()
    assert list(host.requests.iterdir()) == []


def test_one_that_fails_does_not_keep_the_others_from_it(host: Host) -> None:
    for name in ("evil", "roof"):
        (host.requests / name).touch()

    assert host.run().returncode == 1
    assert host.switch.read_text() == "0\n"


def test_nothing_asked_is_nothing_done(host: Host) -> None:
    assert (host.run().returncode, host.calls()) == (0, [])


def test_all_files_name_the_same_directory_and_table() -> None:
    helper = PowerHelper()
    script = (DEPLOY / "power-helper.sh").read_text()

    assert f":-{helper.requests}}}" in script
    assert f":-{helper.table}}}" in script
    for name in ("lora-edge-power.path", "lora-edge-power.service", "lora-edge.tmpfiles"):
        assert str(helper.requests) in (DEPLOY / name).read_text()
    assert f"NoExecPaths=-{helper.requests}" in (DEPLOY / "lora-edge.service").read_text()
