"""In which order and how fast uplinks go to a network server.

A network server drops a frame whose counter is not above the last one's, and many work on frames
side by side: two of one device within about 200 ms may overtake each other there. So of each
device one frame is under way at any time, and the next one follows when the server has had that
for 300 ms. Frames of other devices go meanwhile. Live or late makes no difference here: the frames
come in oldest first, and a device that is heard live never sends two within 300 ms.
"""

from collections import deque
from collections.abc import Callable, Iterable, Sequence
from heapq import heappop, heappush

from protocol.network_server.uplink import Uplink

GAP_US = 300_000
_REMEMBERED = 1_024
"""Devices, beyond which those whose gap has passed are forgotten."""


class Pacing:
    """When each device may have its next frame sent; outlives connections and batches."""

    def __init__(self, gap_us: int = GAP_US) -> None:
        self._gap_us = gap_us
        self._ready_us: dict[bytes, int] = {}

    def delivered(self, device: bytes, now_us: int) -> None:
        """The server has a frame of it, since now at the latest."""
        if len(self._ready_us) >= _REMEMBERED:
            self._ready_us = {key: at for key, at in self._ready_us.items() if at > now_us}
        self._ready_us[device] = now_us + self._gap_us

    def ready_us(self, device: bytes) -> int:
        """When its next frame may go; in the past for a device that nobody remembers."""
        return self._ready_us.get(device, 0)


class PacedQueue:
    """One batch on its way: who may go now, and when somebody may next.

    Each uplink is *waiting*, then *taken*, then *delivered*; behind one that was taken and not
    delivered, those of its device wait for ever, so that none is overtaken.

    Args:
        uplinks: oldest first.
        now_us: any clock that does not step, the same one in all calls and for ``pacing``.
    """

    def __init__(self, uplinks: Iterable[Uplink], pacing: Pacing) -> None:
        self._pacing = pacing
        self._waiting: dict[bytes, deque[tuple[int, Uplink]]] = {}
        self._due: list[tuple[int, bytes]] = []  # by place in the batch
        self._later: list[tuple[int, int, bytes]] = []  # by time
        for place, uplink in enumerate(uplinks):
            self._waiting.setdefault(uplink.device, deque()).append((place, uplink))
        for device in self._waiting:
            self._schedule(device)

    @property
    def timer_us(self) -> int | None:
        """When :meth:`take` can next give something; in the past = now.

        None: not before something that was taken is delivered, or never again.
        """
        if self._due:
            return 0
        return self._later[0][0] if self._later else None

    def take(
        self,
        now_us: int,
        *,
        limit: int = 1,
        room_bytes: int = 0,
        weigh: Callable[[Uplink], int] = lambda _: 0,
    ) -> list[Uplink]:
        """Uplinks to send now, of different devices, oldest first; empty = none may go.

        Args:
            limit: how many at most.
            room_bytes: how much they may weigh together; one may always go, however heavy.
            weigh: bytes of one uplink, as its protocol writes it.
        """
        while self._later and self._later[0][0] <= now_us:
            _, place, device = heappop(self._later)
            heappush(self._due, (place, device))
        taken: list[Uplink] = []
        while self._due and len(taken) < limit:
            _, device = self._due[0]
            uplink = self._waiting[device][0][1]
            room_bytes -= weigh(uplink)
            if taken and room_bytes < 0:
                break
            heappop(self._due)
            self._waiting[device].popleft()
            taken.append(uplink)
        return taken

    def delivered(self, uplinks: Sequence[Uplink], now_us: int) -> None:
        """The server has these, or refused them, since now at the latest: the next may follow."""
        for uplink in uplinks:
            self._pacing.delivered(uplink.device, now_us)
            self._schedule(uplink.device)

    def _schedule(self, device: bytes) -> None:
        waiting = self._waiting[device]
        if waiting:
            heappush(self._later, (self._pacing.ready_us(device), waiting[0][0], device))
