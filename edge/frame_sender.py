"""Chooses what one upstream is sent next, sends it, and tells the outbox what became of it."""

import logging
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from edge.backoff import Backoff
from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.store import Outbox
from edge.upstreams.base import Batch, Lane, SendResult, TransientUpstreamError, Upstream
from edge.upstreams.byte_budget import ByteBudget
from edge.upstreams.frame_filter import FilterKeys, FrameFilter
from edge.upstreams.suspects import Suspects
from protocol.records.sensor_frame import FrameClass, FrameId, SensorFrame

logger = logging.getLogger(__name__)

_MOST_READ = 256
_EVERYTHING = FilterKeys()


@dataclass(frozen=True, slots=True, kw_only=True)
class ForwardPolicy:
    """What an upstream's configuration says of any kind; see ``UpstreamConfig``.

    Attributes:
        options: the kind's own, for the files that they name.
    """

    filters: FilterKeys = _EVERYTHING
    max_bytes_per_day: int | None = None
    hold_after_ack_s: float = 0.0
    options: Any = None


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing can be sent now.

    Attributes:
        until_us: when that changes by itself; None = only by new frames.
        after_seq: frames with greater numbers are news; None = whatever is pending is.
    """

    until_us: int | None = None
    after_seq: int | None = None


class Reconnect(Exception):
    """The connection has to be left and made anew; nothing is wrong with it."""


class FrameSender:
    """One upstream's, over all its connections."""

    def __init__(
        self,
        name: str,
        *,
        outbox: Outbox,
        clock: Clock,
        metrics: Metrics,
        backoff: Backoff,
        lane: Lane,
        policy: ForwardPolicy,
    ) -> None:
        self._name = name
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._backoff = backoff
        self._lane = lane
        self._policy = policy
        self._filter = FrameFilter(policy.filters)
        self._suspects = Suspects()
        self._is_fresh = True
        self._is_sending = False
        self._read_ahead = 0
        limit = policy.max_bytes_per_day
        self._budget = None if limit is None else ByteBudget(limit, clock.boottime_us())

    def connected(self) -> None:
        """A connection has been made; nothing was sent on it yet."""
        self._is_fresh = True
        self._outbox.connected(self._name, live_first=self._lane is Lane.DATA)

    def disconnected(self) -> None:
        """The connection failed, or none could be made."""
        if not self._is_sending:
            self._suspects.connection_failed()
        self._is_sending = False

    def session_lost(self) -> None:
        """What is held is no longer there: it is sent again."""
        frames = self._outbox.forget_held(self._name)
        if frames:
            logger.warning("upstream %s lost its session: %d frames go again", self._name, frames)

    def settle(self) -> None:
        """What has been held long enough is acknowledged for good. Only while connected."""
        if self._policy.hold_after_ack_s:
            held_us = round(self._policy.hold_after_ack_s * 1e6)
            self._outbox.settle_held(self._name, self._clock.boottime_us() - held_us)

    async def send_next(self, upstream: Upstream) -> Wait | None:
        """Send one batch, if there is one; None = look again at once.

        Raises:
            UpstreamError: the receiver failed.
            Reconnect: a frame has to be the first one of a connection.
        """
        newest = self._outbox.newest_seq
        owed_us = self._owed_us()
        if not self._outbox.is_pending(self._name):
            return Wait()
        frames = await self._read(upstream, only_alarms=owed_us > 0)
        passing = await self._filtered(frames)
        now_us = self._clock.boottime_us()
        if not frames:
            return Wait(now_us + owed_us, newest) if owed_us else Wait()
        if not passing:
            return None
        choice = self._suspects.choose(
            {frame.frame_id: self._sender(frame) for frame in passing},
            upstream.max_batch,
            fresh=self._is_fresh,
            now_us=now_us,
        )
        if choice.reconnect:
            raise Reconnect
        if not choice.batch:
            return Wait(choice.again_at_us, newest)
        chosen = set(choice.batch)
        await self._send(upstream, [frame for frame in passing if frame.frame_id in chosen])
        return None

    async def acknowledge(self, frame_ids: Iterable[FrameId]) -> None:
        """The receiver has these."""
        acknowledged = list(frame_ids)
        if not acknowledged:
            return
        if self._policy.hold_after_ack_s:
            self._outbox.hold(self._name, acknowledged)
        else:
            await self._outbox.acknowledge(self._name, acknowledged)
        self._metrics.upstream_frames_acknowledged.labels(self._name).inc(len(acknowledged))
        wall = self._clock.wall()
        if wall is not None:
            gauge = self._metrics.upstream_last_acknowledged_timestamp.labels(self._name)
            gauge.set(wall.unix_us / 1e6)

    def _owed_us(self) -> int:
        """How long only alarms may be sent, because the budget is spent."""
        if self._budget is None:
            return 0
        now_us = self._clock.boottime_us()
        owed_us = self._budget.wait_us(now_us)
        self._metrics.upstream_budget_bytes.labels(self._name).set(self._budget.left_bytes(now_us))
        self._metrics.upstream_budget_waiting.labels(self._name).set(owed_us > 0)
        return owed_us

    async def _read(self, upstream: Upstream, *, only_alarms: bool) -> list[SensorFrame]:
        limit = max(upstream.max_batch, self._read_ahead) + self._suspects.more_to_read
        frame_class = FrameClass.ALARM if only_alarms else None
        return await self._outbox.pending(self._name, limit=limit, frame_class=frame_class)

    async def _filtered(self, frames: Batch) -> list[SensorFrame]:
        """What the filters let through; the rest is done with for this upstream."""
        if self._filter.is_open:
            return list(frames)
        passing = [frame for frame in frames if self._filter.passes(frame.content)]
        kept_out = {frame.frame_id for frame in frames} - {frame.frame_id for frame in passing}
        if kept_out:
            await self._outbox.acknowledge(self._name, sorted(kept_out))
            self._metrics.upstream_frames_filtered.labels(self._name).inc(len(kept_out))
        # Where little gets through, much is looked at in one go.
        self._read_ahead = 0 if passing else min(_MOST_READ, 2 * max(1, len(frames)))
        return passing

    def _sender(self, frame: SensorFrame) -> bytes | None:
        """Whose order counts."""
        if self._lane is Lane.DATA:
            return None
        return frame.content.dev_addr or frame.content.dev_eui

    async def _send(self, upstream: Upstream, batch: Batch) -> None:
        started_us = self._clock.boottime_us()
        fresh, self._is_fresh = self._is_fresh, False
        self._is_sending = True
        try:
            result = await upstream.send(batch)
            if not (result.acknowledged or result.rejected or result.passed_over):
                # A receiver that ignores us would be sent the same batch in a tight loop.
                raise TransientUpstreamError(f"none of {len(batch)} frames was acknowledged")
        except Exception as error:
            acknowledged = getattr(error, "acknowledged", frozenset[FrameId]())
            self._suspects.broke(
                [frame.frame_id for frame in batch],
                acknowledged,
                str(error) or repr(error),
                fresh=fresh,
                now_us=self._clock.boottime_us(),
            )
            self._show_suspects()
            raise
        self._is_sending = False
        elapsed_s = (self._clock.boottime_us() - started_us) / 1e6
        self._metrics.upstream_acknowledge_seconds.labels(self._name).observe(elapsed_s)
        await self._take(result, fresh=fresh)
        self._backoff.reset()

    async def _take(self, result: SendResult, *, fresh: bool) -> None:
        now_us = self._clock.boottime_us()
        self._metrics.upstream_sent_bytes.labels(self._name).inc(result.sent_bytes)
        if self._budget is not None:
            self._budget.spend(result.sent_bytes, now_us)
        await self.acknowledge(result.acknowledged)
        await self._pass_over(result.passed_over)
        await self._reject(result)
        answered = (*result.acknowledged, *result.rejected, *result.passed_over)
        self._suspects.passed(answered, fresh=fresh, now_us=now_us)
        await self._bury_poison()
        self._show_suspects()

    async def _pass_over(self, frame_ids: Iterable[FrameId]) -> None:
        """Nothing of these goes to this upstream, so they are no longer pending for it."""
        passed_over = list(frame_ids)
        if passed_over:
            await self._outbox.acknowledge(self._name, passed_over)
            self._metrics.upstream_frames_passed_over.labels(self._name).inc(len(passed_over))

    async def _reject(self, result: SendResult) -> None:
        """Set aside what the receiver will never take, or nothing behind it would be sent."""
        if not result.rejected:
            return
        frame_id, reason = next(iter(result.rejected.items()))
        logger.error(
            "upstream rejected frames name=%s frames=%d first=%s reason=%r",
            self._name,
            len(result.rejected),
            frame_id,
            reason,
        )
        self._metrics.upstream_frames_rejected.labels(self._name).inc(len(result.rejected))
        await self._outbox.bury(self._name, result.rejected)

    async def _bury_poison(self) -> None:
        poison = self._suspects.poison()
        if not poison:
            return
        await self._outbox.bury(self._name, poison)
        self._suspects.forget(poison)
        self._metrics.upstream_frames_poison.labels(self._name).inc(len(poison))
        for frame_id, reason in poison.items():
            logger.error("upstream %s: frame %s is set aside: %s", self._name, frame_id, reason)

    def _show_suspects(self) -> None:
        self._metrics.upstream_suspect_frames.labels(self._name).set(self._suspects.count)
