"""What the workload tells about its frames, line by line, and what the oracle makes of it.

::

    append FIRST LAST           these numbers are about to be appended, in one call
    promise N ID [N ID ...]     the call has returned: these frames are safe under these identities
    acknowledge UPSTREAM N ...  these are about to be acknowledged for that upstream
    evicted TOTAL               so many frames were removed so far by a stated rule, undelivered
    calls TOTAL                 storage calls of the process: after each opening, and at its end

A line is one write, so it is there as a whole or not at all, but for the last one before a kill.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from protocol.records.sensor_frame import FrameId

_RECENT = 100


@dataclass(frozen=True, slots=True)
class Teller:
    """Writes the lines; the library that logs writes knows the file by its name, "promises"."""

    descriptor: int

    def append(self, first: int, last: int) -> None:
        """Tell before the call."""
        self._tell("append", first, last)

    def promise(self, first: int, frame_ids: Iterable[FrameId]) -> None:
        """Tell after the call."""
        pairs = enumerate(frame_ids, start=first)
        self._tell("promise", *(word for pair in pairs for word in pair))

    def acknowledge(self, upstream: str, numbers: Iterable[int]) -> None:
        """Tell before the call."""
        self._tell("acknowledge", upstream, *numbers)

    def evicted(self, total: int) -> None:
        """Tell when it has changed."""
        self._tell("evicted", total)

    def calls(self, total: int) -> None:
        """Tell after the store was opened, and at the end."""
        self._tell("calls", total)

    def _tell(self, *words: object) -> None:
        os.write(self.descriptor, (" ".join(map(str, words)) + "\n").encode())


@dataclass(slots=True)
class Promises:
    """What holds after the lines so far.

    Attributes:
        appended: first and last number of each call, whether it returned or not.
        promised: identities by number.
        acknowledged: by upstream, numbers that it may have acknowledged.
        excused: numbers that were found to be evicted by an earlier look at the store.
        evicted: so many were removed since then.
        calls: as told.
    """

    upstreams: tuple[str, ...]
    appended: list[tuple[int, int]] = field(default_factory=list)
    promised: dict[int, FrameId] = field(default_factory=dict)
    acknowledged: dict[str, set[int]] = field(default_factory=lambda: defaultdict(set))
    excused: set[int] = field(default_factory=set)
    evicted: int = 0
    calls: list[int] = field(default_factory=list)

    def hear(self, line: str) -> None:
        """Take in a whole line."""
        kind, *words = line.split()
        match kind:
            case "append":
                self.appended.append((int(words[0]), int(words[1])))
            case "promise":
                pairs = zip(words[::2], words[1::2], strict=True)
                self.promised |= {int(n): FrameId.parse(frame_id) for n, frame_id in pairs}
            case "acknowledge":
                self.acknowledged[words[0]].update(map(int, words[1:]))
            case "evicted":
                self.evicted = int(words[0])
            case "calls":
                self.calls.append(int(words[0]))
            case _:
                raise ValueError(f"not a line of the workload: {line!r}")

    def hear_all(self, text: str) -> None:
        """Take in the whole lines of a text; a last one that was cut is not a promise."""
        whole, _, _ = text.rpartition("\n")
        for line in whole.splitlines():
            self.hear(line)

    def may_be_gone(self, number: int) -> bool:
        """Whether every upstream may have acknowledged it, or it is known to be evicted."""
        return number in self.excused or all(
            number in self.acknowledged[upstream] for upstream in self.upstreams
        )

    def settle(self, stored: Mapping[int, FrameId], evicted: set[int]) -> None:
        """All was found in order: what is there is promised from now on, what is gone forgotten.

        So the next look takes no longer. The newest promises stay, for the sake of marks and of
        identities that must not come again.

        Args:
            stored: frames that are there.
            evicted: numbers that were removed since the last time.
        """
        recent = sorted(self.promised)[-_RECENT:]
        newest = self.newest
        self.promised = {number: self.promised[number] for number in recent} | dict(stored)
        self.appended = [(number, number) for number in {*self.promised, newest}]
        self.excused |= evicted
        self.evicted = 0

    @property
    def newest(self) -> int:
        """Greatest number so far; 0 if there is none."""
        return max((last for _, last in self.appended), default=0)
