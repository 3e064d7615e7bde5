"""What the boards can answer for: which transmissions a chip received, and what became of them.

Other parties count the rest: the sensors what they sent, the upstream what arrived.
"""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from protocol.link.messages import RxEvent
from simulator.radio_unit import good_crc

EventKey = tuple[str, int, int]
"""(concentrator, boot id, event number)."""


@dataclass(slots=True)
class ReceivedFrame:
    """A transmission that at least one chip reported with RxDone and a good CRC."""

    transmission: int
    payload: bytes
    events: list[EventKey] = field(default_factory=list)


@dataclass(slots=True)
class Balance:
    """Counts while the simulation runs; :meth:`summary` at any time.

    ``causes`` tells what became of each transmission in the air.
    """

    sent: int = 0
    causes: Callable[[], Mapping[str, int]] = dict[str, int]
    _frames: dict[int, ReceivedFrame] = field(default_factory=dict)
    _frame_of: dict[EventKey, int] = field(default_factory=dict)
    _written: dict[EventKey, float] = field(default_factory=dict)
    _acknowledged: dict[EventKey, float] = field(default_factory=dict)
    _taken: set[EventKey] = field(default_factory=set)
    _delivered: set[int] = field(default_factory=set)

    @property
    def receivable(self) -> int:
        """Transmissions that a chip reported with RxDone and a good CRC."""
        return len(self._frames)

    @property
    def delivered(self) -> int:
        """Of those, transmissions that a board wrote wholly to its line."""
        return len(self._delivered)

    def received(
        self,
        transmission: int,
        concentrator: str,
        boot_id: int,
        event: RxEvent | None,
        raw: RxEvent,
    ) -> None:
        """A chip raised RxDone; ``event`` is the numbered event, None if the ring was full."""
        if not good_crc(raw):
            return
        frame = self._frames.setdefault(transmission, ReceivedFrame(transmission, raw.payload))
        if event is None:
            return
        key = (concentrator, boot_id, event.number)
        frame.events.append(key)
        self._frame_of[key] = transmission

    def written(self, concentrator: str, boot_id: int, number: int) -> None:
        """An event was wholly written to the pty."""
        key = (concentrator, boot_id, number)
        self._written[key] = time.time()
        if key in self._frame_of:
            self._delivered.add(self._frame_of[key])

    def was_written(self, key: EventKey) -> bool:
        """Whether a host can have an event: its last byte is on the line."""
        return key in self._written

    def acknowledged(self, concentrator: str, boot_id: int, number: int) -> None:
        """The host said that an event is safe."""
        self._acknowledged[concentrator, boot_id, number] = time.time()

    def timings(self) -> list[dict[str, object]]:
        """Unix times of each event: last byte on the line, acknowledgement by the host."""
        return [
            {
                "payload": self._frames[number].payload.hex(),
                "written": self._written.get(key),
                "acknowledged": self._acknowledged.get(key),
            }
            for key, number in self._frame_of.items()
        ]

    def taken(self, concentrator: str, boot_id: int, number: int) -> None:
        """A board lost its power with this event unacknowledged."""
        self._taken.add((concentrator, boot_id, number))

    def excuse(self, frame: ReceivedFrame) -> str | None:
        """Why a frame may be missing upstream: no board can have kept it."""
        if not frame.events:
            return "ring_overflow"
        if all(key in self._taken for key in frame.events):
            return "board_down"
        return None

    def summary(self) -> dict[str, object]:
        """Everything a checker needs, JSON-able."""
        frames = [
            {
                "transmission": frame.transmission,
                "payload": frame.payload.hex(),
                "delivered": frame.transmission in self._delivered,
                "excuse": self.excuse(frame),
            }
            for frame in self._frames.values()
        ]
        return {
            "sent": self.sent,
            "receivable": self.receivable,
            "delivered": self.delivered,
            "ring_overflow": sum(1 for frame in frames if frame["excuse"] == "ring_overflow"),
            "board_down": sum(1 for frame in frames if frame["excuse"] == "board_down"),
            "causes": {cause: count for cause, count in self.causes().items() if count},
            "frames": frames,
        }

    def write(self, path: Path) -> None:
        """Write the summary, whole or not at all."""
        temporary = path.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.summary()))
        temporary.replace(path)
