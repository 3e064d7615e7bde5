"""Merging what several radios heard of one transmission. Pure: time is an argument.

Same PHY payload and RxDone within 500 ms is one transmission (LoRaWAN repeats come after 2 s or
more). Radios of one board and boot are compared on the board's own counter, which is exact, others
on the host's clock. A frame is held 200 ms for other radios, but only while a radio that listens to
the same channel has not reported it yet.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from protocol.lora.events import CrcStatus, UplinkReceived

SAME_TRANSMISSION_US = 500_000
HOLD_US = 200_000

ChannelKey = tuple[int, int, int]
"""(frequency_hz, spreading_factor, bandwidth_hz)."""


@dataclass(slots=True, eq=False)
class HeldFrame:
    """Receptions of one transmission, in order of arrival."""

    release_at_us: int
    receptions: list[UplinkReceived] = field(default_factory=list)

    def takes(self, event: UplinkReceived) -> bool:
        """Whether this reception is of the same transmission."""
        return event.payload == self.receptions[0].payload and all(
            _may_be_one(event, other) for other in self.receptions
        )

    def best_first(self) -> tuple[UplinkReceived, ...]:
        """Intact ones first, then highest SNR, then strongest."""
        return tuple(
            sorted(
                self.receptions,
                key=lambda r: (
                    r.crc_status is CrcStatus.OK,
                    -999.0 if r.snr_db is None else r.snr_db,
                    -999.0 if r.rssi_dbm is None else r.rssi_dbm,
                ),
                reverse=True,
            )
        )


def _may_be_one(a: UplinkReceived, b: UplinkReceived) -> bool:
    if (a.concentrator, a.radio) == (b.concentrator, b.radio):
        return False  # a radio hears one transmission once
    same_counter = (
        a.origin is not None
        and b.origin is not None
        and (a.origin.board_id, a.origin.boot_id) == (b.origin.board_id, b.origin.boot_id)
    )
    if same_counter and a.count_us is not None and b.count_us is not None:
        return abs(a.count_us - b.count_us) <= SAME_TRANSMISSION_US
    return abs(a.received_at_us - b.received_at_us) <= SAME_TRANSMISSION_US


class Deduplicator:
    """Frames held for other radios.

    Args:
        channels: the channel of each configured radio, once per radio.
    """

    def __init__(self, channels: Iterable[ChannelKey]) -> None:
        self._radios_on = Counter(channels)
        self._held: list[HeldFrame] = []

    def __len__(self) -> int:
        return len(self._held)

    def add(self, event: UplinkReceived, now_us: int) -> bool:
        """Take in a reception; True if it was merged into a held frame."""
        for held in self._held:
            if held.takes(event):
                held.receptions.append(event)
                self._shorten(held, now_us)
                return True
        held = HeldFrame(now_us + HOLD_US, [event])
        self._shorten(held, now_us)
        self._held.append(held)
        return False

    def timer_us(self) -> int | None:
        """When the next frame is due, or None."""
        return min((held.release_at_us for held in self._held), default=None)

    def release(self, now_us: int, *, everything: bool = False) -> list[HeldFrame]:
        """Take out what is due, with all frames that must be committed in the same transaction.

        An event mark says that all earlier events of its board are safe. So a frame leaves
        together with every held frame that has an earlier event of one of its boards.
        """
        leaving = [held for held in self._held if everything or held.release_at_us <= now_us]
        reach = _reach(leaving)
        grown = True
        while grown:
            more = [held for held in self._held if held not in leaving and _is_before(held, reach)]
            leaving += more
            grown = bool(more)
            reach = _reach(leaving)
        self._held = [held for held in self._held if held not in leaving]
        return leaving

    def _shorten(self, held: HeldFrame, now_us: int) -> None:
        """Nothing to wait for once every radio on the frame's channel has reported it."""
        first = held.receptions[0]
        channel = (first.frequency_hz, first.spreading_factor, first.bandwidth_hz)
        if len(held.receptions) >= self._radios_on[channel]:
            held.release_at_us = now_us


def _reach(frames: list[HeldFrame]) -> dict[tuple[bytes, int], int]:
    reach: dict[tuple[bytes, int], int] = {}
    for frame in frames:
        for reception in frame.receptions:
            if (origin := reception.origin) is not None:
                key = (origin.board_id, origin.boot_id)
                reach[key] = max(reach.get(key, 0), origin.number)
    return reach


def _is_before(frame: HeldFrame, reach: dict[tuple[bytes, int], int]) -> bool:
    return any(
        origin.number < reach.get((origin.board_id, origin.boot_id), 0)
        for reception in frame.receptions
        if (origin := reception.origin) is not None
    )
