"""Reading frames: LoRaWAN vectors that independent libraries agree on, and hostile bytes."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.content import ContentBuilder, DeviceRule, RadioRule, window_key
from protocol.lora.events import CrcStatus
from protocol.lorawan.counter import ReplayWindow
from protocol.lorawan.device import DeviceKeys, DeviceMode, DeviceTable
from protocol.records.decoded import Decoded, Label
from protocol.records.decoders import decoder
from protocol.records.sensor_frame import FrameClass, FrameContent, Measurement, Verified
from tests.edge.uplinks import uplink

VECTORS = {
    vector["name"]: vector
    for vector in json.loads((Path(__file__).parents[1] / "vectors/lorawan.json").read_text())[
        "lorawan"
    ]
}
ABP = VECTORS["abp-unconfirmed-up"]
LABELS = {
    1: Label("temperature", -1, "Cel"),
    2: Label("humidity", 0, "%RH"),
    3: Label("v", -2, "V"),
}


def builder(
    *,
    payload: str = "lorawan",
    mode: DeviceMode = DeviceMode.OPEN,
    marks: dict[str, bytes] | None = None,
    vector: dict[str, Any] = ABP,
) -> ContentBuilder:
    """A gateway with one radio that knows one device of the vectors."""
    keys = DeviceKeys(
        name="sensor",
        dev_addr=bytes.fromhex(vector["dev_addr"]),
        mode=mode,
        nwk_s_key=bytes.fromhex(vector["nwk_s_key"]),
        app_s_key=bytes.fromhex(vector["app_s_key"]),
        allow_counter_reset=False,
    )
    return ContentBuilder(
        boot_id=bytes(16),
        radios={("roof", 0): RadioRule(payload, FrameClass.TELEMETRY, any_crc=True)},
        devices={
            "sensor": DeviceRule(decoder("cbor-seq", labels=LABELS, templates=()), FrameClass.ALARM)
        },
        table=DeviceTable((keys,)),
        decode_cbor=decoder("cbor", labels=LABELS, templates=()),
        committed_mark=(marks or {}).get,
    )


def read(made: ContentBuilder, phy: bytes) -> FrameContent:
    """Content of a frame that one radio heard."""
    return made.build((uplink(phy),)).content


def test_a_known_device_is_verified_opened_and_decoded() -> None:
    """29.4 Cel, 71 %RH, 3.61 V, as the vector says; its mark goes with the frame."""
    admitted = builder().build((uplink(bytes.fromhex(ABP["phy"])),))
    content = admitted.content
    assert content.device == "sensor"
    assert content.verified is Verified.YES
    assert (content.f_cnt, content.f_port) == (ABP["fcnt32"], ABP["fport"])
    assert content.frame_class is FrameClass.ALARM
    assert content.measurements == (
        Measurement("temperature", 29.4, "Cel"),
        Measurement("humidity", 71, "%RH"),
        Measurement("v", 3.61, "V"),
    )
    assert list(admitted.marks) == [window_key("sensor")]


def test_a_repeated_counter_is_marked_and_kept() -> None:
    """Also before the first frame's mark is committed."""
    made = builder()
    phy = bytes.fromhex(ABP["phy"])
    assert read(made, phy).verified is Verified.YES
    again = made.build((uplink(phy),))
    assert again.content.verified is Verified.NO
    assert again.content.verified_reason in ("repeat", "replay")
    assert again.content.measurements == ()
    assert again.marks == {}


def test_a_window_committed_by_an_earlier_run_still_counts() -> None:
    """The same frame after a restart."""
    first = builder().build((uplink(bytes.fromhex(ABP["phy"])),))
    later = builder(marks=dict(first.marks))
    assert read(later, bytes.fromhex(ABP["phy"])).verified is Verified.NO
    ReplayWindow.from_bytes(first.marks[window_key("sensor")])


def test_a_wrong_mic_is_marked_and_kept() -> None:
    """Every frame of the air is kept raw."""
    phy = bytes.fromhex(ABP["phy"])[:-1] + b"\x00"
    content = read(builder(), phy)
    assert content.phy_payload == phy
    assert (content.verified, content.verified_reason) == (Verified.NO, "mic")


def test_an_unknown_device_stays_sealed() -> None:
    """Address and counter are readable, nothing else is claimed."""
    other = bytes.fromhex(VECTORS["join-accept"]["first_uplink_check"]["phy"])
    content = read(builder(), other)
    assert content.device is None
    assert content.dev_addr == bytes.fromhex("26012345")
    assert content.verified is Verified.UNKNOWN


def test_a_join_request_names_its_device() -> None:
    """Its DevEUI, most significant byte first."""
    content = read(builder(), bytes.fromhex(VECTORS["join-request"]["phy"]))
    assert content.dev_eui == bytes.fromhex(VECTORS["join-request"]["dev_eui"])


def test_a_downlink_that_a_radio_overheard_is_not_taken_for_the_device() -> None:
    """Stored as what it is."""
    content = read(builder(), bytes.fromhex(VECTORS["unconfirmed-down-ack"]["phy"]))
    assert content.message_type == "unconfirmed_data_down"
    assert content.device is None


def test_bytes_that_are_no_lorawan_are_kept_and_marked() -> None:
    """Other people's protocols share the band."""
    content = read(builder(), b"\x01\x02")
    assert content.decode_error == "not_lorawan"
    assert content.phy_payload == b"\x01\x02"


def test_private_nodes_send_plain_cbor() -> None:
    """Unverified by nature, decoded all the same."""
    content = read(builder(payload="cbor"), bytes.fromhex("a1 01 19 0126"))
    assert content.measurements == (Measurement("temperature", 29.4, "Cel"),)
    assert content.verified is Verified.UNKNOWN


def test_raw_radios_are_left_alone() -> None:
    """No attempt to understand."""
    content = read(builder(payload="raw"), bytes.fromhex(ABP["phy"]))
    assert content.message_type is None


def test_a_damaged_frame_is_not_read() -> None:
    """``crc = any`` keeps it, marked; nothing in it is believed."""
    damaged = uplink(bytes.fromhex(ABP["phy"]), crc_status=CrcStatus.BAD)
    content = builder().build((damaged,)).content
    assert content.decode_error == "crc"
    assert content.device is None


def test_our_own_fault_keeps_the_frame() -> None:
    """A damaged mark makes reading fail: the frame is stored raw, marked internal."""
    made = builder(marks={window_key("sensor"): b"short"})
    content = read(made, bytes.fromhex(ABP["phy"]))
    assert content.decode_error == "internal"
    assert content.phy_payload == bytes.fromhex(ABP["phy"])


def test_receptions_stand_best_first_with_the_earliest_time() -> None:
    """All are kept."""
    content = (
        builder().build((uplink(radio=0, snr_db=7.0, at_us=9), uplink(radio=0, at_us=5))).content
    )
    assert [reception.snr_db for reception in content.receptions] == [7.0, 5.0]
    assert content.received_boottime_us == 5


@pytest.mark.parametrize("payload", ["lorawan", "cbor", "raw"])
@given(phy=st.binary(min_size=1, max_size=255))
def test_any_bytes_are_kept(payload: str, phy: bytes) -> None:
    """Nothing that the air can carry raises, and none of it is an internal error."""
    content = read(builder(payload=payload), phy)
    assert content.phy_payload == phy
    assert content.decode_error != "internal"


def test_radio_that_left_the_configuration_is_stored_raw() -> None:
    """Its board may hold what it heard before; the frame must be neither lost nor a crash."""
    admitted = builder().build((uplink(bytes.fromhex(ABP["phy"]), radio=7),))
    assert admitted.content.phy_payload.hex() == ABP["phy"]
    assert admitted.content.receptions[0].radio == 7
    assert admitted.content.message_type is None


def test_error_of_ours_stores_the_frame_unread(caplog: pytest.LogCaptureFixture) -> None:
    """A bug in a decoder costs the measurements, not the frame, and it is told."""

    def broken(_payload: bytes, _f_port: int | None) -> Decoded:
        raise ZeroDivisionError

    faulty = ContentBuilder(
        boot_id=bytes(16),
        radios={("roof", 0): RadioRule("cbor", FrameClass.TELEMETRY, any_crc=False)},
        devices={},
        table=DeviceTable(()),
        decode_cbor=broken,
        committed_mark=lambda _key: None,
    )
    content = faulty.build((uplink(b"\x01"),)).content
    assert (content.phy_payload, content.decode_error) == (b"\x01", "internal")
    assert "ZeroDivisionError" in caplog.text
