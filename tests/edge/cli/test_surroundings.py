"""The commands where something around them is wrong: rights, disks, terminals, packages."""

import os
import pty
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.edge.cli.served_gateway import ServedGateway, served_gateway, write_config

LORA_EDGE = [sys.executable, "-m", "edge"]
NOBODY = 65534

# What is imported later could not be read any more.
BECOME_NOBODY = f"""
import os, sys
from importlib import import_module
from edge.cli.main import COMMANDS, main
for command in COMMANDS.values():
    import_module(command.module)
os.setgroups([])
os.setresgid({NOBODY}, {NOBODY}, {NOBODY})
os.setresuid({NOBODY}, {NOBODY}, {NOBODY})
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture
def public_path() -> Iterator[Path]:
    """A directory that every user may look into."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory)
        path.chmod(0o755)
        yield path


def as_a_stranger(*words: str) -> subprocess.CompletedProcess[str]:
    """A command line of a user without rights; root, whom nothing is denied, becomes one."""
    command = [sys.executable, "-c", BECOME_NOBODY] if os.geteuid() == 0 else LORA_EDGE
    return subprocess.run([*command, *words], capture_output=True, text=True, check=False)


def test_who_may_not_use_the_socket_is_told_how_to(public_path: Path) -> None:
    with served_gateway(public_path) as gateway:
        (public_path / "control.sock").chmod(0)
        shown = as_a_stranger("status", "-c", str(gateway.config))

    assert shown.returncode == 1
    assert "no right to use" in shown.stderr
    assert "sudo usermod -aG lora-edge $USER" in shown.stderr


def test_who_may_not_see_the_state_is_told_who_may(public_path: Path) -> None:
    config = write_config(public_path)
    state = public_path / "state"
    (state / "outbox.db").touch()
    state.chmod(0)

    frames = as_a_stranger("frames", "-c", str(config))
    doctor = as_a_stranger("doctor", "-c", str(config))

    assert frames.returncode == doctor.returncode == 1
    assert "only its owner may open the store: sudo -u" in frames.stderr
    assert f"{state} may not be written by this user" in doctor.stdout


def test_the_state_of_another_user_is_never_opened(public_path: Path) -> None:
    config = write_config(public_path)
    config.write_text(config.read_text().replace(f"{public_path}/state", "/usr"))

    shown = as_a_stranger("frames", "-c", str(config))

    assert shown.returncode == 1
    assert "only its owner may open the store: sudo -u root lora-edge ..." in shown.stderr


def test_who_may_not_read_the_configuration_is_told_as_whom_to_look(public_path: Path) -> None:
    config = write_config(public_path)
    config.chmod(0)

    shown = as_a_stranger("check-config", "-c", str(config))

    assert shown.returncode == 2
    assert "may not read it" in shown.stdout
    assert "sudo -u lora-edge lora-edge" in shown.stdout


def test_ctrl_c_ends_any_command_quietly(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    with socket.socket(socket.AF_UNIX) as hanging:
        hanging.bind(str(tmp_path / "control.sock"))
        hanging.listen()
        with subprocess.Popen(
            [*LORA_EDGE, "status", "-c", str(config)], stderr=subprocess.PIPE, text=True
        ) as process:
            connection, _ = hanging.accept()
            connection.recv(1000)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=20)
            connection.close()

    assert (process.returncode, errors) == (1, "")


def test_a_full_disk_is_told(gateway: ServedGateway) -> None:
    with Path("/dev/full").open("w") as full:
        shown = subprocess.run(
            [*LORA_EDGE, "frames", "export", "-c", str(gateway.config)],
            stdout=full, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip

    assert shown.returncode == 1
    assert shown.stderr == "lora-edge frames: output: No space left on device\n"


def test_cbor_is_not_sent_to_a_terminal(gateway: ServedGateway) -> None:
    terminal, line = pty.openpty()
    try:
        shown = subprocess.run(
            [*LORA_EDGE, "frames", "export", "--format", "cbor", "-c", str(gateway.config)],
            stdout=line, stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
    finally:
        os.close(terminal)
        os.close(line)

    assert shown.returncode == 2
    assert "cbor is not for terminals" in shown.stderr


def test_an_alarm_is_red_on_a_terminal(gateway: ServedGateway) -> None:
    terminal, line = pty.openpty()
    environment = {**os.environ, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    try:
        subprocess.run(
            [*LORA_EDGE, "frames", "-c", str(gateway.config)],
            stdout=line, check=True, env=environment,
        )  # fmt: skip
        shown = os.read(terminal, 100_000).decode()
    finally:
        os.close(terminal)
        os.close(line)

    assert "\x1b[31mALARM\x1b[0m" in shown
    assert shown.count("\x1b[") == 6  # alarm, not verified, not decoded: each on and off


def without_paho(*words: str) -> subprocess.CompletedProcess[str]:
    """A command line on a machine that lacks the package of an upstream."""
    script = (
        "import sys; sys.modules['paho'] = None; from edge.cli.main import main;"
        f" sys.exit(main({list(words)!r}))"
    )
    return subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False
    )


def test_a_missing_package_is_a_fault_only_of_whom_it_is_needed_by(tmp_path: Path) -> None:
    config = write_config(tmp_path)
    assert without_paho("check-config", "-c", str(config)).returncode == 0

    upstream = '\n[[upstream]]\nname = "city"\nkind = "mqtt"\nurl = "mqtt://b"\n'
    config.write_text(config.read_text() + upstream)
    shown = without_paho("check-config", "-c", str(config))

    assert shown.returncode == 2
    assert "upstream.city.kind: mqtt needs a package" in shown.stdout
    assert "pip install 'lora-edge-gateway[mqtt]'" in shown.stdout


def test_the_default_says_which_keys_a_missing_package_hides() -> None:
    shown = without_paho("print-config")

    assert shown.returncode == 0
    assert "its keys cannot be shown here" in shown.stdout
