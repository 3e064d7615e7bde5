"""What an HTTP answer means for the frames that were posted.

Pure: an answer in, a judgement out. The rules follow RFC 9110 section 15 and, for repeats, the
IETF draft on the Idempotency-Key header: 2xx has taken the batch, 413 wants smaller ones, 400 and
422 condemn a frame (found by halving the batch), what may pass by itself is tried again, and
everything else is for a person to mend.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from enum import StrEnum

MAX_WAIT_S = 3600.0
"""However long a server asks us to stay away; by then its reasons may have gone."""

_MAX_REASON = 200
_RETRIED = {408, 409, 425, 429}  # 409: the same batch is being worked on just now
_BLAMING = {400, 422}
_SECONDS = re.compile(r"[0-9]{1,9}")


class Meaning(StrEnum):
    """Of an answer."""

    TAKEN = "taken"
    TOO_LARGE = "too large"
    REFUSED = "refused"
    TRANSIENT = "transient"
    PERMANENT = "permanent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back; headers in plain text, empty when absent.

    Attributes:
        body: its beginning, if it was long.
        whole: whether ``body`` is all of it.
    """

    status: int
    content_type: str = ""
    retry_after: str = ""
    location: str = ""
    accept_encoding: str = ""
    body: bytes = b""
    whole: bool = True


@dataclass(frozen=True, slots=True)
class Judgement:
    """Of an answer.

    Attributes:
        text: what the server said, for people; empty when it took the batch.
        rejected: frames that it did not take although it took the batch, by id, with its reasons.
        wait_s: how long it wants to be left alone; None = it does not say.
    """

    meaning: Meaning
    text: str = ""
    rejected: Mapping[str, str] = field(default_factory=dict)
    wait_s: float | None = None


def judge(answer: Answer, *, trust_html: bool, unix_s: float | None) -> Judgement:
    """What an answer means.

    Args:
        trust_html: whether a web page with 2xx counts as an acknowledgement. Over plain HTTP it
            may be the page of a hot spot or of a SIM card without credit, which has taken nothing.
        unix_s: the time, if anybody vouches for our clock.
    """
    status = answer.status
    text = f"HTTP {status}{_said(answer)}"
    if 200 <= status < 300:
        if _is(answer, "text/html") and not trust_html:
            return Judgement(Meaning.TRANSIENT, f"{text}: a web page, not the receiver's answer")
        return Judgement(Meaning.TAKEN, rejected=_rejected(answer))
    if 300 <= status < 400:
        where = f" to {_clean(answer.location)}" if answer.location else ""
        return Judgement(
            Meaning.PERMANENT, f"HTTP {status}: redirects{where}; set url to where frames are taken"
        )
    if status == 413:
        return Judgement(Meaning.TOO_LARGE, text)
    if status in _BLAMING:
        return Judgement(Meaning.REFUSED, text)
    if status in _RETRIED or status >= 500:
        wait_s = retry_after_s(answer.retry_after, unix_s)
        return Judgement(Meaning.TRANSIENT, text, wait_s=wait_s)
    return Judgement(Meaning.PERMANENT, text)


def retry_after_s(text: str, unix_s: float | None) -> float | None:
    """Seconds of a ``Retry-After`` header (RFC 9110 section 10.2.3), at most an hour.

    Args:
        unix_s: the time; without it a date says nothing.
    """
    text = text.strip()
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_WAIT_S)
    if unix_s is None or not text.isascii():
        return None
    try:
        moment_s = parsedate_to_datetime(text).timestamp()
    except (ValueError, TypeError, IndexError, OverflowError):
        return None
    return min(max(0.0, moment_s - unix_s), MAX_WAIT_S)


def _is(answer: Answer, content_type: str) -> bool:
    return answer.content_type.partition(";")[0].strip().lower() == content_type


def _rejected(answer: Answer) -> dict[str, str]:
    """``{"rejected": {frame_id: reason}}``; whatever else a server says has no meaning for us."""
    if not answer.whole or not _is(answer, "application/json"):
        return {}
    try:
        document = json.loads(answer.body)
    except (ValueError, RecursionError):
        return {}
    rejected = document.get("rejected") if isinstance(document, dict) else None
    if not isinstance(rejected, dict):
        return {}
    return {frame_id: _clean(str(reason)) for frame_id, reason in rejected.items()}


def _said(answer: Answer) -> str:
    """The first line of a plain answer, or the detail of a JSON one (RFC 9457)."""
    text = answer.body.decode(errors="replace")
    if _is(answer, "application/json") or _is(answer, "application/problem+json"):
        try:
            document = json.loads(text)
        except (ValueError, RecursionError):
            document = None
        names = ("detail", "error", "message", "title")
        members = document if isinstance(document, dict) else {}
        text = next((str(members[name]) for name in names if name in members), text)
    elif _is(answer, "text/html"):
        text = ""
    said = _clean(text.strip().partition("\n")[0])
    return f": {said}" if said else ""


def _clean(text: str) -> str:
    """Short, and nothing that steers a terminal: it is shown in logs and kept with the frame."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_REASON]).strip()
