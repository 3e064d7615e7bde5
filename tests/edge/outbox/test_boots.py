"""Dating rows by the boot they belong to."""

from hypothesis import given
from hypothesis import strategies as st

from edge.outbox.boots import Boot, Boots
from protocol.records.sensor_frame import WallTime

NOW, EARLIER = b"now" + bytes(13), b"earlier" + bytes(9)
DAY_US = 86_400_000_000
Y2026_US = 1_767_225_600_000_000  # 2026-01-01T00:00:00Z


def test_undated_until_the_clock_is_synchronised() -> None:
    """Then all rows of the boot get their time, also those before."""
    boots = Boots([], NOW)
    assert boots.boot(NOW).wall(5_000_000) is None
    boots.learn(60_000_000, None)
    assert boots.boot(NOW).wall(5_000_000) is None
    boots.learn(60_000_000, WallTime(Y2026_US + 60_000_000, 1_000))
    assert boots.boot(NOW).wall(5_000_000) == WallTime(Y2026_US + 5_000_000, 1_000)


def test_only_news_is_written() -> None:
    """The same offset measured again costs the card nothing; a step or a better one is written."""
    boots = Boots([], NOW)
    boots.learn(0, WallTime(Y2026_US, 10_000))
    boots.saved(boots.unsaved())
    boots.learn(1_000_000, WallTime(Y2026_US + 1_000_200, 9_000))
    assert boots.unsaved() == []
    boots.learn(1_000_000, WallTime(Y2026_US + 1_000_200, 900))
    assert boots.unsaved() == [Boot(1, NOW, Y2026_US + 200, 900)]
    boots.saved(boots.unsaved())
    boots.learn(2_000_000, WallTime(Y2026_US + 5_000_000, 900))
    assert boots.unsaved() == [Boot(1, NOW, Y2026_US + 3_000_000, 900)]


def test_numbers_are_kept() -> None:
    """Rows refer to boots by number, across restarts."""
    boots = Boots([Boot(1, EARLIER)], NOW)
    assert boots.boot(EARLIER).number == 1
    assert boots.boot(NOW).number == 2
    assert [boot.boot_id for boot in boots.unsaved()] == [NOW]


def test_age_within_a_boot_is_exact() -> None:
    """CLOCK_BOOTTIME alone tells it, whatever the wall clock says."""
    boots = Boots([], NOW)
    number = boots.boot(NOW).number
    assert boots.age_us(number, 400, 1_000, WallTime(Y2026_US * 9, 0)) == 600


def test_age_across_boots_needs_both_ends_dated() -> None:
    """Else it is only sure that the row is older than this boot."""
    dated = Boot(1, EARLIER, Y2026_US, 1_000)
    now_us = 3_000_000
    a_day_later = WallTime(Y2026_US + DAY_US, 2_000)
    assert Boots([dated], NOW).age_us(1, 0, now_us, a_day_later) == DAY_US - 3_000
    assert Boots([dated], NOW).age_us(1, 0, now_us, None) == now_us
    assert Boots([Boot(1, EARLIER)], NOW).age_us(1, 0, now_us, a_day_later) == now_us


@given(
    received_us=st.integers(0, 10**15),
    now_us=st.integers(0, 10**15),
    offset_us=st.integers(0, 10**17),
    wall_us=st.none() | st.integers(0, 10**17),
)
def test_a_clock_that_is_wrong_makes_nothing_young(
    received_us: int, now_us: int, offset_us: int, wall_us: int | None
) -> None:
    """Rows of earlier boots are at least as old as this boot, even if the clock runs backwards."""
    boots = Boots([Boot(1, EARLIER, offset_us, 0)], NOW)
    wall = None if wall_us is None else WallTime(wall_us, 0)
    assert boots.age_us(1, received_us, now_us, wall) >= now_us
