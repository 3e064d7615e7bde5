"""``xtime`` and the times that a server tells."""

from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.lns_clock import LnsClock, Xtime, session_of, unpack_xtime

BOOT = bytes(range(16))


def test_layout() -> None:
    """Taken apart by the independent library pamoja-gateway 0.2.0: unit 3, session 7, 12345 us."""
    assert Xtime(3, 7, 12_345).pack() == 218_143_106_950_770_745


@given(st.integers(0, 127), st.integers(1, 255), st.integers(-(2**47), 2**47 - 1))
def test_there_and_back(unit: int, session: int, boottime_us: int) -> None:
    """63 bits, never negative; also for what was heard before this host booted."""
    xtime = Xtime(unit, session, boottime_us)
    assert 0 < xtime.pack() < 2**63
    assert unpack_xtime(xtime.pack()) == xtime


@given(st.binary(min_size=16, max_size=16))
def test_a_boot_has_one_session_and_it_is_never_zero(boot_id: bytes) -> None:
    assert 1 <= session_of(boot_id) <= 255
    assert session_of(boot_id) == session_of(bytes(boot_id))


def test_two_boots_mostly_differ() -> None:
    assert len({session_of(bytes([number] * 16)) for number in range(100)}) > 70


def test_reference_time_is_the_servers_clock_carried_on() -> None:
    clock = LnsClock(BOOT)
    assert clock.reference_time_s(5) == 0.0
    clock.note_mux_time(1_790_000_000.25, 1_000_000)
    assert clock.reference_time_s(2_500_000) == 1_790_000_001.75


def test_an_answer_counts_from_the_middle_of_its_round_trip() -> None:
    clock = LnsClock(BOOT)
    assert clock.boottime_us(10_000_000, None) is None
    assert clock.answered(clock.ask(1_000_000), 9_000_000, 2_000_000)
    assert clock.boottime_us(10_000_000, None) == 2_500_000


def test_answers_that_tell_nothing() -> None:
    """Too slow, to an earlier request, or a second one to the same."""
    clock = LnsClock(BOOT)
    assert not clock.answered(clock.ask(0), 5, 2_000_000)
    clock.ask(0)
    clock.ask(500_000)
    assert not clock.answered(0, 5, 600_000)
    assert clock.answered(500_000, 5, 600_000)
    assert not clock.answered(500_000, 5, 700_000)


def test_the_server_may_tell_of_its_own_accord() -> None:
    clock = LnsClock(BOOT)
    assert not clock.pushed(Xtime(0, clock.session % 255 + 1, 1_000), 7_000)
    assert clock.pushed(Xtime(0, clock.session, 1_000), 7_000)
    assert clock.boottime_us(8_000, None) == 2_000


def test_our_own_clock_knows_better() -> None:
    clock = LnsClock(BOOT)
    clock.pushed(Xtime(0, clock.session, 0), 1_000_000)
    assert clock.boottime_us(5_000_000, 2_000_000) == 3_000_000
