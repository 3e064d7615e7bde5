"""Uplinks, field by field as an independent library has them."""

import json
from dataclasses import replace
from typing import Any

import pytest

from protocol.network_server.lns_clock import Xtime
from protocol.network_server.lns_router_config import parse_router_config
from protocol.network_server.lns_uplink import Heard, NotCarried, NotCarriedError, uplink_message
from tests.protocol.lorawan.vectors import CONFIRMED_UP, DOWN, JOIN_REQUEST, UNCONFIRMED_UP
from tests.protocol.network_server.frames import GPS_US, UNIX_US
from tests.protocol.network_server.test_lns_router_config import EU863

CONFIG = parse_router_config({**EU863, "NetID": None, "JoinEui": None})
HEARD = Heard(
    frequency_hz=868_100_000,
    spreading_factor=9,
    bandwidth_hz=125_000,
    rssi_dbm=-50.4,
    snr_db=9.5,
    rctx=0,
    xtime=Xtime(0, 1, 5),
    gps_time_us=GPS_US,
    unix_us=UNIX_US,
)
AROUND = {
    "RefTime": 1.5,
    "DR": 3,
    "Freq": 868_100_000,
    "upinfo": {
        "rctx": 0,
        "xtime": 281_474_976_710_661,
        "gpstime": GPS_US,
        "fts": -1,
        "rssi": -50,
        "snr": 9.5,
        "rxtime": 1_790_000_000.0,
    },
}


def sent(phy_payload: bytes, heard: Heard = HEARD) -> dict[str, Any]:
    message: dict[str, Any] = json.loads(uplink_message(phy_payload, heard, CONFIG, 1.5))
    return message


def refusal(phy_payload: bytes, config: Any = CONFIG, heard: Heard = HEARD) -> NotCarried:
    with pytest.raises(NotCarriedError) as caught:
        uplink_message(phy_payload, heard, config, 0.0)
    return caught.value.reason


# What pamoja-gateway 0.2.0 writes for the same bytes.
@pytest.mark.parametrize(
    ("phy_payload", "fields"),
    [
        (
            UNCONFIRMED_UP.phy_payload,
            {"msgtype": "updf", "MHdr": 64, "DevAddr": 637606874, "FCtrl": 128, "FCnt": 7,
             "FOpts": "", "FPort": 10, "FRMPayload": "893f247bf495ddd0", "MIC": -232721073},
        ),
        (
            CONFIRMED_UP.phy_payload,
            {"msgtype": "updf", "MHdr": 128, "DevAddr": 637606874, "FCtrl": 193, "FCnt": 5,
             "FOpts": "02", "FPort": 10,
             "FRMPayload": "d4f373223f849fa7cc5df7fca4fda1ca420e80bb93", "MIC": -1743237396},
        ),
        (
            bytes.fromhex("40da1b012680070001020304"),
            {"msgtype": "updf", "MHdr": 64, "DevAddr": 637606874, "FCtrl": 128, "FCnt": 7,
             "FOpts": "", "FPort": -1, "FRMPayload": "", "MIC": 67305985},
        ),
        (
            bytes.fromhex("40ffffff868007000001020380"),
            {"msgtype": "updf", "MHdr": 64, "DevAddr": -2030043137, "FCtrl": 128, "FCnt": 7,
             "FOpts": "", "FPort": 0, "FRMPayload": "", "MIC": -2147286527},
        ),
        (bytes.fromhex("e001020304"), {"msgtype": "propdf", "FRMPayload": "e001020304"}),
    ],
)  # fmt: skip
def test_the_fields(phy_payload: bytes, fields: dict[str, Any]) -> None:
    assert sent(phy_payload) == {**fields, **AROUND}


def test_a_join_request() -> None:
    """EUIs as Basics Station writes them; the numbers are pamoja-gateway's."""
    assert sent(bytes.fromhex(JOIN_REQUEST["phy"])) == {
        "msgtype": "jreq",
        "MHdr": 0,
        "JoinEui": "70-B3-D5-7E-D0-00-00-01",
        "DevEui": "00-04-A3-0B-00-1C-05-30",
        "DevNonce": 51966,
        "MIC": 444276066,
        **AROUND,
    }


def test_the_servers_spelling_of_eui() -> None:
    config = parse_router_config({**EU863, "JoinEUI": None})
    message = json.loads(uplink_message(bytes.fromhex(JOIN_REQUEST["phy"]), HEARD, config, 0.0))
    assert message["JoinEUI"] == "70-B3-D5-7E-D0-00-00-01"
    assert message["DevEUI"] == "00-04-A3-0B-00-1C-05-30"


def test_a_time_that_is_not_known_is_zero() -> None:
    upinfo = sent(UNCONFIRMED_UP.phy_payload, replace(HEARD, gps_time_us=0, unix_us=0))["upinfo"]
    assert (upinfo["gpstime"], upinfo["rxtime"]) == (0, 0.0)


def test_what_the_protocol_has_no_message_for() -> None:
    assert refusal(DOWN.phy_payload) is NotCarried.NOT_AN_UPLINK
    assert refusal(b"\x20" + bytes(16)) is NotCarried.NOT_AN_UPLINK
    assert refusal(b"\xc0\x00" + bytes(17)) is NotCarried.NOT_AN_UPLINK
    assert refusal(b"\xa2\x01\x02") is NotCarried.NOT_LORAWAN


def test_what_the_server_does_not_want() -> None:
    config = parse_router_config(EU863)
    assert refusal(UNCONFIRMED_UP.phy_payload, config) is NotCarried.NET_ID
    assert refusal(bytes.fromhex(JOIN_REQUEST["phy"]), config) is NotCarried.JOIN_EUI
    unknown = replace(HEARD, bandwidth_hz=62_500)
    assert refusal(UNCONFIRMED_UP.phy_payload, CONFIG, unknown) is NotCarried.DATA_RATE
