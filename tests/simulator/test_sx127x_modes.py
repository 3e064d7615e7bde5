"""Modes of the chip model against the data sheet (4.1.2, 4.1.6, table 7, table 17)."""

import pytest

from tests.simulator.chip_on_bus import (
    CAD,
    CAD_DONE,
    FSK_SLEEP,
    FSK_STANDBY,
    FSRX,
    FSTX,
    RX_TIMEOUT,
    RXCONT,
    RXSINGLE,
    SF7_BW125,
    SLEEP,
    STANDBY,
    TX,
    TX_DONE,
    VALID_HEADER,
    Bench,
    receiving,
)


def test_the_lora_bit_changes_in_sleep_only() -> None:
    """The classic mistake of setting it together with a mode."""
    bench = Bench()
    bench.write(0x01, STANDBY)
    assert bench.read(0x01) == FSK_STANDBY
    bench.write(0x01, SLEEP)  # the mode changes, the bit does not: it was standby before
    assert bench.read(0x01) == FSK_SLEEP
    bench.write(0x01, SLEEP)
    assert bench.read(0x01) == SLEEP
    bench.write(0x01, STANDBY)
    bench.write(0x01, FSK_STANDBY)
    assert bench.read(0x01) == STANDBY


def test_registers_survive_sleep_and_the_fifo_does_not() -> None:
    """Nor do the counters of headers and packets."""
    bench = receiving({0x39: 0x34})
    bench.receive(b"gone")
    assert bench.burst(0x14, 4) == bytes([0, 1, 0, 1])
    bench.mode(SLEEP)
    assert bench.burst(0x00, 4) == bytes(4)
    bench.mode(STANDBY)
    assert bench.read(0x39) == 0x34
    assert bench.burst(0x14, 4) == bytes(4)
    bench.write(0x0D, 0x00)
    assert bench.burst(0x00, 4) == bytes(4)


def test_standby_keeps_the_fifo() -> None:
    bench = receiving()
    bench.receive(b"kept")
    bench.mode(STANDBY)
    assert bench.last_packet() == b"kept"


def test_a_receiver_hears_nothing_before_it_has_settled() -> None:
    """250 us for the crystal after sleep, 60 us for the synthesizer."""
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(SLEEP)
    bench.write(0x01, RXCONT)
    assert bench.chip.listening(bench.now_us + 309) is None
    assert bench.chip.listening(bench.now_us + 310) is not None


def test_from_standby_only_the_synthesizer_settles() -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.write(0x01, RXCONT)
    assert bench.chip.listening(bench.now_us + 59) is None
    assert bench.chip.listening(bench.now_us + 60) is not None


def test_a_synthesizer_that_runs_needs_no_time() -> None:
    """FSRX is what it is for."""
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(FSRX)
    bench.write(0x01, RXCONT)
    assert bench.chip.listening(bench.now_us) is not None


@pytest.mark.parametrize("mode", [SLEEP, STANDBY, FSTX, FSRX, TX, CAD])
def test_only_receive_modes_listen(mode: int) -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(mode)
    assert bench.chip.listening(bench.now_us) is None


def test_a_deaf_chip_looks_right_and_hears_nothing() -> None:
    bench = receiving()
    bench.chip.deaf = True
    assert bench.read(0x01) == RXCONT
    bench.receive(b"into the void")
    assert (bench.irq_flags(), bench.chip.receptions) == (0, 0)


@pytest.mark.parametrize(
    ("address", "value"),
    [(0x06, 0xE6), (0x1D, 0x82), (0x1E, 0x94), (0x39, 0x34), (0x33, 0x67)],
)
def test_configuration_is_taken_over_in_sleep_or_standby_only(address: int, value: int) -> None:
    """A write while receiving reads back and changes nothing on the air."""
    bench = receiving()
    before = bench.chip.listening(bench.now_us)
    bench.write(address, value)
    assert bench.read(address) == value
    assert bench.chip.listening(bench.now_us) == before
    bench.mode(FSRX)
    bench.mode(RXCONT)
    assert bench.chip.listening(bench.now_us) == before
    bench.mode(STANDBY)
    bench.mode(RXCONT)
    assert bench.chip.listening(bench.now_us) != before


def test_what_is_received_and_what_is_tuned_to() -> None:
    """A busy receiver listens to nothing else, but is still tuned."""
    bench = receiving()
    tuned = bench.chip.listening(bench.now_us)
    bench.chip.begin_reception(now_us=bench.now_us)
    assert bench.chip.receiving
    assert bench.chip.listening(bench.now_us) is None
    assert bench.chip.tuned(bench.now_us) == tuned is not None
    bench.chip.begin_reception(now_us=bench.now_us)
    assert bench.chip.receptions == 1


def test_continuous_reception_goes_on_after_a_packet() -> None:
    bench = receiving()
    bench.receive(b"one")
    assert bench.read(0x01) == RXCONT
    assert bench.chip.listening(bench.now_us) is not None


def test_single_reception_ends_in_standby() -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(RXSINGLE)
    bench.receive(b"one")
    assert bench.read(0x01) == STANDBY
    assert bench.last_packet() == b"one"


def test_single_reception_times_out_in_symbols() -> None:
    """RegSymbTimeout 0x64 = 100 symbols of 1.024 ms, from when the receiver is ready."""
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.write(0x01, RXSINGLE)
    bench.wait(60 + 102_400 - 1)
    assert bench.read(0x01) == RXSINGLE
    bench.wait(1)
    assert (bench.read(0x01), bench.irq_flags()) == (STANDBY, RX_TIMEOUT)


def test_the_symbol_timeout_has_ten_bits() -> None:
    """Two of them in RegModemConfig2; 0x3FF symbols of 1.024 ms."""
    bench = Bench()
    bench.lora_standby({0x1D: 0x72, 0x1E: 0x77, 0x1F: 0xFF})
    bench.write(0x01, RXSINGLE)
    bench.wait(60 + 1_047_552 - 1)
    assert bench.irq_flags() == 0
    bench.wait(1)
    assert bench.irq_flags() == RX_TIMEOUT


def test_the_timeout_never_fires_while_a_packet_comes_in() -> None:
    """Page 41."""
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(RXSINGLE)
    bench.chip.begin_reception(now_us=bench.now_us)
    bench.wait(10_000_000)
    assert bench.read(0x01) == RXSINGLE
    assert bench.irq_flags() == 0


def test_a_signal_lost_in_single_reception_is_a_timeout() -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(RXSINGLE)
    bench.chip.begin_reception(now_us=bench.now_us)
    bench.chip.abort_reception(bench.now_us)
    assert (bench.read(0x01), bench.irq_flags()) == (STANDBY, RX_TIMEOUT)


def test_a_signal_lost_in_continuous_reception_leaves_no_trace() -> None:
    bench = receiving()
    bench.chip.abort_reception(bench.now_us)
    bench.chip.begin_reception(now_us=bench.now_us)
    bench.chip.abort_reception(bench.now_us)
    assert (bench.read(0x01), bench.irq_flags()) == (RXCONT, 0)
    assert bench.chip.listening(bench.now_us) is not None


def test_channel_activity_detection_takes_less_than_two_symbols() -> None:
    """Then CadDone and standby."""
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.write(0x01, CAD)
    bench.wait(1_024)
    assert bench.irq_flags() == 0
    bench.wait(1_024)
    assert (bench.read(0x01), bench.irq_flags()) == (STANDBY, CAD_DONE)


@pytest.mark.parametrize(
    ("registers", "length", "time_on_air_us"),
    [
        ({0x1D: 0x72, 0x1E: 0x74}, 20, 56_576),
        ({0x1D: 0x72, 0x1E: 0x94}, 20, 185_344),
        ({0x1D: 0x72, 0x1E: 0xA4}, 51, 616_448),
        ({0x1D: 0x72, 0x1E: 0xB4, 0x26: 0x08}, 20, 741_376),
        ({0x1D: 0x72, 0x1E: 0xC4, 0x26: 0x08}, 20, 1_318_912),
        ({0x1D: 0x72, 0x1E: 0xC4, 0x26: 0x08}, 51, 2_465_792),
        ({0x1D: 0x72, 0x1E: 0x74}, 255, 399_616),
        ({0x1D: 0x92, 0x1E: 0x84}, 33, 33_408),
        ({0x1D: 0x73, 0x1E: 0xC0, 0x26: 0x08}, 6, 827_392),
    ],
)
def test_a_transmission_lasts_its_time_on_air(
    registers: dict[int, int], length: int, time_on_air_us: int
) -> None:
    """Then TxDone and standby. The times are Semtech's calculator's."""
    payload = bytes(range(length))
    bench = Bench()
    bench.lora_standby(registers | {0x0E: 0x00, 0x0D: 0x00, 0x22: length})
    bench.write(0x00, *payload)
    started_us = bench.now_us
    bench.write(0x01, TX)
    sending = bench.chip.transmitting()
    assert sending is not None
    assert sending.payload == payload
    assert sending.start_us == started_us + 60
    assert sending.end_us - sending.start_us == time_on_air_us
    bench.wait(60 + time_on_air_us - 1)
    assert (bench.read(0x01), bench.irq_flags()) == (TX, 0)
    bench.wait(1)
    assert (bench.read(0x01), bench.irq_flags()) == (STANDBY, TX_DONE)
    assert bench.chip.transmitting() is None


def test_a_transmission_with_illegal_settings_never_ends() -> None:
    """PayloadLength 0 is illegal; a driver needs a time-out of its own."""
    bench = Bench()
    bench.lora_standby(SF7_BW125 | {0x22: 0})
    bench.mode(TX)
    bench.wait(60_000_000)
    assert (bench.read(0x01), bench.irq_flags()) == (TX, 0)
    assert bench.chip.transmitting() is None


def test_leaving_a_reception_drops_it() -> None:
    bench = receiving()
    bench.chip.begin_reception(now_us=bench.now_us)
    bench.mode(STANDBY)
    assert not bench.chip.receiving
    assert (
        bench.chip.header_received(
            coding_rate=1, crc_on_payload=True, payload_length=3, now_us=bench.now_us
        )
        is False
    )
    bench.chip.end_reception(
        b"abc", rssi_dbm=-80, snr_db=5, frequency_error_hz=0, crc_ok=True, now_us=bench.now_us
    )
    assert bench.irq_flags() & ~VALID_HEADER == 0


def test_next_timer_says_when_to_come_back() -> None:
    bench = Bench()
    assert bench.chip.next_timer_us() is None
    bench.lora_standby(SF7_BW125)
    bench.write(0x01, CAD)
    assert bench.chip.next_timer_us() == bench.now_us + 60
    bench.wait(60)
    timer_us = bench.chip.next_timer_us()
    assert timer_us is not None
    bench.wait(timer_us - bench.now_us)
    assert (bench.irq_flags(), bench.chip.next_timer_us()) == (CAD_DONE, None)
