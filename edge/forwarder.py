"""Carries frames from the outbox to one upstream, for as long as the service lives.

A batch is read, sent, and acknowledged before the next one, so nothing has to be remembered but
what the outbox keeps: after any failure, whatever is not acknowledged there is sent again.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager

from edge.backoff import Backoff
from edge.clock import Clock
from edge.credential_watch import CredentialWatch
from edge.frame_sender import ForwardPolicy, FrameSender, Reconnect, Wait
from edge.monitoring.metrics import Metrics
from edge.outbox.errors import StoreError
from edge.outbox.store import Outbox
from edge.pauses import Pauses
from edge.supervisor import Sleep, supervise
from edge.upstreams.base import (
    KnowsSession,
    Lane,
    PermanentUpstreamError,
    TransientUpstreamError,
    Upstream,
    UpstreamError,
)

logger = logging.getLogger(__name__)

TICK_INTERVAL_US = 5_000_000

_NO_POLICY = ForwardPolicy()

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
    policy: ForwardPolicy = _NO_POLICY,
    pauses: Pauses | None = None,
    failed: Callable[[str], None] = _ignore,
    sleep: Sleep = asyncio.sleep,
    wait_limit: WaitLimit = asyncio.timeout,
) -> None:
    """Forward until cancelled; faults of the upstream are waited out, each in its way.

    Args:
        name: the upstream's configured name, under which the outbox knows it.
        make_upstream: gives the upstream for each connection; may give the same again.
        lane: in which order it gets frames.
        policy: which frames it gets, and how many bytes of them.
        pauses: tells whether it is paused; then it is not connected.
        failed: told each fault of the upstream, in words.
        sleep: waits so many seconds.
        wait_limit: ends its body with :class:`TimeoutError` after so many seconds.
    """
    forwarder = _Forwarder(
        name,
        outbox=outbox,
        clock=clock,
        metrics=metrics,
        sender=FrameSender(
            name,
            outbox=outbox,
            clock=clock,
            metrics=metrics,
            backoff=backoff,
            lane=lane,
            policy=policy,
        ),
        credentials=CredentialWatch(name, policy.options, metrics),
        pauses=pauses,
        failed=failed,
        wait_limit=wait_limit,
    )
    await supervise(
        f"upstream:{name}",
        lambda: forwarder.run(make_upstream),
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
        sender: FrameSender,
        credentials: CredentialWatch,
        pauses: Pauses | None,
        failed: Callable[[str], None],
        wait_limit: WaitLimit,
    ) -> None:
        self._name = name
        self._outbox = outbox
        self._clock = clock
        self._metrics = metrics
        self._sender = sender
        self._credentials = credentials
        self._pauses = pauses
        self._failed = failed
        self._wait_limit = wait_limit

    def park(self, parked: bool) -> None:
        self._metrics.upstream_parked.labels(self._name).set(parked)

    async def run(self, make_upstream: Callable[[], Upstream]) -> None:
        """Connect and forward, until that fails."""
        while True:
            if self._pauses is not None:
                await self._pauses.wait_resumed(self._name)
            try:
                await self._run_once(make_upstream())
            except Reconnect:
                logger.info("upstream %s is connected anew", self._name)

    async def _run_once(self, upstream: Upstream) -> None:
        connected = self._metrics.upstream_connected.labels(self._name)
        try:
            await self._credentials.connecting()
            async with upstream:
                connected.set(1)
                await self._credentials.connected(upstream)
                logger.info("upstream connected name=%s", self._name)
                self._sender.connected()
                if not isinstance(upstream, KnowsSession) or upstream.session_lost:
                    self._sender.session_lost()
                await self._forward(upstream)
        except UpstreamError as error:
            await self._sender.acknowledge(error.acknowledged)
            kind = "permanent" if isinstance(error, PermanentUpstreamError) else "transient"
            self._metrics.upstream_errors.labels(self._name, kind).inc()
            self._failed(str(error))
            raise
        except (StoreError, Reconnect):
            raise
        except Exception as error:
            # A fault of one adapter must end neither the data path nor the other upstreams.
            logger.exception("upstream %s failed in a way that nobody foresaw", self._name)
            self._metrics.upstream_errors.labels(self._name, "permanent").inc()
            self._failed(f"fault of ours: {error!r}")
            raise PermanentUpstreamError(f"fault of ours: {error!r}") from error
        finally:
            connected.set(0)
            self._sender.disconnected()

    async def _forward(self, upstream: Upstream) -> None:
        tick_at_us = self._clock.boottime_us()
        while True:
            if self._is_paused():
                raise Reconnect
            wait = await self._sender.send_next(upstream)
            # Frames first: there are brokers that hang up on whoever may not publish statistics.
            now_us = self._clock.boottime_us()
            if now_us >= tick_at_us:
                tick_at_us = now_us + TICK_INTERVAL_US
                await upstream.tick()
                self._sender.settle()
                if await self._credentials.have_changed():
                    raise Reconnect
            if wait is not None:
                await self._wait(wait, tick_at_us)

    def _is_paused(self) -> bool:
        return self._pauses is not None and self._name in self._pauses.paused

    async def _wait(self, wait: Wait, tick_at_us: int) -> None:
        """Wait for frames, but no longer than until the next tick."""
        until_us = tick_at_us if wait.until_us is None else min(tick_at_us, wait.until_us)
        left_us = until_us - self._clock.boottime_us()
        try:
            async with self._wait_limit(max(0, left_us) / 1e6):
                if wait.after_seq is None:
                    await self._outbox.wait_pending(self._name, or_when=self._is_paused)
                else:
                    await self._outbox.wait_after(wait.after_seq)
        except TimeoutError:
            pass
