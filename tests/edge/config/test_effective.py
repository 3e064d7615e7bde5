"""Configurations written as TOML."""

import tomllib
from dataclasses import field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.config.default import render_default
from edge.config.effective import render_effective
from edge.config.toml_text import format_value, quoted
from protocol.records.sensor_frame import FrameClass
from tests.edge.config.texts import FULL, MINIMAL, load


@pytest.mark.parametrize(
    "text", [FULL, MINIMAL, render_default()], ids=["full", "least", "default"]
)
def test_the_effective_configuration_loads_as_the_same(text: str) -> None:
    config = load(text).config

    written = render_effective(config)

    assert load(written).config == config
    assert render_effective(load(written).config) == written


def test_it_holds_what_variables_set() -> None:
    config = load(FULL, {"LORA_EDGE_OUTBOX__MAX_BYTES": "3GB"}).config

    assert tomllib.loads(render_effective(config))["outbox"]["max_bytes"] == 3_000_000_000


@given(st.text())
def test_any_text_is_read_as_it_was_written(text: str) -> None:
    written = quoted(text)

    assert tomllib.loads(f"v = {written}")["v"] == text
    assert written.isprintable()


@given(st.one_of(st.booleans(), st.integers(-(2**63), 2**63 - 1), st.text(),
                 st.floats(allow_nan=False), st.lists(st.integers(0, 9))))  # fmt: skip
def test_any_value_is_read_as_it_was_written(value: object) -> None:
    assert tomllib.loads(f"v = {format_value(value)}")["v"] == value


def test_values_are_written_as_people_write_them() -> None:
    assert format_value(921_400_000) == "921_400_000"
    assert format_value(FrameClass.ALARM) == '"alarm"'
    assert format_value(Path("/srv")) == '"/srv"'
    assert format_value(0x34, field_with(hexadecimal=True)) == "0x34"
    with pytest.raises(TypeError, match="TOML has no NoneType"):
        format_value(None)


def field_with(**metadata: object):  # type: ignore[no-untyped-def]
    """A dataclass field with this description."""
    made = field(metadata=metadata)
    made.name = "sync_word"
    return made
