"""A simulated concentrator board: its firmware's behaviour around register-level SX127x chips.

Everything goes through the chips' registers, as in a real board: an edge on DIO0 makes the firmware
read the status registers and the FIFO, number the event and keep it until it is acknowledged.
Synchronous and clockless: :mod:`simulator.port` moves its bytes, :mod:`simulator.concentrator` its
time.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from protocol.link.board_session import BoardSession, OutgoingFrame, RequestReceived
from protocol.link.messages import (
    BOARD,
    BoardHello,
    CancelTransmit,
    Capability,
    RadioCounts,
    RadioDescription,
    RadioState,
    ReceiveProfile,
    Registers,
    Reset,
    ResetCause,
    RxEvent,
    Status,
    StatusCode,
    Transmit,
)
from simulator.firmware import BoardIdentity, Boot, EventListener
from simulator.radio_unit import RadioUnit

HEARTBEAT_US = 1_000_000
_FOR_EVER_US = 1 << 60


@dataclass(slots=True)
class Board:
    """One boot of a board.

    Attributes:
        count_us: the board's microsecond counter; all times inside are of this clock.
        on_event: told when a reception was put into the ring, or lost because it was full.
    """

    identity: BoardIdentity
    boot_id: int
    count_us: Callable[[], int]
    now_us: int
    reset_cause: ResetCause = ResetCause.POWER_ON
    on_event: EventListener = lambda _radio, _raw, _event: None
    wants_reset: bool = False
    keeps_events: bool = True
    boot_banner: bytes = b"\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\nload:0x3fff0030\r\n"
    session: BoardSession = field(init=False)
    radios: list[RadioUnit] = field(init=False)

    def __post_init__(self) -> None:
        self.session = BoardSession(self._hello(), count_us=self.count_us, now_us=self.now_us)
        self.radios = [
            RadioUnit(self.count_us, self._listener(index)) for index in range(self.identity.radios)
        ]
        self._heartbeat_at_us = self.now_us + HEARTBEAT_US

    _heartbeat_at_us: int = field(init=False, default=0)
    _wedged: bool = field(init=False, default=False)

    @property
    def acknowledged(self) -> int:
        """Number up to which events are acknowledged."""
        return self.session.acknowledged

    @property
    def unacknowledged(self) -> Sequence[int]:
        """Numbers of the events in the ring."""
        return [event.number for event in self.session.unacknowledged]

    def wedge(self) -> None:
        """Nothing moves any more; the chips go on receiving, and nobody reads them."""
        self._wedged = True

    def receive(self, data: bytes, now_us: int) -> None:
        """Take bytes from the line and carry out what they ask for."""
        if self._wedged:
            return
        self.session.receive(data, now_us)
        while (event := self.session.next_event()) is not None:
            if isinstance(event, RequestReceived):
                self.session.reply(event, self._carry_out(event))

    def next_frame(self, now_us: int) -> OutgoingFrame | None:
        """The next frame for the line."""
        return None if self._wedged else self.session.next_frame(now_us)

    def timer_us(self) -> int:
        """When to call :meth:`handle_timer` at the latest."""
        if self._wedged:
            return self._heartbeat_at_us + _FOR_EVER_US
        return min(self._heartbeat_at_us, self.session.timer_us())

    def handle_timer(self, now_us: int) -> None:
        """Heartbeat, scrub, and what the session has to do."""
        if self._wedged:
            return
        self.session.handle_timer(now_us)
        if now_us >= self._heartbeat_at_us:
            self._heartbeat_at_us = now_us + HEARTBEAT_US
            for radio in self.radios:
                radio.scrub()
            self.session.heartbeat(
                tuple(_counts(radio) for radio in self.radios),
                temperature_centi_c=4150,  # a roof box in Da Nang
                supply_mv=5020,
            )

    def _hello(self) -> BoardHello:
        return BoardHello(
            nonce=0,
            boot_id=self.boot_id,
            reset_cause=self.reset_cause,
            capabilities=Capability.VALID_HEADER_TIME | Capability.SCRUB,
            ring_capacity=self.identity.ring_capacity,
            max_requests=4,
            transmit_queue=0,
            first_unacknowledged=1,
            unique_id=self.identity.unique_id,
            firmware=self.identity.firmware,
            radios=(RadioDescription(76, 0x12, tcxo=False, pa_boost=True),) * self.identity.radios,
        )

    def _listener(self, radio: int) -> Callable[[RxEvent], None]:
        def received(event: RxEvent) -> None:
            if self._wedged:
                return
            self.on_event(radio, event, self.session.push_event(radio, event))

        return received

    def _carry_out(self, request: RequestReceived) -> Status:
        message = request.message
        if isinstance(message, Reset) and request.radio == BOARD:
            self.wants_reset = True
            return Status(StatusCode.OK)
        if request.radio >= len(self.radios):
            return Status(StatusCode.BAD_REQUEST)
        radio = self.radios[request.radio]
        match message:
            case Reset():
                return radio.restart()
            case ReceiveProfile(image):
                return radio.set_profile(image)
            case Registers(operations, skip_if_receiving):
                return radio.execute(operations, skip_if_receiving=skip_if_receiving)
            case Transmit() | CancelTransmit():
                return Status(StatusCode.NOT_SUPPORTED)


def power_on(boot: Boot) -> Board:
    """Start a board."""
    return Board(
        boot.identity,
        boot.boot_id,
        boot.count_us,
        boot.now_us,
        reset_cause=boot.reset_cause,
        on_event=boot.on_event,
    )


def _counts(radio: RadioUnit) -> RadioCounts:
    return RadioCounts(
        state=RadioState.RECEIVING if radio.managed else RadioState.OFF,
        received=radio.received,
        crc_errors=radio.crc_errors,
        transmitted=0,
        faults=min(radio.faults, 0xFFFF),
        noise_rssi=radio.noise_rssi(),
    )
