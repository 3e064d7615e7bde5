"""Receptions as drivers report them, for tests of what stands above the drivers."""

from protocol.lora.events import CrcStatus, EventOrigin, UplinkReceived

BOARD_A, BOARD_B = b"\xaa", b"\xbb"


def uplink(
    payload: bytes = b"payload",
    *,
    concentrator: str = "roof",
    radio: int = 0,
    at_us: int = 1_000_000,
    count_us: int | None = None,
    origin: EventOrigin | None = None,
    snr_db: float | None = 5.0,
    rssi_dbm: float = -100.0,
    frequency_hz: int = 921_400_000,
    crc_status: CrcStatus = CrcStatus.OK,
) -> UplinkReceived:
    """One reception with everything unimportant filled in."""
    return UplinkReceived(
        concentrator=concentrator,
        radio=radio,
        payload=payload,
        frequency_hz=frequency_hz,
        spreading_factor=9,
        bandwidth_hz=125_000,
        coding_rate="4/5",
        rssi_dbm=rssi_dbm,
        rssi_model="sx127x",
        snr_db=snr_db,
        frequency_error_hz=0.0,
        crc_status=crc_status,
        received_at_us=at_us,
        count_us=count_us,
        origin=origin,
    )


def numbered(number: int, board: bytes = BOARD_A, boot: int = 1) -> UplinkReceived:
    """An event of a board, with a payload of its own."""
    return uplink(
        b"%s-%d-%d" % (board, boot, number),
        concentrator=board.hex(),
        origin=EventOrigin(board, boot, number),
    )
