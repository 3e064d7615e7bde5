"""Boots of the host, what their uptime clocks mean in wall-clock time, and how old rows are.

Rows carry a boot and CLOCK_BOOTTIME, never Unix time. When a row is read, the anchors of its boot
date it, also if the clock was synchronised only later; see :mod:`edge.outbox.anchors`. A boot's
clock says nothing about another boot.

Age counts uptime and nothing else: the rest of the row's own boot, all boots since, and this one.
It would be more to add the time for which the host was off, but only a wall clock tells that, and
a wall clock may be years ahead for hours with a time server that vouches for it. What expires is
gone for good, while a frame kept too long only takes room, and room has a bound of its own. A host
that is off hears nothing either. So no clock, right or wrong, makes a row expire.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace

from edge.outbox.anchors import ANCHOR_INTERVAL_US, Anchor, ClockHistory, Learned
from protocol.records.sensor_frame import WallTime

MAX_BOOTS = 1_000
"""Kept, unless more of them are needed. Power that flaps for months makes as many."""

_BURST_WRITES = 50
_WRITE_EVERY_US = 60_000_000
"""Two time daemons that quarrel set the clock again and again. Their first moves are written at
once, further ones at this pace, because the card has to last."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot, as it is on disk or should be.

    Attributes:
        number: rows refer to it; later boots have greater numbers.
        last_boottime_us: the longest uptime that is known, at most an hour less than it was.
        anchors: oldest first.
    """

    number: int
    boot_id: bytes
    last_boottime_us: int = 0
    anchors: tuple[Anchor, ...] = ()


class Boots:
    """All boots that rows refer to, and which of them are not yet on disk as they should be.

    Args:
        stored: what is on disk.
        current_boot_id: of the running host; a new one gets the next number at once.
    """

    def __init__(self, stored: Iterable[Boot], current_boot_id: bytes) -> None:
        self._boots = {boot.number: boot for boot in stored}
        self._changed: set[int] = set()
        self._numbers = {boot.boot_id: boot.number for boot in self._boots.values()}
        self._uptime_after_us: dict[int, int] = {}
        self._current = self.number(current_boot_id)
        self._history = ClockHistory(self._boots[self._current].anchors)
        self._uptime_us = self._boots[self._current].last_boottime_us
        self._allowed_writes = float(_BURST_WRITES)

    @property
    def current(self) -> int:
        """Number of the running host's boot."""
        return self._current

    def number(self, boot_id: bytes) -> int:
        """Look up a boot; an unknown one gets the next number."""
        if boot_id not in self._numbers:
            number = max(self._boots, default=0) + 1
            self._numbers[boot_id] = number
            self._boots[number] = Boot(number, boot_id)
            self._changed.add(number)
            self._uptime_after_us.clear()
        return self._numbers[boot_id]

    def wall(self, boot_id: bytes, boottime_us: int) -> WallTime | None:
        """Unix time of an instant of a boot, and how far it may be off, as far as known by now."""
        number = self._numbers.get(boot_id)
        if number is None:
            return None
        if number == self._current:
            return self._history.wall(boottime_us)
        return ClockHistory(self._boots[number].anchors).wall(boottime_us)

    def learn(self, boottime_us: int, wall: WallTime | None) -> Learned:
        """Note what the clocks say now; to be called about once a second.

        Args:
            boottime_us: uptime. If the two clocks were not read within a few milliseconds of each
                other, the caller had better try again: the difference goes into the anchor.
            wall: Unix time, None while nobody vouches for it.
        """
        elapsed_us = max(0, boottime_us - self._uptime_us)
        self._uptime_us += elapsed_us
        self._allowed_writes += elapsed_us / _WRITE_EVERY_US
        self._allowed_writes = min(self._allowed_writes, _BURST_WRITES)
        learned = Learned()
        if wall is not None:
            reading = Anchor(boottime_us, wall.unix_us - boottime_us, wall.uncertainty_us)
            self._history, learned = self._history.learn(reading)
        self._decide_what_to_write()
        return learned

    def age_us(self, number: int, boottime_us: int, now_us: int) -> int:
        """How old a row certainly is: the uptime since, of its own boot and of all later ones.

        Args:
            number: of the row's boot.
            boottime_us: when the row was made.
            now_us: uptime of the present boot.
        """
        if number == self._current:
            return max(0, now_us - boottime_us)
        if number > self._current:
            return 0  # of a host that this one knows nothing about
        boot = self._boots.get(number)
        rest_us = max(0, boot.last_boottime_us - boottime_us) if boot else 0
        return rest_us + self._uptime_after(number) + now_us

    def unsaved(self) -> list[Boot]:
        """Boots that are not on disk, or not as they should be, with all of their anchors."""
        return [
            self._boots[number]
            if number != self._current
            else replace(self._boots[number], last_boottime_us=self._uptime_us)
            for number in sorted(self._changed)
        ]

    def saved(self, boots: Iterable[Boot]) -> None:
        """Note that these are committed."""
        for boot in boots:
            if boot.number == self._current:
                # What was learnt during the commit is still to be written.
                uptime_us = max(self._boots[self._current].last_boottime_us, boot.last_boottime_us)
                self._boots[self._current] = replace(
                    self._boots[self._current], last_boottime_us=uptime_us
                )
            if self._boots.get(boot.number) == boot:
                self._changed.discard(boot.number)

    def forget_saved(self) -> None:
        """Another database has taken the place of the one that had them."""
        self._changed = set(self._boots)

    @property
    def are_too_many(self) -> bool:
        """Whether some should be removed."""
        return len(self._boots) > MAX_BOOTS

    def removable(self, first_with_rows: int, also: Collection[bytes]) -> list[int]:
        """Boots to remove from the disk because there are too many of them, oldest first.

        None that is needed: their absence makes nothing seem younger or undated.

        Args:
            first_with_rows: number of the oldest boot that has rows.
            also: boots of frames that were set aside.
        """
        surplus = max(0, len(self._boots) - MAX_BOOTS)
        unneeded = sorted(
            number
            for number, boot in self._boots.items()
            if number < min(first_with_rows, self._current) and boot.boot_id not in also
        )
        return unneeded[:surplus]

    def removed(self, numbers: Iterable[int]) -> None:
        """Note that these are no longer on disk."""
        for number in numbers:
            self._changed.discard(number)
            del self._numbers[self._boots.pop(number).boot_id]
        self._uptime_after_us.clear()

    def _decide_what_to_write(self) -> None:
        """What is not worth a write of its own yet stays in memory."""
        boot = self._boots[self._current]
        changed = boot.anchors != self._history.anchors and self._allowed_writes >= 1
        if changed:
            self._allowed_writes -= 1
        if changed or self._uptime_us - boot.last_boottime_us >= ANCHOR_INTERVAL_US:
            anchors = self._history.anchors if changed else boot.anchors
            self._boots[self._current] = replace(
                boot, last_boottime_us=self._uptime_us, anchors=anchors
            )
            self._changed.add(self._current)

    def _uptime_after(self, number: int) -> int:
        """Uptimes of all boots after one and before this one."""
        if number not in self._uptime_after_us:
            self._uptime_after_us[number] = sum(
                boot.last_boottime_us
                for boot in self._boots.values()
                if number < boot.number < self._current
            )
        return self._uptime_after_us[number]
