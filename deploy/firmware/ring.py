"""Events that wait until the host has them on its disk (link, section 5).

All memory is taken at the start, in slots of the longest event: what fits at noon fits at night.
An event's slot follows from its number, so an acknowledged event stays readable until another
one takes its slot.
"""

EVENT_HEADER = 38  # the body of an RX_EVENT up to its payload
_SLOT = EVENT_HEADER + 255


class Ring:
    """Numbered events, oldest first.

    Attributes:
        last: number of the newest event; 0 = none yet.
        acknowledged: number up to which the host has them.
        high_water: the most that ever waited.
        overflow: receptions that found the ring full.
    """

    def __init__(self, capacity):
        self.capacity = capacity
        self.last = 0
        self.acknowledged = 0
        self.high_water = 0
        self.overflow = 0
        self._slots = [bytearray(_SLOT) for _ in range(capacity)]
        self._lengths = [0] * capacity

    def used(self):
        """How many events wait."""
        return self.last - self.acknowledged

    def next_slot(self):
        """The memory for the next event; None if the ring is full, which is counted."""
        if self.used() >= self.capacity:
            self.overflow += 1
            return None
        return self._slots[(self.last + 1) % self.capacity]

    def keep(self, length):
        """What was written to :meth:`next_slot` is an event now; its number was ``last + 1``."""
        self.last += 1
        self._lengths[self.last % self.capacity] = length
        self.high_water = max(self.high_water, self.used())

    def body(self, number):
        """The body of an event; None if it is not, or no longer, here."""
        if not max(0, self.last - self.capacity) < number <= self.last:
            return None
        index = number % self.capacity
        return memoryview(self._slots[index])[: self._lengths[index]]

    def acknowledge(self, number):
        """Forget events; False if there is no such number."""
        if not self.acknowledged <= number <= self.last:
            return False
        self.acknowledged = number
        return True
