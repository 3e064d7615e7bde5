"""The air in real time: transmissions reach the chips of a running site as they happen.

A chip is asked at the start of each transmission whether it listens there; it then *locks* on the
frame until its end, as an SX127x does. What the air makes of the frame is known at its end, when
everything that overlapped has been sent.
"""

import asyncio
from dataclasses import dataclass
from itertools import count

from protocol.lora.phy import low_data_rate_optimize
from simulator.air import Air, Verdict
from simulator.balance import EventKey
from simulator.interference import Outcome, OverlapWindow
from simulator.ledger import Cause, Ledger
from simulator.radio_unit import RadioUnit
from simulator.scenario import Fault, RadioPlan, Scenario
from simulator.sensors import Transmission
from simulator.simulated_site import Arrival, Site

_HEADER_SYMBOLS = 8  # the explicit header fills the first eight symbols after the preamble
_SYNC_SYMBOLS = 4.25
_LOOK_AHEAD_US = 1_000_000
_OUTCOME_CAUSES = {
    Outcome.BELOW_SENSITIVITY: Cause.BELOW_SENSITIVITY,
    Outcome.COLLISION: Cause.CO_SF,
    Outcome.INTERFERENCE: Cause.INTER_SF,
    Outcome.CRC_ERROR: Cause.CRC_ERROR,
}

RadioKey = tuple[str, int]
"""(concentrator, index)."""


@dataclass(frozen=True, slots=True)
class Listener:
    """A radio that has locked on a transmission; ``reception`` tells that lock from the next."""

    key: RadioKey
    radio: RadioUnit
    reception: int


class LiveAir:
    """Plays a scenario to a site until it is told to be silent."""

    def __init__(self, site: Site, scenario: Scenario, seed: int, ledger: Ledger) -> None:
        self._site = site
        self._plans = {plan.name: plan for plan in scenario.concentrators}
        self._faults = scenario.faults
        self._air = Air(scenario, seed)
        self._ledger = ledger
        self._window = OverlapWindow()
        self._numbers = count(1)
        self._kept: dict[EventKey, tuple[Transmission, RadioKey]] = {}
        self._base_us = 0
        self.silent = False
        site.on_taken = self._taken

    async def play(self, duration_s: float | None) -> None:
        """Send until the duration is over or :attr:`silent` is set, and let frames end.

        Faults happen at their time. Those that still last at the end are over then, so that what
        the boards hold can be fetched; only an unplug without duration stays.
        """
        self._base_us = self._site.clock.now_us()
        async with asyncio.TaskGroup() as group:
            faults = [group.create_task(self._suffer(fault)) for fault in self._faults]
            await self._send(duration_s)
            for fault in faults:
                fault.cancel()

    def be_silent(self) -> None:
        """Begin no further frame; :meth:`play` ends soon."""
        self.silent = True

    async def _send(self, duration_s: float | None) -> None:
        end_us = None if duration_s is None else int(duration_s * 1e6)
        horizon_us = 0
        async with asyncio.TaskGroup() as group:
            while not self.silent and (end_us is None or horizon_us < end_us):
                horizon_us += _LOOK_AHEAD_US
                for transmission in self._air.transmissions_until(
                    horizon_us if end_us is None else min(horizon_us, end_us)
                ):
                    group.create_task(self._transmit(transmission))
                await self._until(horizon_us - _LOOK_AHEAD_US // 2)

    async def _suffer(self, fault: Fault) -> None:
        await self._until(fault.at_s * 1e6)
        await self._site.concentrators[fault.concentrator].suffer(fault.kind, fault.duration_s)

    async def _until(self, at_us: float) -> None:
        delay_us = self._base_us + at_us - self._site.clock.now_us()
        await asyncio.sleep(max(0.0, delay_us / 1e6))

    async def _transmit(self, transmission: Transmission) -> None:
        """One transmission, from its first chirp to its last.

        It counts when it has ended: the end of the run may cut it off.
        """
        await self._until(transmission.start_us)
        if self.silent:
            return
        self._window.add(transmission)
        causes: dict[RadioKey, Cause] = {}
        listeners = self._lock(transmission, causes)
        header_us = (
            transmission.preamble_symbols + _SYNC_SYMBOLS + _HEADER_SYMBOLS
        ) * transmission.symbol_us
        await self._until(transmission.start_us + header_us)
        listeners = [item for item in listeners if self._header(item, transmission, causes)]
        await self._until(transmission.end_us)
        self._site.balance.sent += 1
        self._ledger.sent(transmission)
        number = next(self._numbers)
        for listener in listeners:
            causes[listener.key] = self._end(number, listener, transmission)
        for key, cause in causes.items():
            self._ledger.record(transmission, *key, cause)

    def _lock(self, transmission: Transmission, causes: dict[RadioKey, Cause]) -> list[Listener]:
        """Radios that lock on this transmission; the others' reasons go into ``causes``."""
        locked = []
        powered = {(name, index): radio for name, index, radio in self._site.chips()}
        for name, plan in self._plans.items():
            for index, intended in enumerate(plan.radios):
                radio = powered.get((name, index))
                cause = self._cause_at_start(transmission, name, intended, radio)
                if radio is not None and cause is None:
                    radio.chip.begin_reception(now_us=radio.now_us())
                    locked.append(Listener((name, index), radio, radio.chip.receptions))
                elif cause is not None:
                    causes[name, index] = cause
        return locked

    def _cause_at_start(
        self, transmission: Transmission, name: str, plan: RadioPlan, radio: RadioUnit | None
    ) -> Cause | None:
        """Why a radio does not lock on a transmission; of a board without power the plan tells
        what the radio would listen to."""
        if radio is None or radio.resting:
            listens = planned(plan, transmission)
        else:
            listens = matches(radio, transmission)
        if not listens:
            return Cause.NOT_LISTENING
        alone = self._air.verdict(transmission, self._plans[name], ())
        if alone.outcome is Outcome.BELOW_SENSITIVITY:
            return Cause.BELOW_SENSITIVITY
        if radio is None:
            return Cause.BOARD_DOWN
        if radio.resting:
            return Cause.DEAF_GAP
        return Cause.LOCKED if radio.chip.receiving else None

    def _header(
        self, listener: Listener, transmission: Transmission, causes: dict[RadioKey, Cause]
    ) -> bool:
        interrupted = self._interrupted(listener)
        if interrupted is not None:
            causes[listener.key] = interrupted
            return False
        accepted = listener.radio.chip.header_received(
            coding_rate=int(transmission.coding_rate[-1]) - 4,
            crc_on_payload=transmission.crc,
            payload_length=len(transmission.payload),
            now_us=listener.radio.now_us(),
        )
        if not accepted:  # longer than what the chip was told to take
            causes[listener.key] = Cause.NOT_LISTENING
        return accepted

    def _interrupted(self, listener: Listener) -> Cause | None:
        """What ended a reception before its time; None if it goes on."""
        chip = listener.radio.chip
        if not self._site.powered(listener.key[0], listener.radio):
            return Cause.BOARD_DOWN
        if not chip.receiving or chip.receptions != listener.reception:
            return Cause.NOT_LISTENING  # the radio was set up again meanwhile
        return None

    def _end(self, number: int, listener: Listener, transmission: Transmission) -> Cause:
        interrupted = self._interrupted(listener)
        if interrupted is not None:
            return interrupted
        name, radio = listener.key[0], listener.radio
        verdict = self._air.verdict(
            transmission, self._plans[name], self._window.overlapping(transmission)
        )
        cause = _OUTCOME_CAUSES.get(verdict.outcome, Cause.DELIVERED)
        if cause not in (Cause.DELIVERED, Cause.CRC_ERROR):
            radio.chip.abort_reception(radio.now_us())
            return cause
        arrival = self._arrival(transmission, name, verdict)
        event = self._site.end_frame(number, name, radio, arrival)
        if cause is Cause.CRC_ERROR:
            return cause
        if event is None:
            return Cause.RING_OVERFLOW
        self._kept[event] = (transmission, listener.key)
        return cause

    def _arrival(self, transmission: Transmission, name: str, verdict: Verdict) -> Arrival:
        whole = verdict.outcome is Outcome.DECODED
        return Arrival(
            transmission.payload if whole else self._air.damage(transmission, self._plans[name]),
            verdict.rssi_dbm,
            verdict.snr_db,
            verdict.frequency_error_hz,
            coding_rate=int(transmission.coding_rate[-1]) - 4,
            crc_on_payload=transmission.crc,
            crc_ok=whole,
        )

    def _taken(self, event: EventKey) -> None:
        """A board lost its power with an event that nobody had acknowledged.

        One that was on the line stays delivered: the host may have it.
        """
        if event in self._kept and not self._site.balance.was_written(event):
            transmission, key = self._kept.pop(event)
            self._ledger.record(transmission, *key, Cause.BOARD_DOWN)


def matches(radio: RadioUnit, transmission: Transmission) -> bool:
    """Whether a chip is set to this transmission's channel and can read its chirps.

    Busy or not; but for somebody to read what it receives, the firmware must manage it.
    """
    tuned = radio.chip.tuned(radio.now_us()) if radio.managed else None
    return (
        tuned is not None
        # A quarter of the bandwidth may be off before synchronisation fails.
        and abs(tuned.frequency_hz - transmission.frequency_hz) < transmission.bandwidth_hz / 4
        and tuned.spreading_factor == transmission.spreading_factor
        and tuned.bandwidth_hz == transmission.bandwidth_hz
        and tuned.sync_word == transmission.sync_word
        and tuned.invert_iq == transmission.invert_iq
        and tuned.low_data_rate_optimize
        == low_data_rate_optimize(transmission.spreading_factor, transmission.bandwidth_hz)
    )


def planned(plan: RadioPlan, transmission: Transmission) -> bool:
    """Whether a radio is meant to listen to this transmission."""
    return (plan.frequency_hz, plan.spreading_factor, plan.bandwidth_hz, plan.sync_word) == (
        transmission.frequency_hz,
        transmission.spreading_factor,
        transmission.bandwidth_hz,
        transmission.sync_word,
    )
