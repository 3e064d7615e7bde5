"""The udev rules, run over devices as udev(7) says."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

import pytest

from tests.deploy.exported import DEPLOY

RULES = DEPLOY / "60-lora-edge.rules"
TERM = re.compile(r'([A-Z]+)(?:\{(\w+)\})?(==|!=|\+=|=)"([^"]*)"')
CP2102 = {"idVendor": "10c4", "idProduct": "ea60", "serial": "0f3a"}
HUB = {"idVendor": "2109", "idProduct": "3431", "serial": "hub"}

Term = tuple[str, str, str, str]


@dataclass
class Device:
    """A device and the attributes of its parents, nearest first."""

    name: str
    parents: Sequence[dict[str, str]] = ()
    subsystem: str = "tty"
    properties: dict[str, str] = field(default_factory=dict)
    links: list[str] = field(default_factory=list)
    group: str = "dialout"
    mode: str = "0600"


def rules(text: str) -> list[list[Term]]:
    parsed = []
    for line in text.splitlines():
        if line and not line.startswith("#"):
            terms = [match.groups(default="") for match in TERM.finditer(line)]
            assert ", ".join(match[0] for match in TERM.finditer(line)) == line
            parsed.append([(key, name, operator, value) for key, name, operator, value in terms])
    return parsed


def matches(operator: str, pattern: str, value: str) -> bool:
    any_fits = any(fnmatchcase(value, choice) for choice in pattern.split("|"))
    return any_fits == (operator == "==")


def chosen_parent(rule: list[Term], device: Device) -> dict[str, str] | None:
    """All ATTRS of one rule have to fit one and the same parent."""
    wanted = [term for term in rule if term[0] == "ATTRS"]
    for parent in device.parents:
        if all(
            name in parent and matches(op, value, parent[name]) for _, name, op, value in wanted
        ):
            return parent
    return None if wanted else {}


def fits(rule: list[Term], device: Device, action: str) -> bool:
    for key, name, operator, value in rule:
        if operator in ("==", "!=") and key != "ATTRS":
            actual = {
                "SUBSYSTEM": device.subsystem,
                "ACTION": action,
                "KERNEL": device.name,
                "ENV": device.properties.get(name, ""),
            }[key]
            if not matches(operator, value, actual):
                return False
    return True


def assign(rule: list[Term], device: Device, parent: dict[str, str]) -> None:
    for key, name, operator, value in rule:
        match key, operator:
            case "GROUP", "=":
                device.group = value
            case "MODE", "=":
                device.mode = value
            case "ENV", "=":
                device.properties[name] = value
            case "SYMLINK", "+=":
                device.links.append(value.replace("$attr{serial}", parent["serial"]))
            case ("GOTO" | "LABEL", "=") | (_, "==" | "!="):
                pass
            case _:
                pytest.fail(f"not a key that these rules use: {key}{operator}")


def apply(text: str, device: Device, action: str = "add") -> Device:
    skip_to = ""
    for rule in rules(text):
        if skip_to:
            skip_to = "" if ("LABEL", "", "=", skip_to) in rule else skip_to
            continue
        parent = chosen_parent(rule, device)
        if parent is not None and fits(rule, device, action):
            assign(rule, device, parent)
            skip_to = next((value for key, _, _, value in rule if key == "GOTO"), "")
    assert skip_to == ""
    return device


def test_a_board_belongs_to_the_gateway_and_has_a_name_that_stays() -> None:
    board = apply(RULES.read_text(), Device("ttyUSB0", [CP2102, HUB]))

    assert (board.group, board.mode, board.links) == ("lora-edge", "0660", ["lora/0f3a"])
    assert board.properties["ID_MM_PORT_IGNORE"] == "1"


# Vendor and product of the USB ID repository (usb.ids) and the makers' data sheets.
@pytest.mark.parametrize(
    ("vendor", "product"),
    [
        ("10c4", "ea60"),
        ("10c4", "ea70"),
        ("1a86", "7523"),
        ("1a86", "55d3"),
        ("1a86", "55d4"),
        ("0403", "6001"),
        ("0403", "6015"),
        ("2e8a", "000a"),
        ("303a", "1001"),
    ],
)
def test_the_usual_chips_are_known(vendor: str, product: str) -> None:
    board = Device("ttyACM0", [{"idVendor": vendor, "idProduct": product}, HUB])

    assert apply(RULES.read_text(), board).group == "lora-edge"
    # The serial number of the hub above it is not the board's.
    assert board.links == []


@pytest.mark.parametrize(
    "other",
    [
        Device("ttyUSB2", [{"idVendor": "12d1", "idProduct": "1506", "serial": "modem"}, HUB]),
        Device("ttyUSB0", [{"idVendor": "10c4", "idProduct": "8a2a"}, HUB]),
        Device("ttyAMA0"),
        Device("sda", [CP2102], subsystem="block"),
    ],
    ids=lambda device: device.name,
)
def test_other_devices_are_left_alone(other: Device) -> None:
    apply(RULES.read_text(), other)

    assert (other.group, other.mode, other.links) == ("dialout", "0600", [])


def test_nothing_is_done_when_a_board_goes() -> None:
    assert apply(RULES.read_text(), Device("ttyUSB0", [CP2102]), "remove").group == "dialout"


def test_the_line_for_a_hat_works_once_its_comment_sign_is_gone() -> None:
    text = RULES.read_text().replace("#KERNEL", "KERNEL")

    assert apply(text, Device("ttyAMA0")).group == "lora-edge"
    assert apply(text, Device("ttyAMA1")).group == "dialout"
