"""Faults of a concentrator, each seen by a host at its tty, alone and overlapping."""

import asyncio
import itertools
import os
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from protocol.link.messages import BOARD, Reset, ResetCause, RxEvent, StatusCode
from simulator.concentrator import SimulatedConcentrator
from simulator.firmware import BoardIdentity
from simulator.scenario import FaultKind
from tests.simulator.line_host import DEADLINE_S, LineHost, now_us, until

LASTING = [
    FaultKind.LINK_DROP,
    FaultKind.UNPLUG,
    FaultKind.REBOOT,
    FaultKind.GARBAGE,
    FaultKind.STALL,
    FaultKind.SLOW_DRAIN,
]


@dataclass
class Roof:
    """A concentrator with one radio, and what it told."""

    directory: Path
    baud: int = 0
    written: list[tuple[int, int]] = field(default_factory=list)
    acknowledged: list[tuple[int, int]] = field(default_factory=list)
    taken: list[tuple[int, int]] = field(default_factory=list)
    received: list[tuple[int, bytes, RxEvent | None]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.concentrator = SimulatedConcentrator(
            BoardIdentity("roof", b"\x01\x02\x03\x04\x05\x06\x07\x08", 1),
            self.directory / "roof",
            seed=1,
            now_us=now_us,
            count_us=now_us,
            baud=self.baud,
            on_event=lambda boot, raw, event: self.received.append((boot, raw.payload, event)),
            on_written=lambda boot, number: self.written.append((boot, number)),
            on_acknowledged=lambda boot, number: self.acknowledged.append((boot, number)),
            on_taken=lambda taken: self.taken.append((taken.boot_id, taken.number)),
        )

    @property
    def boot_id(self) -> int:
        """Of the board that has power."""
        assert self.concentrator.board is not None
        return self.concentrator.board.boot_id

    def hear(self, payload: bytes) -> None:
        """Let a frame arrive from preamble to end."""
        board = self.concentrator.board
        assert board is not None
        (radio,) = board.radios
        radio.chip.begin_reception(now_us=radio.now_us())
        radio.chip.header_received(
            coding_rate=1, crc_on_payload=True, payload_length=len(payload), now_us=radio.now_us()
        )
        radio.chip.end_reception(
            payload, rssi_dbm=-80, snr_db=8, frequency_error_hz=0, crc_ok=True,
            now_us=radio.now_us(),
        )  # fmt: skip
        self.concentrator.kick()

    def listening(self) -> bool:
        """Whether the radio was set up."""
        board = self.concentrator.board
        return board is not None and all(
            radio.chip.listening(radio.now_us()) is not None for radio in board.radios
        )


@pytest.fixture
async def roof(tmp_path: Path) -> AsyncIterator[Roof]:
    """A concentrator with power."""
    roof = Roof(tmp_path)
    roof.concentrator.start()
    yield roof
    roof.concentrator.stop()


@asynccontextmanager
async def host_at(roof: Roof, *, acknowledges: bool = True) -> AsyncIterator[LineHost]:
    """A host that has set up the radio."""
    host = LineHost(roof.concentrator.link, acknowledges=acknowledges)
    try:
        await host.set_up()
        await until(roof.listening, "the radio listens")
        yield host
    finally:
        host.close()


async def test_what_a_radio_hears_reaches_the_host_and_is_forgotten(roof: Roof) -> None:
    """Told at each step: received, written, acknowledged."""
    sent = [bytes([0, n]) for n in range(20)]
    async with host_at(roof) as host:
        for payload in sent:
            roof.hear(payload)
        await until(lambda: len(roof.acknowledged) == len(sent))
    assert host.payloads() == sent
    expected = [(roof.boot_id, number) for number in range(1, 21)]
    assert roof.written == roof.acknowledged == expected
    assert [payload for _, payload, _ in roof.received] == sent
    assert roof.taken == []


async def test_a_link_drop_keeps_the_ring(roof: Roof) -> None:
    """Same boot, another tty; what nobody acknowledged comes again."""
    boot_id, device = roof.boot_id, roof.concentrator.port.device
    async with host_at(roof, acknowledges=False) as host:
        roof.hear(b"one")
        await until(lambda: host.payloads() == [b"one"])
        drop = asyncio.create_task(roof.concentrator.suffer(FaultKind.LINK_DROP, 0.1))
        await until(lambda: host.gone, "the device vanishes")
        assert not os.path.lexists(roof.concentrator.link)
        roof.hear(b"two")
        await drop
    assert roof.concentrator.port.device != device
    async with host_at(roof) as host:
        await until(lambda: len(host.payloads()) == 2)
        assert host.payloads() == [b"one", b"two"]
        assert host.opened()[0].hello.boot_id == boot_id
    assert roof.taken == []


async def test_an_unplug_takes_the_ring(roof: Roof) -> None:
    """Another boot; events that nobody acknowledged are told as taken."""
    boot_id = roof.boot_id
    async with host_at(roof, acknowledges=False):
        for payload in (b"one", b"two", b"three"):
            roof.hear(payload)
        unplug = asyncio.create_task(roof.concentrator.suffer(FaultKind.UNPLUG, 0.05))
        await until(lambda: roof.concentrator.board is None)
        assert not roof.concentrator.port.plugged
        await unplug
    assert roof.taken == [(boot_id, 1), (boot_id, 2), (boot_id, 3)]
    async with host_at(roof) as host:
        (opened,) = host.opened()
    assert opened.hello.boot_id != boot_id
    assert opened.hello.reset_cause is ResetCause.POWER_ON
    assert opened.hello.first_unacknowledged == 1
    assert host.payloads() == []


async def test_an_unplug_without_duration_lasts_until_a_replug(roof: Roof) -> None:
    await roof.concentrator.suffer(FaultKind.UNPLUG, 0)
    await asyncio.sleep(0.05)
    assert roof.concentrator.board is None
    assert not os.path.lexists(roof.concentrator.link)
    await roof.concentrator.suffer(FaultKind.REPLUG, 0)
    async with host_at(roof) as host:
        roof.hear(b"back")
        await until(lambda: host.payloads() == [b"back"])


async def test_a_replug_ends_a_timed_unplug_early_and_its_end_changes_nothing(roof: Roof) -> None:
    unplug = asyncio.create_task(roof.concentrator.suffer(FaultKind.UNPLUG, 0.1))
    await until(lambda: roof.concentrator.board is None)
    await roof.concentrator.suffer(FaultKind.REPLUG, 0)
    boot_id, device = roof.boot_id, roof.concentrator.port.device
    await unplug
    assert (roof.boot_id, roof.concentrator.port.device) == (boot_id, device)


async def test_a_replug_of_what_is_plugged_changes_nothing(roof: Roof) -> None:
    boot_id, device = roof.boot_id, roof.concentrator.port.device
    await roof.concentrator.suffer(FaultKind.REPLUG, 0)
    assert (roof.boot_id, roof.concentrator.port.device) == (boot_id, device)


async def test_a_reboot_keeps_the_port_and_prints_a_banner(roof: Roof) -> None:
    """The host notices by the greeting of another boot."""
    async with host_at(roof) as host:
        device = roof.concentrator.port.device
        await roof.concentrator.suffer(FaultKind.REBOOT, 0.05)
        await until(lambda: len(host.opened()) == 2)
        assert host.opened()[1].hello.reset_cause is ResetCause.WATCHDOG
        assert b"rst:0x1 (POWERON_RESET)" in host.raw
        assert roof.concentrator.port.device == device
        await host.set_up()
        await until(roof.listening)
        roof.hear(b"after")
        await until(lambda: host.payloads() == [b"after"])


async def test_a_reset_by_the_host_is_answered_before_the_board_restarts(roof: Roof) -> None:
    boot_id = roof.boot_id
    async with host_at(roof) as host:
        assert (await host.ask(Reset(), BOARD)).code is StatusCode.OK
        await until(lambda: len(host.opened()) == 2)
    assert host.opened()[1].hello.reset_cause is ResetCause.SOFTWARE
    assert roof.boot_id != boot_id


async def test_a_reset_by_the_host_takes_the_ring(roof: Roof) -> None:
    """Nothing that the old boot was sending counts for the new one."""
    boot_id = roof.boot_id
    async with host_at(roof, acknowledges=False) as host:
        for number in range(30):
            roof.hear(bytes([number]) * 200)
        await host.ask(Reset(), BOARD)
        await until(lambda: len(host.opened()) == 2)
    assert roof.taken == [(boot_id, number) for number in range(1, 31)]
    assert {boot for boot, _ in roof.written} <= {boot_id}


async def test_garbage_between_frames_costs_nothing(roof: Roof) -> None:
    sent = [bytes([n]) * 30 for n in range(30)]
    async with host_at(roof) as host:
        noise = asyncio.create_task(roof.concentrator.suffer(FaultKind.GARBAGE, 0.3))
        for payload in sent:
            roof.hear(payload)
            await asyncio.sleep(0.01)
        await noise
        await until(lambda: len(roof.acknowledged) == len(sent))
        assert host.payloads() == sent
        assert sum(host.session.rejects.values()) > 0


async def quiet(host: LineHost) -> None:
    """Wait until nothing comes any more: the last words may still be on the line."""
    heard = -1
    while heard != len(host.raw):
        heard = len(host.raw)
        await asyncio.sleep(0.02)


async def test_noise_comes_from_the_seed(tmp_path: Path) -> None:
    """The same seed makes the same noise; another name or seed another one."""
    heard = []
    for index in range(2):
        directory = tmp_path / str(index)
        directory.mkdir()
        roof = Roof(directory)
        roof.concentrator.start()
        host = LineHost(roof.concentrator.link)
        await until(lambda host=host: host.raw.endswith(b"\0"))  # type: ignore[misc]
        roof.concentrator._power_off()  # nothing but noise on the line from here on
        await quiet(host)
        host.raw.clear()
        await roof.concentrator._make_noise(0.1)
        await until(lambda host=host: len(host.raw) > 200)  # type: ignore[misc]
        heard.append(bytes(host.raw[:200]))
        host.close()
        roof.concentrator.stop()
    assert heard[0] == heard[1]


async def test_a_stall_delays_and_loses_nothing(roof: Roof) -> None:
    async with host_at(roof) as host:
        stall = asyncio.create_task(roof.concentrator.suffer(FaultKind.STALL, 0.2))
        await until(lambda: roof.concentrator.port.stalled)
        roof.hear(b"held back")
        await asyncio.sleep(0.05)
        assert host.payloads() == []
        await stall
        await until(lambda: host.payloads() == [b"held back"])


async def test_a_slow_drain_has_a_tenth_of_the_rate(roof: Roof) -> None:
    """20 frames of some 300 bytes: 0.5 s at 115,200 baud, 5 s when slow."""
    async with host_at(roof) as host:
        slow = asyncio.create_task(roof.concentrator.suffer(FaultKind.SLOW_DRAIN, 0.3))
        await until(lambda: roof.concentrator.port.slowdown == 10)
        for number in range(20):
            roof.hear(bytes([number]) * 255)
        await asyncio.sleep(0.2)
        assert len(host.payloads()) < 10
        await slow
        assert roof.concentrator.port.slowdown == 1
        await until(lambda: len(host.payloads()) == 20)


@pytest.mark.parametrize(("one", "other"), list(itertools.product(LASTING, repeat=2)))
async def test_two_faults_at_once_leave_a_working_board(
    tmp_path: Path, one: FaultKind, other: FaultKind
) -> None:
    """Whichever ends first."""
    roof = Roof(tmp_path)
    roof.concentrator.start()
    async with asyncio.TaskGroup() as group:
        group.create_task(roof.concentrator.suffer(one, 0.02))
        await asyncio.sleep(0.005)
        group.create_task(roof.concentrator.suffer(other, 0.03))
    async with host_at(roof) as host:
        roof.hear(b"fine")
        await until(lambda: host.payloads() == [b"fine"])
    roof.concentrator.stop()


async def test_the_longer_of_two_faults_decides(roof: Roof) -> None:
    """An unplug inside a link drop: power is back first, the port with the end of the drop."""
    drop = asyncio.create_task(roof.concentrator.suffer(FaultKind.LINK_DROP, 0.2))
    await asyncio.sleep(0)
    await roof.concentrator.suffer(FaultKind.UNPLUG, 0.02)
    assert roof.concentrator.board is not None
    assert not roof.concentrator.port.plugged
    await drop
    assert roof.concentrator.port.plugged


kinds = st.sampled_from(list(FaultKind))
moments = st.integers(0, 8)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(kinds, moments, moments), max_size=8))
def test_any_faults_leave_a_working_board(
    tmp_path_factory: pytest.TempPathFactory, faults: list[tuple[FaultKind, int, int]]
) -> None:
    """Many at once, in any order, for any time; then a replug, and all is as at the start."""
    directory = tmp_path_factory.mktemp("site")

    async def suffer() -> None:
        roof = Roof(directory)
        roof.concentrator.start()

        async def one(kind: FaultKind, after_ms: int, duration_ms: int) -> None:
            await asyncio.sleep(after_ms / 1000)
            await roof.concentrator.suffer(kind, duration_ms / 1000)

        async with asyncio.timeout(DEADLINE_S), asyncio.TaskGroup() as group:
            for fault in faults:
                group.create_task(one(*fault))
        await roof.concentrator.suffer(FaultKind.REPLUG, 0)
        port = roof.concentrator.port
        assert roof.concentrator.board is not None
        assert (port.plugged, port.stalled, port.slowdown) == (True, False, 1.0)
        assert str(roof.concentrator.link.resolve()) == port.device
        roof.concentrator.stop()

    asyncio.run(suffer())


async def test_a_fault_that_is_given_up_is_over(roof: Roof) -> None:
    fault = asyncio.create_task(roof.concentrator.suffer(FaultKind.UNPLUG, 60))
    await until(lambda: roof.concentrator.board is None)
    fault.cancel()
    await asyncio.gather(fault, return_exceptions=True)
    assert roof.concentrator.board is not None
    assert roof.concentrator.port.plugged


async def test_faults_after_the_end_bring_nothing_back(tmp_path: Path) -> None:
    """Also those that last beyond it."""
    roof = Roof(tmp_path)
    roof.concentrator.start()
    drop = asyncio.create_task(roof.concentrator.suffer(FaultKind.LINK_DROP, 0.02))
    await asyncio.sleep(0)
    roof.concentrator.stop()
    await drop
    for kind in FaultKind:
        await roof.concentrator.suffer(kind, 0.001)
    assert not roof.concentrator.port.plugged
    assert not os.path.lexists(roof.concentrator.link)


async def test_a_host_that_sends_garbage_harms_nobody(roof: Roof) -> None:
    """Noise of every kind and length, then a proper session."""
    chance = random.Random(11)
    vandal = LineHost(roof.concentrator.link)
    for _ in range(200):
        vandal.write(chance.randbytes(chance.randrange(1, 3000)))
        await asyncio.sleep(0)
    vandal.close()
    async with host_at(roof) as host:
        roof.hear(b"fine")
        await until(lambda: host.payloads() == [b"fine"])


async def test_a_host_that_vanishes_in_mid_frame_is_followed_by_another(roof: Roof) -> None:
    for cut in range(1, 12):
        host = LineHost(roof.concentrator.link)
        host.write(b"\x00\x0b\x01\xff\x00LoRa\x01"[:cut])
        host.close()
    async with host_at(roof) as host:
        roof.hear(b"fine")
        await until(lambda: host.payloads() == [b"fine"])


async def test_a_host_that_does_not_read_gets_everything_later(roof: Roof) -> None:
    """The ring keeps what the line does not take."""
    async with host_at(roof) as host:
        host.stop_reading()
        sent = [number.to_bytes(2, "big") * 100 for number in range(100)]
        for payload in sent:
            roof.hear(payload)
        await asyncio.sleep(0.2)
        host.start_reading()
        await until(lambda: len(host.payloads()) == len(sent))
    assert host.payloads() == sent


async def test_heartbeats_come_by_themselves(roof: Roof) -> None:
    async with host_at(roof) as host:
        await until(lambda: len(host.heartbeats()) >= 2)


async def test_a_wedged_board_says_nothing_until_it_is_restarted(roof: Roof) -> None:
    """Its chips go on receiving, and nobody reads them."""
    boot_id = roof.boot_id
    async with host_at(roof) as host:
        await roof.concentrator.suffer(FaultKind.WEDGE, 0)
        roof.hear(b"unread")
        roof.concentrator.kick()
        await asyncio.sleep(0.05)
        assert host.payloads() == []
        assert roof.boot_id == boot_id
        await roof.concentrator.suffer(FaultKind.REBOOT, 0)
    assert roof.boot_id != boot_id
    async with host_at(roof) as host:
        roof.hear(b"read")
        await until(lambda: host.payloads() == [b"read"])


async def test_a_wedge_with_a_duration_ends_in_a_restart(roof: Roof) -> None:
    """As if by a watchdog."""
    boot_id = roof.boot_id
    await roof.concentrator.suffer(FaultKind.WEDGE, 0.02)
    assert roof.boot_id != boot_id


@pytest.mark.parametrize("kind", [FaultKind.LOSS, FaultKind.DUPLICATE])
async def test_what_the_line_does_to_frames_is_mended_by_the_link(
    roof: Roof, kind: FaultKind
) -> None:
    """While it lasts and afterwards: each event once."""
    sent = [bytes([0, number]) * 9 for number in range(40)]
    async with host_at(roof) as host:
        lasting = asyncio.create_task(roof.concentrator.suffer(kind, 0.5))
        await asyncio.sleep(0)
        assert roof.concentrator.port.distort is not None
        for payload in sent:
            roof.hear(payload)
        await until(lambda: len(roof.acknowledged) == len(sent))
        await lasting
        assert roof.concentrator.port.distort is None
    assert list(dict.fromkeys(host.payloads())) == sent
