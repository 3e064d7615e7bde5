"""What the control socket answers: the status, and stored frames.

The tools use the same handlers on a store that they have opened themselves, when the service is
stopped.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from edge.control import Handler, RequestError
from edge.control_store import store_handlers
from edge.outbox.admission import OutboxStatistics
from edge.outbox.store import Outbox
from edge.pauses import Pauses
from protocol.records.sensor_frame import FrameId, SensorFrame, SensorFrameError
from protocol.records.sensor_frame_json import to_json_object

PAGE_FRAMES = 200
"""Frames read at once: more would keep the radios' frames waiting for the store."""

KEEP_ALIVE_S = 5.0
"""A follower that has gone is noticed when something is sent to it."""

_MAX_SEQ = 1 << 62
_SEQ_DIGITS = 19
_DISORDER_US = 86_400_000_000


class FrameStore(Protocol):
    """The part of the outbox that is needed here."""

    async def frames(
        self,
        *,
        after_seq: int = 0,
        before_seq: int | None = None,
        limit: int = 500,
        newest_first: bool = False,
        device: str | None = None,
    ) -> list[SensorFrame]: ...

    async def wait_after(self, seq: int) -> None: ...

    def statistics(self) -> OutboxStatistics: ...


@dataclass(frozen=True, slots=True)
class FrameQuery:
    """Which frames are wanted.

    Attributes:
        device: configured name, or address in hexadecimal.
        since_us / until_us: Unix time of reception, the end not included; frames whose time is not
            known are left out if one is set.
        limit: the newest so many; None = all.
        follow: go on with frames as they are committed.
        count: only the number of frames.
    """

    device: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    limit: int | None = None
    follow: bool = False
    count: bool = False

    def wants(self, frame: SensorFrame) -> bool:
        """Whether a frame fits."""
        content = frame.content
        if self.device is not None and self.device not in (
            content.device,
            content.dev_addr.hex() if content.dev_addr else None,
            content.dev_eui.hex() if content.dev_eui else None,
        ):
            return False
        if self.since_us is None and self.until_us is None:
            return True
        if frame.received_at is None:
            return False
        unix_us = frame.received_at.unix_us
        after_since = self.since_us is None or unix_us >= self.since_us
        return after_since and (self.until_us is None or unix_us < self.until_us)

    def is_long_before(self, frame: SensorFrame) -> bool:
        """Whether it and all earlier ones are surely too old.

        Frames are nearly in the order of time: a board may bring some after hours unplugged.
        """
        if self.since_us is None or frame.received_at is None:
            return False
        return frame.received_at.unix_us < self.since_us - _DISORDER_US


def control_handlers(
    store: Outbox, status: Callable[[], dict[str, object]], pauses: Pauses | None = None
) -> dict[str, Handler]:
    """Handlers by command."""

    async def answer_status(_request: dict[str, object]) -> AsyncIterator[dict[str, object]]:
        yield status()

    def answer_frames(request: dict[str, object]) -> AsyncIterator[dict[str, object]]:
        return _answer_frames(store, parse_query(request))

    async def answer_frame(request: dict[str, object]) -> AsyncIterator[dict[str, object]]:
        frame = await _find(store, request.get("frame_id"))
        yield {"frame": to_json_object(frame)}

    async def answer_upstreams(request: dict[str, object]) -> AsyncIterator[dict[str, object]]:
        action = request.get("action", "list")
        if pauses is None or action not in ("list", "pause", "resume"):
            raise RequestError("only the running service can list, pause or resume upstreams")
        if action != "list":
            await _set_paused(pauses, str(request.get("upstream")), action == "pause")
        upstreams = status()["upstreams"]
        assert isinstance(upstreams, list)
        for upstream in upstreams:
            yield upstream

    return {
        "status": answer_status,
        "frames": answer_frames,
        "frame": answer_frame,
        "upstreams": answer_upstreams,
        **store_handlers(store),
    }


async def _set_paused(pauses: Pauses, upstream: str, paused: bool) -> None:
    try:
        await pauses.set_paused(upstream, paused)
    except KeyError:
        raise RequestError(f"there is no upstream {upstream}") from None
    except OSError as error:
        raise RequestError(f"that could not be written: {error}") from None


def parse_query(request: dict[str, object]) -> FrameQuery:
    """Check a request's arguments.

    Raises:
        RequestError: one of them is not what it must be.
    """
    device = request.get("device")
    if device is not None and not isinstance(device, str):
        raise RequestError("device must be text")
    return FrameQuery(
        device=device,
        since_us=_number(request, "since_us"),
        until_us=_number(request, "until_us"),
        limit=_number(request, "limit"),
        follow=request.get("follow") is True,
        count=request.get("count") is True,
    )


def _number(request: dict[str, object], key: str) -> int | None:
    value = request.get(key)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= _MAX_SEQ:
        raise RequestError(f"{key} must be a whole number, not negative")
    return value


async def _answer_frames(store: FrameStore, query: FrameQuery) -> AsyncIterator[dict[str, object]]:
    last_seq = await _last_seq(store)
    first_seq = await _first_seq(store, query, last_seq)
    found = 0
    async for frame in _ascending(store, first_seq - 1, last_seq):
        if query.wants(frame):
            found += 1
            if not query.count:
                yield {"frame": to_json_object(frame)}
    if query.count:
        yield {"count": found}
        return
    if query.follow:
        async for answer in _follow(store, query, last_seq):
            yield answer


async def _follow(
    store: FrameStore, query: FrameQuery, after_seq: int
) -> AsyncIterator[dict[str, object]]:
    while True:
        try:
            async with asyncio.timeout(KEEP_ALIVE_S):
                await store.wait_after(after_seq)
        except TimeoutError:
            yield {"waiting": True}
            continue
        for frame in await store.frames(after_seq=after_seq, limit=PAGE_FRAMES):
            after_seq = frame.frame_id.seq
            if query.wants(frame):
                yield {"frame": to_json_object(frame)}


async def _last_seq(store: FrameStore) -> int:
    newest = await store.frames(newest_first=True, limit=1)
    return newest[0].frame_id.seq if newest else 0


async def _first_seq(store: FrameStore, query: FrameQuery, last_seq: int) -> int:
    """Where the answer begins; beyond the last frame if none fits.

    Looks backwards, because old frames are many and mostly not wanted.
    """
    if query.limit is None and query.since_us is None:
        return 1
    wanted = _MAX_SEQ if query.limit is None else query.limit
    first_seq = before_seq = last_seq + 1
    while wanted:
        page = await store.frames(before_seq=before_seq, newest_first=True, limit=PAGE_FRAMES)
        fitting = [frame.frame_id.seq for frame in page if query.wants(frame)][:wanted]
        wanted -= len(fitting)
        first_seq = fitting[-1] if fitting else first_seq
        if len(page) < PAGE_FRAMES or all(map(query.is_long_before, page)):
            break
        before_seq = page[-1].frame_id.seq
    return first_seq


async def _ascending(
    store: FrameStore, after_seq: int, last_seq: int
) -> AsyncIterator[SensorFrame]:
    """Frames up to one that was the last, page by page."""
    while after_seq < last_seq:
        page = await store.frames(after_seq=after_seq, before_seq=last_seq + 1, limit=PAGE_FRAMES)
        if not page:
            return
        for frame in page:
            yield frame
        after_seq = page[-1].frame_id.seq


async def _find(store: FrameStore, frame_id: object) -> SensorFrame:
    """By identity, or by sequence number: a store gives each number once, in all its epochs."""
    text = str(frame_id)
    wanted = None
    if text.isascii() and text.isdecimal() and len(text) < _SEQ_DIGITS:
        seq = int(text)
    else:
        try:
            wanted = FrameId.parse(text)
        except SensorFrameError as error:
            raise RequestError(str(error)) from None
        seq = wanted.seq
    for frame in await store.frames(after_seq=seq - 1, before_seq=seq + 1, limit=1):
        if wanted in (None, frame.frame_id):
            return frame
    raise RequestError(f"frame {frame_id} is not stored here, or no longer")
