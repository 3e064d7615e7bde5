"""Driver ``rn2xx3``: Microchip RN2483 and RN2903 modules, such as the LoStik.

An I/O shell around :class:`~protocol.dialects.rn2xx3.RN2xx3Session`. The module is deaf from the
end of each packet until it is told to receive again, so the session is fed from the port's own
callback and not from the task that takes events: a slow store must not make the gap longer. It
keeps nothing, and LoRaWAN uplinks that begin in a gap are lost; two sensors that send one right
after the other are heard in part.

A packet is dated by the end of its line less the time that the line takes on the wire at the
configured baud rate (10 bits per byte), because the module begins to say it when the packet ends.
What remains is the delay of the USB adapter and of this host, some milliseconds, always late.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Self

from drivers.base import (
    BoottimeUs,
    Capabilities,
    Downlink,
    DriverOptions,
    Metadata,
    TxOutcome,
    TxResult,
)
from drivers.errors import DriverError, HandshakeTimeout, UnsupportedDevice
from drivers.option_checks import refuse
from drivers.plain_events import plain_heartbeat, plain_uplink
from drivers.rn2xx3_options import check_options
from drivers.serial_port import SerialPort, open_port
from protocol.dialects.rn2xx3 import RN2xx3Session
from protocol.dialects.rn2xx3_events import (
    Alive,
    Climbed,
    LineAction,
    Ready,
    Received,
    RN2xx3Event,
    SignalReading,
    Unresponsive,
)
from protocol.dialects.rn2xx3_ladder import Rung
from protocol.dialects.rn2xx3_settings import RadioSettings
from protocol.dialects.session_events import Lost, Unusable
from protocol.lora.events import (
    ConcentratorStateChanged,
    Heartbeat,
    LinkState,
    RadioEvent,
    RadioStatistics,
    RecoveryStep,
    RecoveryStepTaken,
    UplinkReceived,
)

RSSI_MODEL = "rn2xx3"
_STEPS = {
    Rung.WAIT: RecoveryStep.COMMAND,
    Rung.RXSTOP: RecoveryStep.COMMAND,
    Rung.SYS_RESET: RecoveryStep.COMMAND,
    Rung.BREAK: RecoveryStep.LINE,
    Rung.DTR: RecoveryStep.LINE,
}
_BITS_PER_BYTE = 10
_MAX_WAITING = 256  # events; with more the port is left unread, and the radio closed
_BREAK_S = 0.05  # many times the length of a byte at 57600 baud
_DTR_S = 0.2
_LONGEST_SLEEP_S = 0.25  # CLOCK_BOOTTIME can jump ahead of the clock of the loop: look at it


class RN2xx3Driver:
    """One module on one port; see :class:`drivers.base.Driver`.

    Args:
        pace: share of the usual pauses; see :class:`~protocol.dialects.rn2xx3.RN2xx3Session`.
    """

    def __init__(
        self, options: DriverOptions, boottime_us: BoottimeUs, *, pace: float = 1.0
    ) -> None:
        self._options = options
        self._pace = pace
        self._now_us = boottime_us
        self._outgoing: deque[RadioEvent] = deque()
        self._news = asyncio.Event()
        self._failure: DriverError | None = None
        self._received = 0
        self._up = False
        self._tells_rssi = True
        self._identity = ""
        self._port: SerialPort | None = None
        self._session: RN2xx3Session | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._line_action: asyncio.TimerHandle | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the module offers; RSSI depends on its firmware and is known once it is up."""
        metadata = set()
        if self._options.signal_reading != SignalReading.NEVER:
            metadata = {Metadata.SNR, Metadata.RSSI} if self._tells_rssi else {Metadata.SNR}
        return Capabilities(
            radios=1,
            sync_words=None,
            lorawan=True,
            scheduled_transmit=False,
            acknowledges=False,
            metadata=frozenset(metadata),
        )

    async def __aenter__(self) -> Self:
        refuse(self._options, check_options(self._options))
        self._port = await open_port(self._options.port, self._options.baud)
        radio = self._options.radios[0]
        self._session = RN2xx3Session(
            RadioSettings(
                radio.frequency_hz,
                radio.spreading_factor,
                radio.bandwidth_hz,
                radio.coding_rate,
                radio.sync_word,
            ),
            self._options.unique_id,
            self._now_us(),
            SignalReading(self._options.signal_reading),
            pace=self._pace,
        )
        self._port.on_arrival = self._step
        try:
            self._step()
            while not self._up:
                await self._wait_for_news()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._close()

    async def events(self) -> AsyncIterator[RadioEvent]:
        """Yield events in the device's order.

        Raises:
            PortLost: the port is gone.
            HandshakeTimeout: nothing has brought the module back to work.
            UnsupportedDevice: what answers now cannot be used.
        """
        while True:
            while self._outgoing:
                was_full = len(self._outgoing) >= _MAX_WAITING
                yield self._outgoing.popleft()
                if was_full:
                    self._step()
            await self._wait_for_news()

    def acknowledge(self, event: UplinkReceived) -> None:
        """Nothing: the device has no such thing."""

    def soft_reset(self) -> None:
        """``sys reset``, and everything that follows one; never blocks."""
        if self._session is not None and self._up:
            self._session.restart_device(self._now_us())
            self._step()

    async def transmit(self, downlink: Downlink) -> TxResult:  # noqa: ARG002 - the contract's
        """Refuse: the transmitter stays off until the regulation guard exists."""
        return TxResult(TxOutcome.NOT_SUPPORTED)

    async def _close(self) -> None:
        if self._port is None:
            return
        self._port.on_arrival = None
        for handle in (self._timer, self._line_action):
            if handle is not None:
                handle.cancel()
        await self._port.close()

    async def _wait_for_news(self) -> None:
        """Until something has changed; to be called when all events are taken."""
        if self._failure is not None:
            raise self._failure
        self._news.clear()
        await self._news.wait()

    def _step(self) -> None:
        """Give the session what has come and what is due, and write what it says."""
        if self._failure is not None or len(self._outgoing) >= _MAX_WAITING:
            return
        assert self._port is not None
        assert self._session is not None
        try:
            data = self._port.take()
            self._session.receive(data, self._now_us())
            self._session.handle_timer(self._now_us())
            self._digest_all(self._session)
        except DriverError as error:
            self._failure = error
            self._session.end()
            self._digest_all(self._session)
        self._write()
        self._news.set()
        self._set_timer(self._session)

    def _digest_all(self, session: RN2xx3Session) -> None:
        while (event := session.next_event()) is not None:
            self._digest(session, event)

    def _write(self) -> None:
        """Nothing may be said while the line is held in a break."""
        assert self._port is not None
        assert self._session is not None
        if self._line_action is None:
            self._port.write(self._session.bytes_to_send())

    def _set_timer(self, session: RN2xx3Session) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self._failure is None:
            delay_s = max(0, session.timer_us() - self._now_us()) / 1e6
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(min(delay_s, _LONGEST_SLEEP_S * self._pace), self._step)

    def _act_on_line(self, action: LineAction) -> None:
        assert self._port is not None
        loop = asyncio.get_running_loop()
        if action is LineAction.BREAK:
            self._port.hold_break(True)
            self._line_action = loop.call_later(_BREAK_S, self._end_line_action)
        else:
            self._port.set_dtr(False)
            self._line_action = loop.call_later(_DTR_S, self._end_line_action)

    def _end_line_action(self) -> None:
        assert self._port is not None
        self._line_action = None
        self._port.hold_break(False)
        self._port.set_dtr(True)
        self._write()

    def _digest(self, session: RN2xx3Session, event: RN2xx3Event) -> None:
        match event:
            case Ready(identity):
                self._tells_rssi = identity.tells_rssi
                self._identity = identity.hardware_eui
                self._change_state(
                    LinkState.UP,
                    f"{identity.banner.text}, module {identity.hardware_eui};"
                    " deaf for some 20 ms or more after each packet",
                )
            case Received():
                self._outgoing.append(self._uplink(event))
            case Alive(supply_mv):
                self._outgoing.append(self._heartbeat(session, supply_mv))
            case Lost(reason):
                self._change_state(LinkState.DOWN, reason)
            case LineAction():
                self._act_on_line(event)
            case Climbed(rung, reason):
                self._outgoing.append(RecoveryStepTaken(self._options.name, _STEPS[rung], reason))
            case Unresponsive(reason):
                tried = ", ".join(session.recoveries)
                raise HandshakeTimeout(
                    f"{self._options.port}: {reason}; tried in vain: {tried}. Is it the right port"
                    " and baud rate? A module that hangs needs its RESET pin or a power cycle"
                )
            case Unusable(reason):
                raise UnsupportedDevice(f"{self._options.port}: {reason}")

    def _change_state(self, state: LinkState, detail: str) -> None:
        self._up = state is LinkState.UP
        self._outgoing.append(
            ConcentratorStateChanged(self._options.name, state, detail, self._identity)
        )

    def _uplink(self, event: Received) -> UplinkReceived:
        self._received += 1
        on_line_us = event.line_bytes * _BITS_PER_BYTE * 1_000_000 // self._options.baud
        return plain_uplink(
            self._options,
            0,
            event.payload,
            rssi_dbm=event.rssi_dbm,
            rssi_model=RSSI_MODEL,
            snr_db=event.snr_db,
            received_at_us=event.arrived_us - on_line_us,
        )

    def _heartbeat(self, session: RN2xx3Session, supply_mv: int | None) -> Heartbeat:
        radio = RadioStatistics(
            received=self._received,
            crc_errors=0,  # a bad CRC and the watchdog look alike: see the rejects
            noise_rssi_dbm=None,
            faults=session.recoveries.total(),
            receiving=session.listening,
        )
        return plain_heartbeat(
            self._options,
            [radio],
            session.rejects,
            supply_volts=None if supply_mv is None else supply_mv / 1000,
        )
