"""Order and pace, against a server that takes its time and answers in any order."""

from collections import defaultdict
from dataclasses import dataclass, field
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from protocol.network_server.pacing import GAP_US, PacedQueue, Pacing
from protocol.network_server.uplink import Limits, Now, Uplink, uplink
from tests.protocol.network_server.frames import BOOT, data_up, sensor_frame


def uplinks(devices: list[int]) -> list[Uplink]:
    """One of each of these devices' frames, in this order."""
    counts: dict[int, int] = defaultdict(int)
    made = []
    for seq, device in enumerate(devices, start=1):
        counts[device] += 1
        frame = sensor_frame(data_up(device, counts[device]), seq)
        heard = uplink(frame, Now(BOOT, 1_000_000_000, None), Limits())
        assert isinstance(heard, Uplink)
        made.append(heard)
    return made


def seqs(taken: list[Uplink]) -> list[int]:
    return [each.frame_id.seq for each in taken]


class TestQueue:
    """Step by step."""

    def test_one_of_each_device_is_under_way(self) -> None:
        queue = PacedQueue(uplinks([1, 1, 2, 1, 2]), Pacing())
        assert queue.timer_us == 0
        taken = queue.take(0, limit=9)
        assert seqs(taken) == [1, 3]
        assert queue.timer_us is None
        assert queue.take(10**12, limit=9) == []
        queue.delivered(taken[1:], 5)
        assert queue.timer_us == 5 + GAP_US
        assert queue.take(4 + GAP_US, limit=9) == []
        assert seqs(queue.take(5 + GAP_US, limit=9)) == [5]
        queue.delivered(taken[:1], 10**6)
        assert seqs(queue.take(10**6 + GAP_US)) == [2]

    def test_what_does_not_fit_waits(self) -> None:
        queue = PacedQueue(uplinks([1, 2, 3]), Pacing())
        assert seqs(queue.take(0, limit=2)) == [1, 2]
        assert queue.timer_us == 0
        queue = PacedQueue(uplinks([1, 2, 3]), Pacing())
        assert seqs(queue.take(0, limit=9, room_bytes=20, weigh=lambda _: 10)) == [1, 2]
        assert seqs(queue.take(0, limit=9, room_bytes=5, weigh=lambda _: 10)) == [3]

    def test_the_gap_outlives_a_batch(self) -> None:
        pacing = Pacing(1_000_000)
        first = PacedQueue(uplinks([1]), pacing)
        first.delivered(first.take(0), 7)
        second = PacedQueue(uplinks([1, 2]), pacing)
        assert seqs(second.take(8, limit=9)) == [2]
        assert second.timer_us == 1_000_007
        assert seqs(second.take(1_000_007)) == [1]

    def test_nothing_to_do(self) -> None:
        queue = PacedQueue([], Pacing())
        assert queue.timer_us is None
        assert queue.take(0, limit=9) == []

    def test_devices_are_forgotten_when_their_gap_has_passed(self) -> None:
        """A city has more devices than memory should be spent on."""
        pacing = Pacing()
        for number in range(5_000):
            pacing.delivered(number.to_bytes(4, "big"), number * 1_000)
        assert pacing.ready_us(bytes(4)) == 0
        assert pacing.ready_us((4_999).to_bytes(4, "big")) == 4_999_000 + GAP_US
        assert len(pacing._ready_us) <= 1_024 + 1


@dataclass
class Server:
    """Notes when it had each frame, and acknowledges a parcel after the delay that is drawn."""

    delays_us: list[int]
    had: list[tuple[int, Uplink]] = field(default_factory=list)
    under_way: list[tuple[int, list[Uplink]]] = field(default_factory=list)
    parcels: int = 0

    def take(self, parcel: list[Uplink], now_us: int) -> None:
        delay_us = self.delays_us[self.parcels % len(self.delays_us)]
        self.parcels += 1
        # It may work on it at once or at the end of the delay: both have to be far enough apart.
        self.had += ((now_us + delay_us, each) for each in parcel)
        self.under_way.append((now_us + delay_us, parcel))


def run(queue: PacedQueue, server: Server, *, limit: int, in_flight: int) -> dict[int, int]:
    """Drive a queue to its end; returns when each frame was begun, by its number."""
    now_us = 0
    begun: dict[int, int] = {}
    while True:
        for due_us, parcel in sorted(server.under_way, key=lambda item: item[0]):
            if due_us <= now_us:
                server.under_way.remove((due_us, parcel))
                queue.delivered(parcel, now_us)
        while len(server.under_way) < in_flight and (parcel := queue.take(now_us, limit=limit)):
            assert len({each.device for each in parcel}) == len(parcel) <= limit
            begun |= {each.frame_id.seq: now_us for each in parcel}
            server.take(parcel, now_us)
        moments = [due_us for due_us, _ in server.under_way]
        if queue.timer_us is not None and len(server.under_way) < in_flight:
            moments.append(queue.timer_us)
        if not moments:
            return begun
        assert min(moments) > now_us
        now_us = min(moments)


PATTERNS = st.lists(st.integers(1, 6), max_size=40)
DELAYS = st.lists(st.integers(1, 2_000_000), min_size=1, max_size=12)


@given(PATTERNS, DELAYS, st.integers(1, 8), st.integers(1, 8))
def test_nothing_is_lost_overtaken_or_hurried(
    devices: list[int], delays_us: list[int], limit: int, in_flight: int
) -> None:
    """Each frame once, each device's in order, 300 ms after the server had the last one."""
    batch = uplinks(devices)
    server = Server(delays_us)
    begun = run(PacedQueue(batch, Pacing()), server, limit=limit, in_flight=in_flight)
    assert sorted(begun) == list(range(1, len(batch) + 1))
    had = {each.frame_id.seq: at_us for at_us, each in server.had}
    assert len(server.had) == len(batch)
    by_device: dict[bytes, list[int]] = defaultdict(list)
    for each in batch:
        by_device[each.device].append(each.frame_id.seq)
    for numbers in by_device.values():
        for earlier, later in pairwise(numbers):
            assert begun[later] >= had[earlier] + GAP_US


@given(st.lists(st.just(1), min_size=1, max_size=60), st.lists(st.integers(2, 6), max_size=20))
def test_a_long_backlog_of_one_device_does_not_hold_up_the_others(
    one: list[int], others: list[int]
) -> None:
    """All others are through as if it were not there."""
    server = Server([1_000])
    with_it = run(PacedQueue(uplinks(one + others), Pacing()), server, limit=8, in_flight=8)
    alone = run(PacedQueue(uplinks(others), Pacing()), Server([1_000]), limit=8, in_flight=8)
    for seq, begun_us in alone.items():
        assert with_it[seq + len(one)] == begun_us


@given(PATTERNS, st.integers(1, 8))
def test_the_oldest_goes_first(devices: list[int], limit: int) -> None:
    """Of all devices' next frames, those that were heard first."""
    batch = uplinks(devices)
    firsts = [seq for seq, device in enumerate(devices, 1) if devices.index(device) == seq - 1]
    queue = PacedQueue(batch, Pacing())
    assert seqs(queue.take(0, limit=limit)) == firsts[:limit]
