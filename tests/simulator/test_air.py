"""The air as a whole: reproducible, unaffected by neighbours, and true to known results."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from statistics import fmean, stdev

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulator.air import Air, damaged
from simulator.draws import Draws
from simulator.interference import Outcome, OverlapWindow, share_air
from simulator.placement import Position
from simulator.scenario import Concentrator, Propagation, Reception, Scenario
from simulator.scenario_file import load_scenario, scenario_path
from simulator.sensors import Transmission
from tests.simulator.sample_air import CONCENTRATOR, FRAME, scenario, tables, ward

TWO_MINUTES_US = 120_000_000
SENT = list(Air(scenario()).transmissions_until(TWO_MINUTES_US))

CLEAR = Propagation(7.7, 37.6, 0, 0)


def quiet(capture_db: float = 6.0, propagation: Propagation = CLEAR) -> Air:
    """An air in which only distance and collisions count, for frames that a test makes itself."""
    return Air(replace(scenario(), propagation=propagation, reception=Reception(6.0, capture_db)))


def outcomes_at_end(
    air: Air, sent: Sequence[Transmission], concentrator: Concentrator
) -> Iterator[tuple[Transmission, Outcome]]:
    """What a receiver that is never busy makes of each frame, asked when the frame ends."""
    window = OverlapWindow()
    waiting = iter(sent)
    next_start = next(waiting, None)
    for ending in sorted(sent, key=lambda t: t.end_us):
        while next_start is not None and next_start.start_us < ending.end_us:
            window.add(next_start)
            next_start = next(waiting, None)
        yield ending, air.verdict(ending, concentrator, window.overlapping(ending)).outcome


# -- What is sent


def test_everything_is_sent_in_order_of_start() -> None:
    """12 sensors, 5 every 30 s, 4 every 40 s, 3 every 20 s: 50 packets in two minutes."""
    assert [t.start_us for t in SENT] == sorted(t.start_us for t in SENT)
    assert 48 <= len(SENT) <= 52
    assert len({(t.sensor, t.number) for t in SENT}) == len(SENT)


@given(st.lists(st.integers(0, TWO_MINUTES_US), max_size=8))
def test_windows_do_not_matter(stops_us: list[int]) -> None:
    """The same frames to the byte, in whatever steps time is taken."""
    air = Air(scenario())
    sent = [t for stop_us in [*stops_us, TWO_MINUTES_US] for t in air.transmissions_until(stop_us)]
    assert sent == SENT


def test_an_iterator_may_be_left_half_way() -> None:
    air = Air(scenario())
    first = next(air.transmissions_until(TWO_MINUTES_US))
    assert [first, *air.transmissions_until(TWO_MINUTES_US)] == SENT


@given(st.integers(0, 1 << 40))
@settings(max_examples=20)
def test_a_seed_says_it_all(seed: int) -> None:
    one, again = (list(Air(scenario(), seed).transmissions_until(30_000_000)) for _ in range(2))
    assert one == again
    assert one != list(Air(scenario(), seed + 1).transmissions_until(30_000_000))


def test_the_scenario_has_a_seed_of_its_own() -> None:
    assert list(Air(scenario(), 7).transmissions_until(TWO_MINUTES_US)) == SENT


@given(st.integers(0, 4), st.permutations([0, 1, 2]))
@settings(max_examples=20)
def test_neighbours_change_nothing(more: int, order: list[int]) -> None:
    """Other sensors, in another order of the file: ours send the same and are heard the same."""
    values = ward()
    groups = values["group"]
    assert isinstance(groups, list)
    values["group"] = [groups[index] for index in order]
    tables(values, "group", 0)["count"] = 5 + more
    before, after = Air(scenario()), Air(scenario(values))
    ours = {(t.sensor, t.number): t for t in SENT}
    theirs = {(t.sensor, t.number): t for t in after.transmissions_until(TWO_MINUTES_US)}
    assert {key: theirs[key] for key in ours} == ours
    roof = scenario().concentrators[0]
    assert all(before.strength(t, roof) == after.strength(t, roof) for t in SENT)


# -- What is heard


@pytest.mark.parametrize(
    ("margin_db", "outcome"),
    [
        (0.1, Outcome.DECODED),
        (-0.1, Outcome.CRC_ERROR),
        (-0.9, Outcome.CRC_ERROR),
        (-1.1, Outcome.BELOW_SENSITIVITY),
    ],
)
@pytest.mark.parametrize(
    ("spreading_factor", "limit_dbm"), [(7, -124.53), (9, -129.53), (12, -137.03)]
)
def test_sensitivity(
    spreading_factor: int, limit_dbm: float, margin_db: float, outcome: Outcome
) -> None:
    """Noise floor -117.03 dBm plus the demodulator's limit (SX1276 data sheet, table 13)."""
    frame = replace(
        FRAME,
        spreading_factor=spreading_factor,
        position=Position(1, 0, 0),
        power_dbm=limit_dbm + 7.7 + margin_db,
    )
    verdict = quiet().verdict(frame, CONCENTRATOR, ())
    assert verdict.outcome is outcome
    assert verdict.rssi_dbm == pytest.approx(limit_dbm + margin_db, abs=0.01)


def test_two_frames_at_once() -> None:
    """7 dB apart the stronger is captured; 5 dB apart both are lost."""
    air = quiet()
    for apart_db, outcome in ((7, Outcome.DECODED), (5, Outcome.COLLISION)):
        weaker = replace(FRAME, sensor="two", power_dbm=FRAME.power_dbm - apart_db)
        assert air.verdict(FRAME, CONCENTRATOR, (weaker,)).outcome is outcome
        assert air.verdict(weaker, CONCENTRATOR, (FRAME,)).outcome is Outcome.COLLISION


def test_others_may_be_handed_in_unsorted() -> None:
    """Frames on another channel, or over before, do no harm."""
    elsewhere = replace(FRAME, sensor="two", frequency_hz=922_000_000, power_dbm=40)
    earlier = replace(FRAME, sensor="two", start_us=0, end_us=10, power_dbm=40)
    verdict = quiet().verdict(FRAME, CONCENTRATOR, (elsewhere, earlier))
    assert verdict.outcome is Outcome.DECODED


@given(st.sampled_from(SENT), st.lists(st.sampled_from(SENT), max_size=5))
def test_company_never_helps(frame: Transmission, others: list[Transmission]) -> None:
    air = Air(scenario())
    roof = scenario().concentrators[0]
    ranks = list(Outcome)
    moved = [replace(o, start_us=frame.start_us, end_us=frame.end_us) for o in others]
    found = [
        ranks.index(air.verdict(frame, roof, moved[:count]).outcome)
        for count in range(len(moved) + 1)
    ]
    assert found == sorted(found)


# -- Against closed forms

DURATION_US = 100_000
NO_SPARE_PREAMBLE = 5


def poisson(
    load: float, count: int, seed: int, place: Callable[[int], Position], preamble_symbols: int
) -> list[Transmission]:
    """Frames of 100 ms that start at random, ``load`` of them in the duration of one."""
    draws = Draws(seed, "arrivals")
    frames, start_us = [], 0.0
    for index in range(count):
        start_us += draws.exponential(index) * DURATION_US / load
        frames.append(
            replace(
                FRAME,
                sensor=f"s{seed}-{index}",
                start_us=round(start_us),
                end_us=round(start_us) + DURATION_US,
                preamble_symbols=preamble_symbols,
                position=place(index),
            )
        )
    return frames


def delivered_share(air: Air, sent: Sequence[Transmission]) -> float:
    decoded = [
        outcome is Outcome.DECODED for _, outcome in outcomes_at_end(air, sent, CONCENTRATOR)
    ]
    return sum(decoded) / len(decoded)


def nearby(_index: int) -> Position:
    return Position(100, 0, 0)


def assert_close(shares: Sequence[float], expected: float) -> None:
    """Within three standard errors, taken from the scatter of independent runs."""
    assert abs(fmean(shares) - expected) < 3 * stdev(shares) / math.sqrt(len(shares))


@pytest.mark.parametrize("load", [0.1, 0.5, 1.0])
def test_pure_aloha(load: float) -> None:
    """Without capture a frame needs two durations free of other starts: exp(-2G)."""
    air = quiet(capture_db=1000)
    shares = [
        delivered_share(air, poisson(load, 500, seed, nearby, NO_SPARE_PREAMBLE))
        for seed in range(16)
    ]
    assert_close(shares, math.exp(-2 * load))


def test_aloha_with_spare_preamble() -> None:
    """Three symbols at the front may be hit: the vulnerable time shrinks by 3 * 1.024 ms."""
    air = quiet(capture_db=1000)
    shares = [delivered_share(air, poisson(1.0, 500, seed, nearby, 8)) for seed in range(16)]
    assert_close(shares, math.exp(-(2 - 3 * 1024 / DURATION_US)))


def test_aloha_with_capture() -> None:
    """Sensors all over a disc, loss exponent 2.08, capture 6 dB.

    A frame from radius r is hit by those within r * sqrt(a), a = 10^(2 * 6 / (10 * 2.08)); over
    the disc that gives (1/a) (1 - e^-G') / G' + (1 - 1/a) e^-G' with G' = 2G.
    """
    air = quiet(capture_db=6, propagation=Propagation(0, 20.8, 0, 0))
    load = 0.6

    def somewhere(seed: int) -> Callable[[int], Position]:
        radius = Draws(seed, "radius")
        return lambda index: Position(10_000 * math.sqrt(radius.uniform(index)), 0, 0)

    shares = [
        delivered_share(air, poisson(load, 500, seed, somewhere(seed), NO_SPARE_PREAMBLE))
        for seed in range(16)
    ]
    area = 10 ** (2 * 6 / 20.8)
    lost = math.exp(-2 * load)
    assert_close(shares, (1 - lost) / (2 * load) / area + (1 - 1 / area) * lost)


# -- Damage


@given(st.binary(min_size=1, max_size=255), st.integers(0, 1 << 40))
def test_damage_is_real_and_small(payload: bytes, seed: int) -> None:
    """Same length, one bit wrong at least, a tenth of them at most."""
    hit = damaged(payload, Draws(seed))
    assert len(hit) == len(payload)
    wrong = int.from_bytes(hit, "big") ^ int.from_bytes(payload, "big")
    assert 1 <= wrong.bit_count() <= max(1, 8 * len(payload) // 10)
    assert damaged(payload, Draws(seed)) == hit


def test_nothing_to_damage() -> None:
    assert damaged(b"", Draws(1)) == b""


def test_every_reception_is_damaged_in_its_own_way() -> None:
    air = quiet()
    hits = {
        air.damage(replace(FRAME, number=number), replace(CONCENTRATOR, name=name))
        for number in range(3)
        for name in ("roof", "pier")
    }
    assert len(hits) == 6
    assert FRAME.payload not in hits


# -- The city


def one_radio(
    air: Air, sent: Sequence[Transmission], concentrator: Concentrator, radio: int
) -> tuple[int, int]:
    """Frames on a radio's channel and those it delivers, while it can be busy with only one."""
    plan = concentrator.radios[radio]
    meant = 0
    delivered = 0
    free_at_us = 0
    window = OverlapWindow(keep_us=TWO_MINUTES_US)
    for transmission in sent:
        window.add(transmission)
    for transmission in sent:
        settings = (transmission.frequency_hz, transmission.spreading_factor)
        if settings != (plan.frequency_hz, plan.spreading_factor):
            continue
        if transmission.sync_word != plan.sync_word:
            continue
        meant += 1
        met = window.overlapping(transmission)
        outcome = air.verdict(transmission, concentrator, met).outcome
        if transmission.start_us < free_at_us or outcome is Outcome.BELOW_SENSITIVITY:
            continue
        free_at_us = transmission.end_us
        delivered += outcome is Outcome.DECODED
    return meant, delivered


def da_nang() -> Scenario:
    return load_scenario(scenario_path("da-nang"))


def test_da_nang_delivers_most_of_what_is_listened_to() -> None:
    """300 sensors, about 6 frames a second: collisions, but more than 60 % come through."""
    city = da_nang()
    air = Air(city)
    sent = list(air.transmissions_until(TWO_MINUTES_US))
    counts = [
        one_radio(air, sent, concentrator, radio)
        for concentrator in city.concentrators
        for radio in range(len(concentrator.radios))
    ]
    meant, delivered = (sum(column) for column in zip(*counts, strict=True))
    assert 280 <= sum(1 for _ in city.sensors()) <= 320
    assert 0.85 < meant / len(sent) < 1  # some are set to where nobody listens
    assert 0.6 < delivered / meant < 0.95
    assert min(delivered / meant for meant, delivered in counts) > 0.6


def test_da_nang_has_a_bit_of_everything() -> None:
    """Every outcome of the air occurs, so that a demonstration can show it."""
    city = da_nang()
    air = Air(city)
    sent = list(air.transmissions_until(5 * TWO_MINUTES_US))
    bridge = city.concentrators[0]
    assert {outcome for _, outcome in outcomes_at_end(air, sent, bridge)} == set(Outcome)


def test_one_loses_nothing() -> None:
    city = load_scenario(scenario_path("one"))
    air = Air(city)
    sent = list(air.transmissions_until(TWO_MINUTES_US))
    assert len(sent) == 12
    assert not any(share_air(a, b) for a in sent for b in sent if a is not b)
    found = [outcome for _, outcome in outcomes_at_end(air, sent, city.concentrators[0])]
    assert found == [Outcome.DECODED] * 12
