"""What a scenario tells the gateway: devices, keys, labels."""

import re
from dataclasses import replace

import pytest

from simulator.readings import SensorKind
from simulator.scenario import DeviceClass, sensor_name
from tests.simulator.sample_air import scenario

GROUP = scenario().groups[0]
KEYS = scenario().keys()


def test_keys_are_of_lorawan_sensors_only() -> None:
    names = [device.name for device in KEYS]
    assert names == [*(f"river-0{i}" for i in range(1, 6)), *(f"air-0{i}" for i in range(1, 5))]


def test_keys_have_their_sizes_and_differ() -> None:
    """4-byte addresses, 16-byte keys, all different, in the range for private networks."""
    secrets = {secret for device in KEYS for secret in (device.nwk_s_key, device.app_s_key)}
    assert len(secrets) == 2 * len(KEYS)
    assert {len(secret) for secret in secrets} == {16}
    assert len({device.dev_addr for device in KEYS}) == len(KEYS)
    # NwkID 0: the seven most significant bits of the address are 0 (LoRaWAN 1.0.4, 6.1.1).
    assert all(int.from_bytes(device.dev_addr, "big") >> 25 == 0 for device in KEYS)


def test_keys_follow_the_seed_of_the_scenario() -> None:
    theirs = replace(scenario(), seed=8).keys()
    assert scenario().keys() == KEYS
    assert not {k.app_s_key for k in KEYS} & {k.app_s_key for k in theirs}


def test_what_the_gateway_is_told_of_a_device() -> None:
    alarms = replace(GROUP, device_class=DeviceClass.ALARM, f_port=42)
    device = replace(scenario(), groups=(alarms,)).keys()[0]
    assert (device.device_class, device.f_port, device.decoder) == ("alarm", 42, "cbor")


def test_names_are_those_a_gateway_accepts() -> None:
    names = [sensor.name for sensor in scenario().sensors()]
    assert len(set(names)) == len(names) == 12
    assert all(re.fullmatch(r"[a-z0-9-]{1,64}", name) for name in names)


def test_a_name_does_not_depend_on_the_size_of_its_group() -> None:
    assert (sensor_name("a", 0), sensor_name("a", 98), sensor_name("a", 99)) == (
        "a-01", "a-99", "a-100",
    )  # fmt: skip


def test_labels_name_every_measurement_once() -> None:
    labels = scenario().labels()
    assert len({label.name for label in labels.values()}) == len(labels)
    assert (labels[1].name, labels[1].exponent, labels[1].unit) == ("water_level", -2, "m")


@pytest.mark.parametrize(("name", "overhead", "sync_word"), [("air", 13, 0x34), ("beach", 0, 0x12)])
def test_what_a_payload_kind_means(name: str, overhead: int, sync_word: int) -> None:
    """LoRaWAN adds 13 bytes: MHDR, address, control, counter, port, MIC."""
    group = next(group for group in scenario().groups if group.name == name)
    longest = {SensorKind.AIR: 16, SensorKind.PRIVATE: 22}[group.kind]
    assert (group.longest_payload_bytes, group.sync_word) == (longest + overhead, sync_word)


def test_time_on_air() -> None:
    """20 bytes: SF7 56.576 ms, SF9 185.344 ms (simulators agree with Semtech AN1200.13)."""
    assert GROUP.time_on_air_us(20) == 56_576
    assert replace(GROUP, spreading_factor=9).time_on_air_us(20) == 185_344
