"""The alerts: valid, tested one by one, and each with a section that says what to do."""

import re
import subprocess

import pytest

from tests.deploy.exported import DEPLOY, exported_names, names_in
from tests.deploy.needs import needs

PROMETHEUS = DEPLOY / "prometheus"
RULES = (PROMETHEUS / "lora-edge.rules.yml").read_text()
RUNBOOK = (DEPLOY.parent / "docs" / "RUNBOOK.md").read_text()


def alerts() -> list[str]:
    """Return the text of each alert."""
    return re.split(r"\n      - alert: ", RULES)[1:]


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["promtool", *arguments], cwd=PROMETHEUS, capture_output=True, text=True, check=False
    )


@pytest.mark.promtool
@needs("promtool", "prometheus")
def test_prometheus_accepts_the_rules() -> None:
    check = promtool("check", "rules", "lora-edge.rules.yml")

    assert check.returncode == 0, check.stdout + check.stderr
    assert f"{len(alerts())} rules found" in check.stdout


@pytest.mark.promtool
@needs("promtool", "prometheus")
def test_each_alert_fires_when_it_should_and_not_otherwise() -> None:
    test = promtool("test", "rules", "lora-edge.rules.test.yml")

    assert test.returncode == 0, test.stdout + test.stderr


def test_every_alert_is_tested() -> None:
    tests = (PROMETHEUS / "lora-edge.rules.test.yml").read_text()

    names = [alert.partition("\n")[0] for alert in alerts()]
    assert len(names) == 20
    assert [name for name in names if name not in tests] == []


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: alert.partition("\n")[0])
def test_every_alert_says_what_where_and_what_to_do(alert: str) -> None:
    for annotation in ("summary", "description"):
        assert re.search(rf'^ +{annotation}: "[A-Z{{].{{20,}}\."$', alert, re.MULTILINE)
    assert re.search(r"^ +severity: (page|ticket)$", alert, re.MULTILINE)
    runbook = re.search(r'^ +runbook_url: "docs/RUNBOOK.md#([a-z-]+)"$', alert, re.MULTILINE)
    assert runbook is not None
    assert f"\n## {runbook[1]}\n" in RUNBOOK


def test_the_runbook_has_no_section_without_an_alert() -> None:
    sections = re.findall(r"^## (\S+)$", RUNBOOK, re.MULTILINE)

    assert [section for section in sections if f"#{section}" not in RULES] == []


def test_the_runbook_and_the_alerts_agree_on_who_is_woken() -> None:
    for alert in alerts():
        section = re.search(r"RUNBOOK\.md#([a-z-]+)", alert)
        severity = re.search(r"severity: (\w+)", alert)
        assert section is not None
        assert severity is not None
        text = RUNBOOK.partition(f"\n## {section[1]}\n")[2].partition("\n## ")[0]
        assert f"({severity[1]})" in text


def test_every_metric_is_one_that_the_service_exports() -> None:
    asked = names_in(RULES)

    assert len(asked) > 8
    assert asked - exported_names() == set()
