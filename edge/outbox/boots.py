"""Boots of the host, and what their uptime clocks mean in wall-clock time.

Rows carry a boot and CLOCK_BOOTTIME. Once the wall clock is synchronised, the offset between the
two dates every row of that boot, also those written before.
"""

from dataclasses import dataclass, replace

from protocol.records.sensor_frame import WallTime

_STEP_US = 50_000
"""Offsets that differ by less are the same one measured again: not worth a write."""


@dataclass(frozen=True, slots=True)
class Boot:
    """One boot; ``offset_us`` is Unix time minus CLOCK_BOOTTIME, None while unknown."""

    number: int
    boot_id: bytes
    offset_us: int | None = None
    uncertainty_us: int | None = None

    def wall(self, boottime_us: int) -> WallTime | None:
        """Unix time of an instant of this boot, if it is known."""
        if self.offset_us is None or self.uncertainty_us is None:
            return None
        return WallTime(boottime_us + self.offset_us, self.uncertainty_us)


class Boots:
    """All boots that rows refer to, and which of them are not yet on disk as they are here."""

    def __init__(self, stored: list[Boot], current_boot_id: bytes) -> None:
        self._stored = {boot.number: boot for boot in stored}
        self._by_id = {boot.boot_id: boot for boot in stored}
        self._current_boot_id = current_boot_id

    def boot(self, boot_id: bytes) -> Boot:
        """Look up a boot; an unknown one gets the next number."""
        if boot_id not in self._by_id:
            self._by_id[boot_id] = Boot(len(self._by_id) + 1, boot_id)
        return self._by_id[boot_id]

    def learn(self, boottime_us: int, wall: WallTime | None) -> None:
        """Note what the wall clock says now, if that is new or much better than what is known."""
        if wall is None:
            return
        boot = self.boot(self._current_boot_id)
        offset_us = wall.unix_us - boottime_us
        if (
            boot.offset_us is None
            or boot.uncertainty_us is None
            or abs(offset_us - boot.offset_us) > _STEP_US
            or wall.uncertainty_us < boot.uncertainty_us // 2
        ):
            self._by_id[boot.boot_id] = replace(
                boot, offset_us=offset_us, uncertainty_us=wall.uncertainty_us
            )

    def age_us(self, number: int, boottime_us: int, now_us: int, wall: WallTime | None) -> int:
        """How old a row certainly is.

        Of an earlier boot without a known offset one only knows that it ended before this boot
        began. A jump of an unsynchronised clock therefore never makes anything old.
        """
        boot = next(boot for boot in self._by_id.values() if boot.number == number)
        if boot.boot_id == self._current_boot_id:
            return now_us - boottime_us
        received = boot.wall(boottime_us)
        if wall is None or received is None:
            return now_us
        certain_us = wall.unix_us - received.unix_us - wall.uncertainty_us - received.uncertainty_us
        return max(certain_us, now_us)

    def unsaved(self) -> list[Boot]:
        """Boots that are not on disk, or not as they are here."""
        return [boot for boot in self._by_id.values() if self._stored.get(boot.number) != boot]

    def saved(self, boots: list[Boot]) -> None:
        """Note that these are committed."""
        self._stored.update((boot.number, boot) for boot in boots)
