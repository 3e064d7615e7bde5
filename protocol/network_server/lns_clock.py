"""The station's clock in the LNS protocol: ``xtime``, GPS time and the server's own time.

``xtime`` is 63 bits: radio unit (7), session (8, never 0), microseconds (48). Source: LoRa Basics
Station documentation, "LNS Protocol", xtime. A server gives it back with a downlink, so everything
that is needed to answer is in it. Our microseconds are the host's CLOCK_BOOTTIME and our session
comes from its boot id: it is the same after a reconnect and after a restart of the service, and
downlinks that were under way then are still good.

*Late frames*, from an outage, carry the ``xtime`` of their delivery instead and the unit ``LATE``.
Servers take the newest ``xtime`` for the gateway's present, and would otherwise schedule all other
downlinks in the past. An answer to a late frame is known by its unit and refused.
"""

from dataclasses import dataclass
from hashlib import blake2b

LATE = 127
LATE_AFTER_US = 20_000_000
"""Devices listen for at most 16 s after an uplink (RX2 with RxDelay 15)."""

_MICROSECONDS_BITS = 48
_MICROSECONDS = 1 << _MICROSECONDS_BITS
_ROUND_TRIP_LIMIT_US = 2_000_000


def session_of(boot_id: bytes) -> int:
    """1 to 255, the same for one boot."""
    return 1 + blake2b(boot_id, digest_size=2).digest()[0] % 255


@dataclass(frozen=True, slots=True)
class Xtime:
    """``xtime`` taken apart; ``boottime_us`` may be negative, see :class:`FrameContent`."""

    unit: int
    session: int
    boottime_us: int

    def pack(self) -> int:
        """As it travels."""
        head = (self.unit & 0x7F) << 8 | self.session
        return head << _MICROSECONDS_BITS | self.boottime_us % _MICROSECONDS


def unpack_xtime(xtime: int) -> Xtime:
    """Undo :meth:`Xtime.pack`."""
    head, microseconds = divmod(xtime, _MICROSECONDS)
    if microseconds >= _MICROSECONDS // 2:
        microseconds -= _MICROSECONDS
    return Xtime(head >> 8 & 0x7F, head & 0xFF, microseconds)


class LnsClock:
    """What the server has told of the time; all of ours is CLOCK_BOOTTIME in microseconds."""

    def __init__(self, boot_id: bytes) -> None:
        self.session = session_of(boot_id)
        self._mux: tuple[float, int] | None = None
        self._asked_at_us: int | None = None
        self._gps_offset_us: int | None = None

    def note_mux_time(self, mux_time_s: float, now_us: int) -> None:
        """The server's clock, in Unix seconds, came with a message."""
        self._mux = mux_time_s, now_us

    def reference_time_s(self, now_us: int) -> float:
        """``RefTime``: the server's clock now, from which it learns the delay; 0 = unknown."""
        if self._mux is None:
            return 0.0
        mux_time_s, at_us = self._mux
        return round(mux_time_s + (now_us - at_us) / 1e6, 6)

    def ask(self, now_us: int) -> int:
        """``txtime`` of a time request; only the newest one is waited for."""
        self._asked_at_us = now_us
        return now_us

    def answered(self, txtime: int, gps_time_us: int, now_us: int) -> bool:
        """The server answered a request; whether that was of use.

        An answer that took 2 s or longer, or to another request, tells nothing.
        """
        if txtime != self._asked_at_us or now_us - txtime >= _ROUND_TRIP_LIMIT_US:
            return False
        self._asked_at_us = None
        self._gps_offset_us = gps_time_us - (txtime + now_us) // 2
        return True

    def pushed(self, xtime: Xtime, gps_time_us: int) -> bool:
        """The server says which GPS time our ``xtime`` was; whether that was of use."""
        if xtime.session != self.session:
            return False
        self._gps_offset_us = gps_time_us - xtime.boottime_us
        return True

    def boottime_us(self, gps_time_us: int, own_offset_us: int | None) -> int | None:
        """When a GPS time is; None = we do not know.

        Args:
            own_offset_us: GPS time minus CLOCK_BOOTTIME if our own clock is set: it knows better.
        """
        offset_us = self._gps_offset_us if own_offset_us is None else own_offset_us
        return None if offset_us is None else gps_time_us - offset_us
