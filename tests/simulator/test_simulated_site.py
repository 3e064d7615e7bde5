"""A set of concentrators: clocks, readiness, and how frames enter their chips."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.balance import EventKey
from simulator.scenario import FaultKind
from simulator.simulated_site import Arrival, Site, SiteClock
from tests.simulator.line_host import PROFILE, LineHost, until


@pytest.fixture
async def site(tmp_path: Path) -> AsyncIterator[Site]:
    """Two boards, three radios, as fast as ptys go."""
    site = Site(tmp_path, {"roof": 2, "pier": 1}, seed=1, baud=0)
    site.start()
    yield site
    site.stop()


async def set_up(site: Site) -> None:
    """By their own firmware, without a host."""
    for _, _, radio in site.chips():
        radio.set_profile(PROFILE)
    await until(site.ready)


async def test_every_concentrator_has_a_link_by_its_name(site: Site) -> None:
    assert sorted(path.name for path in site.directory.iterdir()) == ["pier", "roof"]
    assert [(name, index) for name, index, _ in site.chips()] == [
        ("roof", 0),
        ("roof", 1),
        ("pier", 0),
    ]


async def test_unique_ids_are_of_the_name_and_differ(site: Site, tmp_path: Path) -> None:
    """A board keeps its identity over runs; two boards never share one."""
    again = Site(tmp_path, {"pier": 1}, seed=99)
    ids = {name: c.identity.unique_id for name, c in site.concentrators.items()}
    assert len(set(ids.values())) == 2
    assert again.concentrators["pier"].identity.unique_id == ids["pier"]


async def test_a_site_is_ready_when_every_radio_listens(site: Site) -> None:
    assert not site.ready()
    radios = [radio for _, _, radio in site.chips()]
    for radio in radios[:2]:
        radio.set_profile(PROFILE)
    assert not site.ready()
    radios[2].set_profile(PROFILE)
    await until(site.ready)
    await site.concentrators["pier"].suffer(FaultKind.UNPLUG, 0)
    assert not site.ready()


async def test_a_radio_of_an_earlier_boot_is_not_powered(site: Site) -> None:
    (old,) = [radio for name, _, radio in site.chips() if name == "pier"]
    assert site.powered("pier", old)
    await site.concentrators["pier"].suffer(FaultKind.REBOOT, 0)
    assert not site.powered("pier", old)
    await site.concentrators["pier"].suffer(FaultKind.UNPLUG, 0)
    assert not site.powered("pier", old)


async def test_a_frame_becomes_an_event_and_is_accounted(site: Site) -> None:
    await set_up(site)
    (radio,) = [radio for name, _, radio in site.chips() if name == "pier"]
    taken: list[EventKey] = []
    site.on_taken = taken.append
    radio.chip.begin_reception(now_us=radio.now_us())
    assert radio.chip.header_received(
        coding_rate=1, crc_on_payload=True, payload_length=3, now_us=radio.now_us()
    )
    key = site.end_frame(7, "pier", radio, Arrival(b"abc", -90.0, 3.0))
    assert key is not None
    assert (key[0], key[2]) == ("pier", 1)
    site.whole_frame(8, "pier", radio, Arrival(b"bad", -90.0, 3.0, crc_ok=False))
    site.whole_frame(9, "pier", radio, Arrival(b"none", -90.0, 3.0, crc_on_payload=False))
    assert site.balance.receivable == 1
    await site.concentrators["pier"].suffer(FaultKind.UNPLUG, 0)
    # Events with a bad CRC go down as well; nobody promised them.
    assert taken == [("pier", key[1], number) for number in (1, 2, 3)]
    (frame,) = site.balance.summary()["frames"]  # type: ignore[misc]
    assert frame["excuse"] == "board_down"  # type: ignore[has-type]


async def test_a_chip_that_does_not_listen_takes_no_frame(site: Site) -> None:
    (radio,) = [radio for name, _, radio in site.chips() if name == "pier"]
    site.whole_frame(1, "pier", radio, Arrival(b"abc", -90.0, 3.0))
    assert site.end_frame(1, "pier", radio, Arrival(b"abc", -90.0, 3.0)) is None
    assert (site.balance.receivable, radio.received) == (0, 0)


async def test_written_and_acknowledged_are_accounted(site: Site) -> None:
    await set_up(site)
    host = LineHost(site.directory / "pier")
    await host.set_up()
    await until(site.ready)
    (radio,) = [radio for name, _, radio in site.chips() if name == "pier"]
    site.whole_frame(1, "pier", radio, Arrival(b"abc", -90.0, 3.0))
    await until(lambda: site.balance.timings()[0]["acknowledged"])
    host.close()
    (timing,) = site.balance.timings()
    written, acknowledged = timing["written"], timing["acknowledged"]
    assert isinstance(written, float)
    assert isinstance(acknowledged, float)
    assert written <= acknowledged
    assert site.balance.delivered == 1


@given(st.lists(st.integers(0, 10**9), max_size=10))
def test_the_boards_counter_follows_captured_time_and_never_goes_back(jumps: list[int]) -> None:
    """The monotonic clock does not move with it."""
    clock = SiteClock(lambda: 5.0)
    shown = clock.count_us()
    for jump in jumps:
        clock.jump_to(jump)
        assert clock.count_us() == max(shown, jump)
        shown = clock.count_us()
        assert clock.now_us() == 5_000_000
