"""The collector's HTTP side: ``POST /frames`` takes a batch, and answers once it is stored.

Every bound is here, because strangers may reach this port: the size of a body (unpacked, too), the
number of its frames, the time that a request may take, and the number of connections.
"""

import asyncio
import hmac
import logging
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from aiohttp import web

from edge.collector.group_commit import GroupCommit
from edge.collector.verdict import FrameStore, StoreFailed, Verdict
from protocol.records.frame_batch import (
    CONTENT_TYPES,
    BatchFormat,
    ReadFrame,
    RefusedFrame,
    decode_batch,
)
from protocol.records.sensor_frame import SensorFrameError

logger = logging.getLogger(__name__)

MAX_BODY_BYTES = 4_000_000
MAX_FRAMES = 2_000
REQUEST_TIMEOUT_S = 120.0
RETRY_AFTER_S = 30

_FORMATS = {content_type: name for name, content_type in CONTENT_TYPES.items()}
_FORMATS |= {"application/jsonl": BatchFormat.JSON_LINES, "application/json-seq": BatchFormat.JSON}
_CONFLICT = "another frame was taken under this id: does a second gateway have the same identity?"


@dataclass(slots=True)
class Counts:
    """Since the start."""

    frames: int = 0
    repeats: int = 0
    refused: int = 0
    gateways: set[bytes] = field(default_factory=set)

    def text(self) -> str:
        """One line for people."""
        return (
            f"{self.frames:,} frames of {len(self.gateways)} gateways,"
            f" {self.repeats:,} sent again, {self.refused:,} refused"
        )


class Collector:
    """Judges requests, and has their frames stored.

    Args:
        token: bearer token that clients have to know; None = anybody may post.
    """

    def __init__(self, store: FrameStore, token: str | None = None) -> None:
        self.counts = Counts()
        self.commits = GroupCommit(store)
        self._token = token

    def application(self) -> web.Application:
        """What aiohttp serves."""
        application = web.Application(client_max_size=MAX_BODY_BYTES)
        application.router.add_post("/frames", self._post)
        application.router.add_get("/", self._describe)
        application.on_response_prepare.append(_advertise)
        return application

    async def _describe(self, _request: web.Request) -> web.Response:
        counts = self.counts
        return web.json_response(
            {"frames": counts.frames, "repeats": counts.repeats, "refused": counts.refused}
        )

    async def _post(self, request: web.Request) -> web.Response:
        if not self._is_allowed(request):
            return _error(401, "unknown token", **{"WWW-Authenticate": "Bearer"})
        batch_format = _FORMATS.get(request.content_type)
        if batch_format is None:
            return _error(415, f"the content type must be one of {', '.join(_FORMATS)}")
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT_S):
                body = await request.read()
        except TimeoutError:
            return _error(408, "the body took too long", Connection="close")
        try:
            records = await asyncio.to_thread(
                decode_batch, body, batch_format, max_frames=MAX_FRAMES
            )
        except SensorFrameError as error:
            return _error(400, str(error))
        return await self._take(records)

    async def _take(self, records: list[ReadFrame | RefusedFrame]) -> web.Response:
        frames = [record for record in records if isinstance(record, ReadFrame)]
        try:
            verdicts = await self.commits.take(frames)
        except StoreFailed as error:
            logger.error("cannot store frames: %s", error)
            return _error(503, f"cannot store: {error}", **{"Retry-After": str(RETRY_AFTER_S)})
        rejected = {
            str(record.frame_id): record.reason
            for record in records
            if isinstance(record, RefusedFrame)
        }
        for one, verdict in zip(frames, verdicts, strict=True):
            if verdict is Verdict.CONFLICT:
                rejected[str(one.frame.frame_id)] = _CONFLICT
        self._count(frames, verdicts, rejected)
        taken = len(records) - len(rejected)
        return web.json_response({"taken": taken, "rejected": rejected})

    def _count(
        self, frames: list[ReadFrame], verdicts: list[Verdict], rejected: dict[str, str]
    ) -> None:
        self.counts.frames += verdicts.count(Verdict.NEW)
        self.counts.repeats += verdicts.count(Verdict.REPEAT)
        self.counts.refused += len(rejected)
        self.counts.gateways.update(one.frame.frame_id.gateway for one in frames)
        for name, reason in rejected.items():
            logger.error("refused frame=%s reason=%r", name, reason)

    def _is_allowed(self, request: web.Request) -> bool:
        if self._token is None:
            return True
        given = request.headers.get("Authorization", "")
        return hmac.compare_digest(given.encode(), f"Bearer {self._token}".encode())


async def _advertise(_request: web.Request, response: web.StreamResponse) -> None:
    """Tell clients that they may compress (RFC 7694)."""
    response.headers["Accept-Encoding"] = "gzip"


def _error(status: int, text: str, **headers: str) -> web.Response:
    return web.json_response({"error": text}, status=status, headers=headers)


@asynccontextmanager
async def serving(
    collector: Collector, host: str, port: int, *, tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """Serve while the context lasts; gives the port.

    Raises:
        OSError: the address cannot be listened on.
    """
    runner = web.AppRunner(collector.application(), access_log=None, shutdown_timeout=5)
    async with asyncio.TaskGroup() as tasks:
        committing = tasks.create_task(collector.commits.run(), name="commits")
        try:
            await runner.setup()
            site = web.TCPSite(runner, host, port, ssl_context=tls)
            await site.start()
            yield int(runner.addresses[0][1])
        finally:
            # Clients first: what they have brought is stored, and answered.
            await runner.cleanup()
            committing.cancel()
