"""The handful of questions that ``lora-edge init`` asks a person.

An empty answer takes what stands in brackets; what was given as an option is not asked.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from drivers.probe import Probed
from drivers.registry import DRIVERS
from edge.config.first import required_options
from edge.upstreams.registry import UPSTREAMS
from protocol.lora.regions import REGIONS

_NONE = "none"


@dataclass(frozen=True, slots=True)
class Answers:
    """What is known so far; None = not yet.

    ``left_out`` are devices that introduced themselves and are not wanted.
    """

    region: str | None = None
    driver: str | None = None
    port: Path | None = None
    upstream: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    left_out: frozenset[Path] = frozenset()


class Asker(Protocol):
    """Somebody who can be asked."""

    def ask(self, question: str) -> str: ...

    def tell(self, text: str) -> None: ...


class Console:
    """A person at the terminal."""

    def ask(self, question: str) -> str:
        """What was typed, without blanks around it; an ended input is an empty answer."""
        try:
            return input(question).strip()
        except EOFError:
            print()
            return ""

    def tell(self, text: str) -> None:
        """Show a line."""
        print(text)


def ask_all(given: Answers, found: Sequence[Probed], person: Asker) -> Answers:
    """Ask for what was not given."""
    answers = given
    if answers.region is None:
        regions = [region.name for region in REGIONS]
        answers = replace(answers, region=_choose(person, "Region", regions, "AS923-2"))
    if answers.port is None:
        answers = _devices(person, answers, found)
    if answers.port is not None and answers.driver is None and not _known(answers.port, found):
        answers = replace(
            answers, driver=_choose(person, "Family of the device", list(DRIVERS), "bridge")
        )
    if answers.upstream is None:
        kind = _choose(person, "Where frames go", [_NONE, *UPSTREAMS], _NONE)
        answers = replace(answers, upstream=None if kind == _NONE else kind)
    if answers.upstream is not None:
        answers = replace(answers, options=_options(person, answers.upstream, answers.options))
    return answers


def _devices(person: Asker, answers: Answers, found: Sequence[Probed]) -> Answers:
    """Which of the devices that introduced themselves are wanted; if none did, which port."""
    left_out = set()
    known = [probed for probed in found if probed.introduction is not None]
    for probed in known:
        assert probed.introduction is not None
        person.tell(f"{probed.port.name}: {probed.introduction.firmware}")
        if _choose(person, "Use it", ["yes", "no"], "yes") == "no":
            left_out.add(probed.port.device)
    if known:
        return replace(answers, left_out=frozenset(left_out))
    if not found:
        person.tell("No serial port is to be seen; a device can be put in later.")
        return answers
    ports = [str(probed.port.name) for probed in found]
    person.tell("No device has introduced itself on these serial ports:")
    port = _choose(person, "Serial port", [_NONE, *ports], _NONE)
    return answers if port == _NONE else replace(answers, port=Path(port))


def _known(port: Path, found: Sequence[Probed]) -> bool:
    device = port.resolve()
    return any(probed.port.device == device and probed.introduction for probed in found)


def _options(person: Asker, kind: str, given: Mapping[str, str]) -> dict[str, str]:
    try:
        required = required_options(kind)
    except ImportError:
        return dict(given)  # said when it is checked
    options = dict(given)
    for option in required:
        if option.key not in options:
            example = f" [{option.example}]" if option.example else ""
            answer = person.ask(f"{option.key}: {option.help}{example}: ")
            if answer or option.example:
                options[option.key] = answer or option.example
    return options


def _choose(person: Asker, question: str, choices: Sequence[str], default: str) -> str:
    """One of the choices, by its name in any case; asks again until it is one."""
    while True:
        answer = person.ask(f"{question} ({', '.join(choices)}) [{default}]: ") or default
        for choice in choices:
            if choice.casefold() == answer.casefold():
                return choice
        person.tell(f"{answer} is none of them.")
