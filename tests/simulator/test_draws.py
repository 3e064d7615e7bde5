"""Draws are pure, independent of each other, and distributed as they say."""

import math
from collections.abc import Callable
from itertools import pairwise
from statistics import NormalDist

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.draws import Draws

COUNT = 4000
DRAWS = Draws(1, "test", "sensor")

subjects = st.lists(st.text(max_size=8), max_size=4)


def test_key_is_blake2b_of_seed_subject_and_number() -> None:
    """Fixed for good, or recorded runs change: printf '1/6:fading/4:a-01#7' | b2sum -l 128."""
    assert Draws(1, "fading", "a-01").key(7).hex() == "2601fa429db608467f97ab35021681e3"
    assert Draws(0).key().hex() == "f5e3dba5ff598b3707902fcc7757a675"


@given(st.integers(), subjects, st.integers(0, 1 << 64))
def test_draws_have_no_memory(seed: int, subject: list[str], number: int) -> None:
    """What was drawn before, and by whom, changes nothing."""
    draws = Draws(seed, *subject)
    first = (draws.key(number), draws.uniform(number), draws.normal(number))
    draws.key(number + 1)
    again = Draws(seed, *subject)
    assert first == (again.key(number), again.uniform(number), again.normal(number))


@given(subjects, subjects)
def test_different_subjects_draw_differently(one: list[str], other: list[str]) -> None:
    """No two subjects share a stream, however their names run together."""
    assert (Draws(1, *one).key() == Draws(1, *other).key()) == (one == other)


@given(st.integers(), st.integers(0, 1 << 64), st.integers(1, 1000))
def test_ranges(seed: int, number: int, limit: int) -> None:
    draws = Draws(seed)
    assert 0 < draws.uniform(number) < 1
    assert 0 <= draws.below(limit, number) < limit
    assert draws.exponential(number) > 0
    assert math.isfinite(draws.normal(number))


@pytest.mark.parametrize(
    ("draw", "distribution"),
    [
        (DRAWS.uniform, lambda x: x),
        (DRAWS.normal, NormalDist().cdf),
        (DRAWS.exponential, lambda x: 1 - math.exp(-x)),
        (lambda n: (DRAWS.below(1000, n) + 0.5) / 1000, lambda x: x),
    ],
    ids=["uniform", "normal", "exponential", "below"],
)
def test_distributions(
    draw: Callable[[int], float], distribution: Callable[[float], float]
) -> None:
    """Kolmogorov-Smirnov: 1.95 / sqrt(n) is passed once in a thousand by chance."""
    sample = sorted(draw(number) for number in range(COUNT))
    distance = max(abs(distribution(x) - (i + 0.5) / COUNT) for i, x in enumerate(sample))
    assert distance < 1.95 / math.sqrt(COUNT)


def test_neighbouring_numbers_are_uncorrelated() -> None:
    """Three standard errors of the lag-one correlation of independent draws."""
    values = [DRAWS.normal(number) for number in range(COUNT + 1)]
    correlation = sum(a * b for a, b in pairwise(values)) / COUNT
    assert abs(correlation) < 3 / math.sqrt(COUNT)
