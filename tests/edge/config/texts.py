"""Configurations as people write them, and what the reader says of them."""

from collections.abc import Mapping
from pathlib import Path

from edge.config.document import parse_document
from edge.config.faults import ConfigError, Fault
from edge.config.load import LoadedConfig, load_document

NO_VARIABLES: Mapping[str, str] = {}
FILE = Path("gateway.toml")

MINIMAL = '[gateway]\nregion = "AS923-2"\n'

# The example of the design, every section in it; the keys file is a test's own.
FULL = """\
[gateway]
id = "auto"
region = "AS923-2"
state_dir = "/var/lib/lora-edge"
latitude = 16.0678
longitude = 108.2208
altitude_m = 24

[[concentrator]]
name = "roof"
driver = "bridge"
port = "/dev/serial/by-id/usb-one"
[[concentrator.radio]]
frequency_hz = 921_400_000
spreading_factor = 9
bandwidth_hz = 125_000
coding_rate = "4/5"
sync_word = 0x34
payload = "lorawan"
crc = "required"
class = "telemetry"
[[concentrator.radio]]
frequency_hz = 921_600_000
spreading_factor = 10
sync_word = 0x12
payload = "cbor"
crc = "any"
class = "alarm"

[[device]]
name = "flood-cam-le-01"
dev_addr = "01a2b3c4"
class = "alarm"

[[template]]
name = "elsys"
fields = [{ tag = 0x01, name = "temperature", type = "i16be", exponent = -1, unit = "Cel" }]

[labels]
1 = { name = "water_level", exponent = -2, unit = "m" }

[outbox]
max_bytes = 2_000_000_000
max_age = "30d"
commit_linger = "250ms"

[[upstream]]
name = "city"
kind = "mqtt"
url = "mqtts://broker.example:8883"

[[upstream]]
name = "disk"
kind = "file"
path = "/srv/frames"

[monitoring]
listen = "127.0.0.1:9464"

[logging]
level = "info"
"""


def load(text: str, variables: Mapping[str, str] = NO_VARIABLES) -> LoadedConfig:
    """Read a text as the file ``gateway.toml``."""
    return load_document(parse_document(FILE, text.encode()), variables)


def faults(text: str, variables: Mapping[str, str] = NO_VARIABLES) -> list[Fault]:
    """What is wrong with a text; nothing if it can be used."""
    try:
        load(text, variables)
    except ConfigError as error:
        return error.faults
    return []


def lines(text: str, variables: Mapping[str, str] = NO_VARIABLES) -> list[str]:
    """Faults as people read them."""
    return [str(fault) for fault in faults(text, variables)]


def warnings(text: str) -> list[str]:
    """What a person should look at, as people read it."""
    return [str(warning) for warning in load(text).warnings]
