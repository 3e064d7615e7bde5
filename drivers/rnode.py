"""Driver ``rnode``: boards with RNode firmware, also of the Community Edition.

An I/O shell around :class:`~protocol.dialects.rnode.RNodeSession`. Such a board keeps nothing:
what it has said is gone, so that frames between it and the store are lost when the process dies. It
hears private frames only, without their first byte, which its firmware takes for its own header.
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
    RadioOptions,
    TxOutcome,
    TxResult,
)
from drivers.errors import HandshakeTimeout, PortLost, UnsupportedDevice
from drivers.option_checks import refuse
from drivers.rnode_options import SYNC_WORD, check_options
from drivers.serial_port import SerialPort, open_port
from protocol.dialects.rnode import (
    Alive,
    Lost,
    RadioSettings,
    Ready,
    Received,
    RNodeEvent,
    RNodeSession,
    Unusable,
)
from protocol.dialects.rnode_commands import MAX_DATA, rssi_dbm, snr_db
from protocol.lora.events import (
    ConcentratorStateChanged,
    CrcStatus,
    Heartbeat,
    LinkState,
    RadioEvent,
    RadioStatistics,
    UplinkReceived,
)

RSSI_MODEL = "rnode"
HANDSHAKE_S = 12.0  # the first questions after a plug are often lost, and booting takes 2 s


class RNodeDriver:
    """One device on one port; see :class:`drivers.base.Driver`."""

    def __init__(self, options: DriverOptions, boottime_us: BoottimeUs) -> None:
        self._options = options
        self._now_us = boottime_us
        self._outgoing: deque[RadioEvent] = deque()
        self._received = [0 for _ in options.radios]
        self._identity = b""
        self._up = False
        self._down_since_us = 0
        self._port: SerialPort | None = None
        self._session: RNodeSession | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the firmware offers, whatever board it runs on."""
        return Capabilities(
            radios=len(self._options.radios),
            sync_words=frozenset({SYNC_WORD}),
            lorawan=False,
            scheduled_transmit=False,
            acknowledges=False,
            metadata=frozenset({Metadata.RSSI, Metadata.SNR}),
            max_payload=MAX_DATA,
        )

    async def __aenter__(self) -> Self:
        refuse(self._options, check_options(self._options))
        self._port = await open_port(self._options.port, self._options.baud)
        self._down_since_us = self._now_us()
        self._session = RNodeSession(
            [_settings(radio) for radio in self._options.radios], self._now_us()
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
        """Yield events in the device's order.

        Raises:
            PortLost: the port is gone.
            HandshakeTimeout: the device has been silent for too long.
            UnsupportedDevice: what answers now cannot be used.
        """
        while True:
            while self._outgoing:
                yield self._outgoing.popleft()
            await self._step()

    def acknowledge(self, event: UplinkReceived) -> None:
        """Nothing: the device has no such thing."""

    def soft_reset(self) -> None:
        """Let the device start anew; it is then set up again. Never blocks."""
        if self._session is not None and self._port is not None and self._up:
            self._session.restart_device()
            self._port.write(self._session.bytes_to_send())

    async def transmit(self, downlink: Downlink) -> TxResult:  # noqa: ARG002 - the contract's
        """Refuse: the transmitter stays off until the regulation guard exists."""
        return TxResult(TxOutcome.NOT_SUPPORTED)

    async def _step(self) -> None:
        """Wait for bytes or for the session's timer, and digest what came of it."""
        assert self._port is not None
        assert self._session is not None
        session = self._session
        session.handle_timer(self._now_us())
        self._port.write(session.bytes_to_send())
        data = b""
        try:
            async with asyncio.timeout(max(0, session.timer_us() - self._now_us()) / 1e6):
                data = await self._port.read()
        except TimeoutError:
            pass
        now_us = self._now_us()
        session.receive(data, now_us)
        while (event := session.next_event()) is not None:
            self._digest(session, event, now_us)
        if not self._up and now_us - self._down_since_us > HANDSHAKE_S * 1e6:
            raise HandshakeTimeout(
                f"{self._options.port}: no RNode has answered for {HANDSHAKE_S:.0f} s; is it the"
                " right port, and does the board have RNode firmware?"
            )

    def _digest(self, session: RNodeSession, event: RNodeEvent, now_us: int) -> None:
        match event:
            case Ready((major, minor), platform, identity):
                self._check_identity(identity)
                told = f", device {identity.hex()}" if identity else ""
                detail = f"RNode firmware {major}.{minor:02} on {platform}{told}"
                self._change_state(LinkState.UP, detail)
            case Received():
                self._outgoing.append(self._uplink(event, now_us))
            case Alive():
                self._outgoing.append(self._heartbeat(session))
            case Lost(reason):
                self._change_state(LinkState.DOWN, reason)
            case Unusable(reason):
                raise UnsupportedDevice(f"{self._options.port}: {reason}")

    def _change_state(self, state: LinkState, detail: str) -> None:
        up = state is LinkState.UP
        if self._up and not up:
            self._down_since_us = self._now_us()
        if self._up is not up:
            self._outgoing.append(
                ConcentratorStateChanged(self._options.name, state, detail, self._identity.hex())
            )
        self._up = up

    def _check_identity(self, identity: bytes) -> None:
        """See whether it is the device that is wanted, and still the one that it was."""
        wanted = self._options.unique_id or self._identity.hex()
        if wanted and not identity:
            raise PortLost(f"{self._options.port}: the device does not tell its identity")
        if wanted and identity.hex() != wanted:
            raise UnsupportedDevice(
                f"{self._options.port}: the device reports {identity.hex()}, not {wanted}; if it"
                f" was replaced on purpose, change unique_id of concentrator {self._options.name!r}"
            )
        self._identity = identity

    def _uplink(self, event: Received, now_us: int) -> UplinkReceived:
        radio = self._options.radios[event.radio]
        self._received[event.radio] += 1
        return UplinkReceived(
            concentrator=self._options.name,
            radio=event.radio,
            payload=event.payload,
            frequency_hz=radio.frequency_hz,
            spreading_factor=radio.spreading_factor,
            bandwidth_hz=radio.bandwidth_hz,
            coding_rate=radio.coding_rate,
            rssi_dbm=None if event.rssi is None else rssi_dbm(event.rssi),
            rssi_model=RSSI_MODEL,
            snr_db=None if event.snr is None else snr_db(event.snr),
            frequency_error_hz=None,
            # It drops what has a bad CRC, but does not see whether there was one at all.
            crc_status=CrcStatus.UNKNOWN,
            received_at_us=now_us,
            count_us=None,
            origin=None,
        )

    def _heartbeat(self, session: RNodeSession) -> Heartbeat:
        return Heartbeat(
            concentrator=self._options.name,
            radios=tuple(
                RadioStatistics(
                    received=self._received[index],
                    crc_errors=0,
                    noise_rssi_dbm=session.noise_rssi_dbm[index],
                    faults=session.errors.total(),
                    receiving=self._up,
                )
                for index in range(len(self._options.radios))
            ),
            newest=None,
            ring_used=0,
            ring_capacity=0,
            ring_overflow=0,
            link_rejects=session.rejects,
            temperature_celsius=session.temperature_celsius,
            supply_volts=None,
        )


def _settings(radio: RadioOptions) -> RadioSettings:
    return RadioSettings(
        radio.frequency_hz,
        radio.bandwidth_hz,
        radio.spreading_factor,
        int(radio.coding_rate.rpartition("/")[2]),
    )
