"""Opens the store for the service; a damaged one is set aside, and a fresh one takes its place."""

import asyncio
import contextlib
import logging

from edge.clock import Clock
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.disk import Disk
from edge.outbox.errors import StoreCorrupt, StoreError, StoreFull, StoreReadOnly
from edge.outbox.loading import attach, read_store, save_attached
from edge.outbox.recovery import begin_anew, put_aside
from edge.outbox.salvage import DamagedStore

logger = logging.getLogger(__name__)


async def open_store(
    database: Database,
    *,
    gateway: bytes,
    clock: Clock,
    settings: OutboxSettings,
    metrics: Metrics,
    new_epoch: bool,
) -> Contents:
    """Open the database, and read what it holds.

    Raises:
        StoreError: it cannot be opened; see :func:`edge.outbox.store.open_outbox`.
    """
    try:
        await open_relieved(database)
        contents = await attach(
            database,
            await read_store(database),
            gateway=gateway,
            boot_id=clock.boot_id,
            upstreams=settings.upstreams,
            new_epoch=new_epoch,
        )
        await save_attached(database, contents)
    except StoreCorrupt as error:
        fault = error
    else:
        for name, frames in contents.released.items():
            metrics.outbox_released_frames.labels(name).inc(frames)
        await _warn(database)
        return contents
    with contextlib.suppress(StoreError):  # what is damaged may fail once more
        await database.close()
    return await _open_fresh(
        database, fault, gateway=gateway, clock=clock, settings=settings, metrics=metrics
    )


async def open_relieved(database: Database) -> None:
    """Open the database as well as that is possible.

    If the disk is too full for it, the ballast is thrown off. If the disk is read-only, there is
    nothing but reading: what is stored is forwarded, and what comes in is forwarded from memory,
    until the disk can be written again.

    Raises:
        StoreError: as of :meth:`Database.open`.
    """
    try:
        await database.open()
    except StoreFull:
        if not await asyncio.to_thread(Disk(database.path).relieve):
            raise
        logger.warning("the disk is full: the ballast was thrown off")
        await database.open()
    except StoreReadOnly:
        if not await asyncio.to_thread(database.path.exists):
            raise
        await database.open_read_only()
        logger.error("the disk of the store is read-only: new frames are in memory only")


async def _open_fresh(
    database: Database,
    fault: StoreCorrupt,
    *,
    gateway: bytes,
    clock: Clock,
    settings: OutboxSettings,
    metrics: Metrics,
) -> Contents:
    aside = put_aside(database.path)
    metrics.outbox_recoveries.inc()
    logger.error("the store is damaged (%s), set aside as %s; a fresh one begins", fault, aside)
    damaged = DamagedStore(aside)
    try:
        await damaged.open()
        loaded, is_certain = await damaged.state()
    finally:
        await damaged.close()
    await database.open()
    contents = await attach(
        database,
        loaded,
        gateway=gateway,
        boot_id=clock.boot_id,
        upstreams=settings.upstreams,
        new_epoch=True,
    )
    await begin_anew(database, contents, aside, newest_seq=contents.last_seq, is_certain=is_certain)
    await _warn(database)
    return contents


async def _warn(database: Database) -> None:
    """Say what is wrong with the disk, while somebody may still be looking."""
    try:
        warning = await asyncio.to_thread(Disk(database.path).warning)
    except OSError as error:
        warning = f"the disk of the store cannot be asked for its block size: {error}"
    if warning:
        logger.warning("%s", warning)
