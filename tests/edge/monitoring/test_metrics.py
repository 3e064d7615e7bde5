"""Names and series keep the conventions that dashboards rely on."""

import re
import shutil
import subprocess

import pytest
from prometheus_client import generate_latest

from drivers.registry import DRIVERS, link_rejects
from edge.monitoring.metrics import Metrics
from protocol.lora.events import DropReason

NEEDS_PROMTOOL = pytest.mark.skipif(
    shutil.which("promtool") is None, reason="NOT RUN: needs Debian package prometheus"
)


def registered() -> Metrics:
    metrics = Metrics("1.2.3")
    metrics.register_upstream("city")
    metrics.register_concentrator("roof", 2, link_rejects("bridge"))
    return metrics


@pytest.mark.promtool
@NEEDS_PROMTOOL
def test_promtool_has_nothing_to_say() -> None:
    lint = subprocess.run(
        ["promtool", "check", "metrics"],
        input=generate_latest(registered().registry),
        capture_output=True,
        check=False,
    )

    assert (lint.returncode, lint.stdout, lint.stderr) == (0, b"", b"")


def test_every_drop_reason_is_exported_as_zero_from_the_start() -> None:
    registry = Metrics("1.2.3").registry

    for reason in DropReason:
        labels = {"reason": reason.value}
        assert registry.get_sample_value("lora_edge_frames_dropped_total", labels) == 0


@pytest.mark.parametrize("driver", DRIVERS)
def test_every_reason_of_a_family_is_exported_as_zero_from_the_start(driver: str) -> None:
    metrics = Metrics("1.2.3")
    metrics.register_concentrator("roof", 1, link_rejects(driver))

    reasons = {
        sample.labels["reason"]: sample.value
        for sample in next(iter(metrics.link_rejects.collect())).samples
    }
    assert reasons == dict.fromkeys(link_rejects(driver), 0)
    assert "too_long" in reasons


def test_every_series_has_the_prefix_or_is_of_the_process() -> None:
    text = generate_latest(registered().registry).decode()

    names = re.findall(r"^# TYPE (\S+)", text, re.MULTILINE)
    assert [name for name in names if not name.startswith(("lora_edge_", "process_"))] == []
    assert "process_resident_memory_bytes" in names
    assert 'lora_edge_build_info{python="' in text


def test_no_series_tells_when_a_counter_was_made() -> None:
    assert "_created" not in generate_latest(registered().registry).decode()


def test_two_objects_do_not_share_their_figures() -> None:
    first, second = Metrics("1"), Metrics("2")
    first.frames_merged.inc()

    assert second.registry.get_sample_value("lora_edge_frames_merged_total") == 0
