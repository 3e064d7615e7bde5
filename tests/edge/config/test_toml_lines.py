"""Lines of keys, which the standard library's reader does not tell."""

import re
import tomllib
from collections.abc import Iterator
from typing import Any

from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from edge.config.effective import render_effective
from edge.config.toml_lines import key_lines
from tests.edge.config.texts import FULL, load

TRICKY = '''\
title = "a # b" # [no.table]
"quoted key" = 'x = 1'
a.b."c d" = 1
multi = """
[not.a.table]
x = 1\\""""
raw = \'\'\'
[[nor.this]]\'\'\'\'
list = [ # comment with ]
  1,
  { x = 1, y = [ "]", '}' ] },

  [2, 3],
]
empty = []
when = 1979-05-27 07:32:00
[t]
[t.u]
v = { w = { x = 1 } }
[[p]]
q = 1
[[p]]
q = 2
[[p.r]]
s = 1
[[p.r]]
s = 2
[p.t]
u = 1
'''


def paths(value: object, path: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Ways to everything in a parsed document."""
    items: Any = ()
    if isinstance(value, dict):
        items = value.items()
    elif isinstance(value, list):
        items = enumerate(value)
    for key, item in items:
        yield (*path, key)
        yield from paths(item, (*path, key))


def test_every_key_has_the_line_on_which_it_stands() -> None:
    lines = key_lines(TRICKY)
    rows = dict(enumerate(TRICKY.splitlines(), start=1))

    assert lines.keys() == set(paths(tomllib.loads(TRICKY)))
    assert {
        path: rows[line].strip()
        for path, line in lines.items()
        if path in {("raw",), ("list", 1, "y"), ("empty",), ("t",), ("t", "u", "v", "w", "x")}
    } == {
        ("raw",): "raw = '''",
        ("list", 1, "y"): "{ x = 1, y = [ \"]\", '}' ] },",
        ("empty",): "empty = []",
        ("t",): "[t]",
        ("t", "u", "v", "w", "x"): "v = { w = { x = 1 } }",
    }
    assert rows[lines["p", 1, "q"]] == "q = 2"
    assert lines["p", 1, "r", 1, "s"] == lines["p", 1, "r", 0, "s"] + 2
    assert rows[lines["p", 1, "t", "u"]] == "u = 1"
    assert lines["p",] == lines["p", 0]


def test_lines_may_end_as_on_windows() -> None:
    assert key_lines("a = 1\r\n[b]\r\nc = [\r\n1]\r\n") == {
        ("a",): 1,
        ("b",): 2,
        ("b", "c"): 3,
        ("b", "c", 0): 4,
    }


def test_a_whole_configuration_has_all_its_keys_on_their_lines() -> None:
    text = render_effective(load(FULL).config)
    rows = text.splitlines()

    for path, line in key_lines(text).items():
        key = next(part for part in reversed(path) if isinstance(part, str))
        assert re.search(rf"\b{re.escape(key)}\b", rows[line - 1]), path


key = st.sampled_from(["a", "b", "c.d", '"e f"', "'g'", "a . h", '"\\u00e9"', "1"])
scalar = st.sampled_from(
    ["1", "-1.5", "true", '"x"', "'y # z'", '"""\n[z]\n"""', "'''\na = 1'\n'''", '"\\"]"',
     "1979-05-27 07:32:00", "inf", '""', "''", '""""x""""']
)  # fmt: skip
gap = st.sampled_from(["", " ", "\n", " # ] }\n", "\r\n\t"])
value = st.recursive(
    scalar,
    lambda inner: st.one_of(
        st.tuples(gap, st.lists(inner, max_size=3), gap).map(
            lambda parts: f"[{parts[0]}{(',' + parts[2]).join(parts[1])}{parts[2]}]"
        ),
        st.dictionaries(st.sampled_from(["x", '"y z"', "u.v"]), inner, max_size=2).map(
            lambda pairs: "{ " + ", ".join(f"{k} = {v}" for k, v in pairs.items()) + " }"
        ),
    ),
    max_leaves=5,
)
header = st.sampled_from(["[t]", "[t.u]", "[[l]]", "[[l]]", "[[l.m]]", "[ l . n ]", "# [x]", ""])
statement = st.tuples(key, value).map(" = ".join)


@settings(suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(st.lists(st.one_of(header, statement), max_size=8), st.sampled_from(["\n", "\r\n"]))
def test_whatever_is_toml_has_a_line_for_every_key_and_for_nothing_else(
    statements: list[str], end: str
) -> None:
    text = end.join([*statements, ""])
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        assume(False)
    lines = key_lines(text)

    assert lines.keys() == set(paths(values))
    assert all(1 <= line <= text.count("\n") + 1 for line in lines.values())
