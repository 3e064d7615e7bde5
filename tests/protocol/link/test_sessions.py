"""Both ends of the link joined back to back: what the specification promises, on bad lines."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.link import messages as m
from protocol.link.board_session import HostGreeted, LeaseExpired
from protocol.link.codec import parse, serialize
from protocol.link.errors import LocalLinkError, RejectReason
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.host_session import (
    IncompatibleBoard,
    NoticeReceived,
    ReplyReceived,
    RequestFailed,
    SessionOpened,
)
from protocol.lora.register_operations import RegisterRead
from tests.protocol.link.pair import MS, SECOND, Pair, dead_line, good_line, identity, rx_event

READ_VERSION = m.Registers((RegisterRead(0x42, 1),))


def frame(message: m.Message, radio: int = m.BOARD, request: int = 0) -> bytes:
    """Bytes of a frame that a test puts on the line itself."""
    return encode_frame(serialize(m.Envelope(message, radio, request)))


def messages_in(data: bytes) -> list[m.Message]:
    """Messages of all frames in a stream."""
    return [parse(body).message for body in FrameDecoder().feed(data)]


@given(
    seed=st.integers(0, 2**32),
    loss=st.floats(0, 0.5),
    window=st.integers(1, 20),
    count=st.integers(1, 60),
)
@settings(max_examples=60)
def test_events_arrive_in_order_exactly_once_over_any_line(
    seed: int, loss: float, window: int, count: int
) -> None:
    """Frames vanish or are damaged both ways; in the end every event is there, and acknowledged."""
    chance = random.Random(seed)

    def bad(data: bytes) -> bytes:
        if chance.random() < loss:
            return b"" if chance.random() < 0.5 else data[: len(data) // 2] + b"\xff\x00"
        return data

    pair = Pair(window=window)
    pair.open()
    pair.to_host = pair.to_board = bad
    for _ in range(count):
        pair.board.push_event(0, rx_event())
        pair.run(0.05)
        if pair.received:
            pair.host.acknowledge(chance.choice(pair.received).number, pair.now_us)
        outstanding = len(pair.received) - (count - len(pair.board.unacknowledged))
        assert outstanding <= window or pair.lost_reasons()
    pair.to_host = pair.to_board = good_line
    for _ in range(200):
        pair.run(0.1)
        if pair.received:
            pair.host.acknowledge(pair.received[-1].number, pair.now_us)
    if not pair.lost_reasons():
        assert [event.number for event in pair.received] == list(range(1, count + 1))
    assert {event.number for event in pair.received} == set(range(1, count + 1))
    assert pair.board.unacknowledged == ()
    assert pair.board.acknowledged == count


def test_the_window_bounds_what_is_outstanding() -> None:
    """A board sends no more than was granted until an acknowledgement arrives."""
    pair = Pair(window=3)
    pair.open()
    for _ in range(10):
        pair.board.push_event(0, rx_event())
    pair.run(0.5)
    assert [event.number for event in pair.received] == [1, 2, 3]
    pair.host.acknowledge(2, pair.now_us)
    pair.run(0.5)
    assert [event.number for event in pair.received] == [1, 2, 3, 4, 5]


def test_nothing_is_sent_before_the_host_grants() -> None:
    """Radios are configured first; events gathered before wait in the ring."""
    pair = Pair(auto_grant=False)
    pair.board.push_event(0, rx_event())
    pair.open()
    pair.run(3)
    assert pair.received == []
    pair.host.grant(pair.now_us)
    pair.run(0.1)
    assert [event.number for event in pair.received] == [1]


def test_a_slow_commit_is_not_answered_by_sending_again() -> None:
    """While the host says that it lives, the board does not repeat what is being committed."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.run(10)
    assert len(pair.received) == 1
    assert pair.host.duplicates == 0
    assert len(pair.board.unacknowledged) == 1


def test_the_board_goes_back_after_a_second_without_acknowledgement() -> None:
    """Also within a session: the last event of a burst has no later one to reveal its loss."""
    pair = Pair()
    pair.open()
    pair.to_board = dead_line
    pair.board.push_event(0, rx_event())
    pair.run(2.5, heartbeat=False)
    assert len(pair.received) == 1
    assert pair.host.duplicates == 2


def test_a_lost_last_event_is_noticed_by_two_heartbeats() -> None:
    """An earlier event is still being committed, so acknowledgements keep the board quiet."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.run(0.1)
    pair.to_host = dead_line
    pair.board.push_event(0, rx_event())
    pair.step()
    pair.to_host = good_line
    pair.run(2.5)
    assert [event.number for event in pair.received] == [1, 2]


def test_a_late_time_answer_is_ignored() -> None:
    """Only the answer to the latest request says when it was asked."""
    pair = Pair()
    pair.open()
    pair.run(0.5)
    before = pair.host.clock.host_us(6 * SECOND, 10 * SECOND)
    pair.host.receive(frame(m.Time(1, 0)), pair.now_us)
    assert pair.host.clock.host_us(6 * SECOND, 10 * SECOND) == before


def test_a_gap_is_asked_for_once() -> None:
    """What is in flight behind a lost event must not ask again and again."""
    pair = Pair(window=50)
    pair.open()
    sent: list[bytes] = []

    def watch(data: bytes) -> bytes:
        sent.append(data)
        return data

    pair.to_board = watch
    pair.to_host = dead_line
    pair.board.push_event(0, rx_event())
    pair.step()
    pair.to_host = good_line
    for _ in range(20):
        pair.board.push_event(0, rx_event())
    pair.step()
    pair.run(0.5)
    asked = [
        message
        for message in messages_in(b"".join(sent))
        if isinstance(message, m.Acknowledge) and message.go_back
    ]
    assert len(asked) == 1
    assert [event.number for event in pair.received] == list(range(1, 22))


def test_a_gap_is_asked_for_again_when_the_asking_was_lost() -> None:
    """One second later the next event may ask once more."""
    pair = Pair(window=50)
    pair.open()
    pair.to_host = dead_line
    pair.board.push_event(0, rx_event())
    pair.step()
    pair.to_host = good_line
    pair.to_board = dead_line
    pair.board.push_event(0, rx_event())
    pair.step()
    pair.to_board = good_line
    pair.run(0.5)
    assert pair.received == []
    pair.run(1)
    pair.board.push_event(0, rx_event())
    pair.run(0.2)
    assert [event.number for event in pair.received] == [1, 2, 3]


def test_reconnecting_to_the_same_boot_replays_from_the_first_unacknowledged() -> None:
    """The host process died after reception and before its commit."""
    pair = Pair()
    pair.open()
    for _ in range(4):
        pair.board.push_event(0, rx_event())
    pair.run(0.1)
    pair.host.acknowledge(1, pair.now_us)
    pair.run(0.1)
    again = Pair(now_us=pair.now_us)
    again.board = pair.board
    again.run(0.2)
    assert [event.number for event in again.received] == [2, 3, 4]


def test_a_restarted_board_is_noticed_and_starts_from_one() -> None:
    """Another boot id: its ring is empty and its numbers begin anew."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.run(0.1)
    pair.new_board(identity(boot_id=2))
    pair.board.push_event(0, rx_event(b"new"))
    pair.run(0.5)
    assert pair.lost_reasons() == ["the board began anew"]
    opened = [event for event in pair.host_events if isinstance(event, SessionOpened)]
    assert [event.hello.boot_id for event in opened] == [1, 2]
    assert pair.received[-1].payload == b"new"


def test_silence_ends_the_session() -> None:
    """No data is not health: five heartbeats missing."""
    pair = Pair()
    pair.open()
    pair.to_host = dead_line
    pair.run(5.5)
    assert pair.lost_reasons() == ["nothing heard for 5 s"]
    assert not pair.host.open
    pair.to_host = good_line
    pair.run(1.5)
    assert pair.host.open


def test_the_lease_ends_the_boards_session() -> None:
    """It keeps what it receives and greets again until a host answers."""
    pair = Pair()
    pair.open()
    pair.to_board = dead_line
    pair.run(11)
    assert LeaseExpired() in pair.board_events
    assert not pair.board.open
    pair.board.push_event(0, rx_event())
    pair.to_board = good_line
    pair.run(2)
    assert [event.number for event in pair.received] == [1]


def test_an_unheard_hello_is_repeated() -> None:
    """A board that boots slowly is still found."""
    pair = Pair()
    pair.to_board = dead_line
    pair.run(3)
    assert not pair.host.open
    pair.to_board = good_line
    pair.run(1.1)
    assert pair.host.open
    assert HostGreeted() in pair.board_events


def test_a_full_ring_counts_and_keeps_the_older_events() -> None:
    """An event without room gets no number, so the numbers stay without gaps."""
    pair = Pair(hello=identity(ring_capacity=2))
    results = [pair.board.push_event(0, rx_event()) for _ in range(5)]
    assert [event.number if event else None for event in results] == [1, 2, None, None, None]
    assert pair.board.ring_overflow == 3
    pair.run(1.5)
    notices = [event.notice for event in pair.host_events if isinstance(event, NoticeReceived)]
    beats = [notice for notice in notices if isinstance(notice, m.Heartbeat)]
    assert beats[0].ring_overflow == 3
    assert beats[0].ring_high_water == 2


def test_requests_are_answered_and_limited_by_the_boards_credits() -> None:
    """At most as many are outstanding as the board said it can hold."""
    pair = Pair(hello=identity(max_requests=2))
    pair.open()
    sent = [pair.host.request(READ_VERSION, 0, pair.now_us) for _ in range(5)]
    pair.run(0.05)
    assert [r.request for r in pair.requests()] == sent[:2]
    for request in pair.requests():
        pair.board.reply(request, m.Status(m.StatusCode.OK, 0, b"\x12"))
    pair.run(0.05)
    assert [r.request for r in pair.requests()] == sent[:4]
    replies = [event for event in pair.host_events if isinstance(event, ReplyReceived)]
    assert [(r.request, r.status.data) for r in replies] == [(1, b"\x12"), (2, b"\x12")]


def test_a_request_is_tried_three_times() -> None:
    """Then its failure is an event; a late answer is counted, not believed."""
    pair = Pair()
    pair.open()
    request = pair.host.request(READ_VERSION, 0, pair.now_us)
    pair.run(3.2)
    assert len(pair.requests()) == 3
    assert RequestFailed(request) in pair.host_events
    pair.board.reply(pair.requests()[0], m.Status(m.StatusCode.OK))
    pair.run(0.05)
    assert pair.host.rejects[RejectReason.UNEXPECTED] == 1


def test_requests_need_a_session_and_room() -> None:
    """Asking for the impossible is our own mistake."""
    pair = Pair()
    with pytest.raises(LocalLinkError, match="no session"):
        pair.host.request(READ_VERSION, 0, 0)
    pair.open()
    for _ in range(64):
        pair.host.request(READ_VERSION, 0, pair.now_us)
    with pytest.raises(LocalLinkError, match="too many"):
        pair.host.request(READ_VERSION, 0, pair.now_us)


def test_the_boards_clock_is_learnt() -> None:
    """Its counter maps to the host's clock; nothing is heard in the future."""
    pair = Pair(counter_ahead_us=7 * SECOND)
    assert not pair.host.clock.known
    assert pair.host.clock.host_us(123, 456) == 456
    pair.open()
    pair.run(1)
    assert pair.host.clock.known
    assert abs(pair.host.clock.host_us(7 * SECOND + 500 * MS, pair.now_us) - 500 * MS) <= 10 * MS
    assert pair.host.clock.uncertainty_us <= 10 * MS
    assert pair.host.clock.host_us(99 * SECOND, pair.now_us) == pair.now_us


def test_another_major_version_is_reported() -> None:
    """The driver then says which firmware it met."""
    hello = identity()
    other = m.BoardHello(
        **{name: getattr(hello, name) for name in m.BoardHello.__dataclass_fields__} | {"major": 9}
    )
    pair = Pair(hello=other)
    pair.run(0.1)
    assert isinstance(pair.host_events[0], IncompatibleBoard)
    assert not pair.host.open


def test_a_host_that_speaks_to_itself_hears_nothing() -> None:
    """An echoing line (a modem, a loop-back plug) is counted, never believed."""
    pair = Pair()
    pair.open()
    pair.host.receive(frame(m.TimeRequest(1)), pair.now_us)
    pair.board.receive(frame(m.Time(1, 1)), pair.now_us)
    assert pair.host.rejects[RejectReason.UNEXPECTED] == 1
    pair.run(1.5)
    notices = [event.notice for event in pair.host_events if isinstance(event, NoticeReceived)]
    assert [n.link_errors for n in notices if isinstance(n, m.Heartbeat)][-1] == 1


def test_malformed_messages_are_counted_on_both_ends() -> None:
    """The board tells its host, who can log it."""
    pair = Pair()
    pair.open()
    pair.host.receive(encode_frame(b"\x99\xff\x00"), pair.now_us)
    assert pair.host.rejects[RejectReason.MALFORMED] == 1
    pair.board.receive(encode_frame(b"\x98\xff\x00"), pair.now_us)
    pair.run(0.05)
    assert NoticeReceived(m.BOARD, m.Rejected(0x98)) in pair.host_events


def test_events_before_the_session_are_left_for_later() -> None:
    """Bytes of an earlier session may still be on the line when the port is opened."""
    pair = Pair()
    pair.host.receive(frame(rx_event(), 0), 0)
    assert pair.host.rejects[RejectReason.UNEXPECTED] == 1
    pair.board.receive(frame(m.Acknowledge(0, 5)), 0)
    assert pair.received == []


def test_a_board_that_ignores_the_window_is_held_to_it() -> None:
    """A bounded queue stands behind the session."""
    pair = Pair(window=2)
    pair.open()
    for number in (1, 2, 3):
        event = m.RxEvent(number, 0, 0, 0x40, 0, 0x40, 0, 0, 0, 0x72, 0x74, 0, 0, b"")
        pair.host.receive(frame(event, 0), pair.now_us)
    pair.step()
    assert [event.number for event in pair.received] == [1, 2]
    assert pair.host.rejects[RejectReason.UNEXPECTED] == 1


def test_an_acknowledgement_of_the_future_is_ignored() -> None:
    """A host confused by another board must not empty this one's ring."""
    pair = Pair()
    pair.open()
    pair.board.push_event(0, rx_event())
    pair.board.receive(frame(m.Acknowledge(99, 5)), pair.now_us)
    assert len(pair.board.unacknowledged) == 1
    pair.host.acknowledge(99, pair.now_us)
    pair.run(0.1)
    assert len(pair.board.unacknowledged) == 1


def test_an_acknowledgement_beyond_what_was_sent_moves_the_sender_on() -> None:
    """Another host process committed it before; it is not sent again."""
    pair = Pair(window=1)
    pair.open()
    for _ in range(3):
        pair.board.push_event(0, rx_event())
    pair.board.receive(frame(m.Acknowledge(2, 5)), pair.now_us)
    data = pair.board.next_frame(pair.now_us)
    assert data is not None
    assert data.event_number == 3


def test_timers_tell_when_to_come_back() -> None:
    """Both ends name a time that is never later than their next duty."""
    pair = Pair()
    assert pair.host.timer_us() == SECOND
    assert pair.board.timer_us() == SECOND
    pair.open()
    pair.run(1)
    assert pair.now_us < pair.host.timer_us() <= pair.now_us + 2 * SECOND
    pair.host.request(READ_VERSION, 0, pair.now_us)
    assert pair.host.timer_us() <= pair.now_us + SECOND
    pair.board.push_event(0, rx_event())
    pair.run(0.05)
    assert pair.host.timer_us() <= pair.now_us + 300 * MS
    assert pair.board.timer_us() <= pair.now_us + SECOND


def test_other_notices_reach_the_host() -> None:
    """Faults and transmissions are told, with the radio they are about."""
    pair = Pair()
    pair.open()
    pair.board.notify(m.RadioFault(0x39), 0)
    pair.run(0.05)
    assert NoticeReceived(0, m.RadioFault(0x39)) in pair.host_events


def test_an_old_greeting_does_not_disturb() -> None:
    """The board answered two of our hellos; the second answer comes late."""
    pair = Pair()
    pair.open()
    opened = [event for event in pair.host_events if isinstance(event, SessionOpened)]
    pair.host.receive(frame(opened[0].hello), pair.now_us)
    pair.run(0.1)
    assert pair.lost_reasons() == []


def test_an_acknowledgement_from_before_a_restart_empties_no_ring() -> None:
    """The gateway commits what it got of the old boot while the new boot's events wait."""
    pair = Pair()
    pair.open()
    for _ in range(3):
        pair.board.push_event(0, rx_event())
    pair.run(0.1)
    assert len(pair.received) == 3
    pair.new_board(identity(boot_id=2))
    for _ in range(5):
        pair.board.push_event(0, rx_event())
    greeting = pair.board.next_frame(pair.now_us)
    assert greeting is not None
    pair.host.receive(greeting.data, pair.now_us)
    assert not pair.host.open
    pair.host.acknowledge(3, pair.now_us)
    pair.board.receive(pair.host.bytes_to_send(), pair.now_us)
    assert len(pair.board.unacknowledged) == 5
    pair.run(1)
    assert [event.number for event in pair.received] == [1, 2, 3, 1, 2, 3, 4, 5]


def test_a_new_boot_that_answers_a_repeated_hello_is_a_new_session() -> None:
    """Our hello waited on the line while the board restarted, so its nonce is ours."""
    pair = Pair()
    pair.open()
    opened = [event for event in pair.host_events if isinstance(event, SessionOpened)]
    pair.host.receive(frame(replace(opened[0].hello, boot_id=2)), pair.now_us)
    pair.step()
    assert pair.lost_reasons() == ["the board began anew"]


def test_only_our_own_nonce_opens_a_session() -> None:
    """An answer to another process is no answer to us."""
    pair = Pair()
    pair.host.receive(frame(replace(identity(), nonce=77)), 0)
    assert not pair.host.open


def test_a_session_that_ends_unseen_is_not_told() -> None:
    """A board in a crash loop: who acted on its opening would act on a session that is gone."""
    pair = Pair()
    hello = next(x for x in messages_in(pair.host.bytes_to_send()) if isinstance(x, m.HostHello))
    answer = replace(identity(), nonce=hello.nonce)
    pair.host.receive(frame(answer) + frame(identity(boot_id=2)), 0)
    assert pair.host.next_event() is None
    assert not pair.host.open


def test_a_second_greeting_does_not_close_the_window_for_long() -> None:
    """The board heard both hellos: the second set its window to 0, which the host makes good."""
    pair = Pair()
    hello = pair.host.bytes_to_send()
    pair.board.receive(hello, 0)
    pair.open()
    pair.board.receive(hello, pair.now_us)
    pair.board.push_event(0, rx_event())
    pair.run(0.1, heartbeat=False)
    assert [event.number for event in pair.received] == [1]


def test_an_event_before_the_grant_is_refused() -> None:
    """Nobody takes it yet; it will come again."""
    pair = Pair(auto_grant=False)
    pair.open()
    pair.host.receive(frame(replace(rx_event(), number=1), 0), pair.now_us)
    pair.step()
    assert pair.received == []
    assert pair.host.rejects[RejectReason.UNEXPECTED] == 1


def test_requests_of_an_earlier_session_are_not_answered() -> None:
    """Another host process counts its requests from 1 as well."""
    pair = Pair()
    pair.open()
    pair.host.request(READ_VERSION, 0, pair.now_us)
    pair.run(0.05)
    (old,) = pair.requests()
    again = Pair(now_us=pair.now_us)
    again.board = pair.board
    again.run(0.1)
    assert again.host.open
    request = again.host.request(READ_VERSION, 0, again.now_us)
    assert request == old.request
    again.board.reply(old, m.Status(m.StatusCode.REFUSED))
    again.run(0.05)
    again.board.reply(again.requests()[0], m.Status(m.StatusCode.OK))
    again.run(0.05)
    assert again.of(ReplyReceived) == [ReplyReceived(request, m.Status(m.StatusCode.OK))]


def test_the_host_never_acknowledges_what_it_has_not_received() -> None:
    """The board holds more than it may send: a number from elsewhere must not empty its ring."""
    pair = Pair(window=1)
    pair.open()
    for _ in range(3):
        pair.board.push_event(0, rx_event())
    pair.run(0.1)
    assert len(pair.received) == 1
    pair.host.acknowledge(3, pair.now_us)
    pair.run(0.1)
    assert len(pair.board.unacknowledged) == 3


def test_an_acknowledgement_of_the_past_is_ignored_and_counted() -> None:
    """What was acknowledged before it stays acknowledged, and the order is kept."""
    pair = Pair()
    pair.open()
    for _ in range(4):
        pair.board.push_event(0, rx_event())
    pair.run(0.1)
    pair.board.receive(frame(m.Acknowledge(2, 8)), pair.now_us)
    pair.board.receive(frame(m.Acknowledge(1, 8, go_back=True)), pair.now_us)
    assert pair.board.acknowledged == 2
    assert [event.number for event in pair.board.unacknowledged] == [3, 4]
    pair.board.heartbeat(())
    pair.step()
    notices = [event.notice for event in pair.host_events if isinstance(event, NoticeReceived)]
    assert [n.link_errors for n in notices if isinstance(n, m.Heartbeat)][-1] == 1


def test_a_grant_without_a_session_grants_nothing() -> None:
    """The next board's radios are not configured yet."""
    pair = Pair(auto_grant=False)
    pair.host.grant(0)
    assert [type(message) for message in messages_in(pair.host.bytes_to_send())] == [m.HostHello]
    pair.board.push_event(0, rx_event())
    pair.open()
    pair.run(1)
    assert pair.received == []
