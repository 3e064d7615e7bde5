"""The dashboard: every query of it answers on a Prometheus that scrapes the service."""

import asyncio
import json
import re
import socket
import subprocess
import urllib.parse
import urllib.request
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from edge.monitoring.health import Health
from edge.monitoring.http_server import serve_http
from edge.monitoring.metrics import Metrics
from protocol.lora.events import CrcStatus
from tests.deploy.exported import DEPLOY, exported_names, names_in
from tests.deploy.needs import needs

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "lora-edge.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]

CONFIG = """
global: {{scrape_interval: 1s, scrape_timeout: 1s, evaluation_interval: 1s}}
rule_files: [{rules}]
scrape_configs:
  - job_name: lora-edge
    static_configs: [{{targets: ["{target}"]}}]
"""


@contextmanager
def running_prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run a Prometheus that scrapes one target; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        listen = f"127.0.0.1:{free.getsockname()[1]}"
    config = folder / "prometheus.yml"
    rules = DEPLOY / "prometheus" / "lora-edge.rules.yml"
    config.write_text(CONFIG.format(target=target, rules=rules))
    command = [
        "prometheus",
        f"--config.file={config}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address={listen}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        yield f"http://{listen}"
    finally:
        process.terminate()
        process.wait(timeout=30)


def ask(url: str, path: str, **parameters: str) -> dict[str, Any]:
    with urllib.request.urlopen(
        f"{url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}", timeout=10
    ) as answer:
        parsed: dict[str, Any] = json.load(answer)
        return parsed


async def scrapes(url: str) -> int:
    """Return how often Prometheus has scraped the target."""
    try:
        answer = await asyncio.to_thread(
            ask, url, "query", query='count_over_time(up{job="lora-edge"}[5m])'
        )
    except OSError:
        return 0
    result = answer["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def make_traffic(metrics: Metrics) -> None:
    """Count what one busy second of a gateway with two radios would."""
    for radio, crc, rssi_dbm, snr_db in (
        ("0", CrcStatus.OK, -97.0, 7.5),
        ("1", CrcStatus.OK, -121.0, -9.25),
        ("1", CrcStatus.BAD, -128.0, -14.0),
    ):
        metrics.radio_frames_received.labels("roof", radio, crc.value).inc()
        metrics.radio_rssi_dbm.labels("roof", radio).observe(rssi_dbm)
        metrics.radio_snr_db.labels("roof", radio).observe(snr_db)
        metrics.radio_noise_rssi_dbm.labels("roof", radio).set(-113)
    metrics.concentrator_up.labels("roof").set(1)
    metrics.frames_stored.labels("telemetry").inc(2)
    metrics.frame_decode_errors.labels("trailing_bytes").inc()
    metrics.frame_verify_failures.labels("mic").inc()
    metrics.outbox_commit_seconds.observe(0.012)
    metrics.outbox_commit_frames.observe(2)
    metrics.upstream_connected.labels("city").set(1)
    metrics.upstream_frames_acknowledged.labels("city").inc(2)
    metrics.upstream_acknowledge_seconds.labels("city").observe(0.08)
    metrics.event_loop_lag_seconds.observe(0.001)


@asynccontextmanager
async def running_service() -> AsyncIterator[str]:
    """Expose the metrics of a service that has traffic; yields host and port."""
    metrics = Metrics("0")
    metrics.register_concentrator("roof", 2)
    metrics.register_upstream("city")
    listening: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def traffic() -> None:
        while True:
            make_traffic(metrics)
            await asyncio.sleep(0.2)

    async with asyncio.TaskGroup() as group:
        tasks = [
            group.create_task(traffic()),
            group.create_task(
                serve_http(
                    "127.0.0.1:0",
                    metrics=metrics,
                    health=Health(),
                    status=dict,
                    now_us=lambda: 0,
                    listening=listening.set_result,
                )
            ),
        ]
        yield urllib.parse.urlsplit(await listening).netloc
        for task in tasks:
            task.cancel()


def as_grafana_sends_it(query: str) -> str:
    return query.replace("$__rate_interval", "30s").replace("$instance", ".*")


@pytest.mark.promtool
@needs("prometheus", "prometheus")
async def test_every_query_answers_on_a_real_prometheus(tmp_path: Path) -> None:
    empty = []
    async with running_service() as target:
        with running_prometheus(tmp_path, target) as url:
            async with asyncio.timeout(60):
                # A rate needs two samples.
                while await scrapes(url) < 4:
                    await asyncio.sleep(0.25)
            for query in QUERIES:
                sent = as_grafana_sends_it(query)
                answer = await asyncio.to_thread(ask, url, "query", query=sent)
                assert answer["status"] == "success"
                if not answer["data"]["result"]:
                    empty.append(sent)
            rules = await asyncio.to_thread(ask, url, "rules")

    assert empty == []
    assert len(QUERIES) > 30
    assert {rule["health"] for rule in rules["data"]["groups"][0]["rules"]} == {"ok"}


def test_every_metric_is_one_that_the_service_exports() -> None:
    asked = set().union(*map(names_in, QUERIES))

    assert asked - exported_names() == set()


def test_every_metric_of_the_service_is_shown_or_known_not_to_be() -> None:
    shown = set().union(*map(names_in, QUERIES))
    # Variables, alerts and programs use these; as graphs they would say nothing.
    left_out = {
        "lora_edge_build_info",
        "lora_edge_concentrator_last_event_timestamp_seconds",
        "lora_edge_config_fallback",
        "lora_edge_outbox_stored_frames",
        "lora_edge_upstream_last_acknowledged_timestamp_seconds",
    }

    def metric(name: str) -> str:
        return re.sub("_(bucket|sum|count)$", "", name)

    own = {metric(name) for name in exported_names() if name.startswith("lora_edge_")}
    assert own - set(map(metric, shown)) == left_out


@pytest.mark.parametrize("panel", PANELS, ids=lambda panel: panel["title"])
def test_every_panel_explains_itself(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 15
    assert panel["fieldConfig"]["defaults"]["unit"] != ""
    assert panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}
    for target in panel["targets"]:
        assert target["datasource"] == panel["datasource"]
        assert 'instance=~"$instance"' in target["expr"]
    if panel["type"] == "timeseries":
        assert all("{{instance}}" in target["legendFormat"] for target in panel["targets"])


def test_it_can_be_imported_anywhere() -> None:
    assert DASHBOARD["schemaVersion"] >= 36
    assert DASHBOARD["uid"] == "lora-edge"
    assert "id" not in DASHBOARD
    variables = {variable["name"]: variable for variable in DASHBOARD["templating"]["list"]}
    assert variables["datasource"]["type"] == "datasource"
    assert variables["instance"]["query"]["query"] == "label_values(lora_edge_build_info, instance)"


def test_panels_have_numbers_of_their_own_and_do_not_overlap() -> None:
    places: set[tuple[int, int]] = set()
    for panel in DASHBOARD["panels"]:
        grid = panel["gridPos"]
        assert grid["x"] + grid["w"] <= 24
        cells = {
            (x, y)
            for x in range(grid["x"], grid["x"] + grid["w"])
            for y in range(grid["y"], grid["y"] + grid["h"])
        }
        assert places.isdisjoint(cells)
        places |= cells
    numbers = [panel["id"] for panel in DASHBOARD["panels"]]
    assert len(set(numbers)) == len(numbers)


def test_rates_use_the_interval_that_grafana_computes() -> None:
    windows = {window for query in QUERIES for window in re.findall(r"\[(.*?)\]", query)}

    assert windows == {"$__rate_interval"}
