"""What all kinds of network servers have in common: which frames they get, when, and how paced.

A kind's adapter holds a :class:`NetworkServerLane` and gives each batch to
:meth:`NetworkServerLane.send`, with a function that sends a few uplinks and waits for their
acknowledgement. Which frames are for a network server at all, and what is told of each, is decided
in :mod:`protocol.network_server.uplink`; the order and the pace in
:mod:`protocol.network_server.pacing`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field

from edge.config.fields import DURATION
from edge.upstreams.base import (
    Batch,
    PermanentUpstreamError,
    SendResult,
    UpstreamContext,
    UpstreamError,
)
from protocol.network_server.pacing import GAP_US, PacedQueue, Pacing
from protocol.network_server.uplink import Limits, Now, PassedOver, Uplink, uplink
from protocol.records.sensor_frame import FrameId

MAX_BATCH = 256
"""Frames from which those that may go are chosen: about as many devices can catch up at a time."""

SEND_S = 2.0
"""After this long nothing more of a batch is begun, so that ticks and newer frames come in."""

Transmit = Callable[[Sequence[Uplink]], Awaitable[Mapping[FrameId, str]]]
"""Sends uplinks of different devices, and returns when the server has them all: those that it will
never take, with its reason, mostly none. Raises UpstreamError if it does not get them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkServerOptions:
    """What every kind of network server can be told; the kinds' own options are subclasses."""

    frame_gap_s: float = field(
        default=GAP_US / 1e6,
        metadata={
            "help": "least time between two frames of one device, on catching up as well",
            "notation": DURATION,
            "toml": "frame_gap",
            "minimum": GAP_US / 1e6,
            "maximum": 60.0,
            "why": "servers work side by side on frames that come closer, and drop the overtaken",
        },
    )
    join_max_age_s: float = field(
        default=60.0,
        metadata={
            "help": "older join requests are not sent: their devices wait no longer",
            "notation": DURATION,
            "toml": "join_max_age",
            "minimum": 5.0,
        },
    )
    catch_up_max_age_s: float | None = field(
        default=None,
        metadata={
            "help": "older frames are not sent to this server; if not set, all that is kept",
            "notation": DURATION,
            "toml": "catch_up_max_age",
            "minimum": 5.0,
            "example": "7d",
        },
    )

    def limits(self) -> Limits:
        """As the pure part wants them."""
        max_age_s = self.catch_up_max_age_s
        return Limits(
            join_max_age_us=round(self.join_max_age_s * 1e6),
            max_age_us=None if max_age_s is None else round(max_age_s * 1e6),
        )


@dataclass(frozen=True, slots=True)
class Parcels:
    """How uplinks are put together for one transmission.

    Attributes:
        limit: uplinks in one at most.
        room_bytes: of them together, as ``weigh`` has it.
        in_flight: transmissions under way at a time.
    """

    limit: int = 1
    room_bytes: int = 0
    weigh: Callable[[Uplink], int] = lambda _: 0
    in_flight: int = 1


class NetworkServerLane:
    """One network server's frames; outlives its connections."""

    def __init__(self, options: NetworkServerOptions, context: UpstreamContext) -> None:
        self._limits = options.limits()
        self._clock = context.clock
        self._pacing = Pacing(round(options.frame_gap_s * 1e6))
        self._passed_over = {
            reason: context.metrics.network_server_frames_passed_over.labels(
                context.name, reason.value
            )
            for reason in PassedOver
        }

    async def send(
        self, batch: Batch, transmit: Transmit, parcels: Parcels | None = None
    ) -> SendResult:
        """Have the uplinks of a batch transmitted, each device's in order and at its pace.

        Returns after about :data:`SEND_S` at the latest, if transmissions do; what was not begun
        by then is in none of the result's three.

        Raises:
            UpstreamError: as ``transmit`` does, with what was acknowledged before.
        """
        uplinks, passed_over = self._sort(batch)
        result = await _Delivery(PacedQueue(uplinks, self._pacing), transmit).run(
            parcels or Parcels()
        )
        # Only now: had the transmissions failed, the others would come again, and count again.
        for reason in passed_over.values():
            self._passed_over[reason].inc()
        return SendResult(result.acknowledged, result.rejected, frozenset(passed_over))

    def _sort(self, batch: Batch) -> tuple[list[Uplink], dict[FrameId, PassedOver]]:
        clock = self._clock
        now = Now(clock.boot_id, clock.boottime_us(), clock.wall())
        uplinks, passed_over = [], {}
        for frame in batch:
            made = uplink(frame, now, self._limits)
            if isinstance(made, PassedOver):
                passed_over[frame.frame_id] = made
            else:
                uplinks.append(made)
        return uplinks, passed_over


class _Delivery:
    """One batch under way."""

    def __init__(self, queue: PacedQueue, transmit: Transmit) -> None:
        self._queue = queue
        self._transmit = transmit
        self._loop = asyncio.get_running_loop()
        self._acknowledged: set[FrameId] = set()
        self._rejected: dict[FrameId, str] = {}

    async def run(self, parcels: Parcels) -> SendResult:
        end_us = self._now_us() + round(SEND_S * 1e6)
        try:
            async with asyncio.TaskGroup() as group:
                await self._feed(group, parcels, end_us)
        except ExceptionGroup as faults:
            raise self._fault(faults) from None
        return SendResult(frozenset(self._acknowledged), self._rejected)

    async def _feed(self, group: asyncio.TaskGroup, parcels: Parcels, end_us: int) -> None:
        """Begin transmissions until nothing waits, or the time is over."""
        running: set[asyncio.Task[None]] = set()
        while (now_us := self._now_us()) < end_us:
            while len(running) < parcels.in_flight:
                uplinks = self._queue.take(
                    now_us,
                    limit=parcels.limit,
                    room_bytes=parcels.room_bytes,
                    weigh=parcels.weigh,
                )
                if not uplinks:
                    break
                running.add(group.create_task(self._one(uplinks)))
            timer_us = self._queue.timer_us if len(running) < parcels.in_flight else None
            if timer_us is None and not running:
                return
            wait_s = (min(end_us, end_us if timer_us is None else timer_us) - now_us) / 1e6
            if running:
                _, running = await asyncio.wait(
                    running, timeout=max(0, wait_s), return_when=asyncio.FIRST_COMPLETED
                )
            else:
                await asyncio.sleep(wait_s)

    async def _one(self, uplinks: Sequence[Uplink]) -> None:
        rejected = await self._transmit(uplinks)
        self._rejected |= rejected
        self._acknowledged |= {each.frame_id for each in uplinks} - rejected.keys()
        self._queue.delivered(uplinks, self._now_us())

    def _now_us(self) -> int:
        return round(self._loop.time() * 1e6)

    def _fault(self, faults: ExceptionGroup) -> Exception:
        """The one that weighs most, with everything that was acknowledged."""
        known, foreign = faults.split(UpstreamError)
        if foreign is not None:
            return _leaves(foreign)[0]
        assert known is not None
        # Several transmissions fail at one time when the connection goes, all in the same words.
        worst = max(_leaves(known), key=lambda leaf: isinstance(leaf, PermanentUpstreamError))
        return type(worst)(str(worst), frozenset(self._acknowledged))


def _leaves(group: ExceptionGroup) -> list[Exception]:
    leaves: list[Exception] = []
    for error in group.exceptions:
        leaves += _leaves(error) if isinstance(error, ExceptionGroup) else [error]
    return leaves
