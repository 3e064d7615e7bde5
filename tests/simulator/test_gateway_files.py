"""Files for a gateway: TOML that says what the scenario says."""

import os
import stat
import tomllib
from pathlib import Path

from simulator.gateway_files import bare_gateway_toml, gateway_toml, keys_toml, write_private
from simulator.scenario import RadioPlan
from tests.simulator.sample_air import scenario

SITE = Path("/somewhere/site")


def test_concentrators_and_radios_are_the_scenarios() -> None:
    config = tomllib.loads(gateway_toml(scenario(), SITE))
    assert config["gateway"]["region"] == "AS923-2"
    (concentrator,) = config["concentrator"]
    assert (concentrator["name"], concentrator["port"]) == ("roof", "/somewhere/site/roof")
    assert concentrator["radio"] == [
        {
            "frequency_hz": 921_400_000,
            "spreading_factor": 7,
            "bandwidth_hz": 125_000,
            "sync_word": 0x34,
            "payload": "lorawan",
        }
    ]


def test_every_lorawan_sensor_is_a_device_with_keys_and_no_other() -> None:
    """The private ones along the beach have neither."""
    city = scenario()
    devices = tomllib.loads(gateway_toml(city, SITE))["device"]
    keys = tomllib.loads(keys_toml(city))
    assert [device["name"] for device in devices] == list(keys)
    assert len(devices) == 9
    for device, key in zip(devices, city.keys(), strict=True):
        assert device["dev_addr"] == key.dev_addr.hex()
        assert (device["mode"], device["decoder"]) == ("open", "cbor")
        assert keys[device["name"]] == {
            "nwk_s_key": key.nwk_s_key.hex(),
            "app_s_key": key.app_s_key.hex(),
        }


def test_labels_are_those_of_the_readings() -> None:
    city = scenario()
    labels = tomllib.loads(gateway_toml(city, SITE))["labels"]
    assert {int(number) for number in labels} == set(city.labels())
    for number, label in city.labels().items():
        written = labels[str(number)]
        assert (written["name"], written["exponent"]) == (label.name, label.exponent)
        assert written.get("unit", "") == (label.unit or "")


def test_everything_stays_in_the_sites_directory() -> None:
    config = tomllib.loads(gateway_toml(scenario(), SITE))
    gateway, (upstream,) = config["gateway"], config["upstream"]
    paths = [gateway[key] for key in ("state_dir", "keys_file", "control_socket")]
    assert {str(Path(path).parent) for path in (*paths, upstream["path"])} == {str(SITE)}


def test_a_private_radio_takes_cbor() -> None:
    """Sync word 0x12, and nobody's devices."""
    plan = RadioPlan(922_400_000, 7, 125_000, 0x12)
    config = tomllib.loads(bare_gateway_toml("EU868", SITE, {"a": [plan], "b": [plan, plan]}))
    assert config["gateway"]["region"] == "EU868"
    assert [len(concentrator["radio"]) for concentrator in config["concentrator"]] == [1, 2]
    assert config["concentrator"][0]["radio"][0]["payload"] == "cbor"
    assert "device" not in config
    assert "keys_file" not in config["gateway"]


def test_keys_are_for_their_owner_only(tmp_path: Path) -> None:
    """Also where a file of the same name was open to all."""
    path = tmp_path / "keys.toml"
    path.write_text("old, and longer than what replaces it")
    path.chmod(0o666)
    old_mask = os.umask(0)
    try:
        write_private(path, "new")
        write_private(tmp_path / "fresh", "new")
    finally:
        os.umask(old_mask)
    for file in (path, tmp_path / "fresh"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        assert file.read_text() == "new"
