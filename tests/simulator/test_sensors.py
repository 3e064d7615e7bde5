"""Sensors send on time, within their duty, what a LoRaWAN receiver can open."""

from dataclasses import replace

import cbor2
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.cmac import CMAC
from hypothesis import given
from hypothesis import strategies as st

from simulator.readings import LABELS, NODE
from simulator.scenario import DeviceKeys
from simulator.sensors import Sensor, Transmission, build_sensors
from tests.simulator.sample_air import FRAME, scenario, tables, ward

SENSORS = {sensor.name: sensor for sensor in build_sensors(scenario(), seed=3)}
LORAWAN = SENSORS["river-01"]
PRIVATE = SENSORS["beach-01"]
DEVICES = scenario().keys()
KEYS = {device.name: device for device in DEVICES}
HOUR_US = 3_600_000_000

sensors = st.sampled_from(list(SENSORS.values()))


@given(sensors, st.integers(-10, HOUR_US))
def test_next_transmission_is_the_first_that_starts_then(sensor: Sensor, after_us: int) -> None:
    """Against a search from the very first packet."""
    number = 0
    while sensor.start_us(number) < after_us:
        number += 1
    assert sensor.next_transmission(after_us) == sensor.transmission(number)


@given(st.floats(0, 0.7), st.integers(0, 1000))
def test_pauses_keep_within_jitter(jitter: float, number: int) -> None:
    """From one start to the next (1 - jitter) to (1 + jitter) periods, so duty can be promised."""
    values = ward()
    tables(values, "group", 0)["jitter"] = jitter
    sensor = build_sensors(scenario(values), seed=1)[0]
    pause_us = sensor.start_us(number + 1) - sensor.start_us(number)
    assert (1 - jitter) * 30e6 - 1 <= pause_us <= (1 + jitter) * 30e6 + 1


def test_the_mean_period_is_kept() -> None:
    assert LORAWAN.start_us(1000) - LORAWAN.start_us(0) == pytest.approx(30e9, rel=0.001)


@given(sensors, st.integers(0, 100_000))
def test_duty_cycle_of_one_percent(sensor: Sensor, number: int) -> None:
    sent = sensor.transmission(number)
    assert sent.end_us - sent.start_us <= 0.01 * (sensor.start_us(number + 1) - sent.start_us)


def test_devices_hop_over_their_channels() -> None:
    """Both, at random: 500 +- 3 standard deviations of 1 000."""
    used = [LORAWAN.transmission(number).frequency_hz for number in range(1000)]
    assert set(used) == {921_400_000, 921_600_000}
    assert 500 - 48 < used.count(921_400_000) < 500 + 48


def opened(keys: DeviceKeys, phy_payload: bytes, f_cnt: int) -> bytes:
    """FRMPayload in clear, after its MIC fits: LoRaWAN L2 1.0.4, 4.3.3 and 4.4, read again here."""
    body, mic = phy_payload[:-4], phy_payload[-4:]
    address, counter = keys.dev_addr[::-1], f_cnt.to_bytes(4, "little")
    block = bytes(5) + address + counter + b"\0"
    cmac = CMAC(algorithms.AES(keys.nwk_s_key))
    cmac.update(b"\x49" + bytes(4) + block[4:] + bytes([len(body)]) + body)
    assert cmac.finalize()[:4] == mic
    assert body[:9] == b"\x40" + address + b"\0" + counter[:2] + bytes([keys.f_port])
    keystream = Cipher(algorithms.AES(keys.app_s_key), modes.ECB()).encryptor()
    stream = keystream.update(b"".join(b"\x01" + bytes(4) + block[4:] + bytes([i]) for i in (1, 2)))
    return bytes(a ^ b for a, b in zip(body[9:], stream, strict=False))


@given(st.sampled_from(sorted(KEYS)), st.integers(0, 200_000))
def test_a_receiver_with_the_keys_opens_every_frame(name: str, number: int) -> None:
    """Counters beyond 16 bits included: the wire carries the lower half, the MIC all of it."""
    plain = opened(KEYS[name], SENSORS[name].transmission(number).payload, number)
    assert cbor2.loads(plain).keys() <= LABELS.keys()


def test_private_nodes_send_plain_cbor() -> None:
    sent = PRIVATE.transmission(4)
    assert NODE in cbor2.loads(sent.payload)
    assert (sent.sync_word, sent.frequency_hz) == (0x12, 922_400_000)


def test_settings_come_from_the_group() -> None:
    sent = SENSORS["air-02"].transmission(1)
    assert (sent.spreading_factor, sent.bandwidth_hz, sent.coding_rate) == (8, 125_000, "4/5")
    assert (sent.sync_word, sent.preamble_symbols, sent.crc, sent.invert_iq) == (
        0x34,
        8,
        True,
        False,
    )
    assert sent.power_dbm == 14


def test_time_on_air() -> None:
    """Semtech AN1200.13: 29 bytes at SF8, CR 4/5: (8 + 4.25 + 8 + 8 * 5) symbols of 2.048 ms."""
    sent = SENSORS["air-02"].transmission(1)
    assert len(sent.payload) == 29
    assert sent.end_us - sent.start_us == 123_392


@pytest.mark.parametrize(("spreading_factor", "symbol_us"), [(7, 1024), (9, 4096), (12, 32_768)])
def test_symbol_duration(spreading_factor: int, symbol_us: int) -> None:
    assert replace(FRAME, spreading_factor=spreading_factor).symbol_us == symbol_us


def first_packets(sensors: tuple[Sensor, ...]) -> dict[str, list[Transmission]]:
    return {sensor.name: [sensor.transmission(n) for n in range(5)] for sensor in sensors}


def test_seeds_change_chance_but_not_the_city() -> None:
    """Another run meets the same devices at the same places, at other times."""
    one, other = (build_sensors(scenario(), seed)[0].transmission(0) for seed in (1, 2))
    assert one.start_us != other.start_us
    assert (one.position, one.payload[1:5]) == (other.position, other.payload[1:5])


@given(st.integers(5, 12), st.integers(1, 5))
def test_new_sensors_change_no_other(river: int, rain: int) -> None:
    """Neither a group that grows nor one that is put in front of the others."""
    values = ward()
    tables(values, "group", 0)["count"] = river
    groups = values["group"]
    assert isinstance(groups, list)
    groups.insert(0, {**groups[0], "name": "rain", "count": rain})
    before = first_packets(build_sensors(scenario(), 1))
    after = first_packets(build_sensors(scenario(values), 1))
    assert len(after) == len(before) + river - 5 + rain
    assert {name: after[name] for name in before} == before
