"""Health: what a restart can mend, and what the gateway needs for its work."""

from hypothesis import given
from hypothesis import strategies as st

from edge.monitoring.health import DEFAULT_BOUND_US, Health

SECOND_US = 1_000_000


def test_a_part_that_beats_is_alive_until_its_bound_has_passed() -> None:
    health = Health()
    health.beat("loop", 0)

    assert health.alive(DEFAULT_BOUND_US) == []
    assert health.alive(21 * SECOND_US) == ["loop has not beaten for 21.0 s"]


def test_a_watched_part_that_never_beats_is_found() -> None:
    health = Health()
    health.watch("writer", 5 * SECOND_US, bound_us=2 * SECOND_US)

    assert health.alive(7 * SECOND_US) == []
    assert health.alive(8 * SECOND_US) == ["writer has not beaten for 3.0 s"]


def test_a_beat_keeps_the_bound_of_the_watch() -> None:
    health = Health()
    health.watch("driver:roof", 0, bound_us=60 * SECOND_US)
    health.beat("driver:roof", SECOND_US)

    assert health.alive(61 * SECOND_US) == []
    assert health.alive(62 * SECOND_US) == ["driver:roof has not beaten for 61.0 s"]


@given(
    beats=st.lists(st.tuples(st.sampled_from(["loop", "writer"]), st.integers(0, 10**9))),
    now_us=st.integers(0, 2 * 10**9),
)
def test_alive_names_exactly_the_parts_that_are_overdue(
    beats: list[tuple[str, int]], now_us: int
) -> None:
    health = Health()
    for part, beat_us in beats:
        health.beat(part, beat_us)

    overdue = {part for part, beat_us in dict(beats).items() if now_us - beat_us > 20 * SECOND_US}
    assert {reason.split()[0] for reason in health.alive(now_us)} == overdue


def test_ready_needs_the_store_and_one_radio() -> None:
    health = Health()
    health.concentrator_down("roof", "not connected yet")
    assert len(health.ready()) == 2

    health.store_works()
    assert health.ready() == ["no radio is up: roof: not connected yet"]

    health.concentrator_up("roof")
    assert health.ready() == []


def test_one_radio_that_is_up_is_enough() -> None:
    health = Health()
    health.store_works()
    health.concentrator_up("roof")
    health.concentrator_down("mast", "port lost")

    assert health.ready() == []


def test_without_a_concentrator_nothing_is_heard() -> None:
    health = Health()
    health.store_works()

    assert health.ready() == ["no radio is up: no concentrator is configured"]


def test_a_store_that_fails_says_why_and_recovers() -> None:
    health = Health()
    health.concentrator_up("roof")
    health.store_failed("disk full")
    assert health.ready() == ["the store is not writable: disk full"]

    health.store_works()
    assert health.ready() == []


def test_an_unplugged_board_asks_for_no_restart() -> None:
    health = Health()
    health.concentrator_down("roof", "port lost")
    health.store_failed("read-only")

    assert health.alive(10**12) == []
