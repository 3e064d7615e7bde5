"""What the control socket answers about the store as a whole: verify, backup, dead letters."""

import logging
from collections.abc import AsyncIterator
from functools import partial

from edge.control import Handler, RequestError
from edge.outbox.backup import backup
from edge.outbox.checking import Fault
from edge.outbox.contents import Contents
from edge.outbox.database import Database
from edge.outbox.dead_letters import DeadLetter
from edge.outbox.store import Outbox
from edge.outbox.verification import verify
from protocol.records.sensor_frame import SensorFrame, SensorFrameError
from protocol.records.sensor_frame_codec import decode_content
from protocol.records.sensor_frame_json import to_json_object

logger = logging.getLogger(__name__)

_LETTERS_AT_ONCE = 16

Answers = AsyncIterator[dict[str, object]]


def store_handlers(outbox: Outbox) -> dict[str, Handler]:
    """Handlers by command."""
    return {
        "verify": partial(_verify, outbox),
        "backup": lambda _request: backup(outbox),
        "dead_letters": partial(_dead_letters, outbox),
        "requeue": partial(_requeue, outbox),
        "discard": partial(_discard, outbox),
    }


async def _verify(outbox: Outbox, _request: dict[str, object]) -> Answers:
    """Damage that was found is left to the background check, which salvages."""
    damaged = 0
    async for answer in verify(outbox):
        finding = answer.get("finding")
        if isinstance(finding, dict) and finding["fault"] == Fault.DAMAGED:
            damaged = damaged or finding["first"]
        yield answer
    if damaged:
        outbox.check_at(damaged)


async def _dead_letters(outbox: Outbox, _request: dict[str, object]) -> Answers:
    after = 0
    while letters := await outbox.dead_letters(after=after, limit=_LETTERS_AT_ONCE):
        for letter in letters:
            yield {"dead_letter": await outbox.with_store(partial(_described, letter=letter))}
        after = letters[-1].number


async def _described(
    database: Database, contents: Contents, letter: DeadLetter
) -> dict[str, object]:
    set_aside_at = None
    for (boot_id,) in await database.read("SELECT boot_id FROM boot WHERE id = ?", letter.boot):
        set_aside_at = contents.boots.wall(boot_id, letter.boottime_us)
    return {
        "number": letter.number,
        "upstream": letter.upstream,
        "reason": letter.reason,
        "set_aside_us": set_aside_at.unix_us if set_aside_at else None,
        "set_aside_boottime_us": letter.boottime_us,
        "seq": letter.seq,
        "frame_id": str(contents.frame_id(letter.seq)),
        "class": letter.frame_class.value,
        "frame": _frame(contents, letter),
    }


def _frame(contents: Contents, letter: DeadLetter) -> dict[str, object] | None:
    try:
        content = decode_content(letter.body)
    except SensorFrameError:
        return None
    received_at = contents.boots.wall(content.boot_id, content.received_boottime_us)
    return to_json_object(SensorFrame(contents.frame_id(letter.seq), content, received_at))


async def _requeue(outbox: Outbox, request: dict[str, object]) -> Answers:
    requeued = kept = 0
    async for letter in _chosen(outbox, request):
        done = await outbox.requeue(letter)
        requeued, kept = requeued + done, kept + (not done)
    yield {"requeued": requeued, "kept": kept}


async def _discard(outbox: Outbox, request: dict[str, object]) -> Answers:
    discarded = 0
    async for letter in _chosen(outbox, request):
        if await outbox.discard(letter):
            discarded += 1
            logger.warning(
                "dead letter %d is thrown away upstream=%s seq=%d reason=%s",
                letter.number,
                letter.upstream,
                letter.seq,
                letter.reason,
            )
    yield {"discarded": discarded}


async def _chosen(outbox: Outbox, request: dict[str, object]) -> AsyncIterator[DeadLetter]:
    """The dead letter of a number, or all that there are now, or those of one upstream.

    Raises:
        RequestError: there is none of this number.
    """
    number, upstream = request.get("number"), request.get("upstream")
    if number is not None and (not isinstance(number, int) or not 0 < number < 1 << 62):
        raise RequestError("number must be that of a dead letter")
    last = await _newest(outbox) if number is None else number
    after = 0 if number is None else number - 1
    found = False
    while letters := await outbox.dead_letters(after=after, limit=_LETTERS_AT_ONCE):
        for letter in letters:
            if letter.number <= last and upstream in (None, letter.upstream):
                found = True
                yield letter
        after = letters[-1].number
        if after >= last:
            break
    if number is not None and not found:
        raise RequestError(f"there is no dead letter {number}; frames dead-letters lists them")


async def _newest(outbox: Outbox) -> int:
    """Number of the newest dead letter: those that come in meanwhile stay."""

    async def work(database: Database, _contents: Contents) -> int:
        [(newest,)] = await database.read("SELECT coalesce(max(id), 0) FROM dead_letter")
        return int(newest)

    return await outbox.with_store(work)
