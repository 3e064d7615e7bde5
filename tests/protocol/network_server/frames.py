"""Sensor frames of LoRaWAN devices, written by the tables of TS001-1.0.4 section 4."""

from protocol.lora.events import CrcStatus
from protocol.records.sensor_frame import (
    FrameContent,
    FrameId,
    Reception,
    SensorFrame,
    WallTime,
)

GATEWAY = bytes.fromhex("0016c001ff10a235")
EPOCH = bytes.fromhex("00c0ffee00c0ffee")
BOOT = bytes(range(16))
OTHER_BOOT = bytes(range(16, 32))
UNIX_US = 1_790_000_000_000_000  # 2026-09-21T14:13:20Z, as date(1) has it
GPS_US = 1_474_035_218_000_000  # 1_790_000_000 - 315_964_800 (1980-01-06 in date(1)) + 18


def data_up(dev_addr: int, f_cnt: int, payload: bytes = b"\x01\x02") -> bytes:
    """MHDR, DevAddr, FCtrl, FCnt, FPort, payload, MIC."""
    address, counter = dev_addr.to_bytes(4, "little"), (f_cnt & 0xFFFF).to_bytes(2, "little")
    return b"\x40" + address + b"\x00" + counter + b"\x0a" + payload + b"MIC!"


def join_request(dev_eui: int, dev_nonce: int = 1) -> bytes:
    """MHDR, JoinEUI, DevEUI, DevNonce, MIC."""
    eui = dev_eui.to_bytes(8, "little")
    return b"\x00" + bytes(8) + eui + dev_nonce.to_bytes(2, "little") + b"MIC!"


def reception(crc: CrcStatus = CrcStatus.OK, *, radio: int = 0) -> Reception:
    """What one radio heard."""
    return Reception(
        concentrator="roof",
        radio=radio,
        frequency_hz=921_400_000,
        spreading_factor=9,
        bandwidth_hz=125_000,
        coding_rate="4/5",
        rssi_dbm=-97.0,
        rssi_model="hf",
        snr_db=7.5,
        frequency_error_hz=None,
        crc_status=crc,
    )


def sensor_frame(
    phy_payload: bytes,
    seq: int = 1,
    *,
    received_us: int = 1_000_000_000,
    boot_id: bytes = BOOT,
    received_at: WallTime | None = None,
    receptions: tuple[Reception, ...] = (),
) -> SensorFrame:
    """As the outbox hands it out."""
    return SensorFrame(
        FrameId(GATEWAY, EPOCH, seq),
        FrameContent(
            boot_id=boot_id,
            received_boottime_us=received_us,
            receptions=receptions or (reception(),),
            phy_payload=phy_payload,
        ),
        received_at,
    )
