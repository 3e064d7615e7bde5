"""Requests of the host: ids, credits, tries."""

import pytest

from protocol.link.codec import parse
from protocol.link.errors import LocalLinkError
from protocol.link.framing import FrameDecoder
from protocol.link.messages import Reset, Transmit, TransmitMode
from protocol.link.requests import RequestQueue

SECOND = 1_000_000


def sent(queue: RequestQueue, now_us: int) -> list[int]:
    """Ids of the requests that go out now."""
    return [parse(body).request for body in FrameDecoder().feed(queue.frames_to_send(now_us))]


def test_credits_are_kept_and_a_board_without_any_gets_one_at_a_time() -> None:
    queue = RequestQueue()
    queue.begin(0)
    for _ in range(3):
        queue.add(Reset(), 0)
    assert sent(queue, 0) == [1]
    assert sent(queue, 1) == []
    assert queue.answered(1)
    assert sent(queue, 2) == [2]


def test_an_id_in_use_is_not_given_again() -> None:
    """One request without an answer while hundreds of others come and go."""
    queue = RequestQueue()
    queue.begin(2)
    stuck = queue.add(Reset(), 0)
    for _ in range(600):
        other = queue.add(Reset(), 0)
        assert other != stuck
        queue.frames_to_send(0)
        assert queue.answered(other)
    assert queue.answered(stuck)


def test_a_request_is_sent_three_times_whoever_asks_what_to_send() -> None:
    queue = RequestQueue()
    queue.begin(2)
    request = queue.add(Reset(), 0)
    assert [sent(queue, second * SECOND) for second in range(5)] == [[1], [1], [1], [], []]
    assert queue.deadlines_us() == [3 * SECOND]
    assert queue.failed(3 * SECOND - 1) == []
    assert queue.failed(3 * SECOND) == [request]
    assert queue.deadlines_us() == []


def test_an_answer_before_the_request_was_sent_is_none() -> None:
    queue = RequestQueue()
    queue.begin(1)
    request = queue.add(Reset(), 0)
    assert not queue.answered(request)
    assert not queue.answered(9)
    assert sent(queue, 0) == [request]


def test_what_does_not_fit_into_a_frame_is_refused_at_once_and_not_kept() -> None:
    """Otherwise each later time-out would raise."""
    queue = RequestQueue()
    queue.begin(1)
    image = tuple((0x06, 0) for _ in range(255))
    long = Transmit(1, TransmitMode.NOW, 0, 0, image * 2, bytes(255))
    with pytest.raises(LocalLinkError):
        queue.add(long, 0)
    assert sent(queue, 0) == []
