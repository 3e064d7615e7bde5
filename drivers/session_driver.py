"""What drivers share: the shell around a session, which is pure.

A family adds how its session is made, and what its session's events mean. Beneath stands what
devices share that run other people's firmware.
"""

import asyncio
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import AsyncIterator
from types import TracebackType
from typing import Any, Generic, Protocol, Self, TypeVar

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


class Session(Protocol):
    """The host's end of one open port."""

    def bytes_to_send(self) -> bytes: ...

    def next_event(self) -> Any | None: ...

    def timer_us(self) -> int: ...

    def receive(self, data: bytes, now_us: int) -> None: ...

    def handle_timer(self, now_us: int) -> None: ...


Host = TypeVar("Host", bound=Session)
Event = TypeVar("Event")


class SessionDriver(ABC, Generic[Host, Event]):
    """One device on one port; see :class:`drivers.base.Driver`.

    Attributes:
        check: what the family cannot do of what is asked.
        handshake_s: how long a device may take to answer before it is given up.
        nobody: who has not answered then, for people.
    """

    check: CheckOptions
    handshake_s: float
    nobody: str

    def __init__(self, options: DriverOptions, boottime_us: BoottimeUs) -> None:
        self.options = options
        self.now_us = boottime_us
        self.is_up = False
        self._outgoing: deque[RadioEvent] = deque()
        self._down_since_us = 0
        self._port: SerialPort | None = None
        self._session: Host | None = None

    @property
    @abstractmethod
    def capabilities(self) -> Capabilities:
        """What the device offers."""

    @abstractmethod
    def begin_session(self, now_us: int) -> Host:
        """A session for the port that was opened."""

    @abstractmethod
    def digest(self, event: Event, now_us: int) -> None:
        """Say by :meth:`emit` and :meth:`change_state` what an event means.

        Raises:
            DriverError: the connection is over.
        """

    @property
    def session(self) -> Host:
        """The session; there is one once the port is open."""
        assert self._session is not None
        return self._session

    async def __aenter__(self) -> Self:
        refuse(self.options, type(self).check(self.options))
        self._port = await open_port(self.options.port, self.options.baud)
        self._down_since_us = self.now_us()
        self._session = self.begin_session(self.now_us())
        try:
            while not self.is_up:
                await self._step(self._port)
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
            PermanentDriverError: what answers now cannot be used.
        """
        assert self._port is not None
        while True:
            while self._outgoing:
                yield self._outgoing.popleft()
            await self._step(self._port)

    async def transmit(self, downlink: Downlink) -> TxResult:  # noqa: ARG002 - the contract's
        """Refuse: the transmitter stays off until the regulation guard exists."""
        return TxResult(TxOutcome.NOT_SUPPORTED)

    def emit(self, event: RadioEvent) -> None:
        """Yield this next."""
        self._outgoing.append(event)

    def change_state(self, state: LinkState, detail: str, identity: str) -> None:
        """The device is up, or is being looked for again."""
        if self.is_up and state is LinkState.DOWN:
            self._down_since_us = self.now_us()
        self.is_up = state is LinkState.UP
        self.emit(ConcentratorStateChanged(self.options.name, state, detail, identity))

    def flush(self) -> None:
        """Write what the session has to say."""
        data = self.session.bytes_to_send()
        if self._port is not None:
            self._port.write(data)

    async def _step(self, port: SerialPort) -> None:
        """Wait for bytes or for the session's timer, and digest what came of it."""
        session = self.session
        self.flush()
        data = b""
        try:
            async with asyncio.timeout(max(0, session.timer_us() - self.now_us()) / 1e6):
                data = await port.read()
        except TimeoutError:
            pass
        now_us = self.now_us()
        session.receive(data, now_us)
        session.handle_timer(now_us)
        while (event := session.next_event()) is not None:
            self.digest(event, now_us)
        if not self.is_up and now_us - self._down_since_us > self.handshake_s * 1e6:
            raise HandshakeTimeout(
                f"{self.options.port}: {self.nobody} has answered for {self.handshake_s:.0f} s;"
                " is it the right port, and the right firmware?"
            )


class DialectSession(Session, Protocol):
    """The host's end where other people's firmware is at the other."""

    def restart_device(self) -> None:
        """Ask the device to start anew."""
        ...


DialectHost = TypeVar("DialectHost", bound=DialectSession)


class DialectDriver(SessionDriver[DialectHost, Event]):
    """A device that numbers nothing and keeps nothing: what it has said is gone, so that frames
    between it and the store are lost when the process dies.
    """

    handshake_s = 12.0  # the first questions after a plug are often lost, and booting takes 2 s

    def __init__(self, options: DriverOptions, boottime_us: BoottimeUs) -> None:
        super().__init__(options, boottime_us)
        self._identity = ""

    def acknowledge(self, event: UplinkReceived) -> None:
        """Nothing: the device has no such thing."""

    def soft_reset(self) -> None:
        """Let the device start anew; it is then set up again. Never blocks."""
        if self.is_up:
            self.session.restart_device()
            self.flush()

    def ready(self, identity: str, detail: str) -> None:
        """The device listens, if it is the one that is wanted, and still the one that it was.

        Raises:
            DriverError: it is another one, or does not tell.
        """
        wanted = self.options.unique_id or self._identity
        if wanted and not identity:
            raise PortLost(f"{self.options.port}: the device does not tell its identity")
        if wanted and identity != wanted:
            raise UnsupportedDevice(
                f"{self.options.port}: the device reports {identity}, not {wanted}; if it was"
                f" replaced on purpose, change unique_id of concentrator {self.options.name!r}"
            )
        self._identity = identity
        self.change_state(LinkState.UP, detail, identity)

    def lost(self, reason: str) -> None:
        """The device is being looked for again."""
        if self.is_up:
            self.change_state(LinkState.DOWN, reason, self._identity)
