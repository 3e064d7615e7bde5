"""Which metrics the service exports, and which a query asks for."""

import re
from pathlib import Path

from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families

from edge.monitoring.metrics import Metrics

DEPLOY = Path(__file__).parents[2] / "deploy"

_NAME = re.compile(r"\b(?:lora_edge|process)_[a-z0-9_]+")


def exported_names() -> set[str]:
    """Return every name that Prometheus may store, also of metrics that have no series yet."""
    metrics = Metrics("0")
    names: set[str] = set()
    for family in text_string_to_metric_families(generate_latest(metrics.registry).decode()):
        match family.type:
            case "counter":
                names.add(f"{family.name}_total")
            case "histogram":
                names |= {f"{family.name}_{part}" for part in ("bucket", "sum", "count")}
            case _:
                names.add(family.name)
    return names


def names_in(query: str) -> set[str]:
    return set(_NAME.findall(query))
