"""What drivers of other people's firmware share: the shell around a session of their dialect.

Such a device numbers nothing and keeps nothing: what it has said is gone, so that frames between it
and the store are lost when the process dies. A family adds how its session is made, and what its
session's events mean.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Generic, Protocol, Self, TypeVar

from drivers.base import (
    BoottimeUs,
    Capabilities,
    CheckOptions,
    Downlink,
    DriverOptions,
    TxOutcome,
    TxResult,
)
from drivers.errors import HandshakeTimeout, PortLost, UnsupportedDevice
from drivers.option_checks import refuse
from drivers.serial_port import SerialPort, open_port
from protocol.lora.events import (
    ConcentratorStateChanged,
    LinkState,
    RadioEvent,
    UplinkReceived,
)

HANDSHAKE_S = 12.0
"""The first questions after a plug are often lost, and booting takes 2 s."""

Event_co = TypeVar("Event_co", covariant=True)
Event = TypeVar("Event")


class Session(Protocol[Event_co]):
    """The host's end of one open port; see :mod:`protocol.dialects`."""

    def bytes_to_send(self) -> bytes: ...

    def next_event(self) -> Event_co | None: ...

    def timer_us(self) -> int: ...

    def receive(self, data: bytes, now_us: int) -> None: ...

    def handle_timer(self, now_us: int) -> None: ...

    def restart_device(self) -> None:
        """Ask the device to start anew."""
        ...


class DialectDriver(ABC, Generic[Event]):
    """One device on one port; see :class:`drivers.base.Driver`."""

    family: str
    """What it is called in messages, with its article."""

    check: CheckOptions

    def __init__(self, options: DriverOptions, boottime_us: BoottimeUs) -> None:
        self.options = options
        self._now_us = boottime_us
        self._outgoing: deque[RadioEvent] = deque()
        self._identity = b""
        self._up = False
        self._down_since_us = 0
        self._port: SerialPort | None = None
        self._session: Session[Event] | None = None

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the firmware offers."""

    @abstractmethod
    def begin_session(self, now_us: int) -> Session[Event]:
        """A session for the port that was opened."""

    @abstractmethod
    def digest(self, event: Event, now_us: int) -> None:
        """Say by :meth:`emit` and :meth:`change_state` what an event means.

        Raises:
            DriverError: the connection is over.
        """

    async def __aenter__(self) -> Self:
        refuse(self.options, type(self).check(self.options))
        self._port = await open_port(self.options.port, self.options.baud)
        self._down_since_us = self._now_us()
        self._session = self.begin_session(self._now_us())
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

    def emit(self, event: RadioEvent) -> None:
        """Yield this next."""
        self._outgoing.append(event)

    def change_state(self, state: LinkState, detail: str) -> None:
        """The device is up, or is being looked for again."""
        is_up = state is LinkState.UP
        if self._up and not is_up:
            self._down_since_us = self._now_us()
        if self._up is not is_up:
            self.emit(
                ConcentratorStateChanged(self.options.name, state, detail, self._identity.hex())
            )
        self._up = is_up

    def check_identity(self, identity: bytes) -> None:
        """See whether it is the device that is wanted, and still the one that it was.

        Raises:
            DriverError: it is another one, or does not tell.
        """
        wanted = self.options.unique_id or self._identity.hex()
        if wanted and not identity:
            raise PortLost(f"{self.options.port}: the device does not tell its identity")
        if wanted and identity.hex() != wanted:
            raise UnsupportedDevice(
                f"{self.options.port}: the device reports {identity.hex()}, not {wanted}; if it"
                f" was replaced on purpose, change unique_id of concentrator {self.options.name!r}"
            )
        self._identity = identity

    @property
    def is_up(self) -> bool:
        """Whether the radios listen, as far as is known."""
        return self._up

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
            self.digest(event, now_us)
        if not self._up and now_us - self._down_since_us > HANDSHAKE_S * 1e6:
            raise HandshakeTimeout(
                f"{self.options.port}: {self.family} has not answered for {HANDSHAKE_S:.0f} s;"
                " is it the right port, and does the board have that firmware?"
            )
