"""The air of a running site, in virtual time: what is sent, who hears it, what becomes of it."""

import asyncio
import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from protocol.link.messages import StatusCode
from simulator.air import Air
from simulator.board import Board
from simulator.ledger import Cause, Entry, Ledger
from simulator.live import LiveAir
from simulator.scenario import FaultKind, Scenario
from simulator.simulated_site import Site, SiteClock
from tests.simulator.sample_air import scenario, tables, ward
from tests.simulator.virtual_time import loop_time_s, run_virtually

STANDARD = (0x1D, 0x72), (0x26, 0x04)
CHANNELS = {
    (921_400_000, 7): ((0x06, 0xE6), (0x07, 0x59), (0x08, 0x9A), (0x1E, 0x74)),
    (921_600_000, 7): ((0x06, 0xE6), (0x07, 0x66), (0x08, 0x66), (0x1E, 0x74)),
    (921_400_000, 8): ((0x06, 0xE6), (0x07, 0x59), (0x08, 0x9A), (0x1E, 0x84)),
    (922_400_000, 7): ((0x06, 0xE6), (0x07, 0x99), (0x08, 0x9A), (0x1E, 0x74)),
}
"""Frf = frequency x 2^19 / 32 MHz, and the spreading factor."""


def set_up(site: Site, *, but: str = "") -> None:
    """Give every radio without a profile its plan's, as a gateway would."""
    for name, _, radio in site.chips():
        if not radio.managed and name != but:
            radio.set_profile((*CHANNELS[921_400_000, 7], *STANDARD, (0x39, 0x34)))


@dataclass
class Run:
    """One run of a scenario and everything it left."""

    scenario: Scenario
    directory: Path
    seed: int = 3
    ledger: Ledger = field(default_factory=Ledger)
    site: Site = field(init=False)
    live: LiveAir = field(init=False)

    def play(
        self,
        duration_s: float | None,
        meanwhile: Callable[["Run"], Awaitable[None]] | None = None,
        prepare: Callable[[Site], None] = set_up,
    ) -> "Run":
        """Play it on boards that nobody fetches anything from."""

        async def run() -> None:
            radios = {plan.name: len(plan.radios) for plan in self.scenario.concentrators}
            self.site = Site(self.directory, radios, self.seed, clock=SiteClock(loop_time_s))
            self.live = LiveAir(self.site, self.scenario, self.seed, self.ledger)
            self.site.start()
            prepare(self.site)
            await asyncio.sleep(1)  # let the synthesizers settle
            try:
                async with asyncio.TaskGroup() as group:
                    if meanwhile is not None:
                        group.create_task(_started(meanwhile(self)))
                    await self.live.play(duration_s)
            finally:
                self.site.stop()

        run_virtually(run())
        return self

    def causes(self, sensor: str = "") -> Counter[Cause]:
        """Final causes of what a group's sensors sent."""
        return Counter(e.cause for e in self.ledger.entries() if e.sensor.startswith(sensor))

    def entries(self) -> list[Entry]:
        """Everything that was sent."""
        return list(self.ledger.entries())

    def frames(self) -> list[dict[str, Any]]:
        """The boards' account."""
        frames = self.site.balance.summary()["frames"]
        assert isinstance(frames, list)
        return frames


async def _started(work: Awaitable[None]) -> None:
    await work


def quiet_ward(**changes: object) -> dict[str, object]:
    """One sensor in front of one radio, in an air without chance."""
    values = ward()
    values["path_loss"] = {"shadowing_db": 0, "fading_db": 0}
    values["group"] = [
        {
            "name": "near",
            "kind": "flood",
            "period_s": 10,
            "frequencies_hz": [921_400_000],
            "spreading_factor": 7,
            "at": [[100, 0]],
        }
    ]
    return values | changes


def test_every_frame_of_a_quiet_air_is_received(tmp_path: Path) -> None:
    """Byte for byte what the air says that was sent."""
    run = Run(scenario(quiet_ward()), tmp_path).play(300)
    sent = list(Air(run.scenario, run.seed).transmissions_until(300_000_000))
    assert len(sent) == run.site.balance.sent == len(run.ledger) >= 29
    assert [frame["payload"] for frame in run.frames()] == [t.payload.hex() for t in sent]
    assert run.causes() == {Cause.DELIVERED: len(sent)}


@pytest.mark.parametrize("seed", [1, 2])
def test_the_same_seed_makes_the_same_air_to_the_byte(tmp_path: Path, seed: int) -> None:
    """The whole ledger, causes included, on boards with other boot ids."""
    ledgers = []
    for attempt in ("one", "two"):
        directory = tmp_path / attempt
        directory.mkdir()
        run = Run(scenario(), directory, seed).play(120)
        run.ledger.write(directory / "ledger.jsonl")
        ledgers.append((directory / "ledger.jsonl").read_bytes())
    assert ledgers[0] == ledgers[1]
    assert len(ledgers[0].splitlines()) > 20


def test_another_seed_makes_another_air(tmp_path: Path) -> None:
    first = Run(scenario(), tmp_path, 1).play(60)
    second = Run(scenario(), tmp_path, 2).play(60)
    assert [e.payload for e in first.entries()] != [e.payload for e in second.entries()]


def test_what_no_radio_listens_to_is_not_listening(tmp_path: Path) -> None:
    """Another channel, another spreading factor, another sync word: counted per transmission."""
    run = Run(scenario(), tmp_path).play(300)
    channel = {(t.sensor, t.number): t for t in Air(run.scenario, run.seed).transmissions_until(
        300_000_000
    )}  # fmt: skip
    heard = [
        entry
        for entry in run.entries()
        if (
            channel[entry.sensor, entry.number].frequency_hz,
            channel[entry.sensor, entry.number].spreading_factor,
        )
        == (921_400_000, 7)
    ]
    assert 10 < len(heard) < len(run.entries())
    assert all(entry.cause is not Cause.NOT_LISTENING for entry in heard)
    assert run.causes()[Cause.NOT_LISTENING] == len(run.entries()) - len(heard)
    assert run.causes("air") == {Cause.NOT_LISTENING: len([
        e for e in run.entries() if e.sensor.startswith("air")
    ])}  # fmt: skip


def test_one_radio_that_listens_is_enough(tmp_path: Path) -> None:
    """The ledger keeps each radio's own word."""
    values = quiet_ward()
    tables(values, "concentrator", 0)["radios"] = [
        {"frequency_hz": 921_400_000, "spreading_factor": 7},
        {"frequency_hz": 922_400_000, "spreading_factor": 7},
    ]

    def prepare(site: Site) -> None:
        one, other = (radio for _, _, radio in site.chips())
        one.set_profile((*CHANNELS[921_400_000, 7], *STANDARD, (0x39, 0x34)))
        other.set_profile((*CHANNELS[922_400_000, 7], *STANDARD, (0x39, 0x34)))

    run = Run(scenario(values), tmp_path).play(60, prepare=prepare)
    assert run.causes() == {Cause.DELIVERED: len(run.entries())}
    for entry in run.entries():
        assert entry.causes == {("roof", 0): Cause.DELIVERED, ("roof", 1): Cause.NOT_LISTENING}


def test_two_concentrators_that_hear_a_frame_make_one_receivable(tmp_path: Path) -> None:
    """The balance counts transmissions, not receptions."""
    values = quiet_ward()
    roof = tables(values, "concentrator", 0)
    values["concentrator"] = [roof, roof | {"name": "pier", "x_m": 50}]
    run = Run(scenario(values), tmp_path).play(100)
    assert run.site.balance.receivable == len(run.entries()) >= 9
    assert {len(entry.causes) for entry in run.entries()} == {2}


def test_a_busy_radio_is_locked_only_for_what_it_could_hear(tmp_path: Path) -> None:
    """Forty sensors on one channel and forty on another: the others' frames are not 'locked'."""
    values = quiet_ward()
    near = tables(values, "group", 0) | {"period_s": 10}
    del near["at"]
    near |= {"within": [[10, 10], [200, 200]], "count": 40}
    values["group"] = [
        near,
        near | {"name": "apart", "frequencies_hz": [922_000_000]},
    ]
    run = Run(scenario(values), tmp_path).play(120)
    assert run.causes("near")[Cause.LOCKED] > 0
    assert set(run.causes("apart")) == {Cause.NOT_LISTENING}


def test_receivable_is_what_chips_raised_rx_done_for(tmp_path: Path) -> None:
    """With a good CRC: frames that were damaged are received, and are no promise."""
    values = quiet_ward()
    near = tables(values, "group", 0)
    del near["at"]
    near |= {"within": [[-2500, -2500], [2500, 2500]], "count": 60}
    run = Run(scenario(values), tmp_path).play(120)
    causes = run.causes()
    (radio,) = [radio for _, _, radio in run.site.chips()]
    assert causes[Cause.CRC_ERROR] > 0
    assert radio.crc_errors == causes[Cause.CRC_ERROR]
    assert radio.received == causes[Cause.DELIVERED] + causes[Cause.CRC_ERROR]
    assert run.site.balance.receivable == causes[Cause.DELIVERED]
    delivered = [e.payload.hex() for e in run.entries() if e.cause is Cause.DELIVERED]
    assert Counter(frame["payload"] for frame in run.frames()) == Counter(delivered)


def test_the_edge_of_the_cell(tmp_path: Path) -> None:
    """Too far is below sensitivity, however free the radio is."""
    values = quiet_ward()
    tables(values, "group", 0)["at"] = [[40_000, 0]]
    run = Run(scenario(values), tmp_path).play(60)
    assert set(run.causes()) == {Cause.BELOW_SENSITIVITY}
    assert run.frames() == []


def test_a_radio_that_nobody_set_up_listens_to_nothing(tmp_path: Path) -> None:
    """The plan in the scenario is the gateway's business, not the chip's."""
    run = Run(scenario(quiet_ward()), tmp_path).play(60, prepare=lambda _site: None)
    assert set(run.causes()) == {Cause.NOT_LISTENING}


def test_a_full_ring_is_ring_overflow(tmp_path: Path) -> None:
    """512 events that nobody fetches, and then no more."""
    values = quiet_ward()
    near = tables(values, "group", 0)
    del near["at"]
    near |= {"within": [[10, 10], [100, 100]], "count": 30}
    run = Run(scenario(values), tmp_path).play(500)
    (board,) = [c.board for c in run.site.concentrators.values()]
    assert isinstance(board, Board)
    ring = board.session.unacknowledged  # damaged frames have their place there as well
    assert len(ring) == 512
    kept = sum(not event.irq_flags & 0x20 for event in ring)
    assert run.causes()[Cause.DELIVERED] == kept
    assert run.causes()[Cause.RING_OVERFLOW] > 20
    summary = run.site.balance.summary()
    assert summary["ring_overflow"] == run.causes()[Cause.RING_OVERFLOW]
    assert summary["receivable"] == kept + run.causes()[Cause.RING_OVERFLOW]


async def _set_up_again(run: Run) -> None:
    """A gateway that sets up boards as soon as they are back."""
    while not run.live.silent:
        await asyncio.sleep(0.5)
        set_up(run.site)


def with_faults(*faults: dict[str, object]) -> Scenario:
    """The quiet ward and what happens to it."""
    return scenario(quiet_ward(fault=list(faults)))


def test_the_timeline_happens_at_its_times(tmp_path: Path) -> None:
    """An unplug takes what the ring holds; while it lasts, nothing is heard."""
    fault = {"at_s": 100, "kind": "unplug", "concentrator": "roof", "duration_s": 50}

    async def meanwhile(run: Run) -> None:
        roof = run.site.concentrators["roof"]
        for at_s, powered in ((99.5, True), (1, False), (49, False), (1, True)):
            await asyncio.sleep(at_s)
            assert (roof.board is not None) is powered
        set_up(run.site)

    run = Run(with_faults(fault), tmp_path).play(200, meanwhile)
    for entry in run.entries():
        at_s = entry.start_us / 1e6
        expected = Cause.BOARD_DOWN if at_s < 150 else Cause.DELIVERED
        assert entry.cause is expected, at_s
    assert 13 <= run.causes()[Cause.BOARD_DOWN] <= 16


def test_faults_last_side_by_side(tmp_path: Path) -> None:
    """Three at once on two boards."""
    values = quiet_ward(
        fault=[
            {"at_s": 10, "kind": "unplug", "concentrator": "pier", "duration_s": 30},
            {"at_s": 15, "kind": "stall", "concentrator": "roof", "duration_s": 20},
            {"at_s": 20, "kind": "slow_drain", "concentrator": "roof", "duration_s": 20},
        ]
    )
    roof = tables(values, "concentrator", 0)
    values["concentrator"] = [roof, roof | {"name": "pier", "x_m": 50}]
    seen: list[tuple[bool, bool, float]] = []

    async def meanwhile(run: Run) -> None:
        roof, pier = run.site.concentrators["roof"], run.site.concentrators["pier"]
        for pause_s in (5, 7, 5, 5, 15, 5):
            await asyncio.sleep(pause_s)
            seen.append((pier.board is not None, roof.port.stalled, roof.port.slowdown))

    Run(scenario(values), tmp_path).play(60, meanwhile)
    assert seen == [
        (True, False, 1.0),  # 5 s
        (False, False, 1.0),  # 12 s
        (False, True, 1.0),  # 17 s
        (False, True, 10.0),  # 22 s
        (False, False, 10.0),  # 37 s
        (True, False, 1.0),  # 42 s
    ]


def test_an_unplug_without_duration_waits_for_the_replug(tmp_path: Path) -> None:
    faults = (
        {"at_s": 30, "kind": "unplug", "concentrator": "roof"},
        {"at_s": 90, "kind": "replug", "concentrator": "roof"},
    )
    run = Run(with_faults(*faults), tmp_path).play(150, _until_silent_set_up)
    down = [e.start_us / 1e6 for e in run.entries() if e.cause is Cause.BOARD_DOWN]
    assert max(down) < 91
    assert run.causes()[Cause.DELIVERED] >= 5


async def _until_silent_set_up(run: Run) -> None:
    for _ in range(290):
        await asyncio.sleep(0.5)
        set_up(run.site)


def test_a_frame_that_a_board_took_down_with_it_is_excused_and_no_other(tmp_path: Path) -> None:
    """Frames in the air at the very moment of the unplug included."""
    values = quiet_ward(
        fault=[{"at_s": 30, "kind": "unplug", "concentrator": "roof", "duration_s": 5}]
    )
    near = tables(values, "group", 0)
    del near["at"]
    near |= {"within": [[10, 10], [100, 100]], "count": 60}
    run = Run(scenario(values), tmp_path).play(60, _until_silent_set_up_30)
    excused = {frame["payload"] for frame in run.frames() if frame["excuse"] == "board_down"}
    kept = {frame["payload"] for frame in run.frames() if frame["excuse"] is None}
    by_payload = {entry.payload.hex(): entry for entry in run.entries()}
    assert excused
    assert kept
    assert {by_payload[payload].cause for payload in excused} == {Cause.BOARD_DOWN}
    assert {by_payload[payload].cause for payload in kept} == {Cause.DELIVERED}
    assert all(by_payload[payload].start_us < 30_000_000 for payload in excused)
    assert all(by_payload[payload].start_us > 35_000_000 for payload in kept)


def test_what_was_on_the_line_when_the_power_went_stays_delivered(tmp_path: Path) -> None:
    """The host may have committed it: only what never left the board surely went down."""

    async def meanwhile(run: Run) -> None:
        await asyncio.sleep(100)
        roof = run.site.concentrators["roof"]
        assert roof.board is not None
        run.site.balance.written("roof", roof.board.boot_id, 1)
        await roof.suffer(FaultKind.UNPLUG, 0)

    run = Run(scenario(quiet_ward()), tmp_path).play(101, meanwhile)
    first, *others = run.entries()
    assert first.cause is Cause.DELIVERED
    assert {entry.cause for entry in others} == {Cause.BOARD_DOWN}


async def _until_silent_set_up_30(run: Run) -> None:
    for _ in range(110):
        await asyncio.sleep(0.5)
        set_up(run.site)


@pytest.mark.parametrize(("moment", "reset"), [(0.2, "chip"), (0.9, "chip"), (0.9, "board")])
def test_a_reception_that_is_interrupted_becomes_no_event(
    tmp_path: Path, moment: float, reset: str
) -> None:
    """Before its header or before its end; the radio set up again, or the whole board new."""
    run = Run(scenario(quiet_ward()), tmp_path)
    first = next(Air(run.scenario, run.seed).transmissions_until(1_000_000_000))
    at_s = (first.start_us + moment * (first.end_us - first.start_us)) / 1e6

    async def meanwhile(run: Run) -> None:
        await asyncio.sleep(at_s)
        (radio,) = [radio for _, _, radio in run.site.chips()]
        assert radio.chip.receiving
        if reset == "board":
            concentrator = run.site.concentrators["roof"]
            concentrator._power_off()
            concentrator.start()
        else:
            assert radio.restart().code is StatusCode.OK

    run.play(first.end_us / 1e6 + 1, meanwhile)
    expected = Cause.BOARD_DOWN if reset == "board" else Cause.NOT_LISTENING
    assert run.entries()[0].cause is expected
    assert run.frames() == []


def test_the_second_frame_of_an_interrupted_radio_is_not_mistaken_for_the_first(
    tmp_path: Path,
) -> None:
    """Set up again in mid-frame, it locks on a later frame before the first one ends."""
    values = quiet_ward()
    near = tables(values, "group", 0)
    del near["at"]
    near |= {"within": [[10, 10], [100, 100]], "count": 20}
    run = Run(scenario(values), tmp_path)
    sent = list(Air(run.scenario, run.seed).transmissions_until(100_000_000))
    first, second = next(
        (one, two)
        for before, one, two in zip(sent, sent[1:], sent[2:], strict=False)
        if before.end_us < one.start_us and one.start_us + 3_000 < two.start_us < one.end_us - 3_000
    )

    async def meanwhile(run: Run) -> None:
        await asyncio.sleep((second.start_us - 1_000) / 1e6)
        (radio,) = [radio for _, _, radio in run.site.chips()]
        assert radio.chip.receiving
        radio.restart()
        await asyncio.sleep((first.end_us - second.start_us) / 1e6)
        assert radio.chip.receiving, "the second frame"
        await asyncio.sleep(0.002)
        assert radio.chip.receiving, "the second frame, after the first one's end"

    run.play(second.end_us / 1e6 + 1, meanwhile)
    causes = {(entry.sensor, entry.number): entry.cause for entry in run.entries()}
    assert causes[first.sensor, first.number] is Cause.NOT_LISTENING
    assert causes[second.sensor, second.number] is not Cause.NOT_LISTENING
    assert first.payload.hex() not in {frame["payload"] for frame in run.frames()}


def test_silence_ends_the_play_and_lets_frames_end(tmp_path: Path) -> None:
    """Nothing begins after the order; nothing is cut."""

    async def meanwhile(run: Run) -> None:
        await asyncio.sleep(100)
        run.live.be_silent()

    run = Run(scenario(quiet_ward()), tmp_path).play(None, meanwhile)
    assert 9 <= len(run.entries()) <= 11
    assert all(entry.start_us < 100_000_000 for entry in run.entries())
    assert set(run.causes()) == {Cause.DELIVERED}


def test_the_end_of_the_run_cuts_off_what_was_in_the_air(tmp_path: Path) -> None:
    """It is neither sent nor lost: nobody can know what would have become of it."""
    run = Run(scenario(quiet_ward()), tmp_path)
    first = next(Air(run.scenario, run.seed).transmissions_until(1_000_000_000))

    async def play() -> None:
        run.site = Site(tmp_path, {"roof": 1}, 3, clock=SiteClock(loop_time_s))
        live = LiveAir(run.site, run.scenario, run.seed, run.ledger)
        run.site.start()
        set_up(run.site)
        await asyncio.sleep(1)
        task = asyncio.create_task(live.play(None))
        await asyncio.sleep((first.start_us + first.end_us) / 2e6)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        run.site.stop()

    run_virtually(play())
    assert run.entries() == []
    assert run.site.balance.sent == 0


def test_faults_that_last_beyond_the_end_are_over(tmp_path: Path) -> None:
    """So that what boards hold can be fetched; those still to come do not happen."""
    faults = (
        {"at_s": 10, "kind": "link_drop", "concentrator": "roof", "duration_s": 86_400},
        {"at_s": 86_400, "kind": "unplug", "concentrator": "roof"},
    )
    run = Run(with_faults(*faults), tmp_path)
    plugged: list[bool] = []
    run.play(60, _note_port(plugged))
    assert plugged == [True, False, False, True]


def _note_port(plugged: list[bool]) -> Callable[[Run], Awaitable[None]]:
    async def meanwhile(run: Run) -> None:
        for pause_s in (5, 10, 40, 10):
            await asyncio.sleep(pause_s)
            plugged.append(run.site.concentrators["roof"].port.plugged)

    return meanwhile


def test_the_ledger_on_disk_has_every_transmission(tmp_path: Path) -> None:
    run = Run(scenario(), tmp_path).play(60)
    run.ledger.write(tmp_path / "ledger.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert len(lines) == run.site.balance.sent
    assert {line["cause"] for line in lines} <= set(Cause)


def test_a_payload_that_a_chip_may_not_take_is_not_listened_to(tmp_path: Path) -> None:
    """RegMaxPayloadLength below what is sent."""

    def prepare(site: Site) -> None:
        for _, _, radio in site.chips():
            radio.set_profile((*CHANNELS[921_400_000, 7], *STANDARD, (0x39, 0x34), (0x23, 0x05)))

    run = Run(scenario(quiet_ward()), tmp_path).play(60, prepare=prepare)
    assert set(run.causes()) == {Cause.NOT_LISTENING}


def test_boot_ids_never_repeat(tmp_path: Path) -> None:
    """They are not the seed's: a second run must not look like the first boot come back."""
    seen = set()
    for _ in range(2):
        run = Run(scenario(quiet_ward()), tmp_path, seed=9).play(1)
        seen |= {c.board.boot_id for c in run.site.concentrators.values() if c.board}
    assert len(seen) == 2
    assert all(boot_id < 1 << 64 for boot_id in seen)


def test_sensors_of_the_ward_are_all_heard_of(tmp_path: Path) -> None:
    """Two minutes are more than any period."""
    run = Run(scenario(), tmp_path).play(120)
    assert {entry.sensor for entry in run.entries()} == {
        sensor.name for sensor in run.scenario.sensors()
    }
