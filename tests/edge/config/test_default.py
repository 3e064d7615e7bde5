"""The printed default: valid, complete, and true."""

import dataclasses
import re
import tomllib
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints

import pytest

from edge.config.default import render_default
from edge.config.fields import key_of, notation_of
from edge.config.model import (
    Config,
    DeviceConfig,
    DeviceKeysConfig,
    GatewayConfig,
    LoggingConfig,
    MonitoringConfig,
    OutboxConfig,
    RadioConfig,
    UpstreamConfig,
)
from edge.upstreams.registry import UPSTREAMS, upstream_factory
from protocol.records.template import Template, TemplateField
from tests.edge.config.texts import load

DEFAULT = render_default()
UNCOMMENTED = re.sub(r"^#(?=\S)", "", DEFAULT, flags=re.MULTILINE)


def tables(cls: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All dataclasses that the configuration is read into, with their keys' way."""
    yield path, cls
    types = get_type_hints(cls)
    for field in dataclasses.fields(cls):
        inner = [a for a in (types[field.name], *get_args(types[field.name]))
                 if dataclasses.is_dataclass(a)]  # fmt: skip
        key = key_of(field)
        if inner and key is not None:
            yield from tables(inner[0], (*path, key))


def keys_of(cls: Any) -> set[str]:
    """Keys that a table of the file may have."""
    return {key for field in dataclasses.fields(cls) if (key := key_of(field)) is not None}


def test_as_printed_it_can_be_used_and_says_nothing_but_the_region() -> None:
    assert tomllib.loads(DEFAULT)["gateway"] == {"region": "AS923-2"}

    config = load(DEFAULT).config

    assert config == Config(gateway=config.gateway)
    assert config.gateway == GatewayConfig(region="AS923-2")


def test_with_everything_uncommented_it_is_valid_too() -> None:
    # The keys file is only looked at where it is.
    config = load(UNCOMMENTED.replace('mode = "open"', 'mode = "opaque"')).config

    assert [upstream.kind for upstream in config.upstreams] == list(UPSTREAMS)
    assert len(config.concentrators[0].radios) == 1
    assert config.devices
    assert config.templates
    assert config.labels


@pytest.mark.parametrize(("path", "cls"), list(tables(Config))[1:], ids=str)
def test_every_key_of_every_table_is_named(path: tuple[str, ...], cls: Any) -> None:
    table: Any = tomllib.loads(UNCOMMENTED)
    for key in path:
        table = table[key]
        table = table[0] if isinstance(table, list) else table
    if path == ("labels",):
        table = table["1"]
    missing = keys_of(cls) - table.keys()

    # What has no example is explained in words.
    assert all(f"\n# {key}: " in DEFAULT for key in missing), missing


@pytest.mark.parametrize("kind", list(UPSTREAMS))
def test_every_option_of_every_upstream_is_named(kind: str) -> None:
    [table] = [t for t in tomllib.loads(UNCOMMENTED)["upstream"] if t["kind"] == kind]

    assert table.keys() == keys_of(upstream_factory(kind).Options) | keys_of(UpstreamConfig)


@pytest.mark.parametrize(
    ("section", "cls"),
    [
        ("gateway", GatewayConfig),
        ("outbox", OutboxConfig),
        ("monitoring", MonitoringConfig),
        ("logging", LoggingConfig),
    ],
)
def test_shown_values_are_the_defaults_unless_it_says_otherwise(section: str, cls: Any) -> None:
    """Held against the dataclasses, line by line."""
    shown = tomllib.loads(UNCOMMENTED)[section]
    for field in dataclasses.fields(cls):
        key = str(key_of(field))
        notation = notation_of(field)
        value = notation.read(shown[key]) if notation else shown[key]
        comment = comment_above(DEFAULT, key)
        if value != field.default:
            assert "required" in comment or "not set by default" in comment or "default " in comment


def comment_above(text: str, key: str) -> str:
    """The prose right above the first line of a key."""
    lines = text.splitlines()
    at = next(n for n, line in enumerate(lines) if re.match(rf"#?{key} = ", line))
    start = at
    while lines[start - 1].startswith("# "):
        start -= 1
    return " ".join(lines[start:at])


@pytest.mark.parametrize(
    "cls", [GatewayConfig, RadioConfig, DeviceConfig, DeviceKeysConfig, OutboxConfig,
            UpstreamConfig, LoggingConfig, *(upstream_factory(kind).Options for kind in UPSTREAMS)]
)  # fmt: skip
def test_every_key_has_its_help(cls: Any) -> None:
    for field in dataclasses.fields(cls):
        if key_of(field) is not None:
            assert field.metadata["help"].strip(), field.name


@pytest.mark.parametrize("cls", [Template, TemplateField])
def test_every_key_of_a_template_is_explained(cls: Any) -> None:
    for field in dataclasses.fields(cls):
        if field.name != "fields":
            assert f"#{field.name} = " in DEFAULT or f"# {field.name}: " in DEFAULT


def test_lines_are_short_enough_for_a_terminal() -> None:
    assert max(map(len, DEFAULT.splitlines())) <= 100
