"""One concentrator's life: who is trusted, what is done to the deaf, and what to the silent."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import pytest

from drivers.base import (
    BoottimeUs,
    Capabilities,
    Downlink,
    Driver,
    DriverOptions,
    RadioOptions,
    TxOutcome,
    TxResult,
)
from drivers.errors import HandshakeTimeout, TransientDriverError, UnsupportedDevice
from edge import driver_task
from edge.driver_task import DriverTask
from edge.monitoring.health import Health
from edge.monitoring.metrics import Metrics
from edge.power_helper import PowerHelper
from edge.radio_health import Verdict
from edge.radio_watch import RadioWatch
from protocol.lora.events import (
    ConcentratorStateChanged,
    Heartbeat,
    LinkState,
    RadioEvent,
    RadioStatistics,
    UplinkReceived,
)

MINUTE_US = 60_000_000


@dataclass
class Time:
    """Moves when a test says so."""

    us: int = 0

    def __call__(self) -> int:
        return self.us


@dataclass
class Device:
    """What hangs on the port, and a driver for it: it comes up, and then beats once a minute."""

    time: Time
    identity: str = ""
    receiving: bool = True
    cured_by_reset: bool = False
    answers: bool = True
    beats: int = 100
    resets: int = 0
    entered: int = 0

    def driver(self, options: DriverOptions, _now_us: BoottimeUs) -> "DeviceDriver":
        return DeviceDriver(self, options)


@dataclass
class DeviceDriver:
    """See :class:`drivers.base.Driver`."""

    device: Device
    options: DriverOptions
    acknowledged: list[UplinkReceived] = field(default_factory=list)
    capabilities: Capabilities = field(init=False)

    async def __aenter__(self) -> Self:
        self.device.entered += 1
        if not self.device.answers:
            raise HandshakeTimeout("nothing answers")
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    async def events(self) -> AsyncIterator[RadioEvent]:
        name = self.options.name
        yield ConcentratorStateChanged(name, LinkState.UP, "up", self.device.identity)
        for _ in range(self.device.beats):
            self.device.time.us += MINUTE_US
            yield heartbeat(name, receiving=self.device.receiving)
        await asyncio.sleep(3600)

    def acknowledge(self, event: UplinkReceived) -> None:
        self.acknowledged.append(event)

    async def transmit(self, downlink: Downlink) -> TxResult:
        return TxResult(TxOutcome.NOT_SUPPORTED)


class ResettableDriver(DeviceDriver):
    """Of a device with a command to start anew."""

    def soft_reset(self) -> None:
        self.device.resets += 1
        self.device.receiving = self.device.receiving or self.device.cured_by_reset


def heartbeat(name: str, *, receiving: bool) -> Heartbeat:
    return Heartbeat(
        concentrator=name,
        radios=(RadioStatistics(0, 0, -118.0, 0, receiving),),
        newest=None,
        ring_used=0,
        ring_capacity=0,
        ring_overflow=0,
        link_rejects={},
        temperature_celsius=None,
        supply_volts=None,
    )


@pytest.fixture
def port() -> Iterator[str]:
    master, slave = os.openpty()
    yield os.ttyname(slave)
    os.close(slave)
    os.close(master)


@dataclass
class Bench:
    """Tasks that share what tasks of one gateway share."""

    port: str
    directory: Path
    time: Time = field(default_factory=Time)
    radios: RadioWatch = field(default_factory=RadioWatch)
    metrics: Metrics = field(default_factory=lambda: Metrics("test"))
    health: Health = field(default_factory=Health)
    drivers: dict[str, Driver] = field(default_factory=dict)
    events: asyncio.Queue[RadioEvent] = field(default_factory=asyncio.Queue)

    def task(self, name: str, device: Device, *, resettable: bool = False) -> DriverTask:
        radio = RadioOptions(frequency_hz=921_400_000, spreading_factor=9)
        kind = ResettableDriver if resettable else DeviceDriver
        return DriverTask(
            options=DriverOptions(name, self.port, 115_200, "", (radio,)),
            factory=lambda options, _now_us: kind(device, options),
            radios=self.radios,
            drivers=self.drivers,
            events=self.events,
            health=self.health,
            metrics=self.metrics,
            now_us=self.time,
            power=PowerHelper(self.directory / "power.conf", self.directory / "power"),
        )

    def give_power_to(self, names: Sequence[str]) -> None:
        (self.directory / "power").mkdir()
        lines = [f"{name} usb 1-1 2" for name in names]
        (self.directory / "power.conf").write_text("# comment\n" + "\n".join(lines) + "\n")

    def steps(self, name: str) -> dict[str, float]:
        """What the metric says, without zeros."""
        found = {
            step: self.metrics.registry.get_sample_value(
                "lora_edge_concentrator_recovery_steps_total", {"concentrator": name, "step": step}
            )
            for step in ("restart", "reset", "line", "power")
        }
        return {step: value for step, value in found.items() if value}


@pytest.fixture
def bench(port: str, tmp_path: Path) -> Bench:
    return Bench(port, tmp_path)


async def wait_for(bench: Bench, kind: type[RadioEvent]) -> RadioEvent:
    async with asyncio.timeout(10):
        while not isinstance(event := await bench.events.get(), kind):
            pass
    return event


async def test_two_boards_of_one_identity_are_never_used_together(bench: Bench) -> None:
    first = bench.task("first", Device(bench.time, "e661"))
    second = bench.task("second", Device(bench.time, "e661"))
    running = asyncio.create_task(first.connect_once())
    await wait_for(bench, ConcentratorStateChanged)

    with pytest.raises(UnsupportedDevice, match="in use as concentrator first already"):
        await second.connect_once()

    assert not running.done()
    running.cancel()
    await asyncio.wait([running])
    while not bench.events.empty():
        bench.events.get_nowait()
    # Without the first one it may have the board.
    again = asyncio.create_task(second.connect_once())
    event = await wait_for(bench, Heartbeat)
    again.cancel()
    await asyncio.wait([again])
    assert event == heartbeat("second", receiving=True)


async def test_boards_that_tell_no_identity_are_not_compared(bench: Bench) -> None:
    tasks = [
        asyncio.create_task(bench.task(name, Device(bench.time)).connect_once())
        for name in ("first", "second")
    ]
    for _ in tasks:
        await wait_for(bench, ConcentratorStateChanged)
    await asyncio.sleep(0)

    assert not any(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)


async def test_another_board_than_before_is_noticed(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    device = Device(bench.time, "e661", answers=True, receiving=False)
    task = bench.task("roof", device)
    for identity in ("e661", "e662"):
        device.identity = identity
        with pytest.raises(TransientDriverError):
            await task.connect_once()

    assert "another board answers concentrator=roof board=e662 before=e661" in caplog.text


async def test_a_deaf_radio_is_restarted_reset_and_then_its_lines_are_pulled(bench: Bench) -> None:
    device = Device(bench.time, receiving=False)
    task = bench.task("roof", device, resettable=True)

    for _ in range(2):
        with pytest.raises(TransientDriverError, match="recovery by"):
            await task.connect_once()

    assert device.resets == 1
    assert bench.steps("roof") == {"restart": 1, "reset": 1, "line": 1}
    deaf = bench.metrics.registry.get_sample_value(
        "lora_edge_radio_deaf", {"concentrator": "roof", "radio": "0"}
    )
    assert deaf == 0  # it has yet to show it again


async def test_a_reset_that_helps_is_the_last_step(bench: Bench) -> None:
    device = Device(bench.time, receiving=False, cured_by_reset=True)
    task = bench.task("roof", device, resettable=True)
    with pytest.raises(TransientDriverError, match="recovery by restart: radio 0: not receiving"):
        await task.connect_once()
    running = asyncio.create_task(task.connect_once())
    while bench.time.us < 60 * MINUTE_US:
        await asyncio.sleep(0)
    running.cancel()
    await asyncio.wait([running])

    assert bench.steps("roof") == {"restart": 1, "reset": 1}
    assert [j.verdict for j in task.watch.judge(bench.time.us)] == [Verdict.FINE]


async def test_a_board_that_does_not_answer_is_left_alone_for_a_minute(bench: Bench) -> None:
    bench.give_power_to(["roof"])
    task = bench.task("roof", Device(bench.time, answers=False))
    taken = []
    for _ in range(9):
        with pytest.raises(HandshakeTimeout):
            await task.connect_once()
        taken.append(sum(bench.steps("roof").values()))
        bench.time.us += MINUTE_US // 2

    assert taken[:2] == [0, 0]
    assert bench.steps("roof") == {"line": 1, "power": 1}
    assert [request.name for request in (bench.directory / "power").iterdir()] == ["roof"]


async def test_power_is_only_asked_for_what_the_helper_knows(bench: Bench) -> None:
    bench.give_power_to(["other", "roof-2"])
    task = bench.task("roof", Device(bench.time, answers=False))
    for _ in range(20):
        with pytest.raises(HandshakeTimeout):
            await task.connect_once()
        bench.time.us += MINUTE_US

    assert list((bench.directory / "power").iterdir()) == []
    assert set(bench.steps("roof")) == {"line"}


async def test_a_driver_without_a_sign_of_life_is_ended(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(driver_task, "SIGN_OF_LIFE_S", 0.05)
    task = bench.task("roof", Device(bench.time, beats=2))

    with pytest.raises(TransientDriverError, match="no sign of life"):
        await task.connect_once()

    assert bench.health.ready()[-1].startswith("no radio is up: roof: no sign of life")


async def test_a_fault_of_ours_is_waited_out(bench: Bench) -> None:
    def broken(_options: DriverOptions, _now_us: BoottimeUs) -> Driver:
        raise ZeroDivisionError

    task = bench.task("roof", Device(bench.time))
    task.factory = broken

    with pytest.raises(TransientDriverError, match="fault of ours"):
        await task.connect_once()


def test_a_request_that_cannot_be_left_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    PowerHelper(tmp_path / "power.conf", tmp_path / "none").ask("roof")

    assert "power cannot be asked for concentrator=roof" in caplog.text


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b"# roof\n", b"roofs usb 1-1 2\n"])
def test_what_the_table_does_not_hold_is_not_known(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "power.conf").write_bytes(content)
    (tmp_path / "power").mkdir()

    assert not PowerHelper(tmp_path / "power.conf", tmp_path / "power").knows("roof")
