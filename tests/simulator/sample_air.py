"""Transmissions and scenarios that the simulator's tests start from."""

import tomllib

from simulator.placement import Position
from simulator.scenario import Concentrator, RadioPlan, Scenario
from simulator.scenario_file import build_scenario
from simulator.sensors import Transmission

SYMBOL_US = 1024  # 2^7 / 125 kHz

FRAME = Transmission(
    number=0,
    sensor="one",
    start_us=1_000_000,
    end_us=1_000_000 + 56_576,  # 20 bytes at SF7
    frequency_hz=921_400_000,
    spreading_factor=7,
    bandwidth_hz=125_000,
    coding_rate="4/5",
    sync_word=0x34,
    preamble_symbols=8,
    payload=bytes(20),
    power_dbm=14.0,
    position=Position(100.0, 0.0, 0.0),
)

CONCENTRATOR = Concentrator(
    name="roof",
    position=Position(0.0, 0.0, 0.0),
    antenna_gain_dbi=0.0,
    radios=(RadioPlan(921_400_000, 7, 125_000, 0x34),),
)

WARD_TOML = """
seed = 7
region = "AS923-2"
starts_at = 17:30:00

[area]
latitude = 16.0678
longitude = 108.2208

[[concentrator]]
name = "roof"
x_m = 0
y_m = 0
radios = [{ frequency_hz = 921_400_000, spreading_factor = 7 }]

[[group]]
name = "river"
kind = "flood"
count = 5
period_s = 30
frequencies_hz = [921_400_000, 921_600_000]
spreading_factor = 7
along = [[0, 0], [0, 3000]]

[[group]]
name = "air"
kind = "air"
count = 4
period_s = 40
frequencies_hz = [921_400_000, 921_600_000]
spreading_factor = 8
within = [[-1000, -1000], [1000, 1000]]

[[group]]
name = "beach"
kind = "private"
count = 3
period_s = 20
frequencies_hz = [922_400_000]
spreading_factor = 7
within = [[2000, -1000], [3000, 1000]]
"""


def ward() -> dict[str, object]:
    """A small valid scenario as a parsed TOML document, fresh, to be changed at will."""
    return tomllib.loads(WARD_TOML)


def scenario(values: dict[str, object] | None = None) -> Scenario:
    """The small scenario, or the changed one."""
    return build_scenario(ward() if values is None else values)


def tables(values: object, *keys: str | int) -> dict[str, object]:
    """The table of a document at ``keys``."""
    for key in keys:
        assert isinstance(values, dict | list)
        values = values[key]  # type: ignore[index]
    assert isinstance(values, dict)
    return values
