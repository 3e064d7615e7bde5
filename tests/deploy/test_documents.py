"""What the runbook and the READMEs tell people to type, to look at and to expect."""

import argparse
import json
import re
from importlib import import_module

import pytest

from edge.cli.main import COMMANDS
from protocol.lora.events import DropReason
from simulator.command import _parser as simulator_parser
from tests.deploy.exported import DEPLOY, exported_names, names_in

ROOT = DEPLOY.parent
DOCUMENTS = {
    name: (ROOT / name).read_text() for name in ("README.md", "deploy/README.md", "docs/RUNBOOK.md")
}
RUNBOOK = DOCUMENTS["docs/RUNBOOK.md"]
RULES = (DEPLOY / "prometheus" / "lora-edge.rules.yml").read_text()


def commands_in(text: str) -> list[str]:
    """Every ``lora-edge COMMAND ...`` of a document, as far as the shell would give it words."""
    # In a fence or between backticks; a unit's or a user's name is followed by no such command.
    known = "|".join(COMMANDS)
    found = re.findall(rf"\blora-edge ((?:{known})\b[^`\n]*)", text)
    return [re.split(r"\s+#|\s+&&|\s+\|", command)[0].strip() for command in found]


# Everything has --help, which would end the test.
COMMAND_LINES = sorted(
    {
        line.removesuffix(" --help")
        for text in DOCUMENTS.values()
        for line in commands_in(text)
        if line != "simulate --help"
    }
)


def parser_of(command: str) -> argparse.ArgumentParser:
    """What reads the words after ``lora-edge COMMAND``."""
    if command == "simulate":
        return simulator_parser()
    parser = argparse.ArgumentParser()
    import_module(COMMANDS[command].module).add_arguments(parser)
    return parser


def test_documents_name_the_commands_that_matter_most() -> None:
    named = {line.split()[0] for line in COMMAND_LINES}

    assert named >= {"status", "doctor", "frames", "check-config", "simulate"}


@pytest.mark.parametrize("line", COMMAND_LINES)
def test_every_command_takes_these_options(line: str) -> None:
    command, *words = line.split()

    parser_of(command).parse_args(words)


@pytest.mark.parametrize("text", DOCUMENTS.values(), ids=DOCUMENTS)
def test_every_metric_that_a_document_names_exists(text: str) -> None:
    assert names_in(text) - exported_names() == set()


def test_what_the_runbook_sends_people_to_is_on_the_dashboard() -> None:
    dashboard = json.loads((DEPLOY / "grafana" / "lora-edge.json").read_text())
    titles = {panel["title"] for panel in dashboard["panels"]}
    slanted = set(re.findall(r"(?<!\*)\*([^*\n]+)\*(?!\*)", RUNBOOK)) - {"page", "ticket"}

    assert len(slanted) >= 5
    assert slanted - titles == set()


def test_the_runbook_explains_each_reason_for_which_the_alert_wakes_somebody() -> None:
    section = RUNBOOK.partition("\n## frames-dropped\n")[2].partition("\n## ")[0]
    cells = re.findall(r"^\| (`.*?`) \|", section, re.MULTILINE)
    explained = [reason for cell in cells for reason in re.findall(r"`(\w+)`", cell)]
    silent = re.search(r'frames_dropped_total\{reason!~"(.*?)"', RULES)
    assert silent is not None

    assert sorted(explained) == sorted(set(DropReason) - set(silent[1].split("|")))


@pytest.mark.parametrize(
    "words", ["no such device", "no permission", "in use by another process", "is parked"]
)
def test_the_runbook_quotes_what_the_log_says(words: str) -> None:
    sources = [*(ROOT / "drivers").glob("*.py"), ROOT / "edge" / "supervisor.py"]

    assert f"`{words}`" in RUNBOOK
    assert any(words in source.read_text() for source in sources)
