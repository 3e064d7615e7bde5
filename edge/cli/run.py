"""Run the gateway in the foreground, until SIGTERM or Ctrl-C.

Logs go to standard error, in journald's way under systemd. If the configuration is faulty, the last
one that worked is used and the faults are logged; without such a one the exit status is 2.
"""

import argparse
import asyncio
import ctypes
import logging
import os
import signal
import sys
from pathlib import Path

from edge import app
from edge.cli.location import add_config_option, locate
from edge.cli.main import FAILED, OK, USAGE
from edge.clock import SystemClock
from edge.config.faults import ConfigError
from edge.config.last_good import StartConfig, load_or_last_good, remember_good
from edge.identity import Identity, IdentityError, confirm_identity, resolve_identity
from edge.log import LogFormat, logging_to
from edge.monitoring.metrics import Metrics
from edge.monitoring.notify import Notifier
from edge.outbox.errors import StoreError
from edge.version import VERSION

logger = logging.getLogger(__name__)

_M_ARENA_MAX = -8  # malloc.h of glibc


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``run``."""
    add_config_option(parser)
    parser.add_argument(
        "--log-format",
        type=LogFormat,
        choices=tuple(LogFormat),
        default=LogFormat.AUTO,
        help="default: auto, which is journal under systemd and text elsewhere",
    )


def run(arguments: argparse.Namespace) -> int:
    """Run until told to stop."""
    _share_one_heap()
    clock = SystemClock()
    metrics = Metrics(VERSION)
    with logging_to(
        sys.stderr.fileno(),
        log_format=arguments.log_format,
        level=logging.INFO,
        environment=os.environ,
        now_us=clock.boottime_us,
        dropped=metrics.log_dropped.inc,
    ):
        try:
            start, identity = _prepare(arguments.config, metrics)
        except ConfigError as error:
            for fault in error.faults:
                logger.error("configuration: %s", fault)
            logger.critical("cannot start: the configuration is faulty, and none worked before")
            return USAGE
        except (IdentityError, OSError) as error:
            logger.critical("cannot start: %s", error)
            return FAILED
        return _run(start, identity, clock, metrics)


def _share_one_heap() -> None:
    """Keep glibc from giving each of our few threads a heap of its own, which costs 0.5 MB."""
    libc = ctypes.CDLL(None)
    if hasattr(libc, "mallopt"):
        libc.mallopt(_M_ARENA_MAX, 1)


def _prepare(path: Path, metrics: Metrics) -> tuple[StartConfig, Identity]:
    state_dir = locate(path).state_dir
    start = load_or_last_good(path, os.environ, state_dir)
    config = start.loaded.config
    logging.getLogger().setLevel(config.logging.level.upper())
    for warning in start.loaded.warnings:
        logger.warning("configuration: %s", warning)
    metrics.config_fallback.set(start.is_last_good)
    if start.is_last_good:
        for fault in start.faults:
            logger.error("configuration: %s", fault)
        logger.error("the configuration is faulty: running with the last good one")
    config.gateway.state_dir.mkdir(mode=0o750, parents=True, exist_ok=True)
    identity = resolve_identity(config.gateway.id, config.gateway.state_dir)
    if identity.warning:
        logger.warning("identity: %s", identity.warning)
    return start, identity


def _run(start: StartConfig, identity: Identity, clock: SystemClock, metrics: Metrics) -> int:
    logger.info(
        "lora-edge %s gateway=%s region=%s",
        VERSION,
        identity.gateway.hex(),
        start.loaded.config.gateway.region,
    )
    try:
        asyncio.run(_serve(start, identity, clock, metrics))
    except StoreError as error:
        logger.critical("cannot go on: %s", error)
        return FAILED
    except Exception:
        # A fault of ours: systemd starts a fresh process, and the boards still hold what they sent.
        logger.critical("ended by a fault", exc_info=True)
        return FAILED
    return OK


async def _serve(
    start: StartConfig, identity: Identity, clock: SystemClock, metrics: Metrics
) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    await app.run(
        start.loaded.config,
        gateway=identity.gateway,
        new_epoch=identity.mismatch,
        clock=clock,
        stop=stop,
        metrics=metrics,
        notifier=Notifier.from_environment(os.environ),
        notices=_notices(start, identity),
        started=lambda: loop.run_in_executor(None, _remember, start, identity),
    )


def _notices(start: StartConfig, identity: Identity) -> list[str]:
    notices = [identity.warning] if identity.warning else []
    if start.is_last_good:
        notices.append(
            f"the configuration is faulty, the last good one runs: {start.faults[0]}"
            + (f" and {len(start.faults) - 1} more" if len(start.faults) > 1 else "")
        )
    return notices


def _remember(start: StartConfig, identity: Identity) -> None:
    """After a start that worked; on a thread, because cards are slow."""
    state_dir = start.loaded.config.gateway.state_dir
    try:
        if identity.mismatch:
            confirm_identity(identity, state_dir)
        if not start.is_last_good:
            remember_good(start.loaded, state_dir)
    except (IdentityError, OSError) as error:
        logger.warning("cannot keep this start's configuration and identity: %s", error)
