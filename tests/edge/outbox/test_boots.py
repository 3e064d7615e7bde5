"""Dating rows by the boot they belong to, their ages, and what is written for that."""

from collections.abc import Iterable
from dataclasses import dataclass

from hypothesis import given
from hypothesis import strategies as st

from edge.outbox.anchors import ANCHOR_INTERVAL_US, Anchor, Learned
from edge.outbox.boots import MAX_BOOTS, Boot, Boots
from protocol.records.sensor_frame import WallTime

NOW, EARLIER, EARLIEST = b"now" + bytes(13), b"earlier" + bytes(9), b"earliest" + bytes(8)
SECOND_US = 1_000_000
HOUR_US = 3_600 * SECOND_US
DAY_US = 24 * HOUR_US
Y2026_US = 1_767_225_600 * SECOND_US  # 2026-01-01T00:00:00Z


def truth(boottime_us: int, uncertainty_us: int = 1_000) -> WallTime:
    """Of a boot at the beginning of 2026."""
    return WallTime(Y2026_US + boottime_us, uncertainty_us)


def save(boots: Boots) -> list[Boot]:
    """Write what is to be written; returns that."""
    unsaved = boots.unsaved()
    boots.saved(unsaved)
    assert boots.unsaved() == []
    return unsaved


def test_undated_until_the_clock_is_synchronised() -> None:
    """Then all rows of the boot get their time, also those before."""
    boots = Boots([], NOW)
    assert boots.wall(NOW, 5 * SECOND_US) is None
    assert boots.learn(60 * SECOND_US, None) == Learned()
    assert boots.wall(NOW, 5 * SECOND_US) is None
    assert boots.learn(60 * SECOND_US, truth(60 * SECOND_US)) == Learned(anchored=True)
    assert boots.wall(NOW, 5 * SECOND_US) == truth(5 * SECOND_US, 6_500)


def test_a_boot_that_nobody_knows_is_undated() -> None:
    """Asking does not make it known."""
    boots = Boots([], NOW)
    assert boots.wall(EARLIER, 0) is None
    assert [boot.boot_id for boot in boots.unsaved()] == [NOW]


def test_numbers_are_kept() -> None:
    """Rows refer to boots by number, across restarts; later boots have greater numbers."""
    boots = Boots([Boot(1, EARLIEST), Boot(7, EARLIER)], NOW)
    assert boots.number(EARLIER) == 7
    assert boots.number(NOW) == boots.current == 8
    assert save(boots) == [Boot(8, NOW)]
    assert Boots(boots.unsaved(), NOW).current == 1


def test_what_was_written_is_known_after_a_restart() -> None:
    """Of this boot and of others; a later boot's clock says nothing about them."""
    boots = Boots([], EARLIER)
    boots.learn(SECOND_US, truth(SECOND_US))
    stored = save(boots)
    assert stored == [Boot(1, EARLIER, SECOND_US, (Anchor(SECOND_US, Y2026_US, 1_000),))]
    assert Boots(stored, EARLIER).wall(EARLIER, SECOND_US) == truth(SECOND_US)
    later = Boots(stored, NOW)
    later.learn(SECOND_US, WallTime(9 * Y2026_US, 0))
    assert later.wall(EARLIER, SECOND_US) == truth(SECOND_US)
    assert [boot.boot_id for boot in save(later)] == [NOW]


def test_what_was_not_committed_is_tried_again() -> None:
    """Until somebody says that it is on disk."""
    boots = Boots([], NOW)
    boots.learn(SECOND_US, truth(SECOND_US))
    first = boots.unsaved()
    boots.learn(2 * SECOND_US, None)
    [again] = boots.unsaved()
    assert first[0].anchors == again.anchors
    assert again.last_boottime_us == 2 * SECOND_US  # free, if something is written anyway
    boots.saved([again])
    assert boots.unsaved() == []


def test_what_is_learnt_during_a_commit_is_written_next() -> None:
    """The commit had the older state."""
    boots = Boots([], NOW)
    committing = boots.unsaved()
    boots.learn(SECOND_US, truth(SECOND_US))
    boots.saved(committing)
    [boot] = save(boots)
    assert boot.anchors == (Anchor(SECOND_US, Y2026_US, 1_000),)


def test_uptime_alone_is_written_once_an_hour() -> None:
    """So that a boot that never knew the time counts when ages are added up."""
    boots = Boots([], NOW)
    save(boots)
    written = []
    for second in range(0, 24 * 3_600, 60):
        boots.learn(second * SECOND_US, None)
        written += save(boots)
    assert [boot.last_boottime_us // HOUR_US for boot in written] == list(range(1, 24))


def test_daemons_that_quarrel_do_not_wear_the_card() -> None:
    """Every second the clock is another one; each step is told, few are written, none is lost."""
    boots = Boots([], NOW)
    boots.learn(0, None)
    save(boots)
    steps, written, begin = 0, [], 86_400
    for second in range(begin, begin + 7_200):
        at_us, day = second * SECOND_US, second % 2
        learned = boots.learn(at_us, WallTime(Y2026_US + at_us + day * DAY_US, 1_000))
        steps += learned.step_us != 0
        written += save(boots)
        assert boots.wall(NOW, at_us) == WallTime(Y2026_US + at_us + day * DAY_US, 1_000)
    assert steps == 7_199
    assert 120 <= len(written) <= 50 + 120
    for second in range(begin + 7_200, begin + 7_260):
        boots.learn(second * SECOND_US, truth(second * SECOND_US))
        written += save(boots)
    assert written[-1].anchors[-1].offset_us == Y2026_US


def test_age_within_a_boot_is_its_uptime() -> None:
    """CLOCK_BOOTTIME alone tells it."""
    boots = Boots([], NOW)
    assert boots.age_us(boots.current, 400, 1_000) == 600
    assert boots.age_us(boots.current, 1_400, 1_000) == 0


def test_age_across_boots_adds_uptimes() -> None:
    """The rest of its own, all of those between, and the present one."""
    boots = Boots([Boot(1, EARLIEST, 50_000), Boot(2, EARLIER, 7_000)], NOW)
    assert boots.age_us(1, 20_000, 900) == 30_000 + 7_000 + 900
    assert boots.age_us(2, 6_999, 900) == 1 + 900
    assert boots.age_us(2, 8_000, 900) == 900


def test_rows_whose_boot_is_unknown_are_as_old_as_is_certain() -> None:
    """A damaged table of boots must not stop retention."""
    boots = Boots([Boot(3, EARLIER, 7_000)], NOW)
    assert boots.age_us(1, 0, 900) == 7_900
    assert boots.age_us(99, 0, 900) == 0


@dataclass(frozen=True)
class Life:
    """A boot: how long the host had been off before, how long it ran, what its clock claimed."""

    off_us: int
    uptime_us: int
    claims: tuple[tuple[int, WallTime | None], ...]


lives = st.lists(
    st.builds(
        Life,
        st.integers(0, 400 * DAY_US),
        st.integers(1, 40 * DAY_US),
        st.lists(
            st.tuples(
                st.integers(0, 40 * DAY_US),
                st.none()
                | st.builds(
                    WallTime, st.integers(-(10**17), 10**17), st.integers(0, 16 * SECOND_US)
                ),
            ),
            max_size=6,
        ).map(tuple),
    ),
    min_size=1,
    max_size=6,
)


def boot_name(number: int) -> bytes:
    """A boot id."""
    return number.to_bytes(16, "big")


def live(lives: Iterable[Life], row_at_us: int) -> tuple[Boots, int, int, int]:
    """Go through boots with all written; a row is made in the first one.

    Returns the boots, the row's time, the uptime of the present boot, and the row's true age.
    """
    stored: dict[int, Boot] = {}
    true_us = made_us = now_us = 0
    for number, life in enumerate(lives, start=1):
        true_us += life.off_us
        if number == 1:
            row_at_us = min(row_at_us, life.uptime_us)
            made_us = true_us + row_at_us
        boots = Boots(stored.values(), boot_name(number))
        for boottime_us, wall in sorted(life.claims, key=lambda claim: claim[0]):
            boots.learn(min(boottime_us, life.uptime_us), wall)
        stored.update((boot.number, boot) for boot in save(boots))
        true_us += life.uptime_us
        now_us = life.uptime_us
    return boots, row_at_us, now_us, true_us - made_us


@given(lives=lives, row_at_us=st.integers(0, 40 * DAY_US))
def test_no_clock_makes_a_row_older_than_it_is(lives: list[Life], row_at_us: int) -> None:
    """Whatever wall clocks claim, and however long the host was off."""
    boots, row_at_us, now_us, true_age_us = live(lives, row_at_us)
    age_us = boots.age_us(1, row_at_us, now_us)
    assert 0 <= age_us <= true_age_us
    if len(lives) > 1:
        assert age_us >= now_us


@given(lives=lives, row_at_us=st.integers(0, 40 * DAY_US))
def test_clocks_do_not_matter_to_ages(lives: list[Life], row_at_us: int) -> None:
    """The same without any wall clock, but for what of each boot was not written yet."""
    silent = [
        Life(life.off_us, life.uptime_us, tuple((at_us, None) for at_us, _ in life.claims))
        for life in lives
    ]
    ages = []
    for those in (lives, silent):
        boots, at_us, now_us, _ = live(those, row_at_us)
        ages.append(boots.age_us(1, at_us, now_us))
    assert abs(ages[0] - ages[1]) <= len(lives) * ANCHOR_INTERVAL_US


def many(count: int) -> list[Boot]:
    """Boots of which every tenth once knew the time."""
    anchor = Anchor(0, Y2026_US, 1_000)
    return [
        Boot(number, boot_name(number), 5, (anchor,) if number % 10 == 0 else ())
        for number in range(1, count + 1)
    ]


def test_few_boots_are_all_kept() -> None:
    """There is room for a thousand."""
    boots = Boots(many(MAX_BOOTS - 1), NOW)
    assert not boots.are_too_many
    assert boots.removable(MAX_BOOTS, []) == []


def test_too_many_boots() -> None:
    """The oldest go that nothing refers to; what is asked again is answered again."""
    boots = Boots(many(MAX_BOOTS + 4), NOW)
    set_aside = {boot_name(2), boot_name(3)}
    assert boots.are_too_many
    for _ in range(2):
        assert boots.removable(MAX_BOOTS, set_aside) == [1, 4, 5, 6, 7]
    boots.removed([1, 4, 5, 6, 7])
    assert not boots.are_too_many
    assert boots.wall(boot_name(10), 0) == WallTime(Y2026_US, 1_000)
    assert boots.wall(boot_name(4), 0) is None
    assert boots.number(boot_name(1)) == MAX_BOOTS + 6  # numbers are not given twice
    assert boots.age_us(8, 5, 0) == 5 * (MAX_BOOTS + 4 - 8)


def test_boots_with_rows_stay_however_many() -> None:
    """And all between them, because their uptimes count."""
    boots = Boots(many(MAX_BOOTS + 20), NOW)
    assert boots.removable(3, []) == [1, 2]
    assert boots.removable(1, []) == []


def test_only_what_has_changed_is_written() -> None:
    """However many there are."""
    boots = Boots(many(2 * MAX_BOOTS), NOW)
    assert [boot.boot_id for boot in boots.unsaved()] == [NOW]
    boots.saved(boots.unsaved())
    assert boots.unsaved() == []
    boots.forget_saved()
    assert len(boots.unsaved()) == 2 * MAX_BOOTS + 1
