"""What keeps a port from us is said in plain words, and seen without opening it."""

import fcntl
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from drivers.errors import PortLost
from drivers.port_users import explain, obstacle, port_users
from drivers.ports import Machine
from drivers.serial_port import open_port
from tests.drivers.machines import add_lock, add_process, link, machine

HOLD = """
import fcntl, sys
port = open(sys.argv[1], "rb", buffering=0)
fcntl.flock(port, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def here(tmp_path: Path) -> Machine:
    """A machine with one UART."""
    made = machine(tmp_path)
    (made.dev / "ttyAMA0").touch()
    return made


@pytest.fixture
def pty() -> Iterator[Path]:
    """The slave of a pty whose master this process holds."""
    master, slave = os.openpty()
    yield Path(os.ttyname(slave))
    os.close(slave)
    os.close(master)


def words(here: Machine) -> str:
    found = obstacle(here, here.dev / "ttyAMA0")
    assert found is not None
    return f"{found.text} -> {found.fix}"


def test_nothing_is_in_the_way_of_a_free_port(here: Machine) -> None:
    assert obstacle(here, here.dev / "ttyAMA0") is None


def test_a_port_that_is_away(here: Machine) -> None:
    found = obstacle(here, here.dev / "ttyUSB9")

    assert found is not None
    assert "no such device" in found.text


def test_a_login_console(here: Machine) -> None:
    add_process(here, 411, "agetty", {"0": str(here.dev / "ttyAMA0")})

    assert "a login console waits on it (agetty (process 411))" in words(here)
    assert "systemctl disable --now serial-getty@ttyAMA0.service" in words(here)


def test_the_kernels_own_console_by_any_name(here: Machine) -> None:
    link(here.dev / "serial0", here.dev / "ttyAMA0")
    (here.proc / "cmdline").write_text("console=serial0,115200 console=tty1 root=PARTUUID=1\n")

    assert "the kernel writes its messages to it" in words(here)
    assert "/boot/firmware/cmdline.txt" in words(here)


def test_a_screen_console_is_no_serial_one(here: Machine) -> None:
    (here.proc / "cmdline").write_text("console=tty1 root=/dev/sda\n")

    assert obstacle(here, here.dev / "ttyAMA0") is None


def test_another_program(here: Machine) -> None:
    add_process(here, 7, "picocom", {"3": str(here.dev / "ttyAMA0"), "4": "/dev/null"})
    add_process(here, 8, "sshd", {"3": "socket:[1]"})

    assert "in use by another process: picocom (process 7)" in words(here)


def test_a_lock_names_a_process_whose_files_we_may_not_see(here: Machine) -> None:
    add_lock(here, 99, here.dev / "ttyAMA0")
    with (here.proc / "locks").open("a") as locks:
        locks.write("2: POSIX  ADVISORY  READ 5 00:01:77 0 EOF\nnonsense\n")

    assert [str(user) for user in port_users(here, here.dev / "ttyAMA0")] == ["process 99"]


def test_our_own_hold_is_no_obstacle(here: Machine) -> None:
    add_lock(here, os.getpid(), here.dev / "ttyAMA0")

    assert port_users(here, here.dev / "ttyAMA0") == []


def test_the_device_at_the_other_end_of_a_pty_is_no_user_of_it(here: Machine) -> None:
    device = here.dev / "5"
    device.touch()
    add_process(here, 20, "socat", {"3": "/dev/ptmx", "4": str(device)})
    (here.proc / "20/fdinfo/3").write_text("pos:\t0\ntty-index:\t5\n")
    add_process(here, 21, "xterm", {"3": "/dev/ptmx", "4": str(device)})
    (here.proc / "21/fdinfo/3").write_text("pos:\t0\ntty-index:\t6\n")

    assert [user.pid for user in port_users(here, device)] == [21]


def test_a_missing_right_names_the_group(here: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    device = here.dev / "ttyAMA0"
    # As root nothing is denied, and tests may run as root.
    monkeypatch.setattr(os, "access", lambda _path, _mode: False)
    group = device.stat().st_gid

    assert "no permission for user" in words(here)
    expected = "usermod -aG" if group else "60-lora-edge.rules"
    assert expected in words(here)


def test_a_real_process_with_a_real_port(pty: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(pty)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        assert child.stdout.readline() == b"held\n"
        users = port_users(Machine(), pty)
        assert [user.pid for user in users] == [child.pid]
        assert users[0].name.startswith("python")
        found = obstacle(Machine(), pty)
        assert found is not None
        assert f"(process {child.pid})" in found.text
    finally:
        child.communicate(b"")
    assert port_users(Machine(), pty) == []


async def test_the_gate_says_who_has_the_port(pty: Path) -> None:
    child = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(pty)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    try:
        child.stdout.readline()
        with pytest.raises(PortLost, match=rf"in use by another process: .*{child.pid}"):
            await open_port(str(pty), 115_200)
    finally:
        child.communicate(b"")


def test_errors_without_a_number_are_told_as_they_are(pty: Path) -> None:
    assert explain(Machine(), str(pty), ValueError("odd")) == f"{pty}: odd"


def test_a_denied_port_is_explained(here: Machine) -> None:
    path = str(here.dev / "ttyAMA0")

    assert "no permission; " in explain(here, path, PermissionError(13, "denied"))


def test_a_lock_in_this_process_is_still_called_in_use(pty: Path) -> None:
    with pty.open("rb", buffering=0) as port:
        fcntl.flock(port, fcntl.LOCK_EX)
        assert explain(Machine(), str(pty), OSError(11, "x")) == (
            f"{pty}: in use by another process"
        )
