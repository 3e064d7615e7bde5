"""Reading tables: right values come through, wrong ones are all noted."""

from collections.abc import Callable
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.toml_table import Table


class Colour(StrEnum):
    RED = "red"
    GREEN = "green"


toml_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=6,
)

READERS: dict[str, Callable[[Table], object]] = {
    "number": lambda table: table.number("key", None, 0, 10),
    "integer": lambda table: table.integer("key", None, 0, 10),
    "text": lambda table: table.text("key", None),
    "name": lambda table: table.name("key"),
    "choice": lambda table: table.choice("key", None, Colour),
    "integers": lambda table: table.integers("key", 0, 10),
    "points": lambda table: table.points("key", 2),
}

GOOD: dict[str, object] = {
    "number": 2.5,
    "integer": 3,
    "text": "any Text",
    "name": "a-1",
    "choice": "green",
    "integers": [3, 1],
    "points": [[0, 1.5], [2, 3]],
}

BAD: dict[str, list[object]] = {
    "number": [-0.1, 10.5, float("nan"), float("inf"), True, "1", [1]],
    "integer": [-1, 11, 2.0, True, "1"],
    "text": [1, ["a"]],
    "name": ["", "Roof", "a b", "x" * 57, 1],
    "choice": ["blue", "RED", 1, []],
    "integers": [[], [1, 1], [11], [1.0], [True], 1],
    "points": [[], [[0, 1]], [[0, 1], [2]], [[0, 1], [2, "3"]], "no"],
}


def read(method: str, values: dict[str, object]) -> tuple[object, list[str]]:
    faults: list[str] = []
    return READERS[method](Table(values, "here", faults)), faults


def frozen(value: object) -> object:
    """Lists as the tuples that reading makes of them."""
    return tuple(map(frozen, value)) if isinstance(value, list) else value


@pytest.mark.parametrize("method", READERS)
def test_good_values(method: str) -> None:
    value, faults = read(method, {"key": GOOD[method]})
    assert faults == []
    assert value == frozen(GOOD[method])


@pytest.mark.parametrize(
    ("method", "value"), [(method, value) for method in READERS for value in BAD[method]]
)
def test_bad_values(method: str, value: object) -> None:
    """One fault, which names the key and shows what was found."""
    _, faults = read(method, {"key": value})
    assert len(faults) == 1
    assert faults[0].startswith("here.key: must be ")
    assert ", not " in faults[0]


@pytest.mark.parametrize("method", READERS)
def test_missing_values(method: str) -> None:
    _, faults = read(method, {})
    assert len(faults) == 1
    assert faults[0].startswith("here.key: is missing; give ")


@given(st.sampled_from(sorted(READERS)), toml_values)
def test_reading_goes_on_with_a_value_of_the_right_type(method: str, value: object) -> None:
    """Whatever the file says, nothing is raised and the caller gets what it asked for."""
    got, faults = read(method, {"key": value})
    assert type(got) is type(read(method, {"key": GOOD[method]})[0])
    assert len(faults) <= 1


def test_defaults() -> None:
    faults: list[str] = []
    table = Table({}, "", faults)
    assert table.number("a", 1.5, 0, 2) == 1.5
    assert table.choice("b", Colour.GREEN, Colour) is Colour.GREEN
    assert table.text("c", "") == ""
    assert faults == []


def test_unknown_keys_with_the_nearest_known() -> None:
    faults: list[str] = []
    table = Table({"perod_s": 1, "zzz": 2, "period_s": 3}, "group.a", faults)
    table.number("period_s", None, 0, 10)
    table.refuse_unknown()
    assert faults == [
        'group.a.perod_s: unknown key; did you mean "period_s"?',
        "group.a.zzz: unknown key",
    ]


def test_nearest_choice() -> None:
    _, faults = read("choice", {"key": "gren"})
    assert 'did you mean "green"?' in faults[0]


def test_long_values_are_shortened() -> None:
    _, faults = read("number", {"key": "x" * 1000})
    assert len(faults[0]) < 200


def test_paths_of_tables_below() -> None:
    """By name where there is a usable one, else by position from 1."""
    faults: list[str] = []
    table = Table({"group": [{"name": "a"}, {"name": "B"}, {}], "area": {}}, "", faults)
    for below in (*table.tables("group"), table.table("area")):
        below.fault("key", "is wrong")
    assert faults == [
        "group.a.key: is wrong",
        "group[2].key: is wrong",
        "group[3].key: is wrong",
        "area.key: is wrong",
    ]


@pytest.mark.parametrize("value", [1, "x", [1], [{}, 2], {"a": 1}])
def test_arrays_of_tables(value: object) -> None:
    faults: list[str] = []
    assert Table({"group": value}, "", faults).tables("group") == []
    assert faults == ["group: must be an array of tables, [[group]]"]


def test_a_table_has_to_be_one() -> None:
    faults: list[str] = []
    Table({"area": 3}, "", faults).table("area")
    assert faults == ["area: must be a table, [area]"]


def test_sound_means_nothing_wrong_here_or_below() -> None:
    """A fault of one table says nothing about its neighbour."""
    faults: list[str] = []
    top = Table({"group": [{}, {}]}, "", faults)
    first, second = top.tables("group")
    first.fault("key", "is wrong")
    assert (top.sound, first.sound, second.sound) == (False, False, True)
