"""In no 24 hours more than the day's bytes, whatever the traffic; and all of them are of use."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.upstreams.byte_budget import ByteBudget

SECOND_US = 1_000_000
DAY_US = 86_400 * SECOND_US
MEGABYTE = 1_000_000


def spend_greedily(
    budget: ByteBudget, batch_bytes: int, until_us: int, begin_us: int = 0
) -> list[int]:
    """Send whenever that is allowed; when each batch went."""
    sent, now_us = [], begin_us
    while now_us < until_us:
        wait_us = budget.wait_us(now_us)
        if wait_us:
            now_us += wait_us
            continue
        sent.append(now_us)
        budget.spend(batch_bytes, now_us)
    return sent


def most_in_a_day(sent: list[int], batch_bytes: int) -> int:
    """Of any window of 24 hours."""
    return max(
        batch_bytes * sum(begin <= at < begin + DAY_US for at in sent[index:])
        for index, begin in enumerate(sent)
    )


def test_the_first_frames_go_at_once_and_then_it_trickles() -> None:
    budget = ByteBudget(8 * MEGABYTE, 0)
    assert budget.wait_us(0) == 0
    budget.spend(7000, 0)
    # 7 MB a day trickle in, so 7000 bytes take a thousandth of it.
    assert budget.left_bytes(0) == -7000
    assert budget.wait_us(0) == pytest.approx(86.4 * SECOND_US, rel=1e-6)
    assert budget.wait_us(87 * SECOND_US) == 0


def test_an_eighth_may_be_spent_at_once_after_a_quiet_time() -> None:
    budget = ByteBudget(8 * MEGABYTE, 0)
    assert budget.left_bytes(30 * DAY_US) == MEGABYTE
    assert len(spend_greedily(budget, 1000, 30 * DAY_US + 1, 30 * DAY_US)) == 1001


@pytest.mark.parametrize("quiet_us", [0, DAY_US])
@pytest.mark.parametrize("batch_bytes", [5_000, 400_000])
def test_a_backlog_for_three_days(batch_bytes: int, quiet_us: int) -> None:
    """As much as is allowed, and no more."""
    limit = 8 * MEGABYTE
    budget = ByteBudget(limit, 0)
    sent = spend_greedily(budget, batch_bytes, quiet_us + 3 * DAY_US, quiet_us)
    assert most_in_a_day(sent, batch_bytes) <= limit + batch_bytes
    assert len(sent) * batch_bytes >= 3 * limit * 7 / 8


def test_restarts_give_nothing_away() -> None:
    """Each begins with nothing, so it costs one batch at most."""
    sent_bytes = 0
    for restart in range(24):
        begin_us = restart * 3600 * SECOND_US
        budget = ByteBudget(8 * MEGABYTE, begin_us)
        sent_bytes += 2000 * len(
            spend_greedily(budget, 2000, begin_us + 3600 * SECOND_US, begin_us)
        )
    assert sent_bytes <= 7 * MEGABYTE + 24 * 2000


def test_alarms_may_overdraw_and_are_paid_back() -> None:
    budget = ByteBudget(8 * MEGABYTE, 0)
    for _ in range(10):
        budget.spend(700_000, 0)  # nobody asked
    assert budget.left_bytes(0) == -7 * MEGABYTE
    assert budget.wait_us(0) == pytest.approx(DAY_US, rel=1e-6)


@given(
    limit=st.integers(1, 10**12),
    steps=st.lists(st.tuples(st.integers(-DAY_US, DAY_US), st.integers(0, 10**9)), max_size=30),
)
def test_any_use(limit: int, steps: list[tuple[int, int]]) -> None:
    """Also with a clock that goes back, as no CLOCK_BOOTTIME does: a wait is never too short."""
    budget, now_us = ByteBudget(limit, 0), 0
    for step_us, sent_bytes in steps:
        now_us += step_us
        budget.spend(sent_bytes, now_us)
        wait_us = budget.wait_us(now_us)
        assert (wait_us > 0) is (budget.left_bytes(now_us) < 0) or abs(
            budget.left_bytes(now_us)
        ) < 1
        assert budget.left_bytes(now_us) <= limit / 8
        if wait_us and step_us >= 0:
            assert budget.left_bytes(now_us) <= 0
