"""Gentle steps first, each with its time, and never a storm of resets."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from edge.recovery_ladder import LADDER, LONGEST_PAUSE_US, PATIENCE_US, RecoveryLadder
from protocol.lora.events import RecoveryStep as Step

ALL = frozenset(LADDER)
HOUR_US = 3_600_000_000


def climb(
    ladder: RecoveryLadder, possible: frozenset[Step], until_us: int
) -> list[tuple[int, Step]]:
    """Trouble at each second; what was done and when, in seconds."""
    steps = {
        second: ladder.next_step(second * 1_000_000, possible)
        for second in range(until_us // 1_000_000)
    }
    return [(second, step) for second, step in steps.items() if step is not None]


def test_all_steps_in_their_order_with_patience_between() -> None:
    taken = climb(RecoveryLadder(), ALL, 4 * PATIENCE_US)

    assert taken == [(0, Step.RESTART), (120, Step.RESET), (240, Step.LINE), (360, Step.POWER)]


def test_the_last_step_comes_ever_more_seldom() -> None:
    taken = climb(RecoveryLadder(), ALL, 6 * HOUR_US)

    assert {step for _, step in taken[3:]} == {Step.POWER}
    times = [second for second, _ in taken[3:]]
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses == sorted(pauses)
    assert pauses[-1] == 3600


def test_what_is_not_possible_is_passed_over() -> None:
    possible = frozenset({Step.LINE})

    assert {step for _, step in climb(RecoveryLadder(), possible, HOUR_US)} == {Step.LINE}
    assert climb(RecoveryLadder(), frozenset(), HOUR_US) == []


def test_trouble_after_an_hour_of_peace_begins_at_the_bottom() -> None:
    ladder = RecoveryLadder()
    climb(ladder, ALL, 4 * PATIENCE_US)
    soon_us = 4 * PATIENCE_US + HOUR_US // 2

    assert ladder.next_step(soon_us, ALL) is Step.POWER
    assert ladder.next_step(soon_us + HOUR_US, ALL) is Step.RESTART


@given(
    st.lists(
        st.tuples(st.integers(0, 3 * HOUR_US), st.frozensets(st.sampled_from(LADDER))), max_size=200
    )
)
def test_never_two_steps_within_the_patience_and_only_possible_ones(
    troubles: list[tuple[int, frozenset[Step]]],
) -> None:
    ladder, now_us, last_us = RecoveryLadder(), 0, -PATIENCE_US
    for elapsed_us, possible in troubles:
        now_us += elapsed_us
        step = ladder.next_step(now_us, possible)
        if step is not None:
            assert step in possible
            assert now_us - last_us >= PATIENCE_US
            last_us = now_us
        else:
            assert not possible or now_us - last_us < LONGEST_PAUSE_US
