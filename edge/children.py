"""The tasks of the service, one coroutine each, ready for the root's task group."""

import asyncio
import logging
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from functools import partial

from drivers.base import DriverFactory
from edge.backoff import Backoff
from edge.clock import Clock
from edge.config.driver_options import driver_options
from edge.config.model import Config, GatewayConfig, UpstreamConfig
from edge.control import ControlSocketError, serve_control
from edge.control_handlers import control_handlers
from edge.downlink.gate import ClosedGate
from edge.driver_task import DriverTask
from edge.forwarder import run_forwarder
from edge.gateway_status import GatewayStatus
from edge.ingest import Ingest, run_acknowledge, run_commit, run_ingest
from edge.monitoring.health import Health
from edge.monitoring.heartbeat import run_heartbeat
from edge.monitoring.http_server import ListenError, serve_http
from edge.monitoring.metrics import Metrics
from edge.monitoring.notify import Notifier, run_watchdog
from edge.outbox.store import Outbox
from edge.radio_watch import RadioWatch
from edge.supervisor import supervise
from edge.upstreams.base import Site, UpstreamContext
from edge.upstreams.registry import upstream_factory

logger = logging.getLogger(__name__)

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
    radios: RadioWatch


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
        driver = DriverTask(
            options=driver_options(concentrator),
            factory=factory,
            radios=service.radios,
            drivers=service.ingest.drivers,
            events=service.ingest.events,
            health=service.health,
            metrics=service.metrics,
            now_us=now_us,
        )
        tasks[driver.part] = driver.run()
    for upstream in service.config.upstreams:
        tasks[f"upstream:{upstream.name}"] = _forward(service, upstream)
    return tasks


async def _forward(service: Service, upstream: UpstreamConfig) -> None:
    context = UpstreamContext(
        gateway=service.gateway,
        name=upstream.name,
        metrics=service.metrics,
        clock=service.clock,
        statistics=service.status,
        site=_site(service.config.gateway),
        downlinks=ClosedGate(service.clock.boottime_us),
    )
    factory = upstream_factory(upstream.kind)
    adapter = factory(upstream.options, context)
    await run_forwarder(
        name=upstream.name,
        make_upstream=lambda: adapter,
        outbox=service.outbox,
        clock=service.clock,
        metrics=service.metrics,
        backoff=Backoff(random.random),
        lane=factory.lane,
        failed=partial(service.status.note_fault, upstream.name),
    )


def _site(gateway: GatewayConfig) -> Site:
    if gateway.latitude is None or gateway.longitude is None:
        return Site(gateway.region)
    return Site(gateway.region, (gateway.latitude, gateway.longitude, gateway.altitude_m or 0.0))


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
