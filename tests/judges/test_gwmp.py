"""``pamoja-gateway`` judges our half of the Semtech UDP protocol, both ways."""

import random
from collections.abc import Iterator
from typing import Any

import pytest

from protocol.network_server.gwmp import Datagram, Kind, parse, serialize
from protocol.network_server.gwmp_downlink import parse_txpk
from protocol.network_server.gwmp_reports import (
    MAX_UPLINKS,
    Statistics,
    TxError,
    push_data,
    rxpk,
    stat,
    tx_ack,
)
from protocol.network_server.uplink import Limits, Now, Uplink, uplink
from protocol.records.sensor_frame import Reception, SensorFrame, WallTime
from tests.judges.judge import Judge, judge, needs_judges
from tests.protocol.network_server.frames import BOOT, GATEWAY, UNIX_US, reception, sensor_frame
from tests.scale import SCALE

pytestmark = needs_judges

FRAMES = 10_000 * SCALE
NOW_US = 10**12


@pytest.fixture(scope="module")
def pamoja() -> Iterator[Judge]:
    with judge("gwmp_judge") as asked:
        yield asked


def heard(chance: random.Random) -> tuple[SensorFrame, Reception]:
    """A frame with a random value in every field that travels."""
    how = reception(radio=chance.randrange(8))
    how = Reception(
        concentrator=how.concentrator,
        radio=how.radio,
        frequency_hz=chance.randrange(410_000_000, 1_020_000_000),
        spreading_factor=chance.randrange(6, 13),
        bandwidth_hz=chance.choice([125_000, 250_000, 500_000]),
        coding_rate=chance.choice(["4/5", "4/6", "4/7", "4/8"]),
        rssi_dbm=chance.uniform(-140, 0),
        rssi_model="hf",
        snr_db=chance.uniform(-25, 15),
        frequency_error_hz=None,
        crc_status=how.crc_status,
    )
    proprietary = b"\xe0" + chance.randbytes(chance.randrange(1, 255))
    dated = WallTime(UNIX_US + chance.randrange(10**15), 250) if chance.random() < 0.8 else None
    received_us = NOW_US - chance.randrange(2**31)
    frame = sensor_frame(proprietary, received_us=received_us, received_at=dated, receptions=(how,))
    return frame, how


def test_uplinks(pamoja: Judge) -> None:
    """Every field of 10^4 frames, in datagrams of up to eight, as a server of others reads it."""
    chance = random.Random(20261125)
    left, datagrams, expected = FRAMES, [], []
    while left > 0:
        group = [heard(chance) for _ in range(min(left, chance.randrange(1, MAX_UPLINKS + 1)))]
        left -= len(group)
        uplinks = [uplink(frame, Now(BOOT, NOW_US, None), Limits()) for frame, _ in group]
        reports = [rxpk(each, NOW_US) for each in uplinks if isinstance(each, Uplink)]
        assert len(reports) == len(group)
        token = chance.randbytes(2)
        datagram = Datagram(Kind.PUSH_DATA, token, push_data(reports), GATEWAY)
        datagrams.append(serialize(datagram).hex())
        expected.append((token, group))
    answers = pamoja.ask("parse_push_data", datagrams)
    for answer, (token, group) in zip(answers, expected, strict=True):
        assert answer["token"] == int.from_bytes(token, "big"), answer
        assert answer["gateway"] == GATEWAY.hex()
        assert [each["payload"] for each in answer["packets"]] == [
            frame.content.phy_payload.hex() for frame, _ in group
        ]
        for told, (frame, how) in zip(answer["packets"], group, strict=True):
            check_reception(told, frame, how)


def check_reception(told: dict[str, Any], frame: SensorFrame, how: Reception) -> None:
    assert told["frequency_hz"] == how.frequency_hz
    assert told["spreading_factor"] == how.spreading_factor
    assert told["bandwidth_hz"] == how.bandwidth_hz
    assert told["coding_rate"] == how.coding_rate
    assert how.rssi_dbm is not None
    assert how.snr_db is not None
    assert abs(told["rssi_dbm"] - how.rssi_dbm) <= 0.5
    assert abs(told["snr_db"] - how.snr_db) <= 0.05 + 1e-6  # it keeps a float of 32 bits
    assert told["channel"] == how.radio
    assert told["crc"] == "Ok"
    age_us = NOW_US - frame.content.received_boottime_us
    said_age_us = (NOW_US - told["tmst"]) % 2**32
    assert said_age_us == (age_us if age_us <= 30 * 60_000_000 else 10 * 60_000_000)
    at = frame.received_at
    assert told["received_at_us"] == (at and at.unix_us)
    if at is not None:
        assert told["gps_ms"] == (at.unix_us - 315_964_800_000_000 + 18_000_000) // 1000


def test_downlinks(pamoja: Judge) -> None:
    """10^4 of an independent server's, as we read them."""
    chance = random.Random(20261126)
    wanted: list[dict[str, Any]] = [
        {
            "token": chance.randrange(1 << 16),
            "payload": chance.randbytes(chance.randrange(1, 256)).hex(),
            "frequency_hz": chance.randrange(4_100_000, 10_200_000) * 100,
            "spreading_factor": chance.randrange(5, 13),
            "bandwidth_hz": chance.choice([125_000, 250_000, 500_000]),
            "coding_rate": chance.choice(["4/5", "4/6", "4/7", "4/8"]),
            "power_dbm": chance.randrange(0, 28),
            "invert_iq": chance.random() < 0.9,
            "immediate": chance.random() < 0.2 or None,
            "tmst": chance.randrange(1 << 32),
            "gps_ms": chance.choice([None, chance.randrange(1 << 40)]),
        }
        for _ in range(FRAMES)
    ]
    for want, answer in zip(wanted, pamoja.ask("encode_pull_resp", wanted), strict=True):
        datagram = parse(bytes.fromhex(answer))
        assert datagram.kind is Kind.PULL_RESP
        assert datagram.token == want["token"].to_bytes(2, "big")
        read = parse_txpk(datagram.body)
        assert read.payload.hex() == want["payload"]
        for name in ("frequency_hz", "spreading_factor", "bandwidth_hz", "coding_rate", "tmst"):
            assert getattr(read, name) == want[name], name
        assert read.power_dbm == want["power_dbm"]
        assert read.invert_iq == want["invert_iq"]
        assert read.immediate == bool(want["immediate"])
        assert read.gps_time_us == (want["gps_ms"] and want["gps_ms"] * 1000)


def test_acknowledgements(pamoja: Judge) -> None:
    """What it owes for our datagrams carries their tokens, and we read it so."""
    chance = random.Random(20261127)
    tokens = [chance.randbytes(2) for _ in range(1_000)]
    kinds = {Kind.PUSH_DATA: Kind.PUSH_ACK, Kind.PULL_DATA: Kind.PULL_ACK}
    frame, _ = heard(chance)
    report = uplink(frame, Now(BOOT, NOW_US, None), Limits())
    assert isinstance(report, Uplink)
    for kind, owed in kinds.items():
        body = push_data([rxpk(report, NOW_US)]) if kind is Kind.PUSH_DATA else b""
        asked = [serialize(Datagram(kind, token, body, GATEWAY)).hex() for token in tokens]
        answers = [parse(bytes.fromhex(each)) for each in pamoja.ask("acknowledgment", asked)]
        assert answers == [Datagram(owed, token) for token in tokens]


def test_tx_acks(pamoja: Judge) -> None:
    datagrams = [
        serialize(Datagram(Kind.TX_ACK, b"\x12\x34", tx_ack(error), GATEWAY)).hex()
        for error in TxError
    ]
    for error, answer in zip(TxError, pamoja.ask("parse_tx_ack", datagrams), strict=True):
        assert answer["token"] == 0x1234
        assert answer["status"].upper() == error.value, answer


def test_statistics(pamoja: Judge) -> None:
    body = stat(
        Statistics(
            unix_us=UNIX_US,
            position=(16.0678, 108.2208, 12.0),
            received=9,
            received_ok=8,
            forwarded=7,
            acknowledged_percent=66.7,
            downlinks=3,
            transmitted=2,
        )
    )
    datagram = serialize(Datagram(Kind.PUSH_DATA, b"\0\0", body, GATEWAY)).hex()
    [answer] = pamoja.ask("parse_push_data", [datagram])
    status = answer["status"]
    assert status["time_s"] == UNIX_US // 10**6
    assert (status["received"], status["received_ok"], status["forwarded"]) == (9, 8, 7)
    assert (status["downlinks"], status["transmitted"]) == (3, 2)
    assert abs(status["latitude_deg"] - 16.0678) < 1e-4
    assert abs(status["longitude_deg"] - 108.2208) < 1e-4
    assert status["altitude_m"] == 12
    assert abs(status["acknowledged_percent"] - 66.7) < 0.01
