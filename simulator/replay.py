"""Captured frames enter at the chips' RxDone, with their captured strength.

Through the air at SF12 they would take hours; instead the boards' counter runs on captured time and
frames follow each other as fast as the boards' rings have room. A frame that no radio of the site
listens to is ``not_listening``, as it would be on a roof.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable

from simulator.capture import CapturedFrame
from simulator.ledger import Cause
from simulator.radio_unit import RadioUnit
from simulator.simulated_site import Arrival, Site

_FULL = 0.75  # of a ring: then wait for acknowledgements
_STEP_S = 0.002


async def replay(
    site: Site,
    frames: Iterable[CapturedFrame],
    *,
    rate: float,
    silent: Callable[[], bool] = lambda: False,
) -> None:
    """Feed captured frames to the site until there are no more, or it is to be silent.

    Args:
        rate: frames per second at most; 0 = as fast as the rings take them.
    """
    loop = asyncio.get_running_loop()
    started = loop.time()
    first_us: int | None = None
    base_us = site.clock.count_us()
    causes = Counter[str]()
    site.balance.causes = lambda: causes
    for number, frame in enumerate(sorted(frames, key=lambda frame: frame.at_us), 1):
        if silent():
            return
        first_us = frame.at_us if first_us is None else first_us
        site.clock.jump_to(base_us + frame.at_us - first_us)
        site.balance.sent += 1
        causes[_deliver(site, number, frame)] += 1
        while _crowded(site) and not silent():
            await asyncio.sleep(_STEP_S)
        if rate:
            await asyncio.sleep(max(0.0, started + number / rate - loop.time()))


def _deliver(site: Site, number: int, frame: CapturedFrame) -> Cause:
    arrival = Arrival(
        frame.payload,
        frame.rssi_dbm,
        frame.snr_db,
        crc_on_payload=frame.crc_on_payload,
        crc_ok=frame.crc_ok,
    )
    listeners = [(name, radio) for name, _, radio in site.chips() if _listens(radio, frame)]
    for name, radio in listeners:
        site.whole_frame(number, name, radio, arrival)
    if not listeners:
        return Cause.NOT_LISTENING
    good = frame.crc_on_payload and frame.crc_ok
    return Cause.DELIVERED if good else Cause.CRC_ERROR


def _listens(radio: RadioUnit, frame: CapturedFrame) -> bool:
    listening = radio.chip.listening(radio.now_us())
    return (
        listening is not None
        # The chip tunes in steps of 61 Hz.
        and abs(listening.frequency_hz - frame.frequency_hz) < 100
        and listening.spreading_factor == frame.spreading_factor
        and listening.bandwidth_hz == frame.bandwidth_hz
    )


def _crowded(site: Site) -> bool:
    return any(
        len(concentrator.board.unacknowledged) > concentrator.identity.ring_capacity * _FULL
        for concentrator in site.concentrators.values()
        if concentrator.board is not None
    )
