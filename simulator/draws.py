"""Chance without a generator: every draw is a hash of what it is for.

A draw depends on its seed, its subject (subsystem, sensor, concentrator) and a packet number, and
on nothing else. So results do not depend on order, on windows of time or on other sensors: adding
a sensor changes no draw of any other.
"""

import hashlib
import math
from statistics import NormalDist

_STANDARD_NORMAL = NormalDist()
_UNIFORM_STEPS = 1 << 52  # half steps beyond this are still exact in a double


class Draws:
    """The chances of one subject, e.g. ``Draws(seed, "fading", sensor, concentrator)``.

    All methods are pure: the same number gives the same value. One number must not serve two
    purposes of one subject, because the two values would then be tied to each other.
    """

    __slots__ = ("_state",)

    def __init__(self, seed: int, *subject: str) -> None:
        self._state = hashlib.blake2b(f"{seed}".encode(), digest_size=16)
        for name in subject:
            encoded = name.encode()
            # The length keeps ("ab", "c") and ("a", "bc") apart.
            self._state.update(b"/%d:" % len(encoded) + encoded)

    def key(self, number: int = 0) -> bytes:
        """16 bytes for packet ``number`` (0 or more)."""
        state = self._state.copy()
        state.update(b"#%d" % number)
        return state.digest()

    def uniform(self, number: int = 0) -> float:
        """Between 0 and 1, never either of them."""
        step = int.from_bytes(self.key(number)[:8], "big") >> 12
        return (step + 0.5) / _UNIFORM_STEPS

    def below(self, limit: int, number: int = 0) -> int:
        """A whole number from 0 to ``limit`` - 1."""
        return int.from_bytes(self.key(number), "big") % limit

    def normal(self, number: int = 0) -> float:
        """Standard normal: mean 0, standard deviation 1."""
        return _STANDARD_NORMAL.inv_cdf(self.uniform(number))

    def exponential(self, number: int = 0) -> float:
        """Exponential with mean 1."""
        return -math.log(self.uniform(number))
