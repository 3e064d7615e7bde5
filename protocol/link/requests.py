"""Requests that wait for their answers: the board's credits, repetition, time-outs.

``docs/CONCENTRATOR-LINK.md`` sections 6.1 and 8. A list of registers may be executed twice, because
a request whose answer was lost is sent again.
"""

from dataclasses import dataclass

from protocol.link.codec import serialize
from protocol.link.errors import LocalLinkError
from protocol.link.framing import encode_frame
from protocol.link.messages import Envelope, Message

REQUEST_TIMEOUT_US = 1_000_000
REQUEST_TRIES = 3
MAX_QUEUED_REQUESTS = 64
_REQUEST_IDS = 255  # 1 to 255


@dataclass(slots=True)
class _Waiting:
    frame: bytes
    tries: int = 0
    deadline_us: int = 0


class RequestQueue:
    """The requests of one session after another; ids go on, so that no late answer fits a new one.

    At most ``credits`` requests are outstanding, which the board's hello tells.
    """

    def __init__(self) -> None:
        self._waiting: dict[int, _Waiting] = {}
        self._last_id = 0
        self._credits = 1

    def begin(self, max_requests: int) -> None:
        """Forget the requests of an earlier session; a board takes one at a time at least."""
        self._waiting.clear()
        self._credits = max(1, max_requests)

    def add(self, message: Message, radio: int) -> int:
        """Queue a request behind the others; its id comes back in the answer.

        Raises:
            LocalLinkError: 64 requests wait already, or the message does not fit into a frame.
        """
        if len(self._waiting) >= MAX_QUEUED_REQUESTS:
            raise LocalLinkError("too many requests are waiting")
        request = self._last_id % _REQUEST_IDS + 1
        while request in self._waiting:
            request = request % _REQUEST_IDS + 1
        self._waiting[request] = _Waiting(
            encode_frame(serialize(Envelope(message, radio, request)))
        )
        self._last_id = request
        return request

    def answered(self, request: int) -> bool:
        """Note an answer; False if nobody waits for it, as for that to a repeated request."""
        waiting = self._waiting.get(request)
        if waiting is None or not waiting.tries:
            return False
        del self._waiting[request]
        return True

    def failed(self, now_us: int) -> list[int]:
        """Take out the requests that got no answer after all tries."""
        failed = [
            request
            for request, waiting in self._waiting.items()
            if waiting.tries == REQUEST_TRIES and now_us >= waiting.deadline_us
        ]
        for request in failed:
            del self._waiting[request]
        return failed

    def frames_to_send(self, now_us: int) -> bytes:
        """What is to go out now: requests overdue once more, and new ones as far as credits go."""
        frames = bytearray()
        outstanding = sum(1 for waiting in self._waiting.values() if waiting.tries)
        for waiting in self._waiting.values():
            if not waiting.tries:
                if outstanding >= self._credits:
                    continue
                outstanding += 1
            elif waiting.tries == REQUEST_TRIES or now_us < waiting.deadline_us:
                continue
            waiting.tries += 1
            waiting.deadline_us = now_us + REQUEST_TIMEOUT_US
            frames += waiting.frame
        return bytes(frames)

    def deadlines_us(self) -> list[int]:
        """When requests are due to be sent again, or have failed."""
        return [waiting.deadline_us for waiting in self._waiting.values() if waiting.tries]
