"""The tasks of the service, one coroutine each, ready for the root's task group."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from drivers.base import DriverFactory
from drivers.errors import PermanentDriverError, TransientDriverError
from edge.backoff import Backoff
from edge.clock import Clock
from edge.config.driver_options import driver_options
from edge.config.model import ConcentratorConfig, Config, UpstreamConfig
from edge.control import ControlSocketError, serve_control
from edge.control_handlers import control_handlers
from edge.forwarder import run_forwarder
from edge.gateway_status import GatewayStatus
from edge.ingest import Ingest, run_acknowledge, run_commit, run_ingest
from edge.monitoring.health import Health
from edge.monitoring.heartbeat import run_heartbeat
from edge.monitoring.http_server import ListenError, serve_http
from edge.monitoring.metrics import Metrics
from edge.monitoring.notify import Notifier, run_watchdog
from edge.outbox.store import Outbox
from edge.supervisor import supervise
from edge.upstreams.base import UpstreamContext
from edge.upstreams.registry import upstream_factory
from protocol.lora.events import ConcentratorStateChanged, LinkState

logger = logging.getLogger(__name__)

DRIVER_BOUND_US = 60_000_000
REPLUG_RETRY_S = 2.0  # a board that is plugged in again is back within 3 s

Child = Coroutine[None, None, None]


@dataclass(frozen=True, slots=True)
class Service:
    """What the children share."""

    config: Config
    gateway: bytes
    clock: Clock
    metrics: Metrics
    health: Health
    notifier: Notifier
    outbox: Outbox
    ingest: Ingest
    status: GatewayStatus


def children(service: Service, new_driver: Callable[[str], DriverFactory]) -> dict[str, Child]:
    """All tasks by name."""
    now_us = service.clock.boottime_us
    tasks: dict[str, Child] = {
        "ingest": run_ingest(service.ingest),
        "commit": run_commit(service.ingest, service.outbox),
        "acknowledge": run_acknowledge(service.ingest),
        "control": _supervised(service, "control", partial(_control, service), ControlSocketError),
        "heartbeat": run_heartbeat(
            beat=lambda: service.health.beat("loop", now_us()),
            observe_lag_s=service.metrics.event_loop_lag_seconds.observe,
            now_us=now_us,
            sleep=asyncio.sleep,
        ),
        "watchdog": run_watchdog(
            service.notifier, service.health, now_us=now_us, sleep=asyncio.sleep
        ),
    }
    if service.config.monitoring.listen:
        tasks["http"] = _supervised(service, "http", partial(_http, service), ListenError)
    for concentrator in service.config.concentrators:
        factory = new_driver(concentrator.driver)
        tasks[f"driver:{concentrator.name}"] = _drive(service, concentrator, factory)
    for upstream in service.config.upstreams:
        tasks[f"upstream:{upstream.name}"] = _forward(service, upstream)
    return tasks


async def _drive(
    service: Service, concentrator: ConcentratorConfig, factory: DriverFactory
) -> None:
    """Keep one concentrator connected; each connection is a driver of its own."""
    options = driver_options(concentrator)
    part = f"driver:{concentrator.name}"

    def beat() -> None:
        service.health.beat(part, service.clock.boottime_us())

    async def connect_once() -> None:
        try:
            async with factory(options, service.clock.boottime_us) as driver:
                service.ingest.drivers[concentrator.name] = driver
                async for event in driver.events():
                    beat()
                    if isinstance(event, ConcentratorStateChanged):
                        _note_state(service, event)
                    await service.ingest.events.put(event)
        except Exception as error:
            down = ConcentratorStateChanged(concentrator.name, LinkState.DOWN, str(error))
            _note_state(service, down)
            service.metrics.concentrator_reconnects.labels(concentrator.name).inc()
            await service.ingest.events.put(down)
            if isinstance(error, (TransientDriverError, PermanentDriverError)):
                raise
            # A fault of one driver must not make the other boards deaf.
            logger.exception("driver %s failed in a way that nobody foresaw", concentrator.name)
            raise TransientDriverError(f"fault of ours: {error!r}") from error
        finally:
            service.ingest.drivers.pop(concentrator.name, None)

    # A handshake may take 10 s, and a full queue may wait for a slow disk: neither is stuck.
    service.health.watch(part, service.clock.boottime_us(), bound_us=DRIVER_BOUND_US)
    await supervise(
        part,
        connect_once,
        transient=(TransientDriverError,),
        permanent=(PermanentDriverError,),
        backoff=Backoff(random.random, first_s=0.5, ceiling_s=REPLUG_RETRY_S),
        beat=beat,
        now_us=service.clock.boottime_us,
        sleep=asyncio.sleep,
    )


def _note_state(service: Service, event: ConcentratorStateChanged) -> None:
    if event.state is LinkState.UP:
        service.health.concentrator_up(event.concentrator)
    else:
        service.health.concentrator_down(event.concentrator, event.detail)


async def _forward(service: Service, upstream: UpstreamConfig) -> None:
    context = UpstreamContext(
        gateway=service.gateway,
        name=upstream.name,
        metrics=service.metrics,
        clock=service.clock,
        statistics=service.status,
    )
    adapter = upstream_factory(upstream.kind)(upstream.options, context)
    await run_forwarder(
        name=upstream.name,
        make_upstream=lambda: adapter,
        outbox=service.outbox,
        clock=service.clock,
        metrics=service.metrics,
        backoff=Backoff(random.random),
        failed=partial(service.status.note_fault, upstream.name),
    )


async def _supervised(
    service: Service,
    name: str,
    run: Callable[[], Coroutine[None, None, None]],
    transient: type[Exception],
) -> None:
    """For side doors: a port in use must not stop the data path."""
    await supervise(
        name,
        run,
        transient=(transient,),
        permanent=(),
        backoff=Backoff(random.random, ceiling_s=30),
        beat=lambda: None,
        now_us=service.clock.boottime_us,
        sleep=asyncio.sleep,
    )


async def _http(service: Service) -> None:
    await serve_http(
        service.config.monitoring.listen,
        metrics=service.metrics,
        health=service.health,
        status=service.status,
        now_us=service.clock.boottime_us,
    )


async def _control(service: Service) -> None:
    handlers = control_handlers(service.outbox, service.status)
    await serve_control(service.config.gateway.control_socket, handlers)


def beat_of_store(service: Service) -> None:
    """The writer lives; say also whether it can commit."""
    service.health.beat("writer", service.clock.boottime_us())
    if service.outbox.fault is not None:
        service.health.store_failed("commits fail")
    else:
        service.health.store_works()
    service.metrics.clock_synchronised.set(service.clock.wall() is not None)
