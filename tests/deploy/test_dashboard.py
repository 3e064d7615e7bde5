"""The dashboard and the alerts: every query answers on a Prometheus that scrapes the gateway."""

import json
import re
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.exported import DEPLOY, exported_names, names_in
from tests.deploy.needs import needs
from tests.deploy.prometheus import Prometheus, promtool_check, running_prometheus
from tests.e2e.processes import (
    Boards,
    Gateway,
    boards,
    free_port,
    gateway,
    listen_on,
    uplink_payload,
    wait_until,
)

DASHBOARD: dict[str, Any] = json.loads((DEPLOY / "grafana" / "lora-edge.json").read_text())
PANELS = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
QUERIES = [target["expr"] for panel in PANELS for target in panel["targets"]]

DEVICE = """
[[device]]
name = "meter"
dev_addr = "01000000"
mode = "verify"
"""

# Alerts whose expression is not true at the site of these tests, and what it would take.
SILENT = {
    "LoraEdgeRadioDeaf": "a radio that does not receive, or a board that was reset",
    "LoraEdgeRadioSilent": "days in which a radio's usual day is learnt",
    "LoraEdgeStoreDegraded": "a card that is full or broken",
    "LoraEdgeStoreDamaged": "a card that returns other bytes than were written",
    "LoraEdgeCardWear": "hours of many commits",
    "LoraEdgeOldestPending": "an upstream that is gone for an hour",
    "LoraEdgeUpstreamParked": "an upstream that refuses us for good",
    "LoraEdgeUpstreamCertificateExpires": "a certificate that ends in three weeks",
    "LoraEdgeUpstreamPaused": "an upstream that is paused for a day",
    "LoraEdgeFramesDropped": "a loss, which the gateway is there to prevent",
    "LoraEdgeFramesReleased": "an upstream that is removed, or too far behind",
    "LoraEdgeDeadLetters": "an upstream that refuses a frame",
}
# True or not, as the machine that runs the tests has it: a time server, other work, a slow disk.
EITHER = {"LoraEdgeClockUnsynchronised", "LoraEdgeEventLoopLag", "LoraEdgeCommitSlow"}


@dataclass
class Site:
    """A gateway with one busy board and one that hears nothing, and its Prometheus."""

    boards: Boards
    gateway: Gateway
    prometheus: Prometheus
    target: str

    def scrape_again(self) -> None:
        """Wait for a scrape that began after this call."""
        before = self.prometheus.scrapes()
        wait_until(lambda: self.prometheus.scrapes() >= before + 2, "Prometheus scrapes")

    def metrics(self) -> str:
        """What the gateway exposes now."""
        with urllib.request.urlopen(f"http://{self.target}/metrics", timeout=10) as answer:
            text: str = answer.read().decode()
            return text


def make_traffic(site: Boards) -> None:
    """Each kind of frame: sealed, forged, no LoRaWAN at all, and two broken on the way."""
    site.inject_surely(uplink_payload(1))
    site.inject_surely(uplink_payload(0), radio=1)
    site.inject_surely(b"\xff\xff", radio=1)
    broken = {"concentrator": "board-1", "radio": 1, "payload": uplink_payload(2).hex()}
    for _ in range(2):
        wait_until(
            lambda: site.order(order="inject", crc_ok=False, **broken)["received"], "a chip listens"
        )


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The real gateway, busy and scraped."""
    folder = tmp_path_factory.mktemp("site")
    port = free_port()
    target = f"127.0.0.1:{port}"
    with boards(folder, count=2, radios=("921.4:9", "921.6:9")) as idle:
        listen_on(folder, port)
        know_a_device(folder)
        with gateway(folder) as running, running_prometheus(folder, target) as prometheus:
            wait_until(running.up, "the boards are configured")
            # Prometheus looks for its targets after 5 s.
            wait_until(prometheus.scrapes, "Prometheus scrapes")
            site = Site(idle, running, prometheus, target)
            for _ in range(3):
                for _ in range(20):
                    make_traffic(idle)
                site.scrape_again()
            yield site


def know_a_device(folder: Path) -> None:
    """Give the gateway a key with which the MICs of the tests do not fit."""
    keys = folder / "keys.toml"
    keys.touch(mode=0o600)
    keys.write_text(f'[meter]\nnwk_s_key = "{"2b" * 16}"\n')
    config = folder / "gateway.toml"
    text = config.read_text().replace("[gateway]\n", f'[gateway]\nkeys_file = "{keys}"\n')
    config.write_text(text + DEVICE)


def as_grafana_sends_it(query: str, target: str) -> str:
    instance = re.escape(target).replace("\\", "\\\\")
    return query.replace("$__rate_interval", "30s").replace("$instance", instance)


def selectors_in(query: str) -> list[str]:
    """The series that an expression asks for, without what it makes of them."""
    return re.findall(r"\b(?:lora_edge_\w+|up\b)(?:\{.*?\})?", query)


@pytest.mark.promtool
@needs("prometheus", "prometheus")
def test_every_query_of_the_dashboard_shows_something(site: Site) -> None:
    queries = [as_grafana_sends_it(query, site.target) for query in QUERIES]

    assert len(queries) > 30
    assert [query for query in queries if not site.prometheus.series(query)] == []


@pytest.mark.promtool
@needs("prometheus", "prometheus")
def test_the_choice_of_gateways_lists_the_gateway(site: Site) -> None:
    [metric, label] = re.findall(
        r"label_values\((\w+), (\w+)\)", DASHBOARD["templating"]["list"][1]["definition"]
    )[0]

    values = site.prometheus.ask(f"label/{label}/values", **{"match[]": metric})

    assert values == [site.target]


@pytest.mark.promtool
@needs("promtool", "prometheus")
def test_promtool_finds_no_fault_in_what_the_gateway_exposes(site: Site) -> None:
    metrics = site.metrics()

    assert promtool_check(metrics) == ""
    assert metrics.count("# HELP lora_edge_") > 30


@pytest.mark.promtool
@needs("prometheus", "prometheus")
def test_the_gateway_exposes_every_metric_that_it_declares(site: Site) -> None:
    families = re.findall(r"^# TYPE (\w+)", site.metrics(), re.MULTILINE)
    samples = "\n".join(line for line in site.metrics().splitlines() if line[0] != "#")

    without = {name for name in families if f"\n{name}" not in f"\n{samples}"}
    # Points in time only a synchronised clock can tell, the others only a site with such a server.
    assert without <= {
        "lora_edge_network_server_downlinks_total",
        "lora_edge_network_server_frames_passed_over_total",
        "lora_edge_network_server_rejects_total",
        "lora_edge_concentrator_last_event_timestamp_seconds",
        "lora_edge_upstream_certificate_expiry_timestamp_seconds",
        "lora_edge_upstream_last_acknowledged_timestamp_seconds",
    }


@pytest.mark.promtool
@needs("prometheus", "prometheus")
def test_every_alert_asks_for_series_that_the_gateway_exposes(site: Site) -> None:
    expressions = site.prometheus.alerts()
    asked = {name: selectors_in(query) for name, query in expressions.items()}

    assert len(asked) == 20
    assert all(asked.values())
    missing = {
        selector
        for selectors in asked.values()
        for selector in selectors
        if not site.prometheus.series(selector)
    }
    assert missing == set()


@pytest.mark.promtool
@needs("prometheus", "prometheus")
def test_alerts_see_each_fault_of_the_gateway_and_no_other(site: Site) -> None:
    alerts = site.prometheus.alerts()

    def seen() -> dict[str, list[dict[str, str]]]:
        found = {name: site.prometheus.series(query) for name, query in alerts.items()}
        return {name: series for name, series in found.items() if series and name not in EITHER}

    site.scrape_again()
    healthy = seen()
    assert set(healthy) == {"LoraEdgeNoFrames", "LoraEdgeCrcRatioHigh"}
    assert [one["concentrator"] for one in healthy["LoraEdgeNoFrames"]] == ["board-2"]
    assert [one["radio"] for one in healthy["LoraEdgeCrcRatioHigh"]] == ["1"]

    site.boards.order(order="fault", concentrator="board-2", fault="unplug", duration_s=0)
    wait_until(lambda: not site.gateway.up(), "the gateway misses the board")
    site.scrape_again()
    unplugged = seen()
    assert set(unplugged) == {"LoraEdgeConcentratorDown", "LoraEdgeCrcRatioHigh"}
    assert [one["concentrator"] for one in unplugged["LoraEdgeConcentratorDown"]] == ["board-2"]

    site.gateway.process.terminate()
    wait_until(lambda: "LoraEdgeGatewayDown" in seen(), "Prometheus misses the gateway")

    with (site.gateway.directory / "gateway.toml").open("a") as config:
        config.write("unknown = \n")
    site.gateway.start()
    site.scrape_again()
    restarted = set(seen())
    assert "LoraEdgeConfigFallback" in restarted
    assert "LoraEdgeGatewayDown" not in restarted

    clock = site.prometheus.series(alerts["LoraEdgeClockUnsynchronised"])
    assert bool(clock) == (not site.gateway.status()["clock_synchronised"])
    tested = {*healthy, *unplugged, *restarted, "LoraEdgeGatewayDown"}
    assert set(alerts) == tested | set(SILENT) | EITHER
    assert tested.isdisjoint(SILENT)


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
        "lora_edge_network_server_downlinks_total",
        "lora_edge_network_server_frames_passed_over_total",
        "lora_edge_network_server_rejects_total",
        "lora_edge_outbox_last_check_timestamp_seconds",
        "lora_edge_outbox_stored_frames",
        "lora_edge_upstream_certificate_expiry_timestamp_seconds",
        "lora_edge_upstream_frames_duplicate_total",
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
