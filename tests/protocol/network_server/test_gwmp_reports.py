"""What a gateway reports, read with the standard library's JSON."""

import base64
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.gwmp import HEADER_BYTES, MAX_DATAGRAM
from protocol.network_server.gwmp_reports import (
    OVERHEAD_BYTES,
    Statistics,
    TxError,
    push_data,
    rxpk,
    stat,
    tmst,
    tx_ack,
)
from protocol.network_server.uplink import Limits, Now, Uplink, uplink
from protocol.records.sensor_frame import WallTime
from tests.protocol.network_server.frames import (
    BOOT,
    GPS_US,
    OTHER_BOOT,
    UNIX_US,
    data_up,
    reception,
    sensor_frame,
)

RECEIVED_US = 5_000_000_000  # more than 32 bits
NOW_US = RECEIVED_US + 1_500_000
DATED = WallTime(UNIX_US + 123_456, 250)
MINUTE_US = 60_000_000


def heard(
    phy_payload: bytes = data_up(1, 1),
    *,
    received_at: WallTime | None = DATED,
    held_us: int = 1_500_000,
    boot_id: bytes = BOOT,
) -> Uplink:
    frame = sensor_frame(
        phy_payload, received_us=RECEIVED_US, received_at=received_at, boot_id=boot_id
    )
    made = uplink(frame, Now(BOOT, RECEIVED_US + held_us, None), Limits())
    assert isinstance(made, Uplink)
    return made


def test_all_of_a_report() -> None:
    """Fields and forms of PROTOCOL.TXT, section 4."""
    assert json.loads(rxpk(heard(), NOW_US)) == {
        "tmst": 5_000_000_000 - (1 << 32),
        "time": "2026-09-21T14:13:20.123456Z",
        "tmms": GPS_US // 1000 + 123,
        "chan": 0,
        "rfch": 0,
        "freq": 921.4,
        "stat": 1,
        "modu": "LORA",
        "datr": "SF9BW125",
        "codr": "4/5",
        "rssi": -97,
        "lsnr": 7.5,
        "size": 15,
        "data": base64.b64encode(data_up(1, 1)).decode(),
        "meta": {"hold_ms": "1500"},
    }


def test_without_a_clock_there_is_no_time() -> None:
    report = json.loads(rxpk(heard(received_at=None), NOW_US))
    assert not {"time", "tmms"} & report.keys()


def test_a_replay_says_so() -> None:
    assert json.loads(rxpk(heard(held_us=3_600_000_000), NOW_US))["meta"] == {
        "replay": "1",
        "hold_ms": "3600000",
    }
    undated = heard(boot_id=OTHER_BOOT)
    assert json.loads(rxpk(undated, NOW_US))["meta"] == {"replay": "1"}
    assert "meta" not in json.loads(rxpk(undated, NOW_US, with_metadata=False))


def test_what_a_device_does_not_tell_is_left_out() -> None:
    bare = replace(heard(), reception=replace(reception(), rssi_dbm=None, snr_db=None))
    assert not {"rssi", "lsnr"} & json.loads(rxpk(bare, NOW_US)).keys()


@pytest.mark.parametrize(
    ("frequency_hz", "text"),
    [(921_400_000, b"921.4,"), (923_200_001, b"923.200001,"), (433_175_000, b"433.175,")],
)
def test_frequencies_have_six_decimals_at_most(frequency_hz: int, text: bytes) -> None:
    one = replace(heard(), reception=replace(reception(), frequency_hz=frequency_hz))
    assert b'"freq":' + text in rxpk(one, NOW_US)


@given(st.integers(410_000_000, 1_020_000_000))
def test_every_frequency_is_exact(frequency_hz: int) -> None:
    one = replace(heard(), reception=replace(reception(), frequency_hz=frequency_hz))
    text = rxpk(one, NOW_US).split(b'"freq":')[1].split(b",")[0].decode()
    assert len(text.partition(".")[2]) <= 6
    assert round(float(text) * 1_000_000) == frequency_hz


class TestCounter:
    """32 bits of it, which must not make an old frame look like a new one."""

    def test_of_a_recent_frame(self) -> None:
        assert tmst(heard(), RECEIVED_US + 30 * MINUTE_US) == RECEIVED_US & 0xFFFFFFFF

    @pytest.mark.parametrize("age_minutes", [31, 71, 72, 143, 60 * 24 * 7])
    def test_of_an_old_frame(self, age_minutes: int) -> None:
        """Ten minutes ago, whatever its own would look like by now."""
        now_us = RECEIVED_US + age_minutes * MINUTE_US
        assert tmst(heard(), now_us) == (now_us - 10 * MINUTE_US) & 0xFFFFFFFF

    def test_of_another_boot(self) -> None:
        other = heard(boot_id=OTHER_BOOT)
        assert tmst(other, NOW_US) == (NOW_US - 10 * MINUTE_US) & 0xFFFFFFFF

    def test_of_a_frame_from_before_the_boot(self) -> None:
        """It waited in a board that had its power."""
        assert tmst(replace(heard(), counter_us=-1), 1_000_000) == 0xFFFFFFFF


def test_bodies() -> None:
    reports = [rxpk(heard(), NOW_US), rxpk(heard(data_up(2, 2)), NOW_US)]
    body = push_data(reports)
    assert [each["size"] for each in json.loads(body)["rxpk"]] == [15, 15]
    assert len(body) == OVERHEAD_BYTES + sum(map(len, reports)) + 1


def test_the_longest_frame_fits_a_datagram() -> None:
    """With the longest of everything."""
    longest = heard(data_up(0xFFFFFFFF, 1, bytes(240)), held_us=10**18, boot_id=OTHER_BOOT)
    assert len(longest.phy_payload) == 253
    size = len(push_data([rxpk(longest, NOW_US)])) + HEADER_BYTES
    assert size < MAX_DATAGRAM // 1.5


def test_statistics() -> None:
    statistics = Statistics(
        unix_us=UNIX_US + 999_999,
        position=(16.0678, 108.2208, 12.4),
        received=9,
        received_ok=8,
        forwarded=7,
        acknowledged_percent=99.96,
        downlinks=3,
        transmitted=2,
    )
    assert json.loads(stat(statistics)) == {
        "stat": {
            "time": "2026-09-21 14:13:20 GMT",
            "lati": 16.0678,
            "long": 108.2208,
            "alti": 12,
            "rxnb": 9,
            "rxok": 8,
            "rxfw": 7,
            "ackr": 100.0,
            "dwnb": 3,
            "txnb": 2,
        }
    }
    nowhere = json.loads(stat(replace(statistics, position=None)))["stat"]
    assert not {"lati", "long", "alti"} & nowhere.keys()


@pytest.mark.parametrize("error", TxError)
def test_tx_ack(error: TxError) -> None:
    """PROTOCOL.TXT, section 6.5: these words."""
    assert json.loads(tx_ack(error)) == {"txpk_ack": {"error": error.name}}
