"""Going back to the last configuration that worked."""

import logging
import stat
from pathlib import Path

import pytest

from edge.config.faults import ConfigError
from edge.config.last_good import (
    FILE_NAME,
    KEYS_FILE_NAME,
    load_or_last_good,
    remember_good,
)
from tests.edge.config.test_keys import KEYS, NWK_S_KEY, write
from tests.edge.config.texts import MINIMAL

MAX_AGE = {"LORA_EDGE_OUTBOX__MAX_AGE": "7d"}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    directory = tmp_path / "state"
    directory.mkdir()
    return directory


def test_a_good_configuration_is_the_present_one(tmp_path: Path, state: Path) -> None:
    config = write(tmp_path)

    start = load_or_last_good(config, {}, state)

    assert not start.is_last_good
    assert start.loaded.config.gateway.region == "AS923-2"


def test_a_faulty_one_gives_way_to_the_last_good_with_keys_and_variables(
    tmp_path: Path, state: Path
) -> None:
    config = write(tmp_path)
    good = load_or_last_good(config, MAX_AGE, state).loaded
    remember_good(good, state)
    config.write_text("[gateway\n")
    (tmp_path / "keys.toml").write_text("broken")

    start = load_or_last_good(config, {}, state)

    assert start.is_last_good
    assert [fault.origin for fault in start.faults] == [f"{config}:1"]
    assert start.loaded.config.outbox.max_age_s == 7 * 86_400
    assert start.loaded.config.devices == good.config.devices
    assert start.loaded.config.devices[0].nwk_s_key == bytes.fromhex(NWK_S_KEY)


def test_what_is_kept_can_be_read_by_its_owner_only(tmp_path: Path, state: Path) -> None:
    remember_good(load_or_last_good(write(tmp_path), {}, state).loaded, state)

    for name in (FILE_NAME, KEYS_FILE_NAME):
        assert stat.S_IMODE((state / name).stat().st_mode) == 0o600
    assert (state / KEYS_FILE_NAME).read_text() == KEYS


def test_without_a_good_one_the_faults_are_those_of_the_present_one(
    tmp_path: Path, state: Path
) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text("region = 7\n")

    with pytest.raises(ConfigError) as raised:
        load_or_last_good(config, {}, state)

    assert any("region" in fault.path for fault in raised.value.faults)


def test_a_last_good_one_that_is_none_any_more_is_logged(
    tmp_path: Path, state: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (state / FILE_NAME).write_text("[gateway]\nregion = 'Atlantis'\n")

    with caplog.at_level(logging.ERROR), pytest.raises(ConfigError, match="does not exist"):
        load_or_last_good(tmp_path / "gateway.toml", {}, state)

    assert "the last good configuration cannot be used either" in caplog.text


@pytest.mark.parametrize(
    "value", ['quo"te', "back\\slash", "line\nbreak", "\x1b[2J", "sông Hàn", "'''", ""]
)
def test_any_variable_comes_back_as_it_was(value: str, tmp_path: Path, state: Path) -> None:
    config = tmp_path / "gateway.toml"
    config.write_text(f"{MINIMAL}[[upstream]]\nname = 'a'\nkind = 'mqtt'\nurl = 'mqtt://b'\n")
    variables = {"LORA_EDGE_UPSTREAM__A__USERNAME": value}
    remember_good(load_or_last_good(config, variables, state).loaded, state)
    config.unlink()

    restored = load_or_last_good(config, {}, state).loaded

    assert restored.config.upstreams[0].options.username == value
    assert dict(restored.variables) == variables
