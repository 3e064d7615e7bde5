"""Carries frames from the outbox to one upstream, for as long as the service lives.

A batch is read, sent, and acknowledged before the next one, so nothing has to be remembered but
what the outbox keeps: after any failure, whatever is not acknowledged there is sent again.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from contextlib import AbstractAsyncContextManager

from edge.backoff import Backoff
from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.errors import StoreError
from edge.outbox.store import Outbox
from edge.supervisor import Sleep, supervise
from edge.upstreams.base import (
    Batch,
    Lane,
    PermanentUpstreamError,
    SendResult,
    TransientUpstreamError,
    Upstream,
    UpstreamError,
)
from protocol.records.sensor_frame import FrameId

logger = logging.getLogger(__name__)

TICK_INTERVAL_US = 5_000_000

WaitLimit = Callable[[float], AbstractAsyncContextManager[object]]


def _ignore(_fault: str) -> None:
    """For callers that show no faults."""


async def run_forwarder(
    *,
    name: str,
    make_upstream: Callable[[], Upstream],
    outbox: Outbox,
    clock: Clock,
    metrics: Metrics,
    backoff: Backoff,
    lane: Lane = Lane.DATA,
    failed: Callable[[str], None] = _ignore,
    sleep: Sleep = asyncio.sleep,
    wait_limit: WaitLimit = asyncio.timeout,
) -> None:
    """Forward until cancelled; faults of the upstream are waited out, each in its way.

    Args:
        name: the upstream's configured name, under which the outbox knows it.
        make_upstream: gives the upstream for each connection; may give the same again.
        lane: in which order it gets frames.
        failed: told each fault of the upstream, in words.
        sleep: waits so many seconds.
        wait_limit: ends its body with :class:`TimeoutError` after so many seconds.
    """
    forwarder = _Forwarder(
        name,
        outbox=outbox,
        clock=clock,
        metrics=metrics,
        backoff=backoff,
        lane=lane,
        failed=failed,
        wait_limit=wait_limit,
    )
    await supervise(
        f"upstream:{name}",
        lambda: forwarder.run(make_upstream()),
        transient=(TransientUpstreamError, StoreError),
        permanent=(PermanentUpstreamError,),
        backoff=backoff,
        beat=_no_beat,
        now_us=clock.boottime_us,
        sleep=sleep,
        parked=forwarder.park,
    )


def _no_beat() -> None:
    """A lost backhaul is normal: the watchdog does not look at forwarders."""


class _Forwarder:
    """One upstream's way from the outbox."""

    def __init__(
        self,
        name: str,
        *,
        outbox: Outbox,
        clock: Clock,
        metrics: Metrics,
        backoff: Backoff,
        lane: Lane,
        failed: Callable[[str], None],
        wait_limit: WaitLimit,
    ) -> None:
        self._name = name
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._backoff = backoff
        self._lane = lane
        self._failed = failed
        self._wait_limit = wait_limit

    def park(self, parked: bool) -> None:
        self._metrics.upstream_parked.labels(self._name).set(parked)

    async def run(self, upstream: Upstream) -> None:
        """Connect once, and forward until that fails."""
        connected = self._metrics.upstream_connected.labels(self._name)
        try:
            async with upstream:
                connected.set(1)
                logger.info("upstream connected name=%s", self._name)
                self._outbox.connected(self._name, live_first=self._lane is Lane.DATA)
                await self._forward(upstream)
        except UpstreamError as error:
            await self._acknowledge(error.acknowledged)
            kind = "permanent" if isinstance(error, PermanentUpstreamError) else "transient"
            self._metrics.upstream_errors.labels(self._name, kind).inc()
            self._failed(str(error))
            raise
        except StoreError:
            raise
        except Exception as error:
            # A fault of one adapter must end neither the data path nor the other upstreams.
            logger.exception("upstream %s failed in a way that nobody foresaw", self._name)
            self._metrics.upstream_errors.labels(self._name, "permanent").inc()
            self._failed(f"fault of ours: {error!r}")
            raise PermanentUpstreamError(f"fault of ours: {error!r}") from error
        finally:
            connected.set(0)

    async def _forward(self, upstream: Upstream) -> None:
        tick_at_us = self._clock.boottime_us()
        while True:
            if await self._is_pending(tick_at_us):
                batch = await self._outbox.pending(self._name, limit=upstream.max_batch)
                if batch:
                    await self._send(upstream, batch)
            # Frames first: there are brokers that hang up on whoever may not publish statistics.
            now_us = self._clock.boottime_us()
            if now_us >= tick_at_us:
                tick_at_us = now_us + TICK_INTERVAL_US
                await upstream.tick()

    async def _is_pending(self, until_us: int) -> bool:
        """Wait for frames, but no longer than until the next tick; if that is due, do not wait."""
        left_us = until_us - self._clock.boottime_us()
        if left_us <= 0:
            return True
        try:
            async with self._wait_limit(left_us / 1e6):
                await self._outbox.wait_pending(self._name)
        except TimeoutError:
            return False
        return True

    async def _send(self, upstream: Upstream, batch: Batch) -> None:
        started_us = self._clock.boottime_us()
        result = await upstream.send(batch)
        elapsed_s = (self._clock.boottime_us() - started_us) / 1e6
        self._metrics.upstream_acknowledge_seconds.labels(self._name).observe(elapsed_s)
        self._metrics.upstream_sent_bytes.labels(self._name).inc(result.sent_bytes)
        await self._acknowledge(result.acknowledged)
        await self._pass_over(result.passed_over)
        await self._reject(result)
        if not (result.acknowledged or result.rejected or result.passed_over):
            # Without this a receiver that ignores us would be sent the same batch in a tight loop.
            raise TransientUpstreamError(f"none of {len(batch)} frames was acknowledged")
        self._backoff.reset()

    async def _acknowledge(self, frame_ids: Iterable[FrameId]) -> None:
        acknowledged = list(frame_ids)
        if not acknowledged:
            return
        await self._outbox.acknowledge(self._name, acknowledged)
        self._metrics.upstream_frames_acknowledged.labels(self._name).inc(len(acknowledged))
        wall = self._clock.wall()
        if wall is not None:
            gauge = self._metrics.upstream_last_acknowledged_timestamp.labels(self._name)
            gauge.set(wall.unix_us / 1e6)

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
