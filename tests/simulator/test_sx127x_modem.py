"""What the chip model's registers mean on the air: data sheet, errata note and published senses."""

import pytest

from simulator.sx127x_modem import Waveform
from tests.simulator.chip_on_bus import RXCONT, SF7_BW125, TX, Bench, receiving

SF6 = {0x1D: 0x73, 0x1E: 0x64, 0x31: 0xC5, 0x37: 0x0C, 0x22: 8}


def tuned(registers: dict[int, int]) -> Waveform | None:
    """What a receiver with these registers listens to."""
    bench = receiving(registers)
    return bench.chip.listening(bench.now_us)


def sent(registers: dict[int, int]) -> Waveform | None:
    """What a transmitter with these registers sends."""
    bench = Bench()
    bench.lora_standby(SF7_BW125 | registers)
    bench.write(0x01, TX)
    sending = bench.chip.transmitting()
    return None if sending is None else sending.waveform


@pytest.mark.parametrize(
    ("frf", "frequency_hz"),
    [
        ((0x6C, 0x80, 0x00), 434_000_000),
        ((0xE6, 0x80, 0x00), 922_000_000),
        ((0xE6, 0x59, 0x9A), 921_400_024),  # the nearest step of 61.035 Hz to 921.4 MHz
    ],
)
def test_frequency(frf: tuple[int, int, int], frequency_hz: int) -> None:
    """Frf x 32 MHz / 2^19."""
    waveform = tuned(dict(zip((0x06, 0x07, 0x08), frf, strict=True)))
    assert waveform is not None
    assert waveform.frequency_hz == frequency_hz


@pytest.mark.parametrize(
    ("code", "bandwidth_hz"),
    list(
        enumerate(
            [7_800, 10_400, 15_600, 20_800, 31_250, 41_700, 62_500, 125_000, 250_000, 500_000]
        )
    ),
)
def test_bandwidth(code: int, bandwidth_hz: int) -> None:
    waveform = tuned({0x1D: code << 4 | 0x02})
    assert waveform is not None
    assert waveform.bandwidth_hz == bandwidth_hz


@pytest.mark.parametrize("spreading_factor", range(7, 13))
@pytest.mark.parametrize("coding_rate", range(1, 5))
def test_spreading_factor_and_coding_rate(spreading_factor: int, coding_rate: int) -> None:
    waveform = tuned({0x1D: 0x70 | coding_rate << 1, 0x1E: spreading_factor << 4})
    assert waveform is not None
    assert (waveform.spreading_factor, waveform.coding_rate) == (spreading_factor, coding_rate)
    assert waveform.symbol_us == 2**spreading_factor / 125_000 * 1e6


@pytest.mark.parametrize(
    "registers",
    [
        {0x1D: 0xA2},  # bandwidth code 10
        {0x1D: 0x70},  # coding rate 0
        {0x1D: 0x7A},  # coding rate 5
        {0x1E: 0x54},  # SF5
        {0x1E: 0xD4},  # SF13
        {0x31: 0xC5},  # SF6's detection with SF7
        {0x37: 0x0C},
        SF6 | {0x1D: 0x72},  # SF6 with an explicit header
        SF6 | {0x31: 0xC3},
        SF6 | {0x37: 0x0A},
        {0x1D: 0x73, 0x22: 0},  # implicit header and no length
    ],
)
def test_settings_that_cannot_receive(registers: dict[int, int]) -> None:
    assert tuned(registers) is None


def test_sf6_works_with_its_own_detection_settings() -> None:
    """0x31 low bits 5, 0x37 = 0x0C, implicit header."""
    waveform = tuned(SF6)
    assert waveform is not None
    assert (waveform.spreading_factor, waveform.implicit_header) == (6, True)


@pytest.mark.parametrize(("value", "inverted"), [(0x27, False), (0x67, True), (0x26, False)])
def test_inverted_iq_in_reception(value: int, *, inverted: bool) -> None:
    """RegInvertIQ bit 6: 1 = inverted."""
    waveform = tuned({0x33: value})
    assert waveform is not None
    assert waveform.invert_iq is inverted


@pytest.mark.parametrize(("value", "inverted"), [(0x27, False), (0x26, True), (0x66, True)])
def test_inverted_iq_in_transmission(value: int, *, inverted: bool) -> None:
    """RegInvertIQ bit 0 has the opposite sense: 1 = normal."""
    waveform = sent({0x33: value})
    assert waveform is not None
    assert waveform.invert_iq is inverted


def test_sync_word_preamble_and_low_data_rate() -> None:
    waveform = tuned({0x39: 0x34, 0x20: 0x01, 0x21: 0x02, 0x26: 0x08})
    assert waveform is not None
    assert waveform.sync_word == 0x34
    assert waveform.preamble_symbols == 0x102
    assert waveform.low_data_rate_optimize


@pytest.mark.parametrize(
    ("registers", "below_hz"),
    [
        ({0x31: 0x43, 0x2F: 0x40}, 0),  # 125 kHz as the errata note wants it
        ({0x31: 0x43, 0x2F: 0x44, 0x1D: 0x12}, 10_400),
        ({0x31: 0x43, 0x2F: 0x48, 0x1D: 0x02}, 7_800),
        ({0x31: 0xC3, 0x2F: 0x44, 0x1D: 0x12}, 0),  # automatic: the register does not count
    ],
)
def test_errata_2_3_shifts_narrow_receivers(registers: dict[int, int], below_hz: int) -> None:
    """With the intermediate frequency for narrow bandwidths a chip hears below RegFrf."""
    waveform = tuned(registers)
    assert waveform is not None
    assert waveform.frequency_hz == 434_000_000 - below_hz


@pytest.mark.parametrize(
    ("registers", "power_dbm"),
    [
        ({0x09: 0x8F}, 17),  # PA_BOOST: 2 to 17
        ({0x09: 0x80}, 2),
        ({0x09: 0x8F, 0x4D: 0x87}, 20),  # with PaDac 0x87
        ({0x09: 0x8D, 0x4D: 0x87}, 18),
        ({0x09: 0x7F}, 15),  # RFO: Pmax = 10.8 + 0.6 x 7
        ({0x09: 0x0F}, 10.8),
        ({0x09: 0x40}, -1.8),
    ],
)
def test_output_power(registers: dict[int, int], power_dbm: float) -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125 | registers)
    bench.write(0x01, TX)
    sending = bench.chip.transmitting()
    assert sending is not None
    assert sending.power_dbm == pytest.approx(power_dbm)


def test_a_receiver_is_still_tuned_while_it_receives() -> None:
    bench = receiving({0x39: 0x34})
    assert bench.read(0x01) == RXCONT
    bench.chip.begin_reception(now_us=bench.now_us)
    waveform = bench.chip.tuned(bench.now_us)
    assert waveform is not None
    assert waveform.sync_word == 0x34
