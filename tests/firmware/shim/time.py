"""MicroPython's time, with a tick that wraps as on a microcontroller, soon after the start.

Runs under MicroPython, in front of the interpreter's own module.
"""

import utime
from utime import sleep_ms, sleep_us  # noqa: F401

_PERIOD = 1 << 30
_SOON_US = 200_000
_AHEAD_US = _PERIOD - _SOON_US - utime.ticks_us()


def ticks_us():
    """Microseconds; the first wrap comes after 0.2 s."""
    return utime.ticks_us() + _AHEAD_US & _PERIOD - 1


def ticks_diff(end, start):
    """From start to end, if they are less than half a period apart."""
    return (end - start + (_PERIOD >> 1) & _PERIOD - 1) - (_PERIOD >> 1)
