"""The probe of the event loop: how late does it run a timer?"""

from collections.abc import Awaitable, Callable

INTERVAL_S = 1.0


async def run_heartbeat(
    *,
    beat: Callable[[], None],
    observe_lag_s: Callable[[float], None],
    now_us: Callable[[], int],
    sleep: Callable[[float], Awaitable[object]],
    interval_s: float = INTERVAL_S,
) -> None:
    """Beat each ``interval_s`` and report how much later than asked the loop woke us.

    Runs until it is cancelled. A lag of a second means that something blocked the loop for a
    second: radio events waited that long in the serial port's buffer.
    """
    while True:
        asleep_at_us = now_us()
        await sleep(interval_s)
        lag_s = (now_us() - asleep_at_us) / 1e6 - interval_s
        # The timer's resolution can wake us a little early.
        observe_lag_s(max(0.0, lag_s))
        beat()
