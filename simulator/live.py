"""The air in real time: transmissions reach the chips of a running site as they happen.

A chip is asked at the start of each transmission whether it listens there; it then *locks* on the
frame until its end, as an SX127x does. What the air makes of the frame is known at its end, when
everything that overlapped has been sent.
"""

import asyncio
from dataclasses import dataclass

from protocol.lora.phy import low_data_rate_optimize
from simulator.air import Air, Verdict
from simulator.interference import Outcome, OverlapWindow
from simulator.ledger import Cause, Ledger
from simulator.radio_unit import RadioUnit
from simulator.scenario import Scenario
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


@dataclass(frozen=True, slots=True)
class Listener:
    """A radio that was asked whether it receives a transmission."""

    concentrator: str
    index: int
    radio: RadioUnit


class LiveAir:
    """Plays a scenario to a site until it is told to be silent."""

    def __init__(self, site: Site, scenario: Scenario, seed: int, ledger: Ledger) -> None:
        self._site = site
        self._plans = {plan.name: plan for plan in scenario.concentrators}
        self._air = Air(scenario, seed)
        self._ledger = ledger
        self._window = OverlapWindow()
        self._base_us = 0
        self.silent = False

    async def play(self, duration_s: float | None) -> None:
        """Send until the duration is over or :attr:`silent` is set, and let frames end."""
        self._base_us = self._site.clock.now_us()
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

    async def _until(self, at_us: float) -> None:
        delay_us = self._base_us + at_us - self._site.clock.now_us()
        await asyncio.sleep(max(0.0, delay_us / 1e6))

    async def _transmit(self, transmission: Transmission) -> None:
        """One transmission, from its first chirp to its last."""
        await self._until(transmission.start_us)
        if self.silent:
            return
        self._window.add(transmission)
        self._ledger.sent(transmission)
        self._site.balance.sent += 1
        number = self._site.balance.sent
        listeners = self._locked(transmission)
        header_us = (
            transmission.preamble_symbols + _SYNC_SYMBOLS + _HEADER_SYMBOLS
        ) * transmission.symbol_us
        await self._until(transmission.start_us + header_us)
        receiving = [item for item in listeners if self._header(item, transmission)]
        await self._until(transmission.end_us)
        for listener in receiving:
            self._end(number, listener, transmission)

    def _locked(self, transmission: Transmission) -> list[Listener]:
        """Radios that lock on this transmission; the others' reasons go into the ledger."""
        locked = []
        powered = {name for name, _, _ in self._site.chips()}
        for name in self._plans.keys() - powered:
            for index in range(self._site.radios[name]):
                self._ledger.record(transmission, name, index, Cause.BOARD_DOWN)
        for name, index, radio in self._site.chips():
            cause = self._cause_at_start(transmission, name, radio)
            if cause is None:
                radio.chip.begin_reception(now_us=radio.now_us())
                locked.append(Listener(name, index, radio))
            else:
                self._ledger.record(transmission, name, index, cause)
        return locked

    def _cause_at_start(
        self, transmission: Transmission, name: str, radio: RadioUnit
    ) -> Cause | None:
        if radio.chip.receiving:
            return Cause.LOCKED
        if not matches(radio, transmission):
            return Cause.NOT_LISTENING
        verdict = self._air.verdict(transmission, self._plans[name], ())
        if verdict.outcome is Outcome.BELOW_SENSITIVITY:
            return Cause.BELOW_SENSITIVITY
        return None

    def _header(self, listener: Listener, transmission: Transmission) -> bool:
        chip = listener.radio.chip
        if not chip.receiving:  # armed again meanwhile, or its board lost its power
            self._ledger.record(
                transmission, listener.concentrator, listener.index, Cause.BOARD_DOWN
            )
            return False
        accepted = chip.header_received(
            coding_rate=int(transmission.coding_rate[-1]) - 4,
            crc_on_payload=transmission.crc,
            payload_length=len(transmission.payload),
            now_us=listener.radio.now_us(),
        )
        if not accepted:
            self._ledger.record(
                transmission, listener.concentrator, listener.index, Cause.NOT_LISTENING
            )
        return accepted

    def _end(self, number: int, listener: Listener, transmission: Transmission) -> None:
        name, radio = listener.concentrator, listener.radio
        verdict = self._air.verdict(
            transmission, self._plans[name], self._window.overlapping(transmission)
        )
        cause = _OUTCOME_CAUSES.get(verdict.outcome, Cause.DELIVERED)
        if not radio.chip.receiving:
            cause = Cause.BOARD_DOWN
        elif cause in (Cause.DELIVERED, Cause.CRC_ERROR):
            before = self._site.concentrators[name].overflows
            self._site.end_frame(number, name, radio, self._arrival(transmission, name, verdict))
            if self._site.concentrators[name].overflows > before:
                cause = Cause.RING_OVERFLOW
        else:
            radio.chip.abort_reception(radio.now_us())
        self._ledger.record(transmission, name, listener.index, cause)

    def _arrival(self, transmission: Transmission, name: str, verdict: Verdict) -> Arrival:
        whole = verdict.outcome is Outcome.DECODED
        return Arrival(
            transmission.payload if whole else self._air.damage(transmission, self._plans[name]),
            verdict.rssi_dbm,
            verdict.snr_db,
            verdict.frequency_error_hz,
            coding_rate=int(transmission.coding_rate[-1]) - 4,
            crc_ok=whole,
        )


def matches(radio: RadioUnit, transmission: Transmission) -> bool:
    """Whether a chip is set to this transmission's channel and can read its chirps."""
    listening = radio.chip.listening(radio.now_us())
    return (
        listening is not None
        # A quarter of the bandwidth may be off before synchronisation fails.
        and abs(listening.frequency_hz - transmission.frequency_hz) < transmission.bandwidth_hz / 4
        and listening.spreading_factor == transmission.spreading_factor
        and listening.bandwidth_hz == transmission.bandwidth_hz
        and listening.sync_word == transmission.sync_word
        and listening.invert_iq == transmission.invert_iq
        and listening.low_data_rate_optimize
        == low_data_rate_optimize(transmission.spreading_factor, transmission.bandwidth_hz)
    )
