"""Whatever a file and the environment hold, it is a configuration or a list of faults."""

import copy
import tomllib
from datetime import date, time
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from edge.config.document import Document, parse_document
from edge.config.effective import render_effective
from edge.config.faults import ConfigError
from edge.config.load import load_document
from edge.config.toml_lines import key_lines
from tests.edge.config.texts import FILE, FULL

WORDS = [
    "gateway", "concentrator", "radio", "device", "template", "fields", "labels", "outbox",
    "upstream", "monitoring", "logging", "name", "kind", "url", "region", "port", "driver",
    "spreading_factor", "frequency_hz", "max_bytes", "max_age", "listen", "decoder", "mode",
    "keys_file", "1", "-1", "x y", "",
]  # fmt: skip
VALUES: list[Any] = [
    "AS923-2", "roof", "mqtt", "file", "/srv", "auto", "template:roof", "cbor-seq:roof", "30d",
    "2GB", 9, 921_400_000, 0, -1, 2**62, 10**400, 1e308, float("nan"), float("inf"), True, "",
    "mqtt://a:b@[", "x" * 500, "\x00", "\x1b[2J", "\ud7ff", date(2026, 11, 24), time(1, 2), [], {},
]  # fmt: skip

key = st.sampled_from(WORDS) | st.text(max_size=6)
scalar = st.sampled_from(VALUES) | st.integers() | st.floats() | st.text(max_size=20)
tree = st.recursive(
    scalar,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(key, inner, max_size=4),
    max_leaves=12,
)
variables = st.dictionaries(
    st.lists(st.sampled_from([*WORDS, "0", "ROOF"]), min_size=2, max_size=5).map(
        lambda parts: "LORA_EDGE_" + "__".join(parts).upper()
    ),
    st.text(max_size=20) | st.sampled_from(["7", "true", "[1", "{a=1}", "[[", "1=1"]),
    max_size=3,
)


def judge(document: Document, environment: dict[str, str]) -> None:
    """Load; what can be used can also be written and read again."""
    try:
        config = load_document(document, environment).config
    except ConfigError as error:
        check_faults(error)
    else:
        written = parse_document(FILE, render_effective(config).encode())
        assert load_document(written, {}).config == config


def judge_bytes(raw: bytes) -> None:
    """Parse and load."""
    try:
        document = parse_document(FILE, raw)
    except ConfigError as error:
        check_faults(error)
    else:
        judge(document, {})


def check_faults(error: ConfigError) -> None:
    """There is at least one, and each says what and where."""
    assert error.faults
    assert all(fault.message and fault.origin for fault in error.faults)


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_arbitrary_bytes(raw: bytes) -> None:
    judge_bytes(raw)


@given(st.data())
def test_a_damaged_configuration(data: st.DataObject) -> None:
    raw = bytearray(FULL.encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(raw) - 1))
        length = data.draw(st.integers(0, 12))
        raw[at : at + length] = data.draw(st.binary(max_size=4))
    judge_bytes(bytes(raw))


@given(st.dictionaries(key, tree, max_size=5), variables)
def test_arbitrary_trees(values: dict[str, Any], environment: dict[str, str]) -> None:
    judge(Document(FILE, "", values), environment)


@settings(max_examples=300)
@given(st.data(), variables)
def test_a_configuration_with_something_else_in_a_place(
    data: st.DataObject, environment: dict[str, str]
) -> None:
    values = tomllib.loads(FULL)
    for _ in range(data.draw(st.integers(1, 3))):
        table: Any = values
        while True:
            keys = list(table) if isinstance(table, dict) else list(range(len(table)))
            if not keys:
                break
            chosen = data.draw(st.sampled_from(keys))
            inside = isinstance(table[chosen], dict | list) and data.draw(st.booleans())
            if not inside:
                table[chosen] = copy.deepcopy(data.draw(tree))
                break
            table = table[chosen]

    judge(Document(Path("gateway.toml"), FULL, values, key_lines(FULL)), environment)
