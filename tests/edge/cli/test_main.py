"""The command line as a whole: help, wrong words, closed pipes."""

import subprocess
import sys

import pytest

from edge.cli.main import COMMANDS, main

LORA_EDGE = [sys.executable, "-m", "edge"]


def shell(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a command line as a process of its own."""
    return subprocess.run([*LORA_EDGE, *words], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "simulate"])
def test_every_command_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--help"])

    shown = capsys.readouterr().out
    assert ended.value.code == 0
    assert shown.startswith(f"usage: lora-edge {name}")
    assert len(shown.splitlines()) > 6


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "simulate"])
def test_every_command_refuses_unknown_options(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main([name, "--no-such-option"])

    assert ended.value.code == 2
    assert "--no-such-option" in capsys.readouterr().err


def test_the_simulator_reads_its_own_words() -> None:
    helped, listed = shell("simulate", "--help"), shell("simulate", "scenarios")
    refused = shell("simulate", "run", "--no-such-option")

    assert (helped.returncode, listed.returncode, refused.returncode) == (0, 0, 2)
    assert "replay" in helped.stdout
    assert "da-nang" in listed.stdout
    assert "--no-such-option" in refused.stderr


def test_without_a_command_all_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2
    assert main(["--help"]) == 0

    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)


def test_a_misspelt_command_suggests_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["stauts"]) == 2
    assert "did you mean status?" in capsys.readouterr().err

    assert main(["xyzzy"]) == 2
    assert "did you mean" not in capsys.readouterr().err


def test_the_version_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("lora-edge ")


@pytest.mark.parametrize("words", ["print-config", "frames --help", "--help"])
def test_a_closed_pipe_ends_quietly(words: str) -> None:
    piped = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {sys.executable} -m edge {words} | true"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert (piped.returncode, piped.stderr) == (0, "")
