"""What JetStream answers to a publish or to a request of its API: pure reading, nothing raises.

Source: NATS ADR-1 (JSON API), and the numbers of errors in nats-server's ``server/errors.json``.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058

_MESSAGE_TOO_LARGE = 10054
_HEADER_TOO_LARGE = 10097
_PERMANENT = {
    10035: "the account is unknown",
    10039: "JetStream is not enabled for this account",
    10076: "JetStream is not enabled on this server",
    10109: "the stream is sealed",
}
_SHOWN_CHARACTERS = 200


@dataclass(frozen=True, slots=True)
class Answer:
    """Bytes as they came; ``no_responders``: nobody listens on that subject (status 503)."""

    payload: bytes
    no_responders: bool = False


@dataclass(frozen=True, slots=True)
class Stored:
    """A stream has the message; ``duplicate``: it had one with that ``Nats-Msg-Id`` before."""

    stream: str
    seq: int
    duplicate: bool


class Fault(StrEnum):
    """What a refusal condemns: this message, this moment, or the way things are set up."""

    REJECTED = "rejected"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True)
class Refused:
    """The message, or the request, was not taken; ``silent``: nobody was there to take it."""

    fault: Fault
    reason: str
    number: int = 0
    silent: bool = False


def read_publish(answer: Answer) -> Stored | Refused:
    """The acknowledgement of a publish."""
    if answer.no_responders:
        return Refused(Fault.TRANSIENT, "no stream takes this subject now", silent=True)
    document = read_api(answer)
    if isinstance(document, Refused):
        return document
    stream, number = document.get("stream"), document.get("seq")
    if not isinstance(stream, str) or not isinstance(number, int) or number < 1:
        return _unreadable(answer)
    return Stored(stream, number, document.get("duplicate") is True)


def read_api(answer: Answer) -> Mapping[str, Any] | Refused:
    """A JSON object of JetStream, or the error that stands in it."""
    if answer.no_responders:
        return Refused(Fault.TRANSIENT, "JetStream does not answer", silent=True)
    try:
        document = json.loads(answer.payload)
    except (ValueError, RecursionError):
        return _unreadable(answer)
    if not isinstance(document, dict):
        return _unreadable(answer)
    error = document.get("error")
    return document if error is None else _refused(error)


def _refused(error: object) -> Refused:
    fields = error if isinstance(error, dict) else {}
    number = fields.get("err_code")
    number = number if isinstance(number, int) else 0
    said = str(fields.get("description", error))[:_SHOWN_CHARACTERS]
    if number in (_MESSAGE_TOO_LARGE, _HEADER_TOO_LARGE):
        return Refused(Fault.REJECTED, said, number)
    if number in _PERMANENT:
        return Refused(Fault.PERMANENT, _PERMANENT[number], number)
    # A full stream, an account at its limit, a cluster without a leader: all of it may pass.
    return Refused(Fault.TRANSIENT, f"{said} ({number})", number)


def _unreadable(answer: Answer) -> Refused:
    shown = repr(answer.payload[:_SHOWN_CHARACTERS])
    return Refused(Fault.TRANSIENT, f"an answer that JetStream does not give: {shown}")
