"""Driver ``bridge``: boards that speak our own concentrator link.

An I/O shell around :class:`~protocol.link.host_session.HostSession`
(``docs/CONCENTRATOR-LINK.md``). The session does framing, order and repetition; this file opens the
port, sets the radios up and turns raw registers into radio events.
"""

import secrets

from drivers.base import BoottimeUs, Capabilities, DriverOptions, Metadata
from drivers.bridge_setup import RadioSetup, check_board, check_options
from drivers.errors import PortLost, UnsupportedDevice
from drivers.session_driver import SessionDriver
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
    EventOrigin,
    Heartbeat,
    LinkState,
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


class BridgeDriver(SessionDriver[HostSession, HostEvent]):
    """One board on one port; see :class:`drivers.base.Driver`."""

    handshake_s = 10.0  # an ESP32 that the opening of its port has reset boots within 2 s
    nobody = "nothing that speaks the concentrator link"
    check = staticmethod(check_options)

    def __init__(self, options: DriverOptions, boottime_us: BoottimeUs) -> None:
        super().__init__(options, boottime_us)
        self._setup = RadioSetup(options)
        self._hello: messages.BoardHello | None = None

    @property
    def capabilities(self) -> Capabilities:
        """What the link offers; the number of radios is known once the board has answered."""
        return Capabilities(
            radios=len(self._hello.radios) if self._hello else len(self.options.radios),
            sync_words=None,
            lorawan=True,
            scheduled_transmit=False,
            acknowledges=True,
            metadata=frozenset(Metadata),
        )

    def begin_session(self, now_us: int) -> HostSession:
        """A session of its own nonces."""
        return HostSession(
            window=WINDOW,
            new_nonce=lambda: secrets.randbelow(0xFFFFFFFF) + 1,
            now_us=now_us,
        )

    def acknowledge(self, event: UplinkReceived) -> None:
        """Pass the acknowledgement on at once, unless the board has restarted since."""
        origin, hello, session = event.origin, self._hello, self._session
        if origin is None or hello is None or session is None or origin.boot_id != hello.boot_id:
            return
        session.acknowledge(origin.number, self.now_us())
        self.flush()

    def soft_reset(self) -> None:
        """Let the board start anew; its hello then begins a new session by itself."""
        if self._session is not None and self._session.open:
            self._session.request(messages.Reset(), messages.BOARD, self.now_us())
            self.flush()

    def digest(self, event: HostEvent, now_us: int) -> None:
        """See :meth:`SessionDriver.digest`."""
        session = self.session
        match event:
            case SessionOpened(hello):
                check_board(self.options, hello)
                self._hello = hello
                self._setup.begin(session, hello, now_us)
            case EventReceived(radio, rx_event):
                self.emit(self._uplink(radio, rx_event, now_us))
            case ReplyReceived(request, status):
                if self._setup.answered(request, status):
                    self._change_state(LinkState.UP, self._describe())
                    session.grant(now_us)
            case NoticeReceived(_, messages.Heartbeat() as heartbeat):
                self.emit(self._heartbeat(heartbeat))
            case NoticeReceived():
                pass  # faults and transmissions show in the heartbeat's counters
            case SessionLost(reason):
                self._change_state(LinkState.DOWN, reason)
            case RequestFailed():
                raise PortLost(f"{self.options.port}: the board does not answer requests")
            case IncompatibleBoard(hello):
                raise UnsupportedDevice(
                    f"{self.options.port}: {hello.firmware} speaks version {hello.major} of the"
                    f" link, this gateway version {messages.PROTOCOL_MAJOR}"
                )

    def _change_state(self, state: LinkState, detail: str) -> None:
        identity = self._hello.unique_id.hex() if self._hello is not None else ""
        self.change_state(state, detail, identity)

    def _describe(self) -> str:
        assert self._hello is not None
        return (
            f"{self._hello.firmware}, board {self._hello.unique_id.hex()},"
            f" boot {self._hello.boot_id:016x} ({self._hello.reset_cause.name.lower()})"
        )

    def _uplink(self, radio: int, event: messages.RxEvent, now_us: int) -> UplinkReceived:
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
            concentrator=self.options.name,
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
            received_at_us=self.session.clock.host_us(event.count_us, now_us),
            count_us=event.count_us,
            origin=EventOrigin(self._hello.unique_id, self._hello.boot_id, event.number),
        )

    def _asked_frequency_hz(self, radio: int, tuned_hz: int) -> int:
        """The configured frequency, if the radio is on the step of 61 Hz next to it."""
        if radio < len(self.options.radios):
            asked_hz = self.options.radios[radio].frequency_hz
            if abs(asked_hz - tuned_hz) <= 62:
                return asked_hz
        return tuned_hz

    def _noise_offset_dbm(self, radio: int) -> int:
        configured = self.options.radios[radio : radio + 1]
        return rssi_offset_dbm(configured[0].frequency_hz if configured else 0)

    def _heartbeat(self, heartbeat: messages.Heartbeat) -> Heartbeat:
        assert self._hello is not None
        temperature, supply = heartbeat.temperature_centi_c, heartbeat.supply_mv
        return Heartbeat(
            concentrator=self.options.name,
            radios=tuple(
                _statistics(radio, self._noise_offset_dbm(index))
                for index, radio in enumerate(heartbeat.radios)
            ),
            newest=EventOrigin(self._hello.unique_id, self._hello.boot_id, heartbeat.last_number),
            ring_used=heartbeat.ring_used,
            ring_capacity=self._hello.ring_capacity,
            ring_overflow=heartbeat.ring_overflow,
            link_rejects={reason.value: count for reason, count in self.session.rejects.items()},
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
