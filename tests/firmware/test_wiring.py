"""Table and picture say what ``pins.py`` says."""

import re
import runpy
import sys
from typing import Any
from xml.etree import ElementTree

import pytest

from tests.firmware.chip_bus import FIRMWARE

README = (FIRMWARE / "README.md").read_text()
PICTURE = (FIRMWARE / "wiring.svg").read_text()


@pytest.fixture(params=["rp2", "esp32"])
def chip(request: pytest.FixtureRequest) -> str:
    """What MicroPython calls the chip."""
    name: str = request.param
    return name


def pins_of(chip: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The file, as that chip reads it."""
    monkeypatch.setattr(sys, "platform", chip)
    return runpy.run_path(str(FIRMWARE / "pins.py"))


def row(label: str, chip: str) -> list[int]:
    """The GPIO numbers of a line of the table."""
    (cells,) = re.findall(rf"^\| {re.escape(label)} \|(.+)\|(.+)\|$", README, re.MULTILINE)
    return [int(number) for number in re.findall(r"\d+", cells[chip == "esp32"])]


def test_the_table_is_right(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = pins_of(chip, monkeypatch)

    for name in ("SCK", "MOSI", "MISO"):
        assert row(f"{name}, all radios", chip) == [pins[name]]
    for index, wires in enumerate(pins["RADIOS"]):
        assert row(f"radio {index}: NSS, RESET, DIO0, DIO3", chip) == list(wires)


def test_no_pin_is_used_twice(chip: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pins = pins_of(chip, monkeypatch)
    used = [pins[name] for name in ("SCK", "MOSI", "MISO", "UART_TX", "UART_RX", "MAINTENANCE")]
    used += [pin for wires in pins["RADIOS"] for pin in wires]

    assert len(set(used)) == len(used)
    assert len(pins["RADIOS"]) == 4
    if chip == "esp32":  # 6 to 11 are its flash, 12 decides its voltage, 34 and above are inputs
        assert not {*range(6, 13)} & set(used)
        outputs = [pin for wires in pins["RADIOS"] for pin in wires[:2]]
        assert max(*outputs, pins["SCK"], pins["MOSI"], pins["UART_TX"]) < 34


def test_the_picture_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    pins = pins_of("rp2", monkeypatch)
    assert ElementTree.fromstring(PICTURE).tag.endswith("}svg")  # else no browser shows it
    # On the picture a pin's label stands on the line after its position, name and colour.
    labels = re.findall(
        r">(GP\d+)</text>\n<text[^>]*>\d+</text>\n<text[^>]*>(radio [^<]+)<", PICTURE
    )
    wanted = {
        (f"GP{pin}", f"radio {index} {name}")
        for index, wires in enumerate(pins["RADIOS"])
        for name, pin in zip(("NSS", "RESET", "DIO0", "DIO3"), wires, strict=True)
    }

    assert set(labels) == wanted


def test_every_file_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path.name for path in FIRMWARE.glob("*.py")}
    table = README.partition("## Files")[2]

    assert set(re.findall(r"`(\w+\.py)`", table)) == files
