"""Environment variables that override the file."""

import pytest

from edge.config.environment import overrides
from tests.edge.config.texts import FULL, MINIMAL, faults, lines, load


@pytest.mark.parametrize(
    ("variable", "value", "path"),
    [
        ("LORA_EDGE_GATEWAY__REGION", "EU868", "gateway.region"),
        ("LORA_EDGE_GATEWAY__LATITUDE", "-1.5", "gateway.latitude"),
        ("LORA_EDGE_OUTBOX__MAX_BYTES", "1GB", "outbox.max_bytes"),
        ("LORA_EDGE_OUTBOX__MAX_BYTES", "1_000_000_000", "outbox.max_bytes"),
        ("LORA_EDGE_OUTBOX__MAX_AGE", "7d", "outbox.max_age_s"),
        ("LORA_EDGE_LOGGING__LEVEL", "debug", "logging.level"),
        ("LORA_EDGE_CONCENTRATOR__ROOF__PORT", "/dev/a", "concentrators.0.port"),
        ("LORA_EDGE_CONCENTRATOR__0__BAUD", "9600", "concentrators.0.baud"),
        (
            "LORA_EDGE_CONCENTRATOR__ROOF__RADIO__1__SYNC_WORD",
            "0x34",
            "concentrators.0.radios.1.sync_word",
        ),
        ("LORA_EDGE_UPSTREAM__CITY__URL", "mqtt://b", "upstreams.0.options.url"),
        (
            "LORA_EDGE_UPSTREAM__CITY__ACCEPT_NO_SUBSCRIBER",
            "true",
            "upstreams.0.options.accept_no_subscriber",
        ),
        (
            "LORA_EDGE_DEVICE__FLOOD_CAM_LE_01__ALLOW_COUNTER_RESET",
            "true",
            "devices.0.allow_counter_reset",
        ),
    ],
)
def test_a_variable_wins_over_the_file(variable: str, value: str, path: str) -> None:
    meanings = {
        "EU868": "EU868", "-1.5": -1.5, "1GB": 10**9, "1_000_000_000": 10**9, "7d": 604_800.0,
        "debug": "debug", "/dev/a": "/dev/a", "9600": 9600, "0x34": 0x34, "mqtt://b": "mqtt://b",
        "true": True,
    }  # fmt: skip
    found: object = load(FULL, {variable: value}).config
    for part in path.split("."):
        found = found[int(part)] if isinstance(found, tuple) else getattr(found, part)

    assert found == meanings[value]


def test_a_variable_makes_what_the_file_has_not() -> None:
    assert load(MINIMAL, {"LORA_EDGE_MONITORING__LISTEN": ""}).config.monitoring.listen == ""
    assert load("", {"LORA_EDGE_GATEWAY__REGION": "US915"}).config.gateway.region == "US915"


def test_text_that_looks_like_a_number_stays_text_where_text_is_wanted() -> None:
    config = load(FULL, {"LORA_EDGE_UPSTREAM__CITY__USERNAME": "12345"}).config

    assert config.upstreams[0].options.username == "12345"


@pytest.mark.parametrize(
    ("variable", "value", "message"),
    [
        ("LORA_EDGE_GATEWAY__REGOIN", "EU868", "unknown key (did you mean region?)"),
        ("LORA_EDGE_OUTBOX__MAX_AGE", "soon", "must be a duration"),
        ("LORA_EDGE_OUTBOX__MAX_BYTES", "much", "must be a number of bytes or a size"),
        ("LORA_EDGE_CONCENTRATOR__ROOF__BAUD", "fast", 'must be a whole number, not "fast"'),
        ("LORA_EDGE_CONCENTRATOR__ROOF__BAUD", "7\nx = 8", "must be a whole number"),
        ("LORA_EDGE_CONCENTRATOR__ROOF__BAUD", "[" * 10_000, "must be a whole number"),
        ("LORA_EDGE_UPSTREAM__CTY__URL", "x", "there are: city, disk did you mean city?"),
        ("LORA_EDGE_CONCENTRATOR__9__BAUD", "1", "no table of the list has this name"),
        ("LORA_EDGE_CONCENTRATOR__ROOF__RADIO__9__CRC", "any", "there are: none with a name"),
        ("LORA_EDGE_GATEWAY__ID__X", "1", "names no key of a table"),
        ("LORA_EDGE_GATEWAY__STATE_DIR", "/\udcff", "is not UTF-8 text"),
        ("LORA_EDGE_GATEWAY__", "1", "names no key of a table"),
        ("LORA_EDGE___X", "1", "names no key of a table"),
        ("LORA_EDGE_UPSTREAM__CITY", "1", "names no key of a table"),
        ("LORA_EDGE_SPEED__X", "1", "unknown key"),
    ],
)
def test_a_fault_names_the_variable(variable: str, value: str, message: str) -> None:
    found = faults(FULL, {variable: value})

    assert len(found) == 1
    assert found[0].origin == variable
    assert message in str(found[0])


def test_faults_of_file_and_environment_are_listed_together() -> None:
    text = FULL.replace("spreading_factor = 10", "spreading_factor = 99")

    found = lines(text, {"LORA_EDGE_OUTBOX__MAX_AGE": "soon", "LORA_EDGE_LOGGING__LEVEL": "loud"})

    assert [line.split(": ")[0] for line in found] == [
        "LORA_EDGE_LOGGING__LEVEL",
        "LORA_EDGE_OUTBOX__MAX_AGE",
        "gateway.toml:24",
    ]


def test_only_variables_of_the_configuration_count() -> None:
    environ = {"PATH": "/bin", "LORA_EDGE_HOME": "/x", "LORA_EDGE_A__B": "1", "XLORA_EDGE_A__B": ""}

    assert overrides(environ) == {"LORA_EDGE_A__B": "1"}
