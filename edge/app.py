"""The composition root: opens what the service needs and runs it in one task group.

Nothing else in the service creates tasks. Children end in three ways: on cancellation, by a fault
that their supervisor understands (then they are run again), or by one it does not (then the group
and the process end, and systemd starts a fresh one).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence

from drivers.base import DriverFactory
from drivers.registry import driver_factory, link_rejects
from edge.children import Service, beat_of_store, children
from edge.clock import Clock
from edge.config.model import Config
from edge.data_path import build_ingest
from edge.gateway_status import GatewayStatus
from edge.monitoring.health import Health
from edge.monitoring.metrics import Metrics
from edge.monitoring.notify import Notifier
from edge.outbox.store import open_outbox
from edge.pauses import Pauses
from edge.radio_watch import RadioWatch
from edge.version import VERSION

logger = logging.getLogger(__name__)

DRAIN_S = 2.0  # of the 5 s in which a stop has to be over


class Shutdown(Exception):
    """Ends the task group when a stop was asked for."""


async def run(
    config: Config,
    *,
    gateway: bytes,
    new_epoch: bool = False,
    clock: Clock,
    stop: asyncio.Event,
    metrics: Metrics,
    notifier: Notifier,
    notices: Sequence[str] = (),
    new_driver: Callable[[str], DriverFactory] = driver_factory,
    started: Callable[[], object] = lambda: None,
) -> None:
    """Run the gateway until ``stop`` is set.

    Args:
        gateway: EUI-64 of this gateway, 8 bytes.
        new_epoch: the store may be a copy of another gateway's; see :mod:`edge.identity`.
        notices: what the status shows to people, e.g. that the last good configuration runs.
        new_driver: finds the factory of a driver by its name.
        started: called once the store is open and all children run.

    Raises:
        StoreError: the store cannot be opened or has failed for good.
        ExceptionGroup: a child failed in a way that only a new process can mend.
    """
    health = Health()
    for concentrator in config.concentrators:
        metrics.register_concentrator(
            concentrator.name, len(concentrator.radios), link_rejects(concentrator.driver)
        )
        health.concentrator_down(concentrator.name, "not connected yet")
    for upstream in config.upstreams:
        metrics.register_upstream(upstream.name)
    async with open_outbox(
        config.gateway.state_dir / "outbox.db",
        gateway=gateway,
        new_epoch=new_epoch,
        clock=clock,
        settings=config.outbox.settings(config.upstreams),
        metrics=metrics,
    ) as outbox:
        ingest = build_ingest(config, clock=clock, metrics=metrics, outbox=outbox)
        radios = RadioWatch()
        status = GatewayStatus(
            version=VERSION,
            gateway=gateway,
            config=config,
            clock=clock,
            started_us=clock.boottime_us(),
            ingest=ingest,
            outbox=outbox,
            notices=notices,
            radios=radios,
        )
        pauses = Pauses(
            config.gateway.state_dir / "paused-upstreams",
            [upstream.name for upstream in config.upstreams],
            metrics,
            outbox.look_again,
        )
        service = Service(
            config,
            gateway,
            clock,
            metrics,
            health,
            notifier,
            outbox,
            ingest,
            status,
            radios,
            pauses,
        )
        await _run_children(service, stop, new_driver, started)


async def _run_children(
    service: Service,
    stop: asyncio.Event,
    new_driver: Callable[[str], DriverFactory],
    started: Callable[[], object],
) -> None:
    async with asyncio.TaskGroup() as store:
        # The store outlives everything that uses it: it commits what waits after they have ended.
        store.create_task(service.outbox.run(lambda: beat_of_store(service)), name="outbox")
        try:
            async with asyncio.TaskGroup() as group:
                for name, child in children(service, new_driver).items():
                    group.create_task(child, name=name)
                group.create_task(_stop_when_asked(service, stop), name="stop")
                service.notifier.ready("taking frames")
                started()
        except* Shutdown:
            logger.info("stopped")
        finally:
            service.outbox.stop()


async def _stop_when_asked(service: Service, stop: asyncio.Event) -> None:
    """Commit and acknowledge what is in hand, then end the group; do not wait for the backlog."""
    await stop.wait()
    service.notifier.stopping()
    logger.info("stopping: committing what is in hand")
    try:
        async with asyncio.timeout(DRAIN_S):
            await service.ingest.drain()
    except TimeoutError:
        logger.warning("the store did not commit in time; the boards will send again")
    raise Shutdown
