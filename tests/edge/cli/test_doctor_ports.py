"""Serial ports on a machine of files, and on ptys with devices that introduce themselves."""

import os
import threading
import tty
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from drivers import probe
from drivers.ports import Machine
from edge.cli.doctor_finding import Finding
from edge.cli.doctor_ports import examine_ports
from edge.config.model import Config
from tests.drivers.machines import add_usb_port, link, machine
from tests.edge.config.texts import load

CONFIG = """\
[gateway]
region = "EU868"
[[concentrator]]
name = "roof"
driver = "{driver}"
port = "{port}"
unique_id = "{unique_id}"
[[concentrator.radio]]
frequency_hz = 868_100_000
spreading_factor = 9
"""


def config(port: Path, driver: str = "bridge", unique_id: str = "") -> Config:
    text = CONFIG.format(port=port, driver=driver, unique_id=unique_id)
    return load(text).config


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ptys answer at once."""
    monkeypatch.setattr(probe, "_FIRST_RATE_S", 0.6)
    monkeypatch.setattr(probe, "_NEXT_RATE_S", 0.3)
    monkeypatch.setattr(probe, "_TURN_S", 0.1)


SERIAL = bytes.fromhex("02a1010000002a")
EEPROM = b"\x51" + SERIAL.ljust(0x9B, b"\xff") + b"\x73"


@contextmanager
def an_rnode(eeprom: bytes = EEPROM) -> Iterator[Path]:
    """A pty that answers an RNode's questions, on a thread: doctor has the loop of its own."""
    master, slave = os.openpty()
    tty.setraw(slave)
    answers = {
        b"\xc0\x08\x73\xc0": b"\xc0\x08\x46\xc0",
        b"\xc0\x50\x00\xc0": b"\xc0\x50\x01\x56\xc0",
        b"\xc0\x51\x00\xc0\xc0\x48\x00\xc0": b"\xc0" + eeprom + b"\xc0\xc0\x48\x80\xc0",
    }

    def answer() -> None:
        while (asked := os.read(master, 4096)) != b"end":
            os.write(master, answers.get(asked, b""))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        yield Path(os.ttyname(slave))
    finally:
        # What is written to the slave comes out of the master.
        os.write(slave, b"end")
        thread.join(10)
        os.close(slave)
        os.close(master)


def findings(
    configured: Config | None,
    directory: Path,
    *others: Path,
    status: Mapping[str, Any] | None = None,
    ask: bool = True,
) -> dict[str, Finding]:
    """By check; of several the last."""
    here = machine(directory) if not (directory / "dev").exists() else None
    found = examine_ports(configured, status, others=others, machine=here, ask=ask)
    return {finding.check: finding for finding in found}


def test_a_device_that_is_not_configured_comes_with_its_lines(tmp_path: Path) -> None:
    with an_rnode() as port:
        [found] = findings(None, tmp_path, port).values()

    assert found.result == "ok"
    assert "RNode firmware 1.86" in found.text
    assert 'driver = "rnode"' in found.paste
    assert f'port = "{port}"' in found.paste
    assert f'unique_id = "{SERIAL.hex()}"' in found.paste
    assert "sync_word = 0x12" in found.paste  # an RNode has no other


def test_the_lines_are_for_the_region_and_for_a_free_name(tmp_path: Path) -> None:
    with an_rnode() as port:
        text = CONFIG.format(port="/dev/none", driver="bridge", unique_id="")
        configured = load(text.replace('"roof"', '"rnode-1"')).config
        found = findings(configured, tmp_path, port)[f"port {port}"]

    assert 'name = "rnode-2"' in found.paste
    assert "frequency_hz = 868_100_000" in found.paste


def test_another_family_than_the_configured_one_is_a_fault(tmp_path: Path) -> None:
    with an_rnode() as port:
        found = findings(config(port), tmp_path)["port of roof"]

    assert found.result == "fault"
    assert "RNode firmware 1.86 answers; driver bridge is configured" in found.text
    assert found.fix == 'driver = "rnode" for concentrator roof'


def test_a_pinned_device_that_does_not_say_which_one_it_is_is_no_fault(tmp_path: Path) -> None:
    """Its answer was lost on the line: doctor has no reason to call it another board."""
    with an_rnode(eeprom=b"\x51") as port:
        text = CONFIG.format(port=port, driver="rnode", unique_id="02a1010000002a")
        text += 'payload = "cbor"\nsync_word = 0x12\n'
        found = findings(load(text).config, tmp_path)["port of roof"]

    assert found.result == "ok"
    assert "RNode firmware 1.86" in found.text


def test_another_rnode_than_the_pinned_one_is_a_fault(tmp_path: Path) -> None:
    with an_rnode() as port:
        text = CONFIG.format(port=port, driver="rnode", unique_id="02a1010000002b")
        text += 'payload = "cbor"\nsync_word = 0x12\n'
        found = findings(load(text).config, tmp_path)["port of roof"]

    assert found.result == "fault"
    assert found.text == f"another board answers: {SERIAL.hex()}, not 02a1010000002b"


def test_nothing_is_asked_unless_it_may_be(tmp_path: Path) -> None:
    master, slave = os.openpty()
    try:
        port = Path(os.ttyname(slave))
        found = findings(config(port), tmp_path, ask=False)["port of roof"]
        os.set_blocking(master, False)
        with pytest.raises(BlockingIOError):
            os.read(master, 1)
    finally:
        os.close(slave)
        os.close(master)

    assert (found.result, found.text) == ("ok", f"{port} can be used")


def test_a_silent_configured_port_is_a_fault_and_another_one_is_not(tmp_path: Path) -> None:
    pairs = [os.openpty() for _ in range(2)]
    try:
        first, second = (Path(os.ttyname(slave)) for _, slave in pairs)
        found = findings(config(first), tmp_path, second)
    finally:
        for pair in pairs:
            for descriptor in pair:
                os.close(descriptor)

    assert found["port of roof"].result == "fault"
    assert "nothing answers" in found["port of roof"].text
    assert found[f"port {second}"].result == "ok"


def test_what_the_service_has_is_told_in_its_words(tmp_path: Path) -> None:
    master, slave = os.openpty()
    status = {"concentrators": [{"name": "roof", "up": True, "detail": "firmware 1.2"}]}
    try:
        found = findings(config(Path(os.ttyname(slave))), tmp_path, status=status)
    finally:
        os.close(slave)
        os.close(master)

    assert found["port of roof"].text == "the service is connected: firmware 1.2"


def warnings(configured: Config, here: Machine) -> list[tuple[str, str]]:
    found = examine_ports(configured, None, machine=here, ask=False)
    return [(f.text, f.fix) for f in found if f.result == "warning"]


def test_names_that_two_adapters_share_are_warned_of(tmp_path: Path) -> None:
    here = machine(tmp_path)
    for name, socket in (("ttyUSB0", "1-1.2"), ("ttyUSB1", "1-1.3")):
        add_usb_port(here, name, socket=socket, serial="0001", by_id="usb-0001")
    by_id = here.dev / "serial/by-id/usb-0001"
    by_path = here.dev / "serial/by-path/platform-usb-0:1.3:1.0-port0"

    [(text, fix)] = warnings(config(by_id), here)

    assert f"may lead to {here.dev}/ttyUSB0 as well" in text
    assert f'port = "{by_path}"' in fix
    assert warnings(config(by_path), here) == []


def test_a_name_that_the_kernel_gave_is_warned_of(tmp_path: Path) -> None:
    here = machine(tmp_path)
    device = add_usb_port(here, "ttyUSB0", socket="1-1.2", serial="7", by_id="usb-7")
    (here.dev / "ttyACM0").touch()

    [(text, fix)] = warnings(config(device), here)
    [(nameless, hint)] = warnings(config(here.dev / "ttyACM0"), here)

    assert "may have another name after the next plug" in text
    assert fix == f'port = "{here.dev}/serial/by-id/usb-7"'
    assert "udev gives it no other" in nameless
    assert "/dev/serial/by-path" in hint


def test_a_port_away_lists_those_that_are_here(tmp_path: Path) -> None:
    here = machine(tmp_path)
    add_usb_port(here, "ttyUSB0", socket="1-1.2", serial="7", by_id="usb-7")
    link(here.dev / "serial/by-id/usb-8", here.dev / "ttyUSB8")

    configured = config(here.dev / "serial/by-id/usb-8")
    found = {f.check: f for f in examine_ports(configured, None, machine=here, ask=False)}

    assert found["port of roof"].result == "fault"
    assert str(here.dev / "serial/by-id/usb-7") in found["port of roof"].fix
