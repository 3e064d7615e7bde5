"""Subjects by the rules of NATS' documentation ("Subject-Based Messaging")."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.upstreams.nats_subject import (
    covers,
    fill,
    read_stream_name,
    read_subject,
    read_template,
    token,
)


@given(st.text(), st.text())
def test_any_text_is_one_token_of_its_own(one: str, other: str) -> None:
    """However hostile: no dot, wildcard or white space, never empty, never shared."""
    made = token(one)
    assert made
    assert made.isascii()
    assert made.isprintable()
    assert not set(made) & set(".*> \t\r\n$")
    assert (made == token(other)) == (one == other)


def test_usual_names_stay_as_they_are() -> None:
    for name in ("flood-cam-le-01", "01a2b3c4", "join-0001020304050607", "roof-0"):
        assert token(name) == name
    assert token("mái nhà.1 >") == "m%C3%A1i%20nh%C3%A0%2E1%20%3E"


@pytest.mark.parametrize(
    "template",
    ["lora-edge.{gateway}.up.{device}", "{device}", "a.{device}.b", "{gateway}.{device}.{device}"],
)
def test_templates(template: str) -> None:
    assert read_template(template) == template


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("lora-edge.{gateway}.up", "device"),
        ("lora.{device}.*", "tokens"),
        ("lora.{device}.>", "tokens"),
        ("lora..{device}", "tokens"),
        (".{device}", "tokens"),
        ("{device}.", "tokens"),
        ("lora edge.{device}", "tokens"),
        ("lora.{town}.{device}", "tokens"),
        ("lora.x{gateway}.{device}", "tokens"),
        ("$JS.API.{device}", "tokens"),
        ("lora\r\n.{device}", "tokens"),
        ("_INBOX.{device}", "_INBOX"),
        (7, "text"),
    ],
)
def test_what_is_no_template(template: object, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        read_template(template)


def test_names_of_streams_and_inboxes() -> None:
    """A stream's name is one token; an inbox prefix may be several."""
    assert read_stream_name("LORA_EDGE") == "LORA_EDGE"
    assert read_subject("_INBOX.gateway-7") == "_INBOX.gateway-7"
    for name in ("", "a.b", "a b", "*", "x/y", 7, "x" * 256):
        with pytest.raises(ValueError, match="must be"):
            read_stream_name(name)
    for prefix in ("", "a..b", ">", "a b", 7):
        with pytest.raises(ValueError, match="must be"):
            read_subject(prefix)


def test_the_template_is_filled() -> None:
    template = "lora-edge.{gateway}.up.{device}"
    assert fill(template, gateway="00ff", device="cam-1") == "lora-edge.00ff.up.cam-1"


@pytest.mark.parametrize(
    ("patterns", "subject", "taken"),
    [
        (["lora-edge.*.up.*"], "lora-edge.00ff.up.*", True),
        (["lora-edge.>"], "lora-edge.00ff.up.*", True),
        ([">"], "lora-edge.00ff.up.*", True),
        (["*.*.*.*"], "lora-edge.00ff.up.*", True),
        (["other.>", "lora-edge.00ff.up.*"], "lora-edge.00ff.up.*", True),
        (["lora-edge.00ff.up.cam-1"], "lora-edge.00ff.up.*", False),
        (["lora-edge.*.up"], "lora-edge.00ff.up.*", False),
        (["lora-edge.*.up.*.>"], "lora-edge.00ff.up.*", False),
        (["lora-edge.*.*"], "lora-edge.>", False),
        (["lora-edge.>"], "lora-edge", False),
        (["Lora-edge.>"], "lora-edge.00ff.up.*", False),
        ([], "lora-edge.00ff.up.*", False),
    ],
)
def test_what_a_stream_takes(patterns: list[str], subject: str, taken: bool) -> None:
    assert covers(patterns, subject) is taken


def matches(pattern: tuple[str, ...], subject: tuple[str, ...]) -> bool:
    """NATS' own definition, for subjects without wildcards: ``>`` is one token or more."""
    if not pattern or not subject:
        return not pattern and not subject
    if pattern[0] == ">":
        return True
    return pattern[0] in ("*", subject[0]) and matches(pattern[1:], subject[1:])


TOKENS = st.lists(st.sampled_from(["a", "b", "*"]), min_size=1, max_size=3)
PATTERNS = st.tuples(TOKENS, st.booleans()).map(lambda p: tuple(p[0]) + (">",) * p[1])
# "c" stands for every token that no pattern names; 5 tokens are more than a pattern tells apart.
CONCRETE = [s for n in range(1, 6) for s in itertools.product("abc", repeat=n)]


@given(PATTERNS, PATTERNS)
def test_covering_is_taking_each_subject(pattern: tuple[str, ...], wanted: tuple[str, ...]) -> None:
    """Judged by trying all subjects that could tell the two apart."""
    expected = all(matches(pattern, one) for one in CONCRETE if matches(wanted, one))
    assert covers([".".join(pattern)], ".".join(wanted)) is expected
