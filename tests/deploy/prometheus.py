"""A real Prometheus that scrapes one target, with our alert rules; and its checker."""

import json
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan
from pathlib import Path
from typing import Any

from tests.deploy.exported import DEPLOY
from tests.e2e.processes import Process, free_port, shown_on_failure

CONFIG = """
global: {{scrape_interval: 500ms, scrape_timeout: 500ms, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: lora-edge
    static_configs: [{{targets: ["{target}"]}}]
"""


@dataclass(frozen=True)
class Prometheus:
    """Its HTTP interface, as Grafana uses it."""

    url: str

    def ask(self, path: str, **parameters: str) -> Any:
        """The data of an answer; a query that it refuses raises HTTPError."""
        query = urllib.parse.urlencode(parameters)
        with urllib.request.urlopen(f"{self.url}/api/v1/{path}?{query}", timeout=10) as answer:
            return json.load(answer)["data"]

    def series(self, query: str) -> list[dict[str, str]]:
        """Labels of all series that have a value now: a ratio 0 / 0 shows as nothing."""
        result = self.ask("query", query=query)["result"]
        return [one["metric"] for one in result if not isnan(float(one["value"][1]))]

    def scrapes(self) -> int:
        """How many scrapes have succeeded."""
        try:
            result = self.ask("query", query='sum_over_time(up{job="lora-edge"}[5m])')["result"]
        except OSError:
            return 0
        return int(result[0]["value"][1]) if result else 0

    def alerts(self) -> dict[str, str]:
        """Expression of each alert."""
        [group] = self.ask("rules")["groups"]
        return {rule["name"]: rule["query"] for rule in group["rules"]}


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[Prometheus]:
    """Run one that scrapes ``host:port``."""
    listen = f"127.0.0.1:{free_port()}"
    config = folder / "prometheus.yml"
    rules = DEPLOY / "prometheus" / "lora-edge.rules.yml"
    config.write_text(CONFIG.format(target=target, rules=rules))
    command = ["prometheus", f"--config.file={config}", f"--web.listen-address={listen}"]
    process = Process([*command, f"--storage.tsdb.path={folder}"], folder / "prometheus.log")
    with shown_on_failure(process.log):
        try:
            process.start()
            yield Prometheus(f"http://{listen}")
        finally:
            process.end()


def promtool_check(metrics: str) -> str:
    """What Prometheus's checker finds wrong with an exposition; empty = nothing."""
    check = subprocess.run(
        ["promtool", "check", "metrics"], input=metrics, capture_output=True, text=True, check=False
    )
    return check.stdout + check.stderr + ("" if check.returncode == 0 else "failed")
