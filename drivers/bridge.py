"""Driver ``bridge``: boards that speak our own concentrator link.

An I/O shell around :class:`~protocol.link.host_session.HostSession`
(``docs/CONCENTRATOR-LINK.md``). The session does framing, order and repetition; this file opens the
port, sets the radios up and turns raw registers into radio events.
"""

import asyncio
import secrets
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
from drivers.bridge_setup import RadioSetup, check_board, check_options
from drivers.errors import (
    HandshakeTimeout,
    PortLost,
    UnsupportedDevice,
)
from drivers.option_checks import refuse
from drivers.serial_port import SerialPort, open_port
from protocol.link import messages
from protocol.link.host_session import (
    EventReceived,
    HostEvent,
    HostSession,
    IncompatibleBoard,
    NoticeReceived,
    ReplyReceived,
    RequestFailed,
    SessionLost,
    SessionOpened,
)
from protocol.lora.events import (
    ConcentratorStateChanged,
    EventOrigin,
    Heartbeat,
    LinkState,
    RadioEvent,
    RadioStatistics,
    UplinkReceived,
)
from protocol.lora.sx127x_reception import (
    RSSI_MODEL,
    RawReception,
    decode_reception,
    rssi_offset_dbm,
)

WINDOW = 256
"""Events that may be outstanding: what a board may send before we have committed the first."""

HANDSHAKE_S = 10.0  # an ESP32 that the opening of its port has reset boots within 2 s


class BridgeDriver:
    """One board on one port; see :class:`drivers.base.Driver`."""

    def __init__(self, options: DriverOptions, boottime_us: BoottimeUs) -> None:
        self._options = options
        self._now_us = boottime_us
        self._setup = RadioSetup(options)
        self._outgoing: deque[RadioEvent] = deque()
        self._hello: messages.BoardHello | None = None
        self._up = False
        self._down_since_us = 0
        self._port: SerialPort | None = None
        self._session: HostSession | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the link offers; the number of radios is known once the board has answered."""
        return Capabilities(
            radios=len(self._hello.radios) if self._hello else len(self._options.radios),
            sync_words=None,
            lorawan=True,
            scheduled_transmit=False,
            acknowledges=True,
            metadata=frozenset(Metadata),
        )

    async def __aenter__(self) -> Self:
        refuse(self._options, check_options(self._options))
        self._port = await open_port(self._options.port, self._options.baud)
        self._down_since_us = self._now_us()
        self._session = HostSession(
            window=WINDOW,
            new_nonce=lambda: secrets.randbelow(0xFFFFFFFF) + 1,
            now_us=self._now_us(),
        )
        try:
            while not self._up:
                await self._step()
        except BaseException:
            await self._port.close()
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._port is not None:
            await self._port.close()

    async def events(self) -> AsyncIterator[RadioEvent]:
        """Yield events in the board's order.

        Raises:
            PortLost: the port is gone, or the board has been silent for too long.
            PermanentDriverError: another board or another firmware answers now.
        """
        while True:
            while self._outgoing:
                yield self._outgoing.popleft()
            await self._step()

    def acknowledge(self, event: UplinkReceived) -> None:
        """Pass the acknowledgement on at once, unless the board has restarted since."""
        origin, hello, session = event.origin, self._hello, self._session
        if origin is None or hello is None or session is None or origin.boot_id != hello.boot_id:
            return
        session.acknowledge(origin.number, self._now_us())
        self._flush(session)

    async def transmit(self, downlink: Downlink) -> TxResult:  # noqa: ARG002 - the contract's
        """Refuse: the transmitter stays off until the regulation guard exists."""
        return TxResult(TxOutcome.NOT_SUPPORTED)

    def _flush(self, session: HostSession) -> None:
        data = session.bytes_to_send()
        if self._port is not None:
            self._port.write(data)

    async def _step(self) -> None:
        """Wait for bytes or for the session's timer, and digest what came of it."""
        assert self._port is not None
        assert self._session is not None
        session = self._session
        self._flush(session)
        data = b""
        try:
            async with asyncio.timeout(max(0, session.timer_us() - self._now_us()) / 1e6):
                data = await self._port.read()
        except TimeoutError:
            pass
        now_us = self._now_us()
        session.receive(data, now_us)
        session.handle_timer(now_us)
        while (event := session.next_event()) is not None:
            self._digest(session, event)
        if not self._up and now_us - self._down_since_us > HANDSHAKE_S * 1e6:
            raise HandshakeTimeout(
                f"{self._options.port}: nothing that speaks the concentrator link has answered"
                f" for {HANDSHAKE_S:.0f} s; is it the right port, and the right firmware?"
            )

    def _digest(self, session: HostSession, event: HostEvent) -> None:
        match event:
            case SessionOpened(hello):
                check_board(self._options, hello)
                self._hello = hello
                self._setup.begin(session, hello, self._now_us())
            case EventReceived(radio, rx_event):
                self._outgoing.append(self._uplink(session, radio, rx_event))
            case ReplyReceived(request, status):
                if self._setup.answered(request, status):
                    self._change_state(LinkState.UP, self._describe())
                    session.grant(self._now_us())
            case NoticeReceived(_, messages.Heartbeat() as heartbeat):
                self._outgoing.append(self._heartbeat(session, heartbeat))
            case NoticeReceived():
                pass  # faults and transmissions show in the heartbeat's counters
            case SessionLost(reason):
                self._change_state(LinkState.DOWN, reason)
            case RequestFailed():
                raise PortLost(f"{self._options.port}: the board does not answer requests")
            case IncompatibleBoard(hello):
                raise UnsupportedDevice(
                    f"{self._options.port}: {hello.firmware} speaks version {hello.major} of the"
                    f" link, this gateway version {messages.PROTOCOL_MAJOR}"
                )

    def _change_state(self, state: LinkState, detail: str) -> None:
        if state is LinkState.DOWN and self._up:
            self._down_since_us = self._now_us()
        self._up = state is LinkState.UP
        self._outgoing.append(ConcentratorStateChanged(self._options.name, state, detail))

    def _describe(self) -> str:
        assert self._hello is not None
        return (
            f"{self._hello.firmware}, board {self._hello.unique_id.hex()},"
            f" boot {self._hello.boot_id:016x} ({self._hello.reset_cause.name.lower()})"
        )

    def _uplink(self, session: HostSession, radio: int, event: messages.RxEvent) -> UplinkReceived:
        assert self._hello is not None
        report = decode_reception(
            RawReception(
                irq_flags=event.irq_flags,
                modem_status=event.modem_status,
                hop_channel=event.hop_channel,
                packet_snr=event.packet_snr,
                packet_rssi=event.packet_rssi,
                modem_config_1=event.modem_config_1,
                modem_config_2=event.modem_config_2,
                frequency_error=event.frequency_error,
                frf=event.frf,
            )
        )
        return UplinkReceived(
            concentrator=self._options.name,
            radio=radio,
            payload=event.payload,
            frequency_hz=self._asked_frequency_hz(radio, report.frequency_hz),
            spreading_factor=report.spreading_factor,
            bandwidth_hz=report.bandwidth_hz,
            coding_rate=report.coding_rate,
            rssi_dbm=report.rssi_dbm,
            rssi_model=RSSI_MODEL,
            snr_db=report.snr_db,
            frequency_error_hz=report.frequency_error_hz,
            crc_status=report.crc_status,
            received_at_us=session.clock.host_us(event.count_us, self._now_us()),
            count_us=event.count_us,
            origin=EventOrigin(self._hello.unique_id, self._hello.boot_id, event.number),
        )

    def _asked_frequency_hz(self, radio: int, tuned_hz: int) -> int:
        """The configured frequency, if the radio is on the step of 61 Hz next to it."""
        if radio < len(self._options.radios):
            asked_hz = self._options.radios[radio].frequency_hz
            if abs(asked_hz - tuned_hz) <= 62:
                return asked_hz
        return tuned_hz

    def _noise_offset_dbm(self, radio: int) -> int:
        configured = self._options.radios[radio : radio + 1]
        return rssi_offset_dbm(configured[0].frequency_hz if configured else 0)

    def _heartbeat(self, session: HostSession, heartbeat: messages.Heartbeat) -> Heartbeat:
        assert self._hello is not None
        temperature, supply = heartbeat.temperature_centi_c, heartbeat.supply_mv
        return Heartbeat(
            concentrator=self._options.name,
            radios=tuple(
                _statistics(radio, self._noise_offset_dbm(index))
                for index, radio in enumerate(heartbeat.radios)
            ),
            newest=EventOrigin(self._hello.unique_id, self._hello.boot_id, heartbeat.last_number),
            ring_used=heartbeat.ring_used,
            ring_capacity=self._hello.ring_capacity,
            ring_overflow=heartbeat.ring_overflow,
            link_rejects={reason.value: count for reason, count in session.rejects.items()},
            temperature_celsius=None if temperature is None else temperature / 100,
            supply_volts=None if supply is None else supply / 1000,
        )


def _statistics(counts: messages.RadioCounts, noise_offset_dbm: int) -> RadioStatistics:
    return RadioStatistics(
        received=counts.received,
        crc_errors=counts.crc_errors,
        # RegRssiValue, data sheet section 5.5.5
        noise_rssi_dbm=counts.noise_rssi + noise_offset_dbm if counts.noise_rssi else None,
        faults=counts.faults,
        receiving=counts.state is messages.RadioState.RECEIVING,
    )
