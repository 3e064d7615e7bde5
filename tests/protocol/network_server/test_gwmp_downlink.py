"""What servers ask for, in all the ways they write it."""

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.gwmp import GwmpError, Reject
from protocol.network_server.gwmp_downlink import (
    GPS_WITHIN_US,
    GpsUnlocked,
    Txpk,
    begins_at_us,
    parse_txpk,
)
from protocol.network_server.uplink import Now
from protocol.records.sensor_frame import WallTime
from tests.protocol.network_server.frames import BOOT, GPS_US, UNIX_US
from tests.scale import SCALE

# PROTOCOL.TXT 1.4, section 6: the example of an immediate downlink, with LoRa's usual inverted IQ
EXAMPLE: dict[str, Any] = {
    "imme": True,
    "freq": 864.123456,
    "rfch": 0,
    "powe": 14,
    "modu": "LORA",
    "datr": "SF11BW125",
    "codr": "4/6",
    "ipol": False,
    "size": 32,
    "data": "H3P3N2i9qc4yt7rK7ldqoeCVJGBybzPY5h1Dd7P7p8v",
}
PAYLOAD = bytes.fromhex("1f73f73768bda9ce32b7bacaee576aa1e0952460726f33d8e61d4377b3fba7cb")


def txpk(**changes: Any) -> Txpk:
    """The example with some fields changed; None = left out."""
    fields = {key: value for key, value in (EXAMPLE | changes).items() if value is not None}
    return parse_txpk(json.dumps({"txpk": fields}).encode())


def test_the_protocols_own_example() -> None:
    """Its base64 is not padded; 864.123456 MHz is no channel, the next one is 44 Hz away."""
    assert txpk() == Txpk(
        payload=PAYLOAD,
        frequency_hz=864_123_500,
        spreading_factor=11,
        bandwidth_hz=125_000,
        coding_rate="4/6",
        power_dbm=14.0,
        invert_iq=False,
        immediate=True,
        tmst=None,
        gps_time_us=None,
    )


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        ("+/+/", "fbffbf"),
        ("-_-_", "fbffbf"),
        ("AQ==", "01"),
        ("AQ=", "01"),
        ("AQ", "01"),
        ("AQI", "0102"),
    ],
)
def test_base64_of_every_sort(data: str, payload: str) -> None:
    assert txpk(data=data).payload == bytes.fromhex(payload)


@pytest.mark.parametrize(
    "frequency_hz", [921_400_000, 923_200_000, 868_525_000, 915_900_000, 433_175_000, 923_300_000]
)
def test_a_float_of_32_bits_is_the_channel(frequency_hz: int) -> None:
    """As C makes it of the number, and prints it with six decimals."""
    (single,) = struct.unpack("<f", struct.pack("<f", frequency_hz / 1e6))
    assert txpk(freq=float(f"{single:.6f}")).frequency_hz == frequency_hz


def test_semtechs_test_server() -> None:
    """As captured from util_tx_test."""
    assert txpk(freq=921.400024).frequency_hz == 921_400_000


@pytest.mark.parametrize(
    ("written", "meant"),
    [("2/3", "4/6"), ("1/2", "4/8"), ("2/4", "4/8"), ("4/7", "4/7"), (None, "4/5")],
)
def test_coding_rates(written: str | None, meant: str) -> None:
    assert txpk(codr=written).coding_rate == meant


def test_other_fields() -> None:
    one = txpk(imme=False, tmst=4_294_967_295, ipol=True, powe=None, modu=None)
    assert (one.immediate, one.tmst, one.invert_iq, one.power_dbm) == (False, 2**32 - 1, True, None)
    assert txpk(imme=None, tmms=1_474_035_218_000).gps_time_us == GPS_US
    assert txpk(powe=13.5, tmst=1000.0).tmst == 1000


@pytest.mark.parametrize(
    "changes",
    [
        {"modu": "FSK", "datr": 50_000},
        {"datr": "SF4BW125"},
        {"datr": "SF9BW100"},
        {"datr": "sf9bw125"},
        {"codr": "OFF"},
        {"codr": "4/5LI"},
    ],
)
def test_what_no_radio_here_can_send(changes: dict[str, Any]) -> None:
    with pytest.raises(GwmpError) as caught:
        txpk(**changes)
    assert caught.value.reason is Reject.UNSUPPORTED


@pytest.mark.parametrize(
    "changes",
    [
        {"imme": None},
        {"imme": 1},
        {"data": None},
        {"data": ""},
        {"data": "A"},
        {"data": "A Q"},
        {"data": "AAAA" * 86},
        {"data": 5},
        {"freq": None},
        {"freq": "921.4"},
        {"freq": True},
        {"freq": 1e12},
        {"datr": None},
        {"datr": 9},
        {"codr": ["4/5"]},
        {"powe": "14"},
        {"tmst": -1},
        {"tmst": 1.5},
        {"tmst": True},
        {"tmst": "1"},
        {"tmst": 1e300},
        {"tmms": 2**63},
    ],
)
def test_what_cannot_be_read(changes: dict[str, Any]) -> None:
    with pytest.raises(GwmpError) as caught:
        txpk(**changes)
    assert caught.value.reason is Reject.MALFORMED


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff\xfe",
        b"[]",
        b"7",
        b"null",
        b'{"txpk":[]}',
        b'{"txpk":null}',
        b"{}",
        b'{"txpk":{"freq":NaN}}',
        b"[" * 4_000,
        b'{"txpk":{"tmst":' + b"9" * 4_000 + b"}}",
    ],
)
def test_what_is_no_txpk(body: bytes) -> None:
    with pytest.raises(GwmpError) as caught:
        parse_txpk(body)
    assert caught.value.reason is Reject.MALFORMED


class TestWhen:
    """A counter of 32 bits, GPS time, or at once."""

    NOW = Now(BOOT, 10 * 2**32 + 7_000_000, WallTime(UNIX_US, 100))

    @pytest.mark.parametrize(
        ("tmst", "ahead_us"),
        [
            (8_000_000, 1_000_000),
            (7_000_000, 0),
            (6_999_999, -1),
            (2**32 - 1, -7_000_001),
            (7_000_000 + 2**31 - 1, 2**31 - 1),
            (7_000_000 + 2**31, -(2**31)),
        ],
    )
    def test_the_counter(self, tmst: int, ahead_us: int) -> None:
        at_us = begins_at_us(txpk(imme=None, tmst=tmst), self.NOW)
        assert at_us == self.NOW.boottime_us + ahead_us

    def test_gps_time(self) -> None:
        one = txpk(imme=None, tmms=GPS_US // 1000 + 250)
        assert begins_at_us(one, self.NOW) == self.NOW.boottime_us + 250_000

    @pytest.mark.parametrize("wall", [None, WallTime(UNIX_US, GPS_WITHIN_US + 1)])
    def test_gps_time_without_a_good_clock(self, wall: WallTime | None) -> None:
        with pytest.raises(GpsUnlocked):
            begins_at_us(txpk(imme=None, tmms=GPS_US // 1000), Now(BOOT, 0, wall))

    def test_precedence(self) -> None:
        """PROTOCOL.TXT: imme before tmst before tmms."""
        assert begins_at_us(txpk(tmst=8_000_000, tmms=0), self.NOW) is None
        at_us = begins_at_us(txpk(imme=False, tmst=8_000_000, tmms=0), self.NOW)
        assert at_us == self.NOW.boottime_us + 1_000_000


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)


@given(st.dictionaries(st.sampled_from([*sorted(EXAMPLE), "tmst", "tmms"]), JSON))
def test_any_values(changes: dict[str, Any]) -> None:
    """A downlink that can be asked of a radio, or the documented error."""
    try:
        one = parse_txpk(json.dumps({"txpk": EXAMPLE | changes}).encode())
    except GwmpError:
        return
    assert 1 <= len(one.payload) <= 255
    assert one.immediate or one.tmst is not None or one.gps_time_us is not None


@given(st.binary(max_size=200))
def test_any_bytes(body: bytes) -> None:
    with pytest.raises(GwmpError):
        parse_txpk(body)


def test_damaged_datagrams() -> None:
    """10^4 of them, each a byte away from a good one: read or refused, and nothing else."""
    good = json.dumps({"txpk": EXAMPLE}).encode()
    refused = 0
    for number in range(10_000 * SCALE):
        damaged = bytearray(good)
        damaged[number * 7919 % len(good)] = number * 104_729 % 256
        try:
            parse_txpk(bytes(damaged))
        except GwmpError:
            refused += 1
    assert 1_000 < refused < 10_000 * SCALE
