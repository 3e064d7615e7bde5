"""The keys file, and that no secret is ever shown."""

from pathlib import Path

import pytest

from edge.config.effective import render_effective
from edge.config.faults import ConfigError
from edge.config.load import LoadedConfig, load_config
from protocol.lorawan.device import DeviceMode
from tests.edge.config.texts import FULL, lines

NWK_S_KEY, APP_S_KEY = "2b7e151628aed2a6abf7158809cf4f3c", "3c4fcf098815f7aba6d2ae2816157e2b"
KEYS = f'[flood-cam-le-01]\nnwk_s_key = "{NWK_S_KEY}"\napp_s_key = "{APP_S_KEY}"\n'


def write(directory: Path, *, mode: str = "open", keys: str = KEYS) -> Path:
    """A configuration whose device has a mode, beside a keys file."""
    path = directory / "keys.toml"
    path.touch(mode=0o600)
    path.write_text(keys)
    config = directory / "gateway.toml"
    text = FULL.replace('region = "AS923-2"', f'region = "AS923-2"\nkeys_file = "{path}"')
    config.write_text(
        text.replace('dev_addr = "01a2b3c4"', f'dev_addr = "01a2b3c4"\nmode = "{mode}"')
    )
    return config


def load(config: Path) -> LoadedConfig:
    return load_config(config, {})


def all_faults(config: Path) -> list[str]:
    with pytest.raises(ConfigError) as raised:
        load(config)
    return [str(fault) for fault in raised.value.faults]


def test_a_device_gets_only_the_keys_that_its_mode_needs(tmp_path: Path) -> None:
    [device] = load(write(tmp_path, mode="open")).config.devices
    assert device.mode is DeviceMode.OPEN
    assert device.nwk_s_key == bytes.fromhex(NWK_S_KEY)
    assert device.app_s_key == bytes.fromhex(APP_S_KEY)

    [device] = load(write(tmp_path, mode="verify")).config.devices
    assert (device.nwk_s_key, device.app_s_key) == (bytes.fromhex(NWK_S_KEY), None)

    [device] = load(write(tmp_path, mode="opaque")).config.devices
    assert (device.nwk_s_key, device.app_s_key) == (None, None)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o610, 0o777])
def test_keys_that_others_may_read_are_refused(tmp_path: Path, mode: int) -> None:
    config = write(tmp_path)
    (tmp_path / "keys.toml").chmod(mode)

    [found] = all_faults(config)

    assert f"others than its owner may use it (mode {mode:04o})" in found
    assert f"chmod 600 {tmp_path}/keys.toml" in found


def test_a_mode_that_needs_keys_needs_a_keys_file() -> None:
    text = FULL.replace('dev_addr = "01a2b3c4"', 'dev_addr = "01a2b3c4"\nmode = "verify"')

    [found] = lines(text)

    assert "device.flood-cam-le-01.mode: verify needs keys, but no keys_file is set" in found


@pytest.mark.parametrize(
    ("mode", "keys", "message"),
    [
        ("verify", "", "has no table [flood-cam-le-01]"),
        ("open", f'[flood-cam-le-01]\nnwk_s_key = "{NWK_S_KEY}"\n', "open needs an app_s_key"),
        ("open", f'[flood-cam-le-01]\napp_s_key = "{APP_S_KEY}"\n', "nwk_s_key: is missing"),
        ("open", f"{KEYS}nwk_skey = 1\n", "keys.toml:4: flood-cam-le-01.nwk_skey: unknown key"),
        ("open", f'nwk_s_key = "{NWK_S_KEY}"\n', "must be in a table that is named as its device"),
        ("open", KEYS.replace(NWK_S_KEY, NWK_S_KEY[:-1]), "text of 32 hexadecimal digits"),
        ("open", KEYS.replace(f'"{NWK_S_KEY}"', NWK_S_KEY), "keys.toml:2: is not TOML"),
        ("open", KEYS.replace(f'"{NWK_S_KEY}"', "7"), "text of 32 hexadecimal digits"),
        ("open", KEYS.replace(f'"{NWK_S_KEY}"', f'"{NWK_S_KEY}\nx'), "is not TOML"),
    ],
)
def test_a_faulty_keys_file_is_told_without_its_keys(
    tmp_path: Path, mode: str, keys: str, message: str
) -> None:
    found = "\n".join(all_faults(write(tmp_path, mode=mode, keys=keys)))

    assert message in found
    for key in (NWK_S_KEY, APP_S_KEY, NWK_S_KEY[:-1]):
        assert key[:8] not in found


def test_a_keys_file_is_not_needed_where_nobody_needs_keys(tmp_path: Path) -> None:
    config = write(tmp_path, mode="opaque")
    (tmp_path / "keys.toml").unlink()

    loaded = load(config)

    assert any("keys.toml: does not exist" in str(warning) for warning in loaded.warnings)


def test_keys_that_nobody_uses_are_warned_of(tmp_path: Path) -> None:
    keys = KEYS + KEYS.replace("flood-cam-le-01", "flood-cam-le-1")

    loaded = load(write(tmp_path, keys=keys))

    [warning] = [str(w) for w in loaded.warnings if "keys.toml" in str(w)]
    assert "flood-cam-le-1: no device has this name (did you mean flood-cam-le-01?)" in warning


def test_keys_are_in_no_text_made_of_a_configuration(tmp_path: Path) -> None:
    config = load(write(tmp_path)).config

    for text in (repr(config), str(config), render_effective(config)):
        assert "flood-cam-le-01" in text
        assert NWK_S_KEY not in text
        assert repr(bytes.fromhex(NWK_S_KEY)) not in text
        assert repr(bytes.fromhex(APP_S_KEY)) not in text


def test_a_password_in_a_url_is_refused_without_being_shown() -> None:
    text = FULL.replace("mqtts://broker", "mqtts://user:s3cret@broker")

    [found] = lines(text)

    assert "must not hold a password: there are keys for user name and password file" in found
    assert "s3cret" not in found
    assert "user:***@broker" in found


def test_a_password_in_a_variable_is_refused_without_being_shown() -> None:
    [found] = lines(FULL, {"LORA_EDGE_UPSTREAM__CITY__URL": "mqtts://user:s3cret@broker"})

    assert found.startswith("LORA_EDGE_UPSTREAM__CITY__URL: ")
    assert "s3cret" not in found
