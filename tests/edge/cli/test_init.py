"""``lora-edge init``: answers as options, questions at a terminal, and nothing that is refused."""

import os
import pty
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from drivers.ports import FoundPort
from drivers.probe import Probed
from edge.cli.main import main
from edge.cli.questions import Answers, ask_all
from protocol.dialects.probing import Introduction

BRIDGE = Introduction("bridge", "e661", "firmware 1.2", 2)


class Person:
    """Gives prepared answers and remembers what was asked."""

    def __init__(self, *answers: str) -> None:
        self._answers: Iterator[str] = iter(answers)
        self.asked: list[str] = []
        self.told: list[str] = []

    def ask(self, question: str) -> str:
        self.asked.append(question)
        return next(self._answers)

    def tell(self, text: str) -> None:
        self.told.append(text)


def written(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text())


def test_options_are_answers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "gateway.toml"
    words = ["init", str(path), "--region", "EU868", "--driver", "bridge", "--port", "/dev/null"]
    words += [
        "--upstream",
        "mqtt",
        "--option",
        "url=mqtt://b:1883",
        "--option",
        "accept_no_subscriber=true",
    ]

    assert main(words) == 0
    assert main(["check-config", "-c", str(path)]) == 0

    document = written(path)
    assert document["concentrator"][0]["port"] == "/dev/null"
    assert document["upstream"] == [
        {"name": "mqtt", "kind": "mqtt", "url": "mqtt://b:1883", "accept_no_subscriber": True}
    ]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--upstream", "mqtt"], "needs --option url=mqtts://broker.example:8883"),
        (["--option", "url=x"], "--option needs --upstream"),
        (["--driver", "bridge"], "--driver needs --port"),
        (["--upstream", "file", "--option", "path=/a", "--option", "format=xml"], "format"),
        (["--upstream", "file", "--option", "path=/a", "--option", "pat=x"], "unknown key"),
    ],
)
def test_what_does_not_fit_is_refused_and_nothing_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    path = tmp_path / "gateway.toml"

    assert main(["init", str(path), "--no-probe", *words]) == 2

    assert said in capsys.readouterr().err
    assert not path.exists()


def test_an_option_without_a_value_is_a_fault_of_usage(tmp_path: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["init", str(tmp_path / "gateway.toml"), "--upstream", "file", "--option", "path"])
    assert ended.value.code == 2


def test_a_person_is_asked_for_what_is_not_known() -> None:
    found = [Probed(FoundPort(Path("/dev/ttyACM0")), BRIDGE)]
    person = Person("eu868", "", "mqtt", "mqtt://b:1883")

    answers = ask_all(Answers(), found, person)

    assert answers == Answers(region="EU868", upstream="mqtt", options={"url": "mqtt://b:1883"})
    assert person.told == ["/dev/ttyACM0: firmware 1.2"]
    assert len(person.asked) == 4


def test_what_was_given_is_not_asked() -> None:
    given = Answers("EU868", "bridge", Path("/dev/null"), "file", {"path": "/srv"})

    assert ask_all(given, [], Person()) == given


def test_a_device_may_be_left_out() -> None:
    port = FoundPort(Path("/dev/ttyACM0"))

    answers = ask_all(Answers("EU868"), [Probed(port, BRIDGE)], Person("no", "none"))

    assert answers.left_out == {port.device}


def test_without_an_introduction_the_port_and_the_family_are_asked() -> None:
    found = [Probed(FoundPort(Path("/dev/ttyACM0")), None, "nothing answers")]
    person = Person("/dev/ttyACM0", "bridge", "")

    answers = ask_all(Answers("EU868"), found, person)

    assert (answers.port, answers.driver, answers.upstream) == (
        Path("/dev/ttyACM0"),
        "bridge",
        None,
    )


def test_a_wrong_answer_is_asked_again_and_an_empty_one_is_the_example() -> None:
    person = Person("mars", "EU868", "file", "")

    answers = ask_all(Answers(), [], person)

    assert answers.region == "EU868"
    assert "mars is none of them." in person.told
    assert Path(answers.options["path"]).is_absolute()


def test_at_a_real_terminal_with_a_real_person(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    person, terminal = pty.openpty()
    command = [sys.executable, "-m", "edge", "init", str(path), "--no-probe"]
    child = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal)
    os.close(terminal)
    try:
        os.write(person, b"US915\nnone\nnone\n")
        assert child.wait(30) == 0
    finally:
        child.kill()
        child.wait()
        os.close(person)

    assert written(path)["gateway"]["region"] == "US915"
