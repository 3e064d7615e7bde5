"""What the chip model tells of a packet, against the data sheet's registers and formulas."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.simulator.chip_on_bus import (
    PAYLOAD_CRC_ERROR,
    RX_DONE,
    RXCONT,
    SF7_BW125,
    STANDBY,
    VALID_HEADER,
    Bench,
    receiving,
)

LORA_434 = {0x06: 0x6C, 0x07: 0x80, 0x08: 0x00}
LORA_922 = {0x06: 0xE6, 0x07: 0x80, 0x08: 0x00}


def signed(value: int, bits: int) -> int:
    """Two's complement."""
    return value - (1 << bits) if value >> bits - 1 else value


def packet_strength_dbm(bench: Bench, offset_dbm: int) -> float:
    """The data sheet's formulas, 5.5.5."""
    snr_db = signed(bench.read(0x19), 8) / 4
    rssi = bench.read(0x1A)
    if snr_db < 0:
        return offset_dbm + rssi + snr_db
    linear = offset_dbm + rssi
    return linear if linear <= -100 else offset_dbm + rssi * 16 / 15


def frequency_error_hz(bench: Bench, bandwidth_khz: float) -> float:
    """FEI x 2^24 / 32 MHz x BW / 500 kHz (4.1.5)."""
    fei = signed(int.from_bytes(bench.burst(0x28, 3), "big"), 20)
    return fei * 2**24 / 32e6 * bandwidth_khz / 500


def test_a_good_packet_raises_valid_header_and_rx_done() -> None:
    bench = receiving()
    bench.receive(b"hello")
    assert bench.irq_flags() == RX_DONE | VALID_HEADER
    assert bench.last_packet() == b"hello"


@given(st.permutations([0x40, 0x10, 0x20]))
def test_flags_are_cleared_one_by_one_by_writing_1(order: list[int]) -> None:
    """And by nothing else."""
    bench = receiving()
    bench.receive(b"damaged", crc_ok=False)
    left = RX_DONE | VALID_HEADER | PAYLOAD_CRC_ERROR
    bench.write(0x12, 0x00)
    assert bench.irq_flags() == left
    for flag in order:
        bench.write(0x12, flag)
        left &= ~flag
        assert bench.irq_flags() == left


def test_flags_stay_until_they_are_cleared() -> None:
    bench = receiving()
    bench.receive(b"bad", crc_ok=False)
    bench.receive(b"good")
    assert bench.irq_flags() == RX_DONE | VALID_HEADER | PAYLOAD_CRC_ERROR
    bench.write(0x12, 0xFF)
    bench.receive(b"good")
    assert bench.irq_flags() == RX_DONE | VALID_HEADER


@given(st.integers(0, 255))
def test_a_masked_flag_is_not_raised(mask: int) -> None:
    """RegIrqFlagsMask: 1 = masked. The packet is there nevertheless."""
    bench = receiving({0x11: mask})
    bench.receive(b"hello", crc_ok=False)
    assert bench.irq_flags() == (RX_DONE | VALID_HEADER | PAYLOAD_CRC_ERROR) & ~mask
    assert bench.last_packet() == b"hello"


@pytest.mark.parametrize(
    ("crc_on_payload", "crc_ok", "flagged", "counted"),
    [
        (True, True, False, True),
        (True, False, True, False),
        (False, True, False, True),
        (False, False, False, True),  # unchecked: garbage passes for good
    ],
)
def test_the_crc_truth_table(
    *, crc_on_payload: bool, crc_ok: bool, flagged: bool, counted: bool
) -> None:
    """The received header alone says whether there is a CRC to check; data is there anyway."""
    bench = receiving()
    bench.receive(b"payload", crc_on_payload=crc_on_payload, crc_ok=crc_ok)
    assert bool(bench.irq_flags() & RX_DONE)
    assert bool(bench.irq_flags() & PAYLOAD_CRC_ERROR) is flagged
    assert bool(bench.read(0x1C) & 0x40) is crc_on_payload
    assert bench.burst(0x16, 2) == bytes([0, counted])
    assert bench.burst(0x14, 2) == bytes([0, 1])
    assert bench.last_packet() == b"payload"


@pytest.mark.parametrize("crc_configured", [True, False])
def test_in_explicit_mode_our_own_crc_setting_does_not_matter(*, crc_configured: bool) -> None:
    bench = receiving({0x1E: 0x74 if crc_configured else 0x70})
    bench.receive(b"damaged", crc_ok=False)
    assert bench.irq_flags() & PAYLOAD_CRC_ERROR


@pytest.mark.parametrize(("config_2", "flagged"), [(0x74, True), (0x70, False)])
def test_in_implicit_mode_our_own_crc_setting_decides(config_2: int, *, flagged: bool) -> None:
    """There is no header to tell: no ValidHeader, and RegPayloadLength gives the length."""
    bench = receiving({0x1D: 0x73, 0x1E: config_2, 0x22: 4})
    bench.receive(b"four", crc_ok=False)
    assert bench.irq_flags() == RX_DONE | (PAYLOAD_CRC_ERROR if flagged else 0)
    assert bench.last_packet() == b"four"


@pytest.mark.parametrize(("sent", "taken"), [(b"longer than four", b"long"), (b"sh", b"sh\0\0")])
def test_in_implicit_mode_a_packet_of_another_length_is_bad(sent: bytes, taken: bytes) -> None:
    bench = receiving({0x1D: 0x73, 0x22: 4})
    bench.receive(sent)
    assert bench.irq_flags() == RX_DONE | PAYLOAD_CRC_ERROR
    assert bench.last_packet() == taken


def test_a_damaged_header_gives_no_packet() -> None:
    """Header CRC failure produces no RxDone."""
    bench = receiving()
    bench.chip.begin_reception(now_us=bench.now_us)
    bench.chip.end_reception(
        b"abc", rssi_dbm=-80, snr_db=5, frequency_error_hz=0, crc_ok=True, now_us=bench.now_us
    )
    assert (bench.irq_flags(), bench.read(0x13)) == (0, 0)
    assert bench.chip.listening(bench.now_us) is not None


def test_a_packet_longer_than_allowed_counts_as_a_damaged_header() -> None:
    """RegMaxPayloadLength."""
    bench = receiving({0x23: 10})
    bench.receive(bytes(11))
    assert bench.irq_flags() == 0
    bench.receive(bytes(10))
    assert bench.irq_flags() == RX_DONE | VALID_HEADER


def test_status_registers_tell_of_the_last_packet_only() -> None:
    bench = receiving(LORA_922)
    bench.receive(b"the first", rssi_dbm=-60, snr_db=9, coding_rate=4, frequency_error_hz=2_000)
    bench.receive(
        b"2nd",
        rssi_dbm=-120,
        snr_db=-5,
        coding_rate=1,
        crc_on_payload=False,
        frequency_error_hz=-900,
    )
    assert bench.read(0x13) == 3
    assert signed(bench.read(0x19), 8) == -20
    assert packet_strength_dbm(bench, -157) == pytest.approx(-120, abs=0.5)
    assert frequency_error_hz(bench, 125) == pytest.approx(-900, abs=0.2)
    assert bench.read(0x18) >> 5 == 1
    assert not bench.read(0x1C) & 0x40
    assert bench.last_packet() == b"2nd"


def test_modem_status_follows_a_reception() -> None:
    """Bit 4 modem clear, 3 header valid, 2 to 0 ongoing, synchronised, detected; 7 to 5 rate."""
    bench = receiving()
    assert bench.read(0x18) == 0x10
    bench.chip.begin_reception(now_us=bench.now_us)
    assert bench.read(0x18) == 0x07
    bench.chip.header_received(
        coding_rate=3, crc_on_payload=True, payload_length=2, now_us=bench.now_us
    )
    assert bench.read(0x18) == 0x6F
    bench.chip.end_reception(
        b"ab", rssi_dbm=-80, snr_db=5, frequency_error_hz=0, crc_ok=True, now_us=bench.now_us
    )
    assert bench.read(0x18) == 0x70


@given(st.floats(-140, -20), st.floats(-30, 0, exclude_max=True))
def test_strength_below_the_noise(rssi_dbm: float, snr_db: float) -> None:
    """-157 + PktRssi + SNR, within a step of each register."""
    bench = receiving(LORA_922)
    bench.receive(b"x", rssi_dbm=rssi_dbm, snr_db=snr_db)
    assert signed(bench.read(0x19), 8) / 4 == pytest.approx(snr_db, abs=0.125)
    if signed(bench.read(0x19), 8) < 0:
        assert packet_strength_dbm(bench, -157) == pytest.approx(rssi_dbm, abs=0.51)


@given(st.floats(-95.5, -20), st.floats(0, 15))
def test_strength_of_strong_packets(rssi_dbm: float, snr_db: float) -> None:
    """-157 + 16/15 PktRssi."""
    bench = receiving(LORA_922)
    bench.receive(b"x", rssi_dbm=rssi_dbm, snr_db=snr_db)
    assert packet_strength_dbm(bench, -157) == pytest.approx(rssi_dbm, abs=0.6)


@given(st.floats(-130, -100.5), st.floats(0, 15))
def test_strength_of_weak_packets_over_the_noise(rssi_dbm: float, snr_db: float) -> None:
    """-157 + PktRssi."""
    bench = receiving(LORA_922)
    bench.receive(b"x", rssi_dbm=rssi_dbm, snr_db=snr_db)
    assert packet_strength_dbm(bench, -157) == pytest.approx(rssi_dbm, abs=0.51)


@pytest.mark.parametrize(("registers", "rssi"), [(LORA_922, 57), (LORA_434, 64)])
def test_the_offset_depends_on_the_port(registers: dict[int, int], rssi: int) -> None:
    """-100 dBm is 57 on the high port (-157) and 64 on the low one (-164)."""
    bench = receiving(registers)
    bench.receive(b"x", rssi_dbm=-104.0, snr_db=-4.0)
    assert bench.read(0x1A) == rssi
    bench.chip.set_channel_rssi(-100.0)
    assert bench.read(0x1B) == rssi


@pytest.mark.parametrize(
    ("rssi_dbm", "snr_db", "registers"),
    [(-400.0, -90.0, (0, 0x80)), (300.0, 90.0, (255, 0x7F)), (-300.0, 5.0, (0, 20))],
)
def test_measurements_stop_at_the_ends_of_their_registers(
    rssi_dbm: float, snr_db: float, registers: tuple[int, int]
) -> None:
    bench = receiving(LORA_922)
    bench.receive(b"x", rssi_dbm=rssi_dbm, snr_db=snr_db)
    assert (bench.read(0x1A), bench.read(0x19)) == registers


@pytest.mark.parametrize(
    ("config_1", "bandwidth_khz"), [(0x72, 125), (0x82, 250), (0x92, 500), (0x62, 62.5)]
)
@given(error_hz=st.floats(-30_000, 30_000))
def test_frequency_error(error_hz: float, config_1: int, bandwidth_khz: float) -> None:
    """Within half a step of the register, either sign."""
    bench = receiving({0x1D: config_1})
    bench.receive(b"x", frequency_error_hz=error_hz)
    step_hz = 2**24 / 32e6 * bandwidth_khz / 500
    assert frequency_error_hz(bench, bandwidth_khz) == pytest.approx(error_hz, abs=step_hz * 0.51)


def test_packet_counters_have_two_bytes() -> None:
    """They wrap from 0xFFFF to 0."""
    bench = receiving()
    for _ in range(257):
        bench.receive(b"")
    assert bench.burst(0x14, 4) == bytes([1, 1, 1, 1])


def test_an_empty_packet_is_a_packet() -> None:
    bench = receiving()
    bench.receive(b"")
    assert bench.irq_flags() == RX_DONE | VALID_HEADER
    assert bench.last_packet() == b""


def test_a_second_header_changes_nothing() -> None:
    """The length is known from the first."""
    bench = receiving()
    bench.chip.begin_reception(now_us=bench.now_us)
    for length in (3, 200):
        assert bench.chip.header_received(
            coding_rate=1, crc_on_payload=True, payload_length=length, now_us=bench.now_us
        )
    bench.chip.end_reception(
        b"abc", rssi_dbm=-80, snr_db=5, frequency_error_hz=0, crc_ok=True, now_us=bench.now_us
    )
    assert bench.last_packet() == b"abc"


def test_nothing_raises_whatever_a_host_writes() -> None:
    """A chip has no way to; here every register gets every value, in three modes."""
    bench = Bench()
    for mode in (STANDBY, RXCONT, 0x80):
        bench.lora_standby(SF7_BW125)
        bench.mode(mode)
        for address in range(2, 0x80):
            for value in (0x00, 0x55, 0xFF):
                bench.write(address, value)
                bench.receive(b"x")
                bench.read(address)
