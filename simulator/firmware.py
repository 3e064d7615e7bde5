"""What every simulated device is between its line and its chips: one boot of its firmware.

A family of devices is one file in :mod:`simulator.fronts` (our own boards: :mod:`simulator.board`)
and one line in :mod:`simulator.fronts.registry`. A firmware is synchronous and has no clock:
:mod:`simulator.port` moves its bytes, :mod:`simulator.concentrator` its time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from protocol.link.board_session import OutgoingFrame
from protocol.link.messages import ResetCause, RxEvent
from simulator.radio_unit import RadioUnit

EventListener = Callable[[int, RxEvent, RxEvent | None], None]
"""Told of each reception: the radio, what it read, and the numbered event or None if there was no
room for it."""

TransmitListener = Callable[[int, bytes], None]
"""Told of each frame that a device has put on the air: the radio and the PHY payload."""

RING_CAPACITY = 512


@dataclass(frozen=True, slots=True)
class BoardIdentity:
    """What survives a power cycle."""

    name: str
    unique_id: bytes
    radios: int
    firmware: str = "simulated-bridge 1.0"
    ring_capacity: int = RING_CAPACITY
    kind: str = "bridge"


@dataclass(frozen=True, slots=True)
class Boot:
    """What a firmware finds when its device gets power.

    Attributes:
        boot_id: of this boot, for the account; most devices do not tell it.
        count_us: the device's microsecond counter.
        now_us: monotonic time, for timers.
        on_event: to be told of each reception.
        on_transmit: to be told of each transmission when it has ended.
    """

    identity: BoardIdentity
    boot_id: int
    count_us: Callable[[], int]
    now_us: int
    reset_cause: ResetCause
    on_event: EventListener = lambda _radio, _raw, _event: None
    on_transmit: TransmitListener = lambda _radio, _payload: None


class Firmware(Protocol):
    """One boot of a device's firmware.

    Attributes:
        keeps_events: whether events wait for an acknowledgement; else what is said to a port that
            nobody sees is gone.
        boot_banner: what the line carries while the device starts.
        wants_reset: the host has asked for a restart.
    """

    keeps_events: bool
    boot_banner: bytes
    boot_id: int
    wants_reset: bool

    @property
    def radios(self) -> Sequence[RadioUnit]: ...

    @property
    def acknowledged(self) -> int:
        """Number up to which events are acknowledged; 0 for ever where there is no such thing."""
        ...

    @property
    def unacknowledged(self) -> Sequence[int]:
        """Numbers of the events that a loss of power would take away now, oldest first."""
        ...

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the line and carry out what they ask for."""
        ...

    def next_frame(self, now_us: int) -> OutgoingFrame | None:
        """What to put on the line next; a reception in one piece, with its event's number."""
        ...

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest, monotonic."""
        ...

    def handle_timer(self, now_us: int) -> None:
        """Do what is due."""
        ...

    def wedge(self) -> None:
        """Hang until the next boot, in the way in which this firmware hangs in the field."""
        ...


PowerOn = Callable[[Boot], Firmware]
