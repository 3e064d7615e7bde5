"""DIO pins of the chip model against the data sheet's table 18."""

import pytest

from tests.simulator.chip_on_bus import CAD, RXCONT, RXSINGLE, SF7_BW125, STANDBY, TX, Bench


def rising(bench: Bench) -> list[int]:
    """Pins that went up, in order."""
    return [dio for dio, level, _ in bench.edges if level]


@pytest.mark.parametrize(
    ("mapping", "event", "pins"),
    [
        ({0x40: 0x00}, "receive", [0]),  # RxDone
        ({0x40: 0x01}, "receive", [3, 0]),  # DIO3 ValidHeader comes first
        ({0x40: 0x02}, "damaged", [3, 0]),  # DIO3 PayloadCrcError
        ({0x40: 0x02}, "receive", [0]),
        ({0x40: 0x40}, "send", [0]),  # DIO0 TxDone
        ({0x40: 0x80}, "detect", [3, 0]),  # DIO0 CadDone, DIO3 CadDone
        ({0x40: 0x40}, "time-out", [1]),  # DIO1 RxTimeout
        ({0x40: 0xFF, 0x41: 0xF0}, "receive", []),  # nothing is mapped to 11
    ],
)
def test_mapping(mapping: dict[int, int], event: str, pins: list[int]) -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125 | mapping)
    match event:
        case "receive" | "damaged":
            bench.mode(RXCONT)
            bench.receive(b"hello", crc_ok=event == "receive")
        case "send":
            bench.mode(TX)
        case "detect":
            bench.mode(CAD)
        case "time-out":
            bench.mode(RXSINGLE)
    bench.wait(1_000_000)
    assert rising(bench) == pins


def test_a_pin_falls_when_its_flag_is_cleared() -> None:
    """And rises anew with the next packet; while it is up, a packet makes no edge."""
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(RXCONT)
    bench.receive(b"one")
    first_us = bench.now_us
    bench.receive(b"missed")
    bench.write(0x12, 0xFF)
    cleared_us = bench.now_us
    bench.receive(b"three")
    assert bench.edges == [
        (0, True, first_us),
        (0, False, cleared_us),
        (0, True, bench.now_us),
    ]


def test_a_masked_flag_moves_no_pin() -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125 | {0x11: 0x40})
    bench.mode(RXCONT)
    bench.receive(b"one")
    assert bench.edges == []


def test_a_reset_brings_all_pins_down() -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(RXCONT)
    bench.receive(b"one")
    bench.chip.reset(bench.now_us)
    assert bench.edges[-1] == (0, False, bench.now_us)


def test_remapping_a_pin_shows_the_other_flag_at_once() -> None:
    bench = Bench()
    bench.lora_standby(SF7_BW125)
    bench.mode(RXCONT)
    bench.receive(b"one")
    bench.write(0x40, 0x40)
    assert [level for _, level, _ in bench.edges] == [True, False]
    bench.mode(STANDBY)
    bench.write(0x40, 0x00)
    assert [level for _, level, _ in bench.edges] == [True, False, True]
