"""Strength, noise, frequency error and CRC from raw registers."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lora.events import CrcStatus
from protocol.lora.phy import BANDWIDTH_DIVISORS, CODING_RATES
from protocol.lora.sx127x_configuration import ReceiveSettings, receive_image
from protocol.lora.sx127x_reception import (
    RSSI_MODEL,
    RawReception,
    ReceptionReport,
    decode_reception,
    rssi_offset_dbm,
)

# The RX_EVENT that docs/CONCENTRATOR-LINK.md section 11 gives as an example.
EXAMPLE = RawReception(
    irq_flags=0x40,
    modem_status=0x04,
    hop_channel=0x40,
    packet_snr=0x20,
    packet_rssi=0x3D,
    modem_config_1=0x72,
    modem_config_2=0x74,
    frequency_error=0x0FFFFF,
    frf=0xE6599A,
)

BYTE = st.integers(0, 0xFF)
RAW = st.builds(
    RawReception,
    irq_flags=BYTE,
    modem_status=BYTE,
    hop_channel=BYTE,
    packet_snr=BYTE,
    packet_rssi=BYTE,
    modem_config_1=BYTE,
    modem_config_2=BYTE,
    frequency_error=st.integers(0, 0xFFFFFF),
    frf=st.integers(0, 0xFFFFFF),
)


def test_the_example_of_the_link_specification() -> None:
    report = decode_reception(EXAMPLE)
    assert report.rssi_dbm == pytest.approx(-157 + 61 * 16 / 15)
    assert report.frequency_error_hz == pytest.approx(-0.524288 * 125 / 500)
    assert replace(report, rssi_dbm=0, frequency_error_hz=0) == ReceptionReport(
        rssi_dbm=0,
        snr_db=8.0,
        frequency_error_hz=0,
        crc_status=CrcStatus.OK,
        coding_rate="4/5",
        spreading_factor=7,
        bandwidth_hz=125_000,
        frequency_hz=921_400_024,  # the step next to 921.4 MHz
    )
    assert RSSI_MODEL == "sx127x"


@pytest.mark.parametrize(
    ("packet_rssi", "packet_snr", "frf", "rssi_dbm", "snr_db"),
    [
        # data sheet section 5.5.5; HF port
        (40, 0x00, 0xE6599A, -117.0, 0.0),
        (40, 0x1B, 0xE6599A, -117.0, 6.75),
        (40, 0xFF, 0xE6599A, -117.25, -0.25),
        (37, 0xD8, 0xE6599A, -130.0, -10.0),
        (37, 0x80, 0xE6599A, -152.0, -32.0),
        (57, 0x20, 0xE6599A, -100.0, 8.0),  # not yet strong
        (60, 0x20, 0xE6599A, -93.0, 8.0),  # -97 + 60/15
        (120, 0x7F, 0xE6599A, -29.0, 31.75),
        (60, 0xFC, 0xE6599A, -98.0, -1.0),  # strong, but below the noise: no slope
        # LF port
        (44, 0x00, 0x6C8000, -120.0, 0.0),
        (44, 0xEC, 0x6C8000, -125.0, -5.0),
        (75, 0x04, 0x6C8000, -84.0, 1.0),  # -89 + 75/15
    ],
)
def test_packet_strength(
    packet_rssi: int, packet_snr: int, frf: int, rssi_dbm: float, snr_db: float
) -> None:
    report = decode_reception(
        replace(EXAMPLE, packet_rssi=packet_rssi, packet_snr=packet_snr, frf=frf)
    )
    assert report.rssi_dbm == pytest.approx(rssi_dbm)
    assert report.snr_db == snr_db


def test_ports() -> None:
    assert [rssi_offset_dbm(hz) for hz in (433_000_000, 525_000_000)] == [-164, -164]
    assert [rssi_offset_dbm(hz) for hz in (779_000_000, 921_400_000)] == [-157, -157]


RX_DONE, CRC_ERROR, VALID_HEADER, CRC_ON = 0x40, 0x20, 0x10, 0x40


@pytest.mark.parametrize(
    ("irq_flags", "hop_channel", "expected"),
    [
        (RX_DONE | VALID_HEADER, CRC_ON, CrcStatus.OK),
        (RX_DONE, CRC_ON, CrcStatus.OK),
        (RX_DONE | VALID_HEADER, CRC_ON | 0x80 | 0x3F, CrcStatus.OK),
        (RX_DONE | VALID_HEADER, 0x00, CrcStatus.MISSING),
        (RX_DONE | VALID_HEADER, 0xBF, CrcStatus.MISSING),
        (RX_DONE | VALID_HEADER | CRC_ERROR, CRC_ON, CrcStatus.BAD),
        (RX_DONE | VALID_HEADER | CRC_ERROR, 0x00, CrcStatus.BAD),
        (VALID_HEADER, CRC_ON, CrcStatus.UNKNOWN),
        (VALID_HEADER, 0x00, CrcStatus.UNKNOWN),
        (VALID_HEADER | CRC_ERROR, CRC_ON, CrcStatus.UNKNOWN),
    ],
)
def test_crc_truth_table(irq_flags: int, hop_channel: int, expected: CrcStatus) -> None:
    """OK only with RxDone, without PayloadCrcError, and if the received header tells of a CRC."""
    raw = replace(EXAMPLE, irq_flags=irq_flags, hop_channel=hop_channel)
    assert decode_reception(raw).crc_status is expected


@given(RAW)
def test_ok_needs_all_three(raw: RawReception) -> None:
    good = raw.irq_flags & 0x60 == 0x40 and bool(raw.hop_channel & 0x40)
    assert (decode_reception(raw).crc_status is CrcStatus.OK) == good


@pytest.mark.parametrize(
    ("register", "modem_config_1", "expected_hz"),
    [
        (0x000001, 0x92, 0.524288),
        (0x07FFFF, 0x92, 0x7FFFF * 0.524288),
        (0x080000, 0x92, -0x80000 * 0.524288),
        (0xF00001, 0x92, 0.524288),  # only 20 bits count
        (0x00EE6B, 0x72, 8000.0),  # 61,035 at 125 kHz
        (0x000001, 0x02, 0.524288 * 7.8125 / 500),
    ],
)
def test_frequency_error(register: int, modem_config_1: int, expected_hz: float) -> None:
    """FEI * 2^24 / 32 MHz * bandwidth / 500 kHz (data sheet section 4.1.5)."""
    raw = replace(EXAMPLE, frequency_error=register, modem_config_1=modem_config_1)
    assert decode_reception(raw).frequency_error_hz == pytest.approx(expected_hz, rel=1e-4)


@pytest.mark.parametrize(
    ("modem_status", "modem_config_1", "expected"),
    [
        (0x24, 0x78, "4/5"),
        (0x40, 0x72, "4/6"),
        (0x60, 0x72, "4/7"),
        (0x9F, 0x72, "4/8"),
        (0x00, 0x76, "4/7"),
        (0xE0, 0x78, "4/8"),
        (0x00, 0x70, "unknown"),
        (0xA0, 0x7A, "unknown"),
    ],
)
def test_the_header_s_coding_rate_comes_first(
    modem_status: int, modem_config_1: int, expected: str
) -> None:
    raw = replace(EXAMPLE, modem_status=modem_status, modem_config_1=modem_config_1)
    assert decode_reception(raw).coding_rate == expected


@given(
    st.builds(
        ReceiveSettings,
        frequency_hz=st.integers(137_000_000, 1_019_000_000),
        spreading_factor=st.integers(7, 12),
        bandwidth_hz=st.sampled_from(sorted(BANDWIDTH_DIVISORS)),
        coding_rate=st.sampled_from(sorted(CODING_RATES)),
    )
)
def test_a_radio_reports_what_it_was_told(settings: ReceiveSettings) -> None:
    """In particular the asked frequency, not the one that the errata note makes us tune to."""
    registers = dict(receive_image(settings))
    report = decode_reception(
        replace(
            EXAMPLE,
            modem_status=0,
            modem_config_1=registers[0x1D],
            modem_config_2=registers[0x1E],
            frf=registers[0x06] << 16 | registers[0x07] << 8 | registers[0x08],
        )
    )
    assert abs(report.frequency_hz - settings.frequency_hz) <= 31
    assert report.spreading_factor == settings.spreading_factor
    assert report.bandwidth_hz == settings.bandwidth_hz
    assert report.coding_rate == settings.coding_rate


@given(RAW)
def test_any_registers_give_a_report(raw: RawReception) -> None:
    """An event that raised would be sent again for ever."""
    report = decode_reception(raw)
    assert -164 - 32 <= report.rssi_dbm <= -157 + 272
    assert -32 <= report.snr_db < 32
    assert 0 <= report.frequency_hz <= 1_024_000_000
    assert (report.bandwidth_hz == 0) == (raw.modem_config_1 >> 4 > 9)
    assert (report.frequency_error_hz is None) == (report.bandwidth_hz == 0)
    assert 0 <= report.spreading_factor <= 15
