"""The host holds events for long: a commit that waits for company, or a store that fails.

The host's repeated acknowledgements keep the board from sending again what has arrived. What has
not arrived is found all the same, also when no later event gives its loss away.
"""

from dataclasses import dataclass, field

import pytest

from protocol.link import messages as m
from protocol.link.codec import parse
from protocol.link.framing import FrameDecoder
from tests.protocol.link.pair import SECOND, Pair, dead_line, good_line, rx_event

UART_BYTES_PER_S = 11_520
"""115,200 baud."""


@dataclass
class Ear:
    """Hears what passes on a good line."""

    messages: list[m.Message] = field(default_factory=list)

    def __call__(self, data: bytes) -> bytes:
        self.messages += [parse(body).message for body in FrameDecoder().feed(data)]
        return data

    def events(self) -> list[int]:
        """Numbers of the events that were sent, each time they were."""
        return [message.number for message in self.messages if isinstance(message, m.RxEvent)]

    def acknowledgements(self) -> list[m.Acknowledge]:
        return [message for message in self.messages if isinstance(message, m.Acknowledge)]

    def requests_to_go_back(self) -> int:
        return sum(message.go_back for message in self.acknowledgements())


def without_heartbeats(data: bytes) -> bytes:
    """A line that loses these."""
    ear = Ear()
    ear(data)
    return b"" if isinstance(ear.messages[0], m.Heartbeat) else data


def without_requests_to_go_back(data: bytes) -> bytes:
    """A line that loses these."""
    ear = Ear()
    ear(data)
    return b"" if ear.requests_to_go_back() else data


def lose_an_event(pair: Pair, payload: bytes = b"abc") -> None:
    """The board sends an event that does not arrive."""
    pair.to_host = dead_line
    pair.board.push_event(0, rx_event(payload))
    pair.step()
    pair.to_host = good_line


def seconds_until(pair: Pair, number: int) -> float:
    """How long it takes until an event is there; no more than a minute."""
    begin_us = pair.now_us
    while not pair.received or pair.received[-1].number < number:
        assert pair.now_us < begin_us + 60 * SECOND, "the event does not arrive"
        pair.run(0.01)
    return (pair.now_us - begin_us) / SECOND


def hold(pair: Pair, count: int, payload: bytes) -> None:
    """So many events arrive, and none is committed."""
    for _ in range(count):
        pair.board.push_event(0, rx_event(payload))
    seconds_until(pair, count)
    pair.run(0.1)


@pytest.mark.parametrize("pause_s", [0.05, 0.3, 0.99, 2.5])
def test_ten_seconds_without_a_commit_and_nothing_is_sent_again(pause_s: float) -> None:
    """The first event after a quiet time is answered at once, or the board would go back."""
    pair = Pair(window=256)
    pair.open()
    pair.run(5)
    up, down = Ear(), Ear()
    pair.to_host, pair.to_board = up, down
    count = int(10 / pause_s)
    for _ in range(count):
        pair.board.push_event(0, rx_event())
        pair.run(pause_s)
    assert up.events() == list(range(1, count + 1))
    assert pair.host.duplicates == 0
    assert len(pair.board.unacknowledged) == count
    assert {(message.number, message.go_back) for message in down.acknowledgements()} == {
        (0, False)
    }


def test_nothing_is_repeated_while_nothing_is_held() -> None:
    """An idle link carries no acknowledgements."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.run(0.1)
    pair.host.acknowledge(1, pair.now_us)
    pair.run(0.1)
    ear = Ear()
    pair.to_board = ear
    pair.run(10)
    assert ear.acknowledgements() == []


def test_a_lost_event_comes_again_after_a_second_while_nothing_is_held() -> None:
    """No acknowledgement keeps the board quiet."""
    pair = Pair()
    pair.open()
    pair.run(0.5)
    lose_an_event(pair)
    assert seconds_until(pair, 1) <= 1.02


@pytest.mark.parametrize("after_heartbeat_ms", range(0, 1000, 100))
def test_a_lost_last_event_is_found_within_two_seconds(after_heartbeat_ms: int) -> None:
    """By the second heartbeat, wherever between two heartbeats it was lost."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.run(1.9 - pair.now_us / SECOND + after_heartbeat_ms / 1000)
    lose_an_event(pair)
    assert seconds_until(pair, 2) <= 2.05
    assert pair.host.duplicates == 1, "it goes back to the first that is not acknowledged"


def test_a_lost_heartbeat_costs_a_second() -> None:
    """The next one tells the same."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.run(0.5)
    lose_an_event(pair)
    pair.to_host = without_heartbeats
    pair.run(1)
    pair.to_host = good_line
    assert seconds_until(pair, 2) <= 2.05


def test_a_lost_request_to_go_back_costs_a_second_or_two() -> None:
    """It is made again at the next heartbeat that comes a second later."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.run(0.5)
    lose_an_event(pair)
    pair.to_board = without_requests_to_go_back
    pair.run(1.7)
    assert len(pair.received) == 1
    ear = Ear()
    pair.to_board = ear
    assert seconds_until(pair, 2) <= 2.05
    assert ear.requests_to_go_back() == 1


@pytest.mark.parametrize("behind", [0, 1], ids=["last", "gap"])
def test_a_long_repetition_on_a_slow_line_is_not_begun_anew(behind: int) -> None:
    """Sending everything again takes longer than two heartbeats: it must be let finish."""
    pair = Pair(window=256, bytes_per_s=UART_BYTES_PER_S)
    pair.open()
    payload = bytes(range(1, 201))
    hold(pair, 200, payload)
    lose_an_event(pair, payload)
    for _ in range(behind):
        pair.board.push_event(0, rx_event(payload))
    ear = Ear()
    pair.to_host = ear
    again_s = 201 * 250 / UART_BYTES_PER_S
    assert seconds_until(pair, 201 + behind) <= 2.05 + again_s
    assert pair.host.duplicates == 200
    pair.run(10)
    assert ear.events()[behind:] == list(range(1, 202 + behind)), "each once"
    assert pair.lost_reasons() == []


def test_events_go_on_arriving_while_others_are_sent_again() -> None:
    """What is received meanwhile follows in its turn."""
    pair = Pair(window=256, bytes_per_s=UART_BYTES_PER_S)
    pair.open()
    payload = bytes(100)
    hold(pair, 100, payload)
    lose_an_event(pair, payload)
    for _ in range(40):
        pair.board.push_event(0, rx_event(payload))
        pair.run(0.2)
    assert [event.number for event in pair.received] == list(range(1, 142))
