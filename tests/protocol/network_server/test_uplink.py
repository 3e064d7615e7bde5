"""Which frames a network server gets, and what it is told of them."""

import pytest

from protocol.lora.events import CrcStatus
from protocol.network_server.uplink import LIVE_US, Limits, Now, PassedOver, Uplink, uplink
from protocol.records.sensor_frame import WallTime
from tests.protocol.network_server.frames import (
    BOOT,
    GPS_US,
    OTHER_BOOT,
    UNIX_US,
    data_up,
    join_request,
    reception,
    sensor_frame,
)

RECEIVED_US = 1_000_000_000
DATED = WallTime(UNIX_US, 250)


def now(held_us: int = 0, *, wall: bool = True) -> Now:
    """So long after the frames of this file were received."""
    return Now(BOOT, RECEIVED_US + held_us, WallTime(UNIX_US + held_us, 100) if wall else None)


def made(frame: object, at: Now | None = None, limits: Limits | None = None) -> Uplink:
    """An uplink, not passed over."""
    result = uplink(frame, at or now(), limits or Limits())  # type: ignore[arg-type]
    assert isinstance(result, Uplink)
    return result


class TestWhoGets:
    """Only what a LoRaWAN device sent and a radio received whole."""

    def test_a_data_frame_as_it_is(self) -> None:
        phy_payload = data_up(0x01A2B3C4, 7)
        heard = made(sensor_frame(phy_payload, 9))
        assert heard.phy_payload == phy_payload
        assert heard.device == bytes.fromhex("01a2b3c4")
        assert heard.frame_id.seq == 9
        assert heard.counter_us == RECEIVED_US
        assert heard.this_boot

    @pytest.mark.parametrize(
        ("phy_payload", "reason"),
        [
            (b"", PassedOver.NOT_LORAWAN),
            (b"\xa2\x01\x02\x03\x04", PassedOver.NOT_LORAWAN),  # a map of CBOR
            (data_up(1, 1)[:11], PassedOver.NOT_LORAWAN),
            (b"\x60" + data_up(1, 1)[1:], PassedOver.DOWNLINK),
            (b"\xa0" + data_up(1, 1)[1:], PassedOver.DOWNLINK),
            (b"\x20" + bytes(16), PassedOver.DOWNLINK),
        ],
    )
    def test_others_are_passed_over(self, phy_payload: bytes, reason: PassedOver) -> None:
        assert uplink(sensor_frame(phy_payload), now(), Limits()) is reason

    @pytest.mark.parametrize("crc", [CrcStatus.BAD, CrcStatus.MISSING])
    def test_a_bad_crc_is_passed_over(self, crc: CrcStatus) -> None:
        frame = sensor_frame(data_up(1, 1), receptions=(reception(crc),))
        assert uplink(frame, now(), Limits()) is PassedOver.CRC

    def test_the_best_reception_with_a_good_crc_is_told(self) -> None:
        receptions = (reception(CrcStatus.BAD), reception(CrcStatus.UNKNOWN, radio=1))
        assert made(sensor_frame(data_up(1, 1), receptions=receptions)).reception.radio == 1

    @pytest.mark.parametrize(
        ("phy_payload", "device"),
        [
            (b"\x80" + data_up(0x01A2B3C4, 1)[1:], "01a2b3c4"),
            (join_request(0x70B3D57ED0000001), "70b3d57ed0000001"),
            # LoRaWAN 1.1, tables 55 and 56: type, NetID or JoinEUI, DevEUI, counter, MIC
            (
                bytes.fromhex("c000010203") + bytes(range(8, 0, -1)) + b"\0\0MIC!",
                "0102030405060708",
            ),
            (
                bytes.fromhex("c002010203") + bytes(range(8, 0, -1)) + b"\0\0MIC!",
                "0102030405060708",
            ),
            (b"\xc0\x01" + bytes(8) + bytes(range(8, 0, -1)) + b"\0\0MIC!", "0102030405060708"),
            (b"\xe0hello", "e068656c6c6f"),
        ],
    )
    def test_whose_order_has_to_be_kept(self, phy_payload: bytes, device: str) -> None:
        assert made(sensor_frame(phy_payload)).device == bytes.fromhex(device)


class TestAge:
    """Joins older than a minute, and what is older than is wanted."""

    @pytest.mark.parametrize("phy_payload", [join_request(1), b"\xc0\x00" + bytes(17)])
    def test_a_stale_join_is_passed_over(self, phy_payload: bytes) -> None:
        frame = sensor_frame(phy_payload)
        assert isinstance(uplink(frame, now(60_000_000), Limits()), Uplink)
        assert uplink(frame, now(60_000_001), Limits()) is PassedOver.STALE_JOIN

    def test_a_join_of_unknown_age_is_stale(self) -> None:
        """A reboot takes longer than the device waits."""
        frame = sensor_frame(join_request(1), boot_id=OTHER_BOOT)
        assert uplink(frame, now(), Limits()) is PassedOver.STALE_JOIN

    def test_a_bound_for_all(self) -> None:
        frame, limits = sensor_frame(data_up(1, 1)), Limits(max_age_us=1_000_000)
        assert isinstance(uplink(frame, now(1_000_000), limits), Uplink)
        assert uplink(frame, now(1_000_001), limits) is PassedOver.TOO_OLD
        assert isinstance(uplink(frame, now(10**15), Limits()), Uplink)
        # What is not known to be too old is sent.
        other = sensor_frame(data_up(1, 1), boot_id=OTHER_BOOT)
        assert isinstance(uplink(other, now(), limits), Uplink)

    def test_a_replay_is_marked(self) -> None:
        frame = sensor_frame(data_up(1, 1))
        assert not made(frame, now(LIVE_US)).is_replay
        assert made(frame, now(LIVE_US + 1)).is_replay
        assert made(sensor_frame(data_up(1, 1), boot_id=OTHER_BOOT)).is_replay


class TestTime:
    """GPS time only where it is known, and nearer the truth than the time of arrival."""

    def test_a_dated_frame(self) -> None:
        heard = made(sensor_frame(data_up(1, 1), received_at=DATED), now(1_234_567))
        assert heard.gps_time_us == GPS_US
        assert heard.received_at == DATED
        assert heard.held_us == 1_234_567

    def test_an_undated_frame(self) -> None:
        heard = made(sensor_frame(data_up(1, 1)), now(5, wall=False))
        assert (heard.gps_time_us, heard.received_at, heard.held_us) == (None, None, 5)

    def test_of_an_earlier_boot(self) -> None:
        """Held for as long as the clock on the wall says, and not for less than nothing."""
        frame = sensor_frame(data_up(1, 1), boot_id=OTHER_BOOT, received_at=DATED)
        heard = made(frame, now(3_600_000_000))
        assert (heard.held_us, heard.gps_time_us) == (3_600_000_000, GPS_US)
        assert not heard.this_boot
        assert made(frame, now(-7)).held_us == 0
        undated_now = made(frame, now(wall=False))
        assert (undated_now.held_us, undated_now.gps_time_us) == (None, GPS_US)

    @pytest.mark.parametrize(
        ("uncertainty_us", "held_us", "told"),
        [
            (1_000_000, 0, True),
            (1_000_001, 0, False),
            (1_000_001, 1_000_001, True),
            (600_000_000, 599_999_999, False),
            (600_000_000, 3_600_000_000, True),
        ],
    )
    def test_an_uncertain_time(self, uncertainty_us: int, held_us: int, told: bool) -> None:
        """The server's own stamp would be wrong by the hold time."""
        at = WallTime(UNIX_US, uncertainty_us)
        heard = made(sensor_frame(data_up(1, 1), received_at=at), now(held_us))
        assert (heard.gps_time_us == GPS_US) is told
        assert (heard.gps_time_us is None) is not told
