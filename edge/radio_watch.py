"""Watches over the radios of all concentrators, and says what is to be done about trouble.

It is told each event of each driver. What it decides is done by :mod:`edge.driver_task`; what it
knows is shown by status and metrics.
"""

import logging
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from drivers.errors import UnsupportedDevice
from edge.monitoring.metrics import Metrics
from edge.radio_health import Judgement, RadioHealth, Verdict
from edge.recovery_ladder import RecoveryLadder
from protocol.lora.events import (
    Heartbeat,
    RadioEvent,
    RecoveryStep,
    RecoveryStepTaken,
    UplinkReceived,
)

logger = logging.getLogger(__name__)

UNREACHABLE_US = 60_000_000
"""So long a board may be away before anything is done to it: it may be in somebody's hand."""


@dataclass(slots=True)
class ConcentratorWatch:
    """One concentrator, through all its connections."""

    name: str
    metrics: Metrics
    radios: list[RadioHealth]
    ladder: RecoveryLadder = field(default_factory=RecoveryLadder)
    steps: Counter[RecoveryStep] = field(default_factory=Counter)
    last_step: tuple[int, RecoveryStep] | None = None
    _away_since_us: int | None = None
    _rejects: Mapping[str, int] = field(default_factory=dict)

    def take(self, event: RadioEvent, now_us: int) -> None:
        """Note what a driver yields."""
        self._away_since_us = None
        match event:
            case UplinkReceived():
                if event.radio < len(self.radios):
                    self.radios[event.radio].heard(now_us)
            case Heartbeat():
                for radio, statistics in zip(self.radios, event.radios, strict=False):
                    radio.heartbeat(statistics, now_us)
                self._count_rejects(event.link_rejects)
                self.measure(now_us)
            case RecoveryStepTaken():
                self._note_step(event.step, event.reason, now_us)

    def disconnected(self, now_us: int) -> None:
        """The connection is lost, or could not be made."""
        if self._away_since_us is None:
            self._away_since_us = now_us
        self._rejects = {}
        self.begin_anew(now_us)

    def begin_anew(self, now_us: int) -> None:
        """The device starts anew."""
        for radio in self.radios:
            radio.begin_anew(now_us)
        self.measure(now_us)

    def judge(self, now_us: int) -> list[Judgement]:
        """How each radio does."""
        return [radio.judge(now_us) for radio in self.radios]

    def deaf(self, now_us: int) -> list[str]:
        """Which radios are deaf, and why."""
        return [
            f"radio {index}: {judgement.reason}"
            for index, judgement in enumerate(self.judge(now_us))
            if judgement.verdict is Verdict.DEAF
        ]

    def step_for_the_deaf(
        self, now_us: int, possible: Collection[RecoveryStep]
    ) -> tuple[RecoveryStep, str] | None:
        """What to do about deaf radios now, and why; None = nothing."""
        deaf = self.deaf(now_us)
        return self._step(now_us, possible, "; ".join(deaf)) if deaf else None

    def step_for_the_unreachable(
        self, now_us: int, possible: Collection[RecoveryStep]
    ) -> tuple[RecoveryStep, str] | None:
        """What to do about a board that cannot be connected now, and why; None = nothing."""
        since_us = self._away_since_us
        if since_us is None or now_us - since_us < UNREACHABLE_US:
            return None
        return self._step(now_us, possible, f"no connection for {(now_us - since_us) // 10**6} s")

    def measure(self, now_us: int) -> None:
        """Bring the metrics up to date."""
        for index, radio in enumerate(self.radios):
            labels = (self.name, str(index))
            deaf = radio.judge(now_us).verdict is Verdict.DEAF
            self.metrics.radio_deaf.labels(*labels).set(deaf)
            self.metrics.radio_missed_frames.labels(*labels).set(radio.rate.missed(now_us))

    def _step(
        self, now_us: int, possible: Collection[RecoveryStep], why: str
    ) -> tuple[RecoveryStep, str] | None:
        step = self.ladder.next_step(now_us, possible)
        if step is None:
            return None
        self._note_step(step, why, now_us)
        return step, why

    def _note_step(self, step: RecoveryStep, why: str, now_us: int) -> None:
        self.steps[step] += 1
        self.last_step = now_us, step
        self.metrics.concentrator_recovery_steps.labels(self.name, step.value).inc()
        level = logging.INFO if step is RecoveryStep.COMMAND else logging.WARNING
        logger.log(level, "recovery step=%s concentrator=%s reason=%r", step, self.name, why)

    def _count_rejects(self, rejects: Mapping[str, int]) -> None:
        """Drivers count since their port was opened."""
        for reason, count in rejects.items():
            if (new := count - self._rejects.get(reason, 0)) > 0:
                self.metrics.link_rejects.labels(self.name, reason).inc(new)
        self._rejects = dict(rejects)


class RadioWatch:
    """All concentrators by name, and which board each of them has."""

    def __init__(self) -> None:
        self.concentrators: dict[str, ConcentratorWatch] = {}
        self._boards: dict[str, str] = {}  # concentrator -> identity
        self._last_boards: dict[str, str] = {}

    def add(self, name: str, radios: int, metrics: Metrics, now_us: int) -> ConcentratorWatch:
        """Begin to watch a concentrator."""
        watch = ConcentratorWatch(name, metrics, [RadioHealth(now_us) for _ in range(radios)])
        self.concentrators[name] = watch
        return watch

    def claim(self, concentrator: str, identity: str) -> None:
        """A concentrator has a board now; one whose identity is "" tells none.

        Raises:
            UnsupportedDevice: another concentrator has a board of this identity. Their events could
                not be told apart, and one board's would be acknowledged for the other's.
        """
        if not identity:
            return
        for other, board in self._boards.items():
            if board == identity and other != concentrator:
                raise UnsupportedDevice(
                    f"board {identity} is in use as concentrator {other} already; two boards with"
                    " one identity cannot be told apart: give one of them another"
                )
        before = self._last_boards.get(concentrator, identity)
        if before != identity:
            logger.warning(
                "another board answers concentrator=%s board=%s before=%s (unique_id refuses such)",
                concentrator,
                identity,
                before,
            )
        self._boards[concentrator] = self._last_boards[concentrator] = identity

    def release(self, concentrator: str) -> None:
        """The connection to its board has ended."""
        self._boards.pop(concentrator, None)
