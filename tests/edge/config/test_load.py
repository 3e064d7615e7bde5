"""Reading a whole configuration: its values, all of its faults, and where they are."""

import math
from pathlib import Path

import pytest

from edge.config.faults import ConfigError, Fault
from edge.config.load import load_config
from edge.config.model import Config, LogLevel
from edge.upstreams.file import FileOptions
from edge.upstreams.mqtt import MqttOptions
from protocol.lorawan.device import DeviceMode
from protocol.records.decoded import Label
from protocol.records.sensor_frame import FrameClass
from protocol.records.template import FieldType
from tests.edge.config.texts import FULL, MINIMAL, faults, lines, load


def test_every_section_is_read() -> None:
    config = load(FULL).config

    assert config.gateway.region == "AS923-2"
    assert config.gateway.altitude_m == 24.0
    assert isinstance(config.gateway.altitude_m, float)
    roof = config.concentrators[0]
    assert [radio.spreading_factor for radio in roof.radios] == [9, 10]
    assert [radio.sync_word for radio in roof.radios] == [0x34, 0x12]
    assert roof.radios[1].frame_class is FrameClass.ALARM
    assert roof.radios[0].bandwidth_hz == roof.radios[1].bandwidth_hz == 125_000
    [device] = config.devices
    assert device.dev_addr == bytes.fromhex("01a2b3c4")
    assert device.mode is DeviceMode.OPAQUE
    assert config.templates[0].fields[0].type is FieldType.I16BE
    assert config.labels == {1: Label("water_level", -2, "m")}
    assert config.outbox.max_age_s == 30 * 86_400
    assert math.isclose(config.outbox.commit_linger_s, 0.25)
    assert config.upstreams[0].options == MqttOptions(url="mqtts://broker.example:8883")
    assert config.upstreams[1].options == FileOptions(path=Path("/srv/frames"))
    assert config.monitoring.listen == "127.0.0.1:9464"
    assert config.logging.level is LogLevel.INFO


def test_what_is_left_out_has_its_default() -> None:
    config = load(MINIMAL).config

    assert config == Config(gateway=config.gateway)
    assert config.gateway.state_dir == Path("/var/lib/lora-edge")
    assert config.outbox.max_bytes == 2_000_000_000


def test_all_faults_are_listed_at_once_in_the_order_of_the_file() -> None:
    text = """\
[gatway]
[gateway]
id = "0016c001"
region = "Mars"
latitude = 91

[[concentrator]]
name = "Roof"
drver = "bridge"
port = "/dev/a"
[[concentrator.radio]]
frequncy_hz = 921_400_000
spreading_factor = 13
bandwidth_hz = 125

[[upstream]]
name = "city"
kind = "mqt"

[outbox]
max_bytes = "2 GBytes"
max_age = 30
"""

    found = lines(text)

    assert [line.split(": ")[:2] for line in found] == [
        ["gateway.toml:1", "gatway"],
        ["gateway.toml:2", "gateway"],
        ["gateway.toml:3", "gateway.id"],
        ["gateway.toml:4", "gateway.region"],
        ["gateway.toml:5", "gateway.latitude"],
        ["gateway.toml:8", "concentrator.Roof.name"],
        ["gateway.toml:9", "concentrator.Roof.drver"],
        ["gateway.toml:11", "concentrator.Roof.radio[0].frequency_hz"],
        ["gateway.toml:12", "concentrator.Roof.radio[0].frequncy_hz"],
        ["gateway.toml:13", "concentrator.Roof.radio[0].spreading_factor"],
        ["gateway.toml:14", "concentrator.Roof.radio[0].bandwidth_hz"],
        ["gateway.toml:18", "upstream.city.kind"],
        ["gateway.toml:21", "outbox.max_bytes"],
        ["gateway.toml:22", "outbox.max_age"],
    ]
    text_of = "\n".join(found)
    assert "unknown key (did you mean gateway?)" in text_of
    assert "unknown key (did you mean driver?)" in text_of
    assert "unknown key (did you mean frequency_hz?)" in text_of
    assert "frequency_hz: is missing (for example 921400000)" in text_of
    assert "must be at most 12, not 13" in text_of
    assert "latitude and longitude belong together" in text_of


def test_faults_name_tables_of_a_list_by_their_name() -> None:
    text = FULL.replace("spreading_factor = 10", "spreading_factor = 6")

    [fault] = faults(text)

    assert fault.path == "concentrator.roof.radio[1].spreading_factor"
    assert fault.origin == "gateway.toml:24"
    assert "at least 7, not 6" in fault.message
    assert "SF6 exists for frames without a header only" in fault.hint


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("region = 923", "gateway.region: must be AS923-1, AS923-2, EU868, US915, not 923"),
        ('id = "xyz"', 'must be "auto" or an EUI-64 of 16 hexadecimal digits, not "xyz"'),
        ('state_dir = "relative"', 'must be an absolute path, not "relative"'),
        ("state_dir = 7", "must be an absolute path, not 7"),
        ("latitude = true", "must be a number, not true"),
        ("latitude = nan", "must be a number, not nan"),
        ("longitude = inf", "must be a number, not inf"),
        ('altitude_m = "high"', 'must be a number, not "high"'),
        ("altitude_m = 99999", "must be at most 9000, not 99999"),
        ("altitude_m = [1]", "must be a number, not a list"),
        ("altitude_m = {}", "must be a number, not a table"),
        (f"altitude_m = {10**50}", "not a huge number"),
        ("altitude_m = 2026-11-24", "must be a number, not 2026-11-24"),
        (f'id = "{"x" * 100}"', f'not "{"x" * 40}..."'),
        ('id = ""', "not empty"),
        (r'id = "\u001b[2J"', r'not "\x1b[2J"'),
        (r'"\u001b[2J" = 1', r"gateway.'\x1b[2J': unknown key"),
    ],
)
def test_a_wrong_value_is_quoted_with_what_it_must_be(line: str, message: str) -> None:
    key = line.partition(" ")[0]
    kept = "" if key == "region" else 'region = "AS923-2"\n'

    assert any(message in found for found in lines(f"[gateway]\n{kept}{line}\n"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("gateway = 7\n", "gateway: must be a table, not 7"),
        (f"{MINIMAL}[concentrator]\n", "must be a list of tables: write [[...]]"),
        (f"{MINIMAL}[labels]\none = {{ name = 'x' }}\n", "the key must be a whole number"),
        (f"labels = 7\n{MINIMAL}", "labels: must be a table"),
        (f"{MINIMAL}[labels]\n1 = {{ name = 'x', exponent = 99 }}\n", "exponent must be -18 to 18"),
        (f"{MINIMAL}[labels]\n1 = {{ name = 'a b' }}\n", "a name has letters, digits"),
        (f"{MINIMAL}[labels]\n1 = {{ nam = 'x' }}\n", "did you mean name?"),
        (f"concentrator = [1]\n{MINIMAL}", "concentrator[0]: must be a table, not 1"),
        (f"upstream = [1]\n{MINIMAL}", "upstream[0]: must be a table, not 1"),
        (f"{MINIMAL}[[upstream]]\nname = 'x'\n", "upstream.x.kind: is missing"),
        (f"{MINIMAL}[[template]]\nname = 'x'\nfields = 7\n", "must be a list of tables"),
        (f"{MINIMAL}[[template]]\nname = 'x'\nfields = []\n", "template.x"),
        (
            f"{MINIMAL}[[template]]\nname = 'x'\nfields = [{{ name = 'v', type = 'i12' }}]\n",
            "must be u8, i8, u16be",
        ),
        (f"{MINIMAL}[outbox]\nmax_bytes = 1000\n", "must be at least 8000000, not 1000"),
        (f"{MINIMAL}[outbox]\nmax_age = '1s'\n", "must be at least 1m"),
        (f"{MINIMAL}[outbox]\ncommit_linger = '1m'\n", "must be at most 30s"),
        (f"{MINIMAL}[logging]\nlevel = 'loud'\n", "must be debug, info, warning or error"),
        (f"{MINIMAL}[monitoring]\nlisten = 9464\n", "must be text such as"),
    ],
)
def test_shapes_that_do_not_fit_are_told(text: str, message: str) -> None:
    assert any(message in found for found in lines(text)), lines(text)


def test_keys_of_an_upstream_are_those_of_its_kind() -> None:
    upstream = "[[upstream]]\nname = 'x'\nkind = 'file'\npath = '/srv'\nurll = 'a'\nkynd = 'b'\n"

    found = lines(MINIMAL + upstream)

    assert "upstream.x.urll: unknown key" in found[0]
    assert "upstream.x.kynd: unknown key (did you mean kind?)" in found[1]


def test_a_missing_option_of_an_upstream_is_told_with_an_example() -> None:
    [found] = lines(f"{MINIMAL}[[upstream]]\nname = 'x'\nkind = 'mqtt'\n")

    assert found == (
        'gateway.toml:3: upstream.x.url: is missing (for example "mqtts://broker.example:8883")'
    )


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("[gateway\n", 1, "is not TOML: expected ']'"),
        ('[gateway]\nregion = "a\n', 2, "is not TOML"),
        ("[gateway]\na = 1\na = 2\n", 3, "is not TOML: cannot overwrite a value"),
        ("[gateway]\na = ", 2, "is not TOML"),
    ],
)
def test_a_file_that_is_no_toml_is_told_with_its_line(text: str, line: int, message: str) -> None:
    [fault] = faults(text)

    assert fault.origin == f"gateway.toml:{line}"
    assert fault.message.startswith(message)


def test_a_file_that_is_no_text_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"[gateway]\n# caf\xe9\n")

    with pytest.raises(ConfigError, match=r"gateway.toml:2: is not UTF-8 text"):
        load_config(path, {})


def test_deep_nesting_is_told() -> None:
    [fault] = faults("a = " + "[" * 100_000)

    assert "nested too deeply" in fault.message


def test_a_file_of_any_length_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "gateway.toml"
    path.write_bytes(b"#" * 1_000_001)

    with pytest.raises(ConfigError, match="is longer than 1000000 bytes"):
        load_config(path, {})


def test_a_file_that_cannot_be_read_is_told_why(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist \(lora-edge init makes one\)"):
        load_config(tmp_path / "gateway.toml", {})
    with pytest.raises(ConfigError, match=r"other.toml: does not exist$"):
        load_config(tmp_path / "other.toml", {})
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path, {})


def test_an_error_has_its_faults_in_the_order_of_the_file() -> None:
    error = ConfigError([Fault("f:10", "b", "x"), Fault("f:9", "a", "y"), Fault("ENV", "c", "z")])

    assert [fault.path for fault in error.faults] == ["c", "a", "b"]
    assert str(error) == "ENV: c: z\nf:9: a: y\nf:10: b: x"
