"""The JetStream stream that takes our frames: looked at each time we connect, or made.

Somebody else's stream is never changed: what is wrong with it is said, with the command that mends
it. Source: NATS documentation, "JetStream wire API", "Streams".
"""

import json
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.nats_answers import (
    STREAM_NAME_IN_USE,
    STREAM_NOT_FOUND,
    Fault,
    Refused,
    read_api,
)
from edge.upstreams.nats_connection import NatsConnection, NotPermitted
from edge.upstreams.nats_subject import covers

logger = logging.getLogger(__name__)

REQUEST_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class WantedStream:
    """What we need, and what a stream that we make is like.

    Attributes:
        subject: what this gateway publishes to, with ``*`` for the device.
        all_subjects: the same for all gateways: what a stream that we make takes.
        api: first tokens of JetStream's own subjects.
    """

    name: str
    subject: str
    all_subjects: str
    create: bool
    replicas: int
    duplicate_window_s: float
    api: str = "$JS.API"


@dataclass(frozen=True, slots=True)
class StreamState:
    """Which stream it is, and how far: one that was made anew or lost its end shows here."""

    created: str
    last_seq: int


async def prepare(connection: NatsConnection, wanted: WantedStream) -> StreamState | None:
    """Make sure that the stream is there and takes our subject; None if we may not look.

    Raises:
        PermanentUpstreamError: somebody has to change the stream, or to make it.
        TransientUpstreamError: JetStream does not answer now.
    """
    try:
        found = await _ask(connection, wanted, "INFO", b"")
    except NotPermitted:
        logger.info("the stream is not looked at, for want of permission stream=%s", wanted.name)
        return None
    if isinstance(found, Refused) and found.silent and not connection.has_jetstream:
        raise PermanentUpstreamError("JetStream is off on this server: jetstream {} in nats.conf")
    if isinstance(found, Refused) and found.number == STREAM_NOT_FOUND:
        await _create(connection, wanted)
        found = await _ask(connection, wanted, "INFO", b"")
    if isinstance(found, Refused):
        raise refusal(f"stream {wanted.name}", found)
    _judge(_table(found, "config"), wanted)
    last_seq = _table(found, "state").get("last_seq")
    return StreamState(str(found.get("created")), last_seq if isinstance(last_seq, int) else 0)


def refusal(what: str, refused: Refused) -> UpstreamError:
    """The error that a refusal of JetStream is."""
    match refused.fault:
        case Fault.PERMANENT:
            return PermanentUpstreamError(f"{what}: {refused.reason}")
        case Fault.TRANSIENT | Fault.REJECTED:
            return TransientUpstreamError(f"{what}: {refused.reason}")
        case _:
            assert_never(refused.fault)


async def _create(connection: NatsConnection, wanted: WantedStream) -> None:
    by_hand = (
        f"nats stream add {wanted.name} --subjects='{wanted.all_subjects}' --storage=file"
        f" --dupe-window={wanted.duplicate_window_s:.0f}s"
    )
    if not wanted.create:
        raise PermanentUpstreamError(f"there is no stream {wanted.name}; {by_hand}")
    config = {
        "name": wanted.name,
        "description": "LoRa frames of lora-edge gateways",
        "subjects": [wanted.all_subjects],
        "retention": "limits",
        "storage": "file",
        # At a limit of the account a new frame is refused, and waits in the gateway's outbox.
        "discard": "new",
        "num_replicas": wanted.replicas,
        "duplicate_window": round(wanted.duplicate_window_s * 1e9),
    }
    try:
        made = await _ask(connection, wanted, "CREATE", json.dumps(config).encode())
    except NotPermitted:
        text = f"there is no stream {wanted.name}, and we may not make one; {by_hand}"
        raise PermanentUpstreamError(text) from None
    if isinstance(made, Refused):
        if made.number == STREAM_NAME_IN_USE:
            return  # another gateway was quicker
        fault = TransientUpstreamError if made.number == 10008 else PermanentUpstreamError
        raise fault(f"stream {wanted.name} cannot be made: {made.reason}; {by_hand}")
    logger.info("stream made name=%s subjects=%s", wanted.name, wanted.all_subjects)


async def _ask(
    connection: NatsConnection, wanted: WantedStream, action: str, body: bytes
) -> Mapping[str, Any] | Refused:
    subject = f"{wanted.api}.STREAM.{action}.{wanted.name}"
    return read_api(await connection.request(subject, body, REQUEST_TIMEOUT_S))


def _judge(config: Mapping[str, Any], wanted: WantedStream) -> None:
    """Faults that lose frames or stop them are faults; the rest is a warning."""
    name = wanted.name
    subjects = config.get("subjects")
    patterns = [str(each) for each in subjects] if isinstance(subjects, list) else []
    if not covers(patterns, wanted.subject):
        more = ",".join([*patterns, wanted.all_subjects])
        raise PermanentUpstreamError(
            f"stream {name} does not take {wanted.subject}; nats stream edit {name}"
            f" --subjects='{more}', or change subject"
        )
    if config.get("no_ack"):
        raise PermanentUpstreamError(f"stream {name} acknowledges nothing: make it without no_ack")
    if config.get("sealed"):
        raise PermanentUpstreamError(f"stream {name} is sealed: it takes nothing any more")
    if config.get("storage") == "memory":
        logger.warning("stream %s is in memory: a restart of its server loses frames", name)
    window_ns = config.get("duplicate_window")
    window_s = window_ns / 1e9 if isinstance(window_ns, int) else 0.0
    if window_s < wanted.duplicate_window_s:
        logger.warning(
            "stream %s knows repeats for %.0f s only, so some of a longer outage will stand in it"
            " twice (with one frame_id); nats stream edit %s --dupe-window=%.0fs",
            name,
            window_s,
            name,
            wanted.duplicate_window_s,
        )


def _table(document: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    value = document.get(key)
    return value if isinstance(value, dict) else {}
