"""One frame with every member known, beside the map that the schema makes of it, by hand."""

from protocol.lora.events import CrcStatus
from protocol.records.sensor_frame import (
    FrameClass,
    FrameContent,
    FrameId,
    Measurement,
    Reception,
    SensorFrame,
    Verified,
    WallTime,
)

GATEWAY = bytes.fromhex("b827ebfffe123456")
EPOCH = bytes.fromhex("00112233445566ff")
BOOT_ID = bytes.fromhex("0f1e2d3c4b5a69788796a5b4c3d2e1f0")

FRAME = SensorFrame(
    frame_id=FrameId(GATEWAY, EPOCH, 70_000),
    content=FrameContent(
        boot_id=BOOT_ID,
        received_boottime_us=86_400_000_001,
        receptions=(
            Reception(
                concentrator="roof",
                radio=1,
                frequency_hz=921_400_000,
                spreading_factor=9,
                bandwidth_hz=125_000,
                coding_rate="4/5",
                rssi_dbm=-97.5,
                rssi_model="sx1276",
                snr_db=-3.25,
                frequency_error_hz=None,
                crc_status=CrcStatus.OK,
            ),
        ),
        phy_payload=b"abc",
        frame_class=FrameClass.ALARM,
        device="flood-cam-le-01",
        message_type="unconfirmed_data_up",
        dev_addr=bytes.fromhex("01a2b3c4"),
        dev_eui=bytes.fromhex("a81758fffe04b1c1"),
        f_cnt=65_537,
        f_port=5,
        verified=Verified.NO,
        verified_reason="replay",
        decode_error="unknown_tag",
        measurements=(
            Measurement("water_level", 2.94, "m"),
            Measurement("open", False),
            Measurement("label", "Machine Room"),
            Measurement("nfc-reader", b"hi \n"),
            Measurement("count", 7),
        ),
    ),
    received_at=WallTime(unix_us=1_672_867_882_173_000, uncertainty_us=2_500),
)

CONTENT_MAP: dict[int, object] = {
    5: BOOT_ID,
    6: 86_400_000_001,
    9: [
        {
            0: "roof",
            1: 1,
            2: 921_400_000,
            3: 9,
            4: 125_000,
            5: "4/5",
            6: -97.5,
            7: "sx1276",
            8: -3.25,
            9: None,
            10: "ok",
        }
    ],
    10: b"abc",
    11: "alarm",
    12: "flood-cam-le-01",
    13: "unconfirmed_data_up",
    14: bytes.fromhex("01a2b3c4"),
    15: bytes.fromhex("a81758fffe04b1c1"),
    16: 65_537,
    17: 5,
    18: "no",
    19: "replay",
    20: "unknown_tag",
    21: [
        {0: "water_level", 1: "m", 2: 2.94},
        {0: "open", 4: False},
        {0: "label", 3: "Machine Room"},
        {0: "nfc-reader", 8: b"hi \n"},
        {0: "count", 2: 7},
    ],
}

FRAME_MAP: dict[int, object] = {
    0: 1,
    1: GATEWAY,
    2: EPOCH,
    3: 70_000,
    # printf abc | b2sum --length=128
    4: bytes.fromhex("cf4ab791c62b8d2b2109c90275287816"),
    7: 1_672_867_882_173_000,
    8: 2_500,
    **CONTENT_MAP,
}

JSON_OBJECT: dict[str, object] = {
    "version": 1,
    "frame_id": "b827ebfffe123456-00112233445566ff-70000",
    "gateway": "b827ebfffe123456",
    "epoch": "00112233445566ff",
    "seq": 70_000,
    "uplink_id": "cf4ab791c62b8d2b2109c90275287816",
    "boot_id": "0f1e2d3c4b5a69788796a5b4c3d2e1f0",
    "received_boottime_us": 86_400_000_001,
    # date --utc --date=@1672867882.173 +%FT%T.%6NZ
    "received_at": "2023-01-04T21:31:22.173000Z",
    "uncertainty_us": 2_500,
    "receptions": [
        {
            "concentrator": "roof",
            "radio": 1,
            "frequency_hz": 921_400_000,
            "spreading_factor": 9,
            "bandwidth_hz": 125_000,
            "coding_rate": "4/5",
            "rssi_dbm": -97.5,
            "rssi_model": "sx1276",
            "snr_db": -3.25,
            "frequency_error_hz": None,
            "crc_status": "ok",
        }
    ],
    "phy_payload": "616263",
    "class": "alarm",
    "device": "flood-cam-le-01",
    "message_type": "unconfirmed_data_up",
    "dev_addr": "01a2b3c4",
    "dev_eui": "a81758fffe04b1c1",
    "f_cnt": 65_537,
    "f_port": 5,
    "verified": "no",
    "verified_reason": "replay",
    "decode_error": "unknown_tag",
    "measurements": [
        {"n": "water_level", "u": "m", "v": 2.94},
        {"n": "open", "vb": False},
        {"n": "label", "vs": "Machine Room"},
        # RFC 8428 section 5.1, the example of multiple data types
        {"n": "nfc-reader", "vd": "aGkgCg"},
        {"n": "count", "v": 7},
    ],
}
