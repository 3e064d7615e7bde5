"""Scenarios in TOML: reading, and listing everything that is wrong at once."""

import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import time
from pathlib import Path

from protocol.lora.regions import Region, UnknownRegion, region
from simulator.fronts.registry import FRONTS
from simulator.placement import Area, Line, Placement, Position, Rectangle, Spots
from simulator.readings import SensorKind
from simulator.scenario import (
    Concentrator,
    DeviceClass,
    Fault,
    FaultKind,
    Group,
    PayloadKind,
    Propagation,
    RadioPlan,
    Reception,
    Scenario,
)
from simulator.scenario_rules import group_faults
from simulator.toml_table import Table

SCENARIOS = Path(__file__).parent / "scenarios"
"""The scenarios that come with the simulator."""

_LONGEST_HEADER = 16
_EARTH_M = 100_000  # no scenario is wider than a metropolis
_LAST_S = 10 * 365 * 86_400
_LASTING = {
    FaultKind.LINK_DROP,
    FaultKind.GARBAGE,
    FaultKind.STALL,
    FaultKind.SLOW_DRAIN,
    FaultKind.LOSS,
    FaultKind.DUPLICATE,
}
_TAKEN_NAMES = {"state", "received"}
_CODING_RATES = ("4/5", "4/6", "4/7", "4/8")
_BANDWIDTHS_HZ = (125_000, 250_000, 500_000)


class ScenarioError(ValueError):
    """A scenario cannot be used; ``faults`` has one line for each reason."""

    def __init__(self, faults: Iterable[str]) -> None:
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


def scenario_path(name: str) -> Path:
    """Path of a scenario that comes with the simulator ("da-nang") or of a file of one's own.

    Raises:
        ScenarioError: neither exists.
    """
    built_in = SCENARIOS / f"{name}.toml"
    if built_in.is_file():
        return built_in
    if Path(name).is_file():
        return Path(name)
    known = ", ".join(sorted(path.stem for path in SCENARIOS.glob("*.toml")))
    raise ScenarioError([f"{name}: no such file, and no such scenario; known: {known}"])


def load_scenario(path: Path) -> Scenario:
    """Read and check a scenario.

    Raises:
        ScenarioError: with every fault, each naming the file.
    """
    try:
        return parse_scenario(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise ScenarioError([f"{path}: {error}"]) from error
    except ScenarioError as error:
        raise ScenarioError(f"{path}: {fault}" for fault in error.faults) from None


def parse_scenario(text: str) -> Scenario:
    """The scenario in a TOML text.

    Raises:
        ScenarioError: with every fault, each as ``path.of.key: what is wrong``.
    """
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ScenarioError([f"not TOML: {error}"]) from None
    return build_scenario(values)


def build_scenario(values: Mapping[str, object]) -> Scenario:
    """The scenario in a parsed TOML document; raises as :func:`parse_scenario`."""
    faults: list[str] = []
    scenario = _scenario(Table(values, "", faults))
    if faults:
        raise ScenarioError(faults)
    return scenario


def _scenario(table: Table) -> Scenario:
    plan = _region(table)
    area = _area(table.table("area"))
    concentrator_tables = table.tables("concentrator")
    concentrators = tuple(_concentrator(below, area) for below in concentrator_tables)
    group_tables = table.tables("group")
    groups = tuple(_group(below, plan) for below in group_tables)
    names = {concentrator.name for concentrator in concentrators}
    scenario = Scenario(
        seed=table.integer("seed", 1, 0, (1 << 63) - 1),
        region=plan.name if plan else "",
        starts_at_s=_starts_at_s(table),
        area=area,
        propagation=_propagation(table.table("path_loss")),
        reception=_reception(table.table("reception")),
        concentrators=concentrators,
        groups=groups,
        faults=tuple(_fault(below, names) for below in table.tables("fault")),
    )
    for key, members in (("concentrator", concentrators), ("group", groups)):
        if not members:
            table.fault(key, f"is missing; give at least one [[{key}]]")
        _refuse_repeated(table, key, [member.name for member in members])
    table.refuse_unknown()
    return scenario


def _refuse_repeated(table: Table, key: str, names: list[str]) -> None:
    for name, count in Counter(names).items():
        if name and count > 1:
            table.fault(key, f'the name "{name}" is given {count} times')


def _region(table: Table) -> Region | None:
    name = table.text("region", None)
    try:
        return region(name) if name else None
    except UnknownRegion as error:
        table.fault("region", str(error.args[0]))
        return None


def _starts_at_s(table: Table) -> float:
    value = table.get("starts_at", time(12), "a time of day")
    if not isinstance(value, time):
        table.fault("starts_at", "must be a time of day such as 17:30:00, without quotes")
        return 0.0
    return value.hour * 3600.0 + value.minute * 60 + value.second + value.microsecond / 1e6


def _area(table: Table) -> Area:
    area = Area(
        description=table.text("description", ""),
        latitude=table.number("latitude", None, -85, 85),
        longitude=table.number("longitude", None, -180, 180),
    )
    table.refuse_unknown()
    return area


def _propagation(table: Table) -> Propagation:
    usual = Propagation()
    propagation = Propagation(
        intercept_db=table.number("intercept_db", usual.intercept_db, 0, 200),
        slope_db_per_decade=table.number("slope_db_per_decade", usual.slope_db_per_decade, 0, 100),
        shadowing_db=table.number("shadowing_db", usual.shadowing_db, 0, 30),
        fading_db=table.number("fading_db", usual.fading_db, 0, 30),
    )
    table.refuse_unknown()
    return propagation


def _reception(table: Table) -> Reception:
    usual = Reception()
    reception = Reception(
        noise_figure_db=table.number("noise_figure_db", usual.noise_figure_db, 0, 60),
        # Without bound above: a lead that nobody has means that every overlap destroys.
        capture_db=table.number("capture_db", usual.capture_db, 0, 1000),
    )
    table.refuse_unknown()
    return reception


def _concentrator(table: Table, area: Area) -> Concentrator:
    concentrator = Concentrator(
        name=table.name(),
        position=_position(table, area),
        antenna_gain_dbi=table.number("antenna_gain_dbi", 2.0, -30, 30),
        radios=tuple(_radio(below) for below in table.tables("radios")),
        kind=_kind(table),
    )
    if concentrator.name in _TAKEN_NAMES:
        table.fault("name", f'"{concentrator.name}" is a folder of the gateway beside the ports')
    if not concentrator.radios:
        table.fault("radios", "is missing; give at least one radio")
    front = FRONTS[concentrator.kind]
    at_most, sync_word = front.radios, front.sync_word
    if len(concentrator.radios) > at_most:
        table.fault("radios", f"are {len(concentrator.radios)}; a concentrator has {at_most}")
    if sync_word is not None and any(r.sync_word != sync_word for r in concentrator.radios):
        kind = concentrator.kind
        table.fault("radios", f"of kind {kind} must have sync_word = 0x{sync_word:02x}")
    table.refuse_unknown()
    return concentrator


def _kind(table: Table) -> str:
    kind = table.text("kind", "bridge")
    if kind not in FRONTS:
        table.fault("kind", f"must be one of {', '.join(FRONTS)}")
        return "bridge"
    return kind


def _position(table: Table, area: Area) -> Position:
    """Local metres, or latitude and longitude; never both."""
    height_m = table.number("height_m", 10.0, 0, 1000)
    local = [table.has(key) for key in ("x_m", "y_m")]
    geographic = [table.has(key) for key in ("latitude", "longitude")]
    if any(local) == any(geographic):
        table.fault("", "give either x_m and y_m, or latitude and longitude")
        return Position(0, 0, height_m)
    if any(local):
        x_m, y_m = (table.number(key, None, -_EARTH_M, _EARTH_M) for key in ("x_m", "y_m"))
    else:
        x_m, y_m = area.point(
            table.number("latitude", None, -85, 85), table.number("longitude", None, -180, 180)
        )
    return Position(x_m, y_m, height_m)


def _radio(table: Table) -> RadioPlan:
    plan = RadioPlan(
        frequency_hz=table.integer("frequency_hz", None, 137_000_000, 1_020_000_000),
        spreading_factor=table.integer("spreading_factor", None, 7, 12),
        bandwidth_hz=_bandwidth_hz(table),
        sync_word=table.integer("sync_word", 0x34, 0, 0xFF),
    )
    table.refuse_unknown()
    return plan


def _bandwidth_hz(table: Table) -> int:
    bandwidth_hz = table.integer("bandwidth_hz", 125_000, _BANDWIDTHS_HZ[0], _BANDWIDTHS_HZ[-1])
    if bandwidth_hz not in _BANDWIDTHS_HZ:
        table.fault("bandwidth_hz", f"must be 125_000, 250_000 or 500_000, not {bandwidth_hz:_}")
    return bandwidth_hz


def _group(table: Table, plan: Region | None) -> Group:
    kind = table.choice("kind", None, SensorKind)
    plain = PayloadKind.CBOR if kind is SensorKind.PRIVATE else PayloadKind.LORAWAN
    placement = _placement(table)
    group = Group(
        name=table.name(),
        kind=kind,
        count=_count(table, placement),
        period_s=table.number("period_s", None, 1, 604_800),
        jitter=table.number("jitter", 0.2, 0, 0.99),
        frequencies_hz=table.integers("frequencies_hz", 137_000_000, 1_020_000_000),
        spreading_factor=table.integer("spreading_factor", None, 7, 12),
        bandwidth_hz=_bandwidth_hz(table),
        coding_rate=_coding_rate(table),
        preamble_symbols=table.integer("preamble_symbols", 8, 6, 64),
        power_dbm=table.number("power_dbm", 14, -20, 36),
        payload=table.choice("payload", plain, PayloadKind),
        f_port=table.integer("f_port", 10, 1, 223),
        device_class=table.choice("class", DeviceClass.TELEMETRY, DeviceClass),
        placement=placement,
        height_m=table.number("height_m", 2.0, 0, 1000),
        header=_header(table),
    )
    if group.header and group.payload is PayloadKind.LORAWAN:
        table.fault("header", "is for sensors without LoRaWAN")
    table.refuse_unknown()
    if plan is not None and table.sound:
        for key, text in group_faults(group, plan):
            table.fault(key, text)
    return group


def _header(table: Table) -> bytes:
    text = table.text("header", "")
    try:
        header = bytes.fromhex(text)
    except ValueError:
        header = bytes(_LONGEST_HEADER + 1)
    if len(header) > _LONGEST_HEADER:
        table.fault("header", f"must be up to {_LONGEST_HEADER} bytes in hexadecimal digits")
        return b""
    return header


def _coding_rate(table: Table) -> str:
    coding_rate = table.text("coding_rate", _CODING_RATES[0])
    if coding_rate not in _CODING_RATES:
        table.fault("coding_rate", f"must be one of {', '.join(_CODING_RATES)}")
    return coding_rate


def _count(table: Table, placement: Placement) -> int:
    if isinstance(placement, Spots):
        if table.has("count"):
            table.fault("count", "is the number of points in `at`; leave it out")
        return len(placement.points)
    return table.integer("count", None, 1, 100_000)


def _placement(table: Table) -> Placement:
    given = [key for key in ("at", "along", "within") if table.has(key)]
    if len(given) != 1:
        table.fault("", "give one of: at = points, along = a line, within = two corners")
        return Rectangle((0, 0), (0, 0))
    match given[0]:
        case "at":
            return Spots(table.points("at", 1))
        case "along":
            return Line(table.points("along", 2))
    corners = table.points("within", 2)
    if len(corners) > 2:
        table.fault("within", "must be two opposite corners, [[x, y], [x, y]]")
    return Rectangle(corners[0], corners[1])


def _fault(table: Table, concentrators: set[str]) -> Fault:
    fault = Fault(
        at_s=table.number("at_s", None, 0, _LAST_S),
        kind=table.choice("kind", None, FaultKind),
        concentrator=table.name("concentrator"),
        duration_s=table.number("duration_s", 0, 0, _LAST_S),
    )
    if fault.concentrator and fault.concentrator not in concentrators:
        table.fault("concentrator", f'there is no concentrator "{fault.concentrator}"')
    if table.sound and fault.kind in _LASTING and not fault.duration_s:
        table.fault("duration_s", f"is missing; say how long the {fault.kind} lasts")
    if table.sound and fault.kind is FaultKind.REPLUG and fault.duration_s:
        table.fault("duration_s", "a replug happens at once; leave it out")
    table.refuse_unknown()
    return fault
