"""Keeps one concentrator connected, and takes the steps that may mend it when it is not well.

Each connection is a driver object of its own, run by the supervisor. Between two connections nobody
has the port, so that is when it is reset by its lines or its power.
"""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from drivers.base import Driver, DriverFactory, DriverOptions, SoftReset
from drivers.errors import PermanentDriverError, TransientDriverError
from drivers.serial_port import pulse_lines
from edge.backoff import Backoff
from edge.monitoring.health import Health
from edge.monitoring.metrics import Metrics
from edge.power_helper import PowerHelper
from edge.radio_watch import ConcentratorWatch, RadioWatch
from edge.supervisor import supervise
from protocol.lora.events import (
    ConcentratorStateChanged,
    Heartbeat,
    LinkState,
    RadioEvent,
    RecoveryStep,
)

logger = logging.getLogger(__name__)

DRIVER_BOUND_US = 60_000_000
REPLUG_RETRY_S = 2.0  # a board that is plugged in again is back within 3 s
SIGN_OF_LIFE_S = 30.0  # three times what a driver may stay silent


@dataclass(slots=True)
class DriverTask:
    """One concentrator's supervised life.

    Attributes:
        drivers: where others find the driver while it is connected.
        events: where its events go.
    """

    options: DriverOptions
    factory: DriverFactory
    radios: RadioWatch
    drivers: dict[str, Driver]
    events: asyncio.Queue[RadioEvent]
    health: Health
    metrics: Metrics
    now_us: Callable[[], int]
    power: PowerHelper = field(default_factory=PowerHelper)
    watch: ConcentratorWatch = field(init=False)
    _step: RecoveryStep | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.watch = self.radios.add(
            self.name, len(self.options.radios), self.metrics, self.now_us()
        )

    @property
    def name(self) -> str:
        """The concentrator's."""
        return self.options.name

    @property
    def part(self) -> str:
        """What health and logs call this task."""
        return f"driver:{self.name}"

    async def run(self) -> None:
        """Connect, again and again, until cancelled."""
        # A handshake may take 10 s, and a full queue may wait for a slow disk: neither is stuck.
        self.health.watch(self.part, self.now_us(), bound_us=DRIVER_BOUND_US)
        await supervise(
            self.part,
            self.connect_once,
            transient=(TransientDriverError,),
            permanent=(PermanentDriverError,),
            backoff=Backoff(random.random, first_s=0.5, ceiling_s=REPLUG_RETRY_S),
            beat=self._beat,
            now_us=self.now_us,
            sleep=asyncio.sleep,
        )

    def _beat(self) -> None:
        self.health.beat(self.part, self.now_us())

    async def connect_once(self) -> None:
        """One connection, from the opening of the port to whatever ends it.

        Raises:
            DriverError: always, but for cancellation.
        """
        self._step = None
        try:
            async with self.factory(self.options, self.now_us) as driver:
                self.drivers[self.name] = driver
                async for event in _alive(driver.events()):
                    self._beat()
                    self._look_at(event)
                    await self.events.put(event)
                    if isinstance(event, Heartbeat):  # it is what tells how the radios do
                        await self._mend(driver)
        except Exception as error:
            await self._disconnected(error)
            if isinstance(error, (TransientDriverError, PermanentDriverError)):
                raise
            # A fault of one driver must not make the other boards deaf.
            logger.exception("driver %s failed in a way that nobody foresaw", self.name)
            raise TransientDriverError(f"fault of ours: {error!r}") from error
        finally:
            self.drivers.pop(self.name, None)
            self.radios.release(self.name)

    def _look_at(self, event: RadioEvent) -> None:
        """Before anything is taken from a board it has to be one that may be trusted.

        Raises:
            UnsupportedDevice: another concentrator has the same board.
        """
        self.watch.take(event, self.now_us())
        if isinstance(event, ConcentratorStateChanged):
            if event.state is LinkState.UP:
                self.radios.claim(self.name, event.identity)
            self._note(event)

    def _note(self, event: ConcentratorStateChanged) -> None:
        if event.state is LinkState.UP:
            self.health.concentrator_up(event.concentrator)
        else:
            self.health.concentrator_down(event.concentrator, event.detail)

    async def _mend(self, driver: Driver) -> None:
        """Take the next step if a radio is deaf.

        Raises:
            TransientDriverError: the step needs the connection to end.
        """
        if not self.watch.deaf(self.now_us()):
            return
        possible = {RecoveryStep.RESTART, *await asyncio.to_thread(self._steps_without_connection)}
        if isinstance(driver, SoftReset):
            possible.add(RecoveryStep.RESET)
        due = self.watch.step_for_the_deaf(self.now_us(), possible)
        if due is None:
            return
        step, why = due
        if step is RecoveryStep.RESET and isinstance(driver, SoftReset):
            driver.soft_reset()
            self.watch.begin_anew(self.now_us())
            return
        self._step = step
        raise TransientDriverError(f"recovery by {step.value}: {why}")

    def _steps_without_connection(self) -> set[RecoveryStep]:
        """Asks the file system, so it belongs on a thread."""
        steps = set()
        if Path(self.options.port).exists():
            steps.add(RecoveryStep.LINE)
        if self.power.knows(self.name):
            steps.add(RecoveryStep.POWER)
        return steps

    async def _disconnected(self, error: Exception) -> None:
        """Tell everybody, and take the step that is due, now that nobody has the port."""
        down = ConcentratorStateChanged(self.name, LinkState.DOWN, str(error))
        self._note(down)
        self.metrics.concentrator_reconnects.labels(self.name).inc()
        await self.events.put(down)
        now_us = self.now_us()
        self.watch.disconnected(now_us)
        step = self._step
        if step is None and isinstance(error, TransientDriverError):
            possible = await asyncio.to_thread(self._steps_without_connection)
            due = self.watch.step_for_the_unreachable(now_us, possible)
            step = due[0] if due is not None else None
        if step is RecoveryStep.LINE:
            await pulse_lines(self.options.port, self.options.baud)
        elif step is RecoveryStep.POWER:
            await asyncio.to_thread(self.power.ask, self.name)


async def _alive(events: AsyncIterator[RadioEvent]) -> AsyncIterator[RadioEvent]:
    """The driver's events, as long as they come: each driver yields a heartbeat each 10 s.

    Raises:
        TransientDriverError: none has come for 30 s.
    """
    while True:
        try:
            async with asyncio.timeout(SIGN_OF_LIFE_S):
                event = await anext(events)
        except TimeoutError:
            raise TransientDriverError(f"no sign of life for {SIGN_OF_LIFE_S:.0f} s") from None
        except StopAsyncIteration:
            return
        yield event
