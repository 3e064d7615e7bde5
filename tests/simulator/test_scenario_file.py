"""Scenario files: the good ones load, and of the bad ones every fault is listed."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.placement import Line, Spots
from simulator.readings import SensorKind
from simulator.scenario import FaultKind, PayloadKind
from simulator.scenario_file import (
    SCENARIOS,
    ScenarioError,
    build_scenario,
    load_scenario,
    parse_scenario,
    scenario_path,
)
from tests.simulator.sample_air import WARD_TOML, tables, ward

BUILT_IN = sorted(path.stem for path in SCENARIOS.glob("*.toml"))


def faults_of(values: dict[str, object]) -> list[str]:
    with pytest.raises(ScenarioError) as caught:
        build_scenario(values)
    return list(caught.value.faults)


def changed(path: tuple[str | int, ...], value: object) -> dict[str, object]:
    """The good document with one value changed."""
    values = ward()
    tables(values, *path[:-1])[str(path[-1])] = value
    return values


def test_a_good_file() -> None:
    scenario = parse_scenario(WARD_TOML)
    assert (scenario.seed, scenario.region, scenario.starts_at_s) == (7, "AS923-2", 63_000)
    assert [group.name for group in scenario.groups] == ["river", "air", "beach"]
    assert scenario.groups[0].placement == Line(((0, 0), (0, 3000)))
    assert scenario.groups[2].kind is SensorKind.PRIVATE
    assert [group.payload for group in scenario.groups] == [
        PayloadKind.LORAWAN, PayloadKind.LORAWAN, PayloadKind.CBOR,
    ]  # fmt: skip
    assert (scenario.propagation.intercept_db, scenario.propagation.slope_db_per_decade) == (
        7.7, 37.6,
    )  # fmt: skip


@pytest.mark.parametrize("name", BUILT_IN)
def test_built_in_scenarios_are_sound(name: str) -> None:
    scenario = load_scenario(scenario_path(name))
    assert scenario.area.description
    assert all(concentrator.radios for concentrator in scenario.concentrators)


def test_what_comes_with_the_simulator() -> None:
    assert {"da-nang", "one"} <= set(BUILT_IN)


def test_a_wrong_name_says_which_exist(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match=r"hanoi: no such .* da-nang, devices, one"):
        scenario_path("hanoi")
    own = tmp_path / "own.toml"
    own.write_text(WARD_TOML)
    assert scenario_path(str(own)) == own


def test_every_fault_is_listed_at_once() -> None:
    """Seventeen mistakes, seventeen lines, each with the path of its key."""
    values: dict[str, Any] = ward()
    values |= {"seeds": 1, "starts_at": "17:30", "region": "AS924"}
    values["area"] = {"latitude": 100, "longitude": "x"}
    values["path_loss"] = {"slope": 3}
    values["concentrator"] = [
        {"x_m": 0, "y_m": 0, "radios": []},
        {"name": "pier", "x_m": 0, "latitude": 1, "radios": [{"frequency_hz": 1}]},
    ]
    values["group"][0] |= {"kind": "flod", "count": 0, "jitter": 1}
    values["group"][1] |= {"at": [[0, 0]], "frequencies_hz": []}
    values["fault"] = [{"at_s": 1, "kind": "stall", "concentrator": "roof"}]
    assert sorted(line.partition(": ")[0] for line in faults_of(values)) == [
        "area.latitude",
        "area.longitude",
        "concentrator.pier",
        "concentrator.pier.radios[1].frequency_hz",
        "concentrator.pier.radios[1].spreading_factor",
        "concentrator[1].name",
        "concentrator[1].radios",
        "fault[1].concentrator",
        "group.air",
        "group.air.frequencies_hz",
        "group.river.count",
        "group.river.jitter",
        "group.river.kind",
        "path_loss.slope",
        "region",
        "seeds",
        "starts_at",
    ]


@pytest.mark.parametrize(
    ("path", "value", "fault"),
    [
        (("seed",), -1, "seed: must be a whole number from 0 to"),
        (("regoin",), "x", 'regoin: unknown key; did you mean "region"?'),
        (("area", "latitud"), 1, 'area.latitud: unknown key; did you mean "latitude"?'),
        (("reception",), {"capture": 1}, 'reception.capture: unknown key; did you mean "capture_'),
        (("group", 0, "bandwidth_hz"), 200_000, "group.river.bandwidth_hz: must be 125_000, 250"),
        (("group", 0, "coding_rate"), "5/4", "group.river.coding_rate: must be one of 4/5, 4/6"),
        (("group", 0, "spreading_factor"), 6, "group.river.spreading_factor: must be a whole"),
        (("group", 0, "period_s"), 6, "group.river.period_s: 6 s with jitter 0.2 breaks the duty"),
        (("group", 1, "frequencies_hz"), [868_100_000], "group.air.frequencies_hz: 868_100_000 wi"),
        (("group", 1, "name"), "river", 'group: the name "river" is given 2 times'),
        (("group", 1, "within"), [[0, 0]] * 3, "group.air.within: must be two opposite corners"),
        (("group",), [], "group: is missing; give at least one [[group]]"),
        (("concentrator", 0, "height"), 3, 'concentrator.roof.height: unknown key; did you mean "'),
        (("concentrator", 0, "name"), "state", 'concentrator.state.name: "state" is a folder of'),
        (("concentrator", 0, "y_m"), "north", "concentrator.roof.y_m: must be a number from"),
        (("concentrator", 0, "kind"), "rnod", "concentrator.roof.kind: must be one of bridge, rno"),
        (("concentrator", 0, "kind"), "rnode", "concentrator.roof.radios: of kind rnode must have"),
        (("group", 0, "header"), "70", "group.river.header: is for sensors without LoRaWAN"),
        (("group", 2, "header"), "7", "group.beach.header: must be up to 16 bytes in hexadecimal"),
        (("fault",), [{"at_s": 1, "kind": "reboot", "concentrator": "rof"}], "fault[1].concentr"),
    ],
)  # fmt: skip
def test_one_fault(path: tuple[str | int, ...], value: object, fault: str) -> None:
    """One mistake gives one line, in words that say what to do."""
    faults = faults_of(changed(path, value))
    assert len(faults) == 1
    assert faults[0].startswith(fault)


def test_rules_of_the_air_are_checked() -> None:
    """SF12 breaks both: too long for the dwell time, too often for the duty cycle."""
    faults = faults_of(changed(("group", 0, "spreading_factor"), 12))
    assert [fault[:46] for fault in faults] == [
        "group.river.spreading_factor: a flood frame of",
        "group.river.period_s: 30 s with jitter 0.2 bre",
    ]


@pytest.mark.parametrize(
    ("fault", "wrong"),
    [
        ({"kind": "stall"}, "duration_s: is missing; say how long the stall lasts"),
        ({"kind": "replug", "duration_s": 3}, "duration_s: a replug happens at once"),
        ({"kind": "rebot"}, "kind: must be one of"),
        ({"kind": "unplug", "duration": 3}, 'duration: unknown key; did you mean "duration_s"?'),
    ],
)
def test_fault_timeline_mistakes(fault: dict[str, object], wrong: str) -> None:
    faults = faults_of(changed(("fault",), [{"at_s": 1, "concentrator": "roof", **fault}]))
    assert len(faults) == 1
    assert faults[0].startswith(f"fault[1].{wrong}")


def test_fault_timeline() -> None:
    timeline = [
        {"at_s": 5, "kind": "unplug", "concentrator": "roof"},
        {"at_s": 9.5, "kind": "link_drop", "concentrator": "roof", "duration_s": 3},
    ]
    unplug, drop = build_scenario(changed(("fault",), timeline)).faults
    assert (unplug.kind, unplug.at_s, unplug.duration_s) == (FaultKind.UNPLUG, 5, 0)
    assert (drop.kind, drop.concentrator, drop.duration_s) == (FaultKind.LINK_DROP, "roof", 3)


def test_concentrators_by_latitude_and_longitude() -> None:
    """0.01 degrees north are 1 112 m; the origin is 16.0678 N 108.2208 E."""
    values = ward()
    roof = tables(values, "concentrator", 0)
    del roof["x_m"], roof["y_m"]
    roof |= {"latitude": 16.0778, "longitude": 108.2208, "height_m": 30}
    position = build_scenario(values).concentrators[0].position
    assert (position.x_m, position.y_m) == pytest.approx((0, 1112), abs=2)
    assert position.height_m == 30


def test_sensors_at_listed_points() -> None:
    values = ward()
    group = tables(values, "group", 0)
    del group["count"], group["along"]
    group["at"] = [[1, 2], [3, 4], [5, 6]]
    river = build_scenario(values).groups[0]
    assert (river.count, river.placement) == (3, Spots(((1, 2), (3, 4), (5, 6))))
    group["count"] = 3
    assert "group.river.count" in faults_of(values)[0]


@pytest.mark.parametrize("text", ["= 1", "seed = ", "[group", "\0"])
def test_not_toml(text: str) -> None:
    with pytest.raises(ScenarioError, match="not TOML: "):
        parse_scenario(text)


def test_faults_name_the_file(tmp_path: Path) -> None:
    path = tmp_path / "city.toml"
    path.write_text(WARD_TOML.replace("seed = 7", "seed = -7"))
    with pytest.raises(ScenarioError, match=r"city\.toml: seed: must be"):
        load_scenario(path)
    path.write_bytes(b"\xff")
    with pytest.raises(ScenarioError, match=r"city\.toml: "):
        load_scenario(path)
    with pytest.raises(ScenarioError, match=r"nowhere\.toml"):
        load_scenario(tmp_path / "nowhere.toml")


def places(values: object, here: tuple[str | int, ...] = ()) -> list[tuple[str | int, ...]]:
    """Paths of all values in a document."""
    children: list[tuple[str | int, object]] = []
    if isinstance(values, dict):
        children = list(values.items())
    elif isinstance(values, list):
        children = list(enumerate(values))
    below = [path for key, child in children for path in places(child, (*here, key))]
    return ([here] if here else []) + below


def replaced(values: object, path: tuple[str | int, ...], value: object) -> object:
    """The document with another value at ``path``, as far as that place still exists."""
    match values, path:
        case _, ():
            return value
        case dict(), (str(key), *rest):
            return {**values, key: replaced(values.get(key), tuple(rest), value)}
        case list(), (int(index), *rest) if index < len(values):
            item = replaced(values[index], tuple(rest), value)
            return [*values[:index], item, *values[index + 1 :]]
    return values


PLACES = places(ward())
junk = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=5,
)


@given(st.lists(st.tuples(st.sampled_from(PLACES), junk), min_size=1, max_size=3))
def test_damaged_documents_load_or_are_refused(
    changes: list[tuple[tuple[str | int, ...], object]],
) -> None:
    """Whatever is wrong, it is a ScenarioError with reasons; what loads can be played."""
    values: object = ward()
    for path, value in changes:
        values = replaced(values, path, value)
    assert isinstance(values, dict)
    try:
        scenario = build_scenario(values)
    except ScenarioError as error:
        faults = error.faults or ("refused without a reason",)
    else:
        faults = ()
        assert list(scenario.sensors())
    assert all(": " in fault for fault in faults)


def test_a_private_sensor_may_send_a_header_for_its_receivers_firmware() -> None:
    """It counts as time on air, and stands before the reading."""
    with_header, without = (
        build_scenario(changed(("group", 2, "header"), header)).groups[2] for header in ("70", "")
    )
    assert with_header.header == b"\x70"
    assert with_header.longest_payload_bytes == without.longest_payload_bytes + 1
