"""Which of a board's events the host has, which are safe, and what it tells the board of both.

The host's half of ``docs/CONCENTRATOR-LINK.md`` section 5: events are taken in order, a gap is
asked for once a second, and the acknowledgement is repeated while events are outstanding.
"""

from enum import Enum, auto

from protocol.link.messages import Acknowledge

ACKNOWLEDGE_INTERVAL_US = 300_000  # the board goes back after 1 s without one
GO_BACK_TIMEOUT_US = 1_000_000


class Arrival(Enum):
    """What an event is to the host."""

    NEXT = auto()
    DUPLICATE = auto()
    BEYOND_GAP = auto()
    BEYOND_WINDOW = auto()  # more than was granted


class Arrivals:
    """The events of one session after another; only what is :attr:`Arrival.NEXT` is to be kept.

    Args:
        window: how many events may be outstanding between reception and acknowledgement.
    """

    def __init__(self, window: int, now_us: int) -> None:
        self._window = window
        self.begin(1, now_us)

    def begin(self, first_unacknowledged: int, now_us: int) -> None:
        """A board says where it goes on; it may send nothing before :meth:`grant`."""
        self._expected = first_unacknowledged
        self._acknowledged = first_unacknowledged - 1
        self._granted = False
        self._due = False
        self._due_at_us = now_us
        self._go_back = False
        self._go_back_at_us = now_us  # not to be asked before
        self._stalled_at_heartbeat = False

    @property
    def outstanding(self) -> int:
        """Events that have arrived and are not yet acknowledged."""
        return self._expected - 1 - self._acknowledged

    def grant(self, now_us: int) -> None:
        """Open the window."""
        self._granted = True
        self.repeat(now_us)

    def repeat(self, now_us: int) -> None:
        """Say again what is acknowledged and granted, as soon as something can be sent."""
        self._due = True
        self._due_at_us = now_us + ACKNOWLEDGE_INTERVAL_US

    def take(self, number: int, now_us: int) -> Arrival:
        """Note the arrival of an event."""
        if number < self._expected:
            self.repeat(now_us)  # perhaps our last one was lost
            # The board is on its way to what we lack. On a slow line that may take longer than two
            # heartbeats, and a board that is asked again begins anew.
            self._stalled_at_heartbeat = False
            return Arrival.DUPLICATE
        if number > self._expected:
            self._ask_to_go_back(now_us)
            return Arrival.BEYOND_GAP
        if self.outstanding >= self._open_window():
            # A bounded queue waits behind us; it will come again.
            return Arrival.BEYOND_WINDOW
        self._expected += 1
        self._go_back_at_us = now_us  # the next gap is another one
        self._stalled_at_heartbeat = False
        return Arrival.NEXT

    def acknowledge(self, number: int, now_us: int) -> None:
        """Events up to ``number`` are safe; older or unknown numbers change nothing."""
        if self._acknowledged < number < self._expected:
            self._acknowledged = number
            self.repeat(now_us)

    def check_tail(self, last_number: int, now_us: int) -> None:
        """Notice lost events that no later event gives away: two heartbeats without an event.

        ``last_number`` is that of the board's newest event, as its heartbeat tells.
        """
        lacking = last_number >= self._expected and self.outstanding < self._open_window()
        if lacking and self._stalled_at_heartbeat:
            self._ask_to_go_back(now_us)
        self._stalled_at_heartbeat = lacking

    def take_acknowledgement(self) -> Acknowledge | None:
        """What is to be sent now, if anything."""
        if not self._due:
            return None
        message = Acknowledge(self._acknowledged, self._open_window(), self._go_back)
        self._due = self._go_back = False
        return message

    def timer_us(self) -> int | None:
        """When the last acknowledgement is to be repeated; None while nothing is outstanding."""
        return self._due_at_us if self.outstanding else None

    def handle_timer(self, now_us: int) -> None:
        """Repeat the acknowledgement if it is time."""
        if self.outstanding and now_us >= self._due_at_us:
            self.repeat(now_us)

    def _open_window(self) -> int:
        return self._window if self._granted else 0

    def _ask_to_go_back(self, now_us: int) -> None:
        """Once per gap: what follows it on the line must not ask again."""
        if now_us >= self._go_back_at_us:
            self._go_back_at_us = now_us + GO_BACK_TIMEOUT_US
            self._go_back = True
            self.repeat(now_us)
