"""Runs a child again when it fails in a way that may pass; everything else ends the service.

*Transient* faults (a port lost, a broker away) are tried again with back-off. *Permanent* ones (a
revoked certificate, a board of the wrong firmware) park the child: a person has to mend them, so
it is tried again every five minutes, while its neighbours run on. Any other exception is a fault
of ours: it propagates, ends the group, and systemd restarts the process.
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Protocol

PARKED_RETRY_S = 300.0
BEAT_EVERY_S = 5.0
"""Well below the bound within which :mod:`edge.monitoring.health` expects a beat."""

SETTLED_US = 60_000_000
"""A run that lasted this long had worked: what ends it is a new fault, not the old one again."""

logger = logging.getLogger(__name__)

Sleep = Callable[[float], Awaitable[object]]


class Delays(Protocol):
    """How long to wait before the next attempt."""

    def next_delay_s(self) -> float:
        """Return the delay and lengthen the next one."""
        ...

    def reset(self) -> None:
        """Begin with the first delay again."""
        ...


def _ignore(_parked: bool) -> None:
    """For children whose parking nobody shows."""


async def supervise(
    name: str,
    run: Callable[[], Awaitable[None]],
    *,
    transient: tuple[type[Exception], ...],
    permanent: tuple[type[Exception], ...],
    backoff: Delays,
    beat: Callable[[], None],
    now_us: Callable[[], int],
    sleep: Sleep,
    parked: Callable[[bool], None] = _ignore,
) -> None:
    """Run the child until it returns, is cancelled, or fails in a way that is not expected.

    Args:
        name: as logs and health name it, e.g. ``driver:roof``.
        run: one life of the child. While it runs it beats by itself, at each sign of life.
        transient: faults that may pass; also when all leaves of an exception group are such.
        permanent: faults that a person has to mend; one of them in a group parks the child.
        backoff: delays after transient faults.
        beat: called before each run and every few seconds while waiting for the next one.
        now_us: CLOCK_BOOTTIME in microseconds.
        sleep: waits so many seconds.
        parked: told True when the child is parked, and False when it is tried again.

    Raises:
        Exception: whatever ``run`` raises that is neither transient nor permanent.
    """
    # Templates of their own: equal lines are limited, and one child must not silence another.
    failed_line = f"{name} failed: %s; next try in %.1f s"
    parked_line = f"{name} is parked: %s; next try in %.0f s"
    while True:
        beat()
        started_at_us = now_us()
        try:
            await run()
        except Exception as error:
            if not _expected(error, transient + permanent):
                raise
            needs_a_person = _holds(error, permanent)
            fault = _describe(error)
        else:
            return
        if needs_a_person:
            delay_s = PARKED_RETRY_S
            logger.error(parked_line, fault, delay_s)
        else:
            if now_us() - started_at_us >= SETTLED_US:
                backoff.reset()
            delay_s = backoff.next_delay_s()
            logger.warning(failed_line, fault, delay_s)
        parked(needs_a_person)
        await _wait(delay_s, beat, sleep)
        parked(False)


async def _wait(delay_s: float, beat: Callable[[], None], sleep: Sleep) -> None:
    """Wait in short steps: a child that waits is healthy, and the watchdog has to see it."""
    while delay_s > 0:
        step_s = min(delay_s, BEAT_EVERY_S)
        await sleep(step_s)
        beat()
        delay_s -= step_s


def _expected(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    """Tell whether an error, or every leaf of a group, is of these kinds."""
    if isinstance(error, ExceptionGroup):
        return error.split(kinds)[1] is None
    return isinstance(error, kinds)


def _holds(error: Exception, kinds: tuple[type[Exception], ...]) -> bool:
    """Tell whether an error, or any leaf of a group, is of these kinds."""
    if isinstance(error, ExceptionGroup):
        return error.subgroup(kinds) is not None
    return isinstance(error, kinds)


def _describe(error: Exception) -> str:
    """One line; a group is described by its leaves, for its own message says nothing."""
    if isinstance(error, ExceptionGroup):
        return ", ".join(_describe(leaf) for leaf in error.exceptions)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
