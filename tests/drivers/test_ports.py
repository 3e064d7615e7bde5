"""Names of serial ports that stay, and adapters that cannot be told apart."""

import os
from pathlib import Path

from drivers.ports import Machine, find_ports, usb_device
from tests.drivers.machines import add_usb_port, link, machine

# As udev names them on Raspberry Pi OS.
BY_ID = "usb-Silicon_Labs_CP2102_USB_to_UART_Bridge_Controller_0001-if00-port0"


def test_a_machine_without_ports_has_none(tmp_path: Path) -> None:
    assert find_ports(machine(tmp_path)) == []


def test_an_adapter_with_a_serial_number_of_its_own_goes_by_id(tmp_path: Path) -> None:
    here = machine(tmp_path)
    device = add_usb_port(here, "ttyUSB0", socket="1-1.2", serial="01AB", by_id=BY_ID)

    [port] = find_ports(here)

    assert port.name == here.dev / "serial/by-id" / BY_ID
    assert port.device == device
    assert port.usb == ("10c4", "ea60", "01AB")
    assert not port.may_change
    adapter = usb_device(here, device)
    assert adapter is not None
    assert adapter.name == "1-1.2"


def test_two_adapters_with_one_serial_number_go_by_path(tmp_path: Path) -> None:
    here = machine(tmp_path)
    first = add_usb_port(here, "ttyUSB0", socket="1-1.2", serial="0001", by_id=BY_ID)
    second = add_usb_port(here, "ttyUSB1", socket="1-1.3", serial="0001", by_id=BY_ID)

    ports = find_ports(here)

    assert [port.twins for port in ports] == [(second,), (first,)]
    assert [port.name.name for port in ports] == [
        "platform-usb-0:1.2:1.0-port0",
        "platform-usb-0:1.3:1.0-port0",
    ]


def test_two_adapters_without_serial_numbers_are_twins_as_well(tmp_path: Path) -> None:
    here = machine(tmp_path)
    add_usb_port(here, "ttyUSB0", socket="1-1.2", vendor="1a86", product="7523", by_id="usb-1a86")
    add_usb_port(here, "ttyUSB1", socket="1-1.3", vendor="1a86", product="7523", by_id="usb-1a86")

    assert all(port.twins for port in find_ports(here))


def test_different_adapters_are_no_twins(tmp_path: Path) -> None:
    here = machine(tmp_path)
    add_usb_port(here, "ttyUSB0", socket="1-1.2", serial="0001", by_id="a")
    add_usb_port(here, "ttyUSB1", socket="1-1.3", serial="0002", by_id="b")

    assert [port.name.name for port in find_ports(here)] == ["a", "b"]


def test_two_ports_of_one_adapter_are_no_twins(tmp_path: Path) -> None:
    here = machine(tmp_path)
    add_usb_port(here, "ttyUSB0", socket="1-1.2", serial="7", by_id="dual-if00-port0")
    add_usb_port(here, "ttyUSB1", socket="1-1.2", serial="7", by_id="dual-if01-port0")

    assert [port.name.name for port in find_ports(here)] == ["dual-if00-port0", "dual-if01-port0"]


def test_a_port_that_only_the_kernel_names_may_change(tmp_path: Path) -> None:
    here = machine(tmp_path)
    (here.dev / "ttyUSB3").touch()
    (here.dev / "ttyAMA0").touch()

    uart, usb = find_ports(here)

    assert (usb.name, usb.may_change, usb.usb) == (here.dev / "ttyUSB3", True, None)
    assert (uart.name, uart.may_change) == (here.dev / "ttyAMA0", False)


def test_the_port_on_the_pins_is_found_by_its_link_and_bluetooth_by_its_own(tmp_path: Path) -> None:
    here = machine(tmp_path)
    (here.dev / "ttyS0").touch()
    (here.dev / "ttyAMA0").touch()
    link(here.dev / "serial0", here.dev / "ttyS0")
    link(here.dev / "serial1", here.dev / "ttyAMA0")

    bluetooth, pins = find_ports(here)

    assert (bluetooth.device.name, bluetooth.is_bluetooth) == ("ttyAMA0", True)
    assert (pins.name, pins.is_bluetooth) == (here.dev / "serial0", False)


def test_ports_are_listed_as_people_count(tmp_path: Path) -> None:
    here = machine(tmp_path)
    for name in ("ttyUSB10", "ttyUSB9", "ttyACM0"):
        (here.dev / name).touch()

    names = [port.device.name for port in find_ports(here)]

    assert names == ["ttyACM0", "ttyUSB9", "ttyUSB10"]


def test_a_link_to_a_pty_is_found_when_it_is_asked_for(tmp_path: Path) -> None:
    here = machine(tmp_path)
    master, slave = os.openpty()
    try:
        link(tmp_path / "roof", Path(os.ttyname(slave)))

        [port] = find_ports(here, [tmp_path / "roof", tmp_path / "none"])

        assert (port.name, port.device) == (tmp_path / "roof", Path(os.ttyname(slave)))
    finally:
        os.close(slave)
        os.close(master)


def test_a_link_of_udev_and_a_configured_one_are_one_port(tmp_path: Path) -> None:
    here = machine(tmp_path)
    add_usb_port(here, "ttyUSB0", socket="1-1.2", serial="1", by_id="a")
    link(tmp_path / "roof", here.dev / "ttyUSB0")

    assert len(find_ports(here, [tmp_path / "roof"])) == 1


def test_links_that_lead_nowhere_are_no_ports(tmp_path: Path) -> None:
    here = machine(tmp_path)
    link(here.dev / "serial/by-id/gone", here.dev / "ttyUSB7")

    assert find_ports(here) == []


def test_a_usb_3_port_has_its_shorter_name(tmp_path: Path) -> None:
    here = machine(tmp_path)
    (here.dev / "ttyACM0").touch()
    for name in ("pci-usbv2-0:2:1.0", "pci-usb-0:2:1.0"):
        link(here.dev / "serial/by-path" / name, here.dev / "ttyACM0")

    assert find_ports(here)[0].name.name == "pci-usb-0:2:1.0"


def test_this_machine_can_be_looked_at() -> None:
    assert all(port.device.exists() for port in find_ports(Machine()))
