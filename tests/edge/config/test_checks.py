"""What does not fit together, or not to chips and regions."""

from pathlib import Path

import pytest

from drivers.registry import DRIVERS
from edge.config.driver_options import driver_options
from edge.config.faults import ConfigError
from tests.edge.config.texts import FULL, MINIMAL, lines, load, warnings

RADIO = """\
[[concentrator.radio]]
frequency_hz = {frequency_hz}
spreading_factor = {spreading_factor}
bandwidth_hz = {bandwidth_hz}
payload = "{payload}"
"""
BOARD = '[[concentrator]]\nname = "{name}"\nport = "{port}"\n'
UPSTREAM = '[[upstream]]\nname = "disk"\nkind = "file"\npath = "/srv"\n'


def one_radio(
    frequency_hz: int = 921_400_000,
    spreading_factor: int = 9,
    bandwidth_hz: int = 125_000,
    payload: str = "lorawan",
) -> str:
    board = BOARD.format(name="roof", port="/dev/ttyAMA0")
    radio = RADIO.format(
        frequency_hz=frequency_hz,
        spreading_factor=spreading_factor,
        bandwidth_hz=bandwidth_hz,
        payload=payload,
    )
    return MINIMAL + UPSTREAM + board + radio


def device(name: str, decoder: str, mode: str = "opaque") -> str:
    return (
        f'[[device]]\nname = "{name}"\ndev_addr = "01a2b3c4"\n'
        f'decoder = "{decoder}"\nmode = "{mode}"\n'
    )


def test_a_sound_configuration_has_no_warnings() -> None:
    assert warnings(one_radio()) == []


def test_names_are_unique_and_the_first_place_is_told() -> None:
    rows = FULL.splitlines()
    first, second = rows.index('name = "city"') + 1, rows.index('name = "disk"') + 1

    assert lines(FULL.replace('name = "disk"', 'name = "city"')) == [
        f"gateway.toml:{second}: upstream.city.name: city is taken (by gateway.toml:{first})"
    ]


def test_two_concentrators_cannot_share_a_port(tmp_path: Path) -> None:
    (tmp_path / "device").touch()
    (tmp_path / "link").symlink_to(tmp_path / "device")
    boards = BOARD.format(name="a", port=tmp_path / "device")
    boards += BOARD.format(name="b", port=tmp_path / "link")

    [found] = lines(MINIMAL + boards)

    assert found.endswith("concentrator.b.port: concentrator a is on the same port")


def test_two_concentrators_cannot_be_one_board() -> None:
    boards = "".join(
        BOARD.format(name=name, port=f"/dev/tty{name}") + f'unique_id = "{unique_id}"\n'
        for name, unique_id in (("a", "E661"), ("b", "e661"), ("c", ""), ("d", ""))
    )

    [found] = lines(MINIMAL + boards)

    assert found.endswith("concentrator.b.unique_id: concentrator a is the same board")


def test_a_zero_character_is_in_no_path() -> None:
    found = lines(FULL.replace("/dev/serial/by-id/usb-one", r"/dev/\u0000"))

    assert "concentrator.roof.port: must not hold a zero character" in found[0]


def test_a_port_that_changes_is_warned_of() -> None:
    text = one_radio().replace("/dev/ttyAMA0", "/dev/ttyUSB0")

    [found] = warnings(text)

    assert "/dev/ttyUSB0 changes with the next plug" in found
    assert "/dev/serial/by-id" in found


# SX1276 data sheet (rev. 7): the bands of table 1 end at 1020 MHz; no LoRa bandwidth of 62 kHz
# is "any number near 62.5 kHz".
@pytest.mark.parametrize(
    "radio", [one_radio(frequency_hz=2_400_000_000), one_radio(bandwidth_hz=62_000)]
)
def test_what_the_chip_cannot_do_is_a_fault(radio: str) -> None:
    assert lines(radio) != []


# RP002-1.0.4: AS923-2 channels lie in 920 to 923 MHz.
@pytest.mark.parametrize("frequency_hz", [868_100_000, 919_900_000, 923_000_000])
def test_a_channel_outside_the_region_is_only_warned_of(frequency_hz: int) -> None:
    [found] = warnings(one_radio(frequency_hz=frequency_hz))

    assert "concentrator.roof.radio[0].frequency_hz" in found
    assert "is not in a band of AS923-2 (from 920 to 923 MHz)" in found


# RP002-1.0.4, AS923 with a dwell time of 400 ms: nothing at DR0 and DR1 (SF12 and SF11), 11 bytes
# at DR2.
@pytest.mark.parametrize(("spreading_factor", "count"), [(9, 0), (10, 0), (11, 1), (12, 1)])
def test_a_spreading_factor_that_nobody_may_send_is_warned_of(
    spreading_factor: int, count: int
) -> None:
    found = warnings(one_radio(spreading_factor=spreading_factor))

    assert len(found) == count
    assert all("nothing may be sent so" in line for line in found)


def test_frames_that_are_not_lorawan_may_be_shorter() -> None:
    assert warnings(one_radio(spreading_factor=11, payload="raw")) == []


def test_a_gateway_that_would_hear_nothing_is_warned_of() -> None:
    found = warnings(MINIMAL + UPSTREAM + BOARD.format(name="roof", port="/dev/ttyAMA0"))

    assert found == ["gateway.toml:7: concentrator.roof: has no [[concentrator.radio]]: it will"
                     " hear nothing"]  # fmt: skip
    assert ["there is no" in line for line in warnings(MINIMAL)] == [True, True]


@pytest.mark.parametrize(
    ("decoder", "hint"),
    [
        ("template:elsis", "(did you mean elsys?)"),
        ("cbor-seq:elsis", "(did you mean elsys?)"),
        ("javascript", ""),
    ],
)
def test_a_decoder_that_nobody_declared_is_a_fault(decoder: str, hint: str) -> None:
    [found] = lines(FULL + device("other", decoder))

    assert "device.other.decoder" in found
    assert found.endswith(hint)


def test_a_faulty_template_is_not_also_told_as_a_missing_one() -> None:
    text = FULL.replace("i16be", "i17be") + device("other", "template:elsys")

    [found] = lines(text)

    assert "template.elsys.fields.temperature.type" in found


def test_a_faulty_template_hides_no_other_fault() -> None:
    text = FULL.replace("exponent = -1", "exponent = -99").replace("exponent = -2", "exponent = 99")
    text += device("other", "template:elsys") + device("third", "template:elsis")

    assert [line.split(": ")[1] for line in lines(text)] == [
        "template.elsys",
        "labels.1",
        "device.third.decoder",
    ]


def test_a_decoder_without_keys_is_warned_of() -> None:
    found = warnings(FULL + device("other", "cbor"))

    assert any("is not used while mode is opaque" in line for line in found)


def test_a_position_is_whole() -> None:
    [found] = lines(f"{MINIMAL}longitude = 108.2\n")

    assert found == "gateway.toml:1: gateway: latitude and longitude belong together"


def test_files_that_are_not_there_are_warned_of(tmp_path: Path) -> None:
    there = tmp_path / "ca.pem"
    there.touch()
    text = FULL.replace(
        'kind = "mqtt"', f'kind = "mqtt"\nca_file = "{there}"\npassword_file = "/no/password"'
    )

    found = [line for line in warnings(text) if "_file" in line]

    assert len(found) == 1
    assert "upstream.city.password_file: /no/password does not exist" in found[0]


def test_warnings_are_kept_beside_faults() -> None:
    config = load(FULL).config
    assert config.devices[0].decoder == "none"

    assert any("latitude" in line for line in lines(f"{MINIMAL}latitude = 91\nlongitude = 1\n"))


RNODE = """\
[[concentrator]]
name = "pier"
driver = "rnode"
port = "/dev/ttyAMA0"
[[concentrator.radio]]
frequency_hz = 921_400_000
spreading_factor = 9
sync_word = 0x12
payload = "cbor"
"""


def test_a_private_radio_on_an_rnode_is_fine() -> None:
    assert "rnode" in {c.driver for c in load(MINIMAL + UPSTREAM + RNODE).config.concentrators}


def test_what_a_family_cannot_do_is_a_fault_with_its_line_and_what_would_work() -> None:
    """Without a port: the configuration may be checked on another machine."""
    text = MINIMAL + UPSTREAM + RNODE.replace("0x12", "0x34").replace('"cbor"', '"lorawan"')
    with pytest.raises(ConfigError) as caught:
        load(text)
    faults = [str(fault) for fault in caught.value.faults]
    assert len(faults) == 2
    assert faults[0].startswith("gateway.toml:14: concentrator.pier.radio[0].sync_word: an RNode")
    assert faults[1].startswith("gateway.toml:15: concentrator.pier.radio[0].payload: an RNode")
    assert all("0x12" in fault for fault in faults)
    assert 'driver = "bridge"' in faults[1]


def test_a_plain_kiss_tnc_is_refused_with_the_reason_and_what_would_work() -> None:
    """Any other unknown name is only an unknown name."""
    for driver, said in (("kiss", True), ("rnod", False)):
        with pytest.raises(ConfigError) as caught:
            load(MINIMAL + UPSTREAM + RNODE.replace('"rnode"', f'"{driver}"'))
        (fault,) = map(str, caught.value.faults)
        assert fault.startswith("gateway.toml:9: concentrator.pier.driver: must be bridge, ")
        assert ("a dead one could not be told from a quiet night" in fault) is said
        assert ('"loraprs"' in fault) is said


def test_when_to_ask_for_the_signal_is_for_the_family_that_has_to_be_asked() -> None:
    text = MINIMAL + UPSTREAM + RNODE.replace("port =", 'signal_reading = "never"\nport =')
    (asked,) = load(text.replace('"rnode"', '"rn2xx3"')).config.concentrators
    assert driver_options(asked).signal_reading == "never"
    for family in sorted(DRIVERS.keys() - {"rn2xx3"}):
        with pytest.raises(ConfigError, match=r"pier.signal_reading: .* nobody asks for them"):
            load(text.replace('"rnode"', f'"{family}"'))


def test_without_a_line_rate_it_is_the_familys() -> None:
    for family in DRIVERS:
        text = RNODE.replace('"rnode"', f'"{family}"')
        usual, given = (
            driver_options(load(MINIMAL + UPSTREAM + board).config.concentrators[0]).baud
            for board in (text, text.replace("port =", "baud = 9600\nport ="))
        )
        assert (usual, given) == (DRIVERS[family].baud, 9600)
