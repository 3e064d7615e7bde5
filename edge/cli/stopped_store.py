"""Answers of the control socket from a store whose service does not run.

The store is opened by the owner of the state directory only: files that another user leaves there
would keep the service from starting, and root's are the usual case. SQLite's lock proves that the
service does not run. While it is held the service cannot start, so all answers are taken down
first, and handed out when the store is closed again.
"""

import asyncio
import json
import math
import os
import pwd
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.cli.control_client import ControlError
from edge.clock import SystemClock
from edge.control import RequestError
from edge.control_handlers import control_handlers
from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings
from edge.outbox.database import Database
from edge.outbox.errors import StoreBusy, StoreCorrupt, StoreError
from edge.outbox.loading import attach, read_store
from edge.outbox.store import Outbox

_BEYOND_ANY = 1 << 50
# Nothing is removed by a tool that only looks, whatever the service is configured to keep.
_KEEP_ALL = OutboxSettings(
    max_bytes=_BEYOND_ANY,
    max_age_s=math.inf,
    keep_acknowledged=_BEYOND_ANY,
    check_interval_s=math.inf,
    max_dead_letters=_BEYOND_ANY,
    upstreams=None,
)


def ask_store(state_dir: Path, request: dict[str, object]) -> Iterator[dict[str, Any]]:
    """Answer a request about frames as the service would.

    Raises:
        ControlError: the store must not or cannot be opened, or the request makes no sense.
    """
    with tempfile.TemporaryFile() as answers:

        def take_down(answer: dict[str, Any]) -> None:
            answers.write(json.dumps(answer).encode() + b"\n")

        tell_store(state_dir, request, take_down)
        answers.seek(0)
        for line in answers:
            yield json.loads(line)


def tell_store(
    state_dir: Path, request: dict[str, object], take: Callable[[dict[str, Any]], None]
) -> None:
    """As :func:`ask_store`, but each answer is taken as it comes, while the store is held.

    Raises:
        ControlError: as of :func:`ask_store`, or the answers cannot be written.
    """
    path = state_dir / "outbox.db"
    check_owner(path)
    try:
        asyncio.run(_take_down(path, request, take))
    except StoreBusy:
        raise ControlError(f"{path} is in use: the service is starting or stopping") from None
    except StoreCorrupt as error:
        raise ControlError(f"{error}: the service sets it aside when it starts") from error
    except (StoreError, RequestError, OSError) as error:
        raise ControlError(str(error)) from error


def check_owner(path: Path) -> None:
    """Refuse everybody but the owner of the state directory.

    Raises:
        ControlError: another user asks, or there is no store.
    """
    try:
        owner = path.parent.stat().st_uid
        if owner == os.geteuid():
            path.stat()
    except PermissionError:
        owner = -1
    except OSError as error:
        raise ControlError(f"{path}: {error.strerror}: nothing has been stored here") from error
    if owner != os.geteuid():
        name = "lora-edge" if owner < 0 else user_name(owner)
        raise ControlError(f"only its owner may open the store: sudo -u {name} lora-edge ...")


def user_name(user_id: int) -> str:
    """A user's name, or his number."""
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return f"#{user_id}"


async def _take_down(
    path: Path, request: dict[str, object], take: Callable[[dict[str, Any]], None]
) -> None:
    async with _opened(path) as outbox:
        outcomes = await asyncio.gather(
            outbox.run(), _answer(outbox, request, take), return_exceptions=True
        )
    for outcome in outcomes:
        if outcome is not None:
            raise outcome


async def _answer(
    outbox: Outbox, request: dict[str, object], take: Callable[[dict[str, Any]], None]
) -> None:
    try:
        handlers = control_handlers(outbox, status=dict)
        async for answer in handlers[str(request["command"])](request):
            take(answer)
    finally:
        outbox.stop()


@asynccontextmanager
async def _opened(path: Path) -> AsyncIterator[Outbox]:
    """The store as it is: a damaged one is left for the service, and no epoch begins."""
    clock = SystemClock()
    database = Database(path, _BEYOND_ANY)
    try:
        await database.open(create=False)
        loaded = await read_store(database)
        if not loaded.epochs:
            raise StoreError(f"{path}: nothing has been stored here")
        contents = await attach(
            database,
            loaded,
            gateway=loaded.epochs[-1].gateway,
            boot_id=clock.boot_id,
            upstreams=None,
            new_epoch=False,
        )
        metrics = Metrics("tools")
        yield Outbox(database, contents, clock=clock, settings=_KEEP_ALL, metrics=metrics)
    finally:
        await database.close()
