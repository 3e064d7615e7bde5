"""An SX1276/77/78/79 as its data sheet describes it, seen from its SPI bus and its DIO pins.

Synchronous and without a clock: every call brings the time, in microseconds, and calls come in
order of time. The air asks what the chip is :meth:`~Sx127x.listening` to and tells it what arrives.
Nothing that is read or written ever raises: a chip has no way to.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from simulator import sx127x_modem as modem
from simulator.sx127x_memory import ADDRESSES, Memory
from simulator.sx127x_modem import Listening, Transmitting
from simulator.sx127x_pins import DioListener, Pins
from simulator.sx127x_registers import (
    CRC_ON_PAYLOAD,
    HEADER_INFO_VALID,
    IMAGE_CAL_RUNNING,
    IMAGE_CAL_START,
    LONG_RANGE_MODE,
    MODEM_CLEAR,
    RX_ONGOING_SYNCHRONIZED_DETECTED,
    TEMP_CHANGE,
    Irq,
    Mode,
    Register,
)

CRYSTAL_START_US = 250  # data sheet table 7, TS_OSC
SYNTHESIZER_START_US = 60  # TS_FS
IMAGE_CALIBRATION_US = 10_000  # section 4.2.3.8: about 10 ms

_TRANSMIT_PATH = frozenset({Mode.FSTX, Mode.TX})
_RECEIVE_PATH = frozenset({Mode.FSRX, Mode.RXCONT, Mode.RXSINGLE, Mode.CAD})
_RECEIVING_MODES = frozenset({Mode.RXCONT, Mode.RXSINGLE})
_DONE = {Mode.TX: Irq.TX_DONE, Mode.RXSINGLE: Irq.RX_TIMEOUT, Mode.CAD: Irq.CAD_DONE}
"""What is raised when a mode falls back to standby by itself."""


@dataclass(slots=True)
class _Activity:
    """What the chip does in its present mode; a new mode begins with a new one.

    Attributes:
        settling_until_us: until when crystal and synthesizer start; None = settled.
        deadline_us: when the mode ends by itself.
        expected_length: of the packet that is being received; None = not known yet.
    """

    settling_until_us: int | None = None
    deadline_us: int | None = None
    receiving: bool = False
    expected_length: int | None = None
    transmitting: Transmitting | None = None


class Sx127x:
    """One chip.

    RegOpMode reads back what was written at once; the chip works in the new mode when crystal and
    synthesizer have settled. Configuration is taken over when the chip leaves sleep or standby, the
    only modes in which the data sheet (4.1.2.1) lets it be written.

    Attributes:
        deaf: hears nothing while its registers look right, as failed front ends do.
        receptions: counts :meth:`begin_reception`; tells an interrupted reception from the next.
    """

    def __init__(self, *, on_dio: DioListener = lambda _dio, _level, _at_us: None) -> None:
        self.deaf = False
        self.receptions = 0
        self._channel_rssi_dbm = -120.0
        self._memory = Memory()
        self._pins = Pins(self._memory, on_dio)
        self._activity = _Activity()
        self._calibrating_until_us: int | None = None

    @property
    def unknown_accesses(self) -> Counter[int]:
        """Reads and writes of undocumented registers since the chip was made, by address."""
        return self._memory.unknown_accesses

    @property
    def receiving(self) -> bool:
        """Whether a reception is in progress."""
        return self._activity.receiving

    def reset(self, now_us: int) -> None:
        """Power-on, brown-out or NRST: everything is lost."""
        self._memory.reset()
        self._activity = _Activity()
        self._calibrating_until_us = None
        self._pins.update(now_us)

    def read(self, address: int, count: int, now_us: int) -> bytes:
        """Read a burst; the address advances, but for the FIFO, which is popped."""
        self.advance(now_us)
        self._sample_rssi()
        return bytes(self._memory.read(each) for each in _burst(address, count))

    def write(self, address: int, data: bytes, now_us: int) -> None:
        """Write a burst; the address advances, but for the FIFO, which is pushed to."""
        self.advance(now_us)
        for each, value in zip(_burst(address, len(data)), data, strict=True):
            if each == Register.OP_MODE:
                self._write_operating_mode(value, now_us)
            elif each == Register.FSK_IMAGE_CAL and self._memory.shows_fsk_page():
                self._write_image_calibration(value, now_us)
            else:
                self._memory.write(each, value)
        self._pins.update(now_us)

    def listening(self, now_us: int) -> Listening | None:
        """What the chip could receive if it began now; None if it could not or is busy."""
        return None if self._activity.receiving else self.tuned(now_us)

    def tuned(self, now_us: int) -> Listening | None:
        """What the receiver is set to, busy or not; None if it is off, starts or is deaf."""
        self.advance(now_us)
        memory = self._memory
        able = not self.deaf and self._activity.settling_until_us is None
        if able and memory.long_range and memory.mode in _RECEIVING_MODES:
            return modem.received_waveform(memory.settings)
        return None

    def begin_reception(self, *, now_us: int) -> None:
        """A preamble was found. Ignored where :meth:`listening` says None."""
        waveform = self.listening(now_us)
        if waveform is None:
            return
        self.receptions += 1
        self._activity.receiving = True
        if waveform.implicit_header:
            self._activity.expected_length = self._memory.settings[Register.PAYLOAD_LENGTH]
        self._set_modem_status(RX_ONGOING_SYNCHRONIZED_DETECTED)

    def header_received(
        self, *, coding_rate: int, crc_on_payload: bool, payload_length: int, now_us: int
    ) -> bool:
        """An explicit header with a good checksum came in; ignored in implicit header mode.

        Args:
            coding_rate: 1 to 4 for 4/5 to 4/8.

        Returns:
            Whether the reception goes on: not if none is in progress, nor if the packet is longer
            than RegMaxPayloadLength, which counts as a damaged header.
        """
        self.advance(now_us)
        activity, memory = self._activity, self._memory
        if not activity.receiving or activity.expected_length is not None:
            return activity.receiving
        if payload_length > memory.settings[Register.MAX_PAYLOAD_LENGTH]:
            self._lose(now_us)
            return False
        activity.expected_length = payload_length
        memory.registers[Register.HOP_CHANNEL] = CRC_ON_PAYLOAD if crc_on_payload else 0
        memory.registers[Register.MODEM_STAT] = coding_rate << 5
        self._set_modem_status(HEADER_INFO_VALID | RX_ONGOING_SYNCHRONIZED_DETECTED)
        memory.count(Register.RX_HEADER_CNT_MSB)
        self._raise(Irq.VALID_HEADER, now_us)
        return True

    def end_reception(
        self,
        payload: bytes,
        *,
        rssi_dbm: float,
        snr_db: float,
        frequency_error_hz: float,
        crc_ok: bool,
        now_us: int,
    ) -> None:
        """The last symbol came in. Ignored where no reception is in progress.

        Args:
            payload: as demodulated; the chip takes as many bytes as the header said, or as
                RegPayloadLength says in implicit header mode.
            frequency_error_hz: positive if the receiver is tuned high.
            crc_ok: whether payload and CRC match, if the transmitter sent one.
        """
        self.advance(now_us)
        if not self._activity.receiving:
            return
        length = self._activity.expected_length
        if length is None:  # no header was understood: there is no packet
            self._lose(now_us)
            return
        memory = self._memory
        memory.store_packet(payload[:length].ljust(length, b"\0"))
        self._measure(rssi_dbm, snr_db, frequency_error_hz)
        in_header = bool(memory.registers[Register.HOP_CHANNEL] & CRC_ON_PAYLOAD)
        flags = Irq.RX_DONE
        if modem.crc_checked(memory.settings, crc_on_payload=in_header) and not (
            crc_ok and len(payload) == length
        ):
            flags |= Irq.PAYLOAD_CRC_ERROR
        else:
            memory.count(Register.RX_PACKET_CNT_MSB)
        self._leave_reception(now_us)
        self._raise(flags, now_us)

    def abort_reception(self, now_us: int) -> None:
        """The signal was lost before its end. Ignored where no reception is in progress."""
        self.advance(now_us)
        if self._activity.receiving:
            self._lose(now_us)

    def set_channel_rssi(self, rssi_dbm: float) -> None:
        """How strong whatever is on the channel is, for RegRssiValue."""
        self._channel_rssi_dbm = rssi_dbm

    def transmitting(self) -> Transmitting | None:
        """The packet on its way out, from the write of the TX mode to its end."""
        return self._activity.transmitting

    def next_timer_us(self) -> int | None:
        """When something happens by itself: call :meth:`advance` then."""
        activity = self._activity
        # Once a reception has begun, the symbol time-out of RXSINGLE no longer fires (page 41).
        deadline_us = None if activity.receiving else activity.deadline_us
        timers = (activity.settling_until_us, deadline_us, self._calibrating_until_us)
        return min((timer for timer in timers if timer is not None), default=None)

    def advance(self, now_us: int) -> None:
        """Let everything happen that is due."""
        while (due_us := self.next_timer_us()) is not None and due_us <= now_us:
            if due_us == self._activity.settling_until_us:
                self._activity.settling_until_us = None
            elif due_us == self._calibrating_until_us:
                self._calibrating_until_us = None
                self._memory.fsk_page[Register.FSK_IMAGE_CAL] &= ~IMAGE_CAL_RUNNING
            else:
                done = _DONE[self._memory.mode]
                self._fall_back(due_us)
                self._raise(done, due_us)

    def _write_operating_mode(self, value: int, now_us: int) -> None:
        memory = self._memory
        old = memory.mode
        if old is not Mode.SLEEP:  # the only mode in which LongRangeMode can change
            kept = memory.registers[Register.OP_MODE] & LONG_RANGE_MODE
            value = value & ~LONG_RANGE_MODE | kept
        memory.registers[Register.OP_MODE] = value
        if memory.mode is not old:
            self._enter(memory.mode, old, now_us)

    def _enter(self, mode: Mode, old: Mode, now_us: int) -> None:
        settled_us = self._settled_us(now_us) + _settling_us(old, mode)
        self._activity = _Activity()
        self._set_modem_status(MODEM_CLEAR)
        if mode is Mode.SLEEP:
            self._memory.sleep()
            return
        if settled_us > now_us:
            self._activity.settling_until_us = settled_us
        if old in {Mode.SLEEP, Mode.STANDBY}:
            self._memory.take_over_settings()
        if self._memory.long_range:
            self._start(mode, settled_us)

    def _settled_us(self, now_us: int) -> int:
        """When the present mode is reached; now if it has been."""
        settling_until_us = self._activity.settling_until_us
        return now_us if settling_until_us is None else settling_until_us

    def _start(self, mode: Mode, settled_us: int) -> None:
        """Begin what a LoRa mode does. With an illegal setting it never ends by itself."""
        settings = self._memory.settings
        waveform = modem.received_waveform(settings)
        match mode:
            case Mode.RXCONT:
                self._memory.start_receiver()
            case Mode.RXSINGLE:
                self._memory.start_receiver()
                if waveform is not None:
                    timeout_us = modem.symbol_timeout_us(settings, waveform)
                    self._activity.deadline_us = settled_us + timeout_us
            case Mode.CAD if waveform is not None:
                self._activity.deadline_us = settled_us + modem.activity_detection_us(waveform)
            case Mode.TX:
                self._transmit(settled_us)

    def _transmit(self, start_us: int) -> None:
        settings = self._memory.settings
        waveform = modem.transmitted_waveform(settings)
        if waveform is None:
            return
        payload = self._memory.packet_to_send()
        end_us = start_us + modem.time_on_air_us(waveform, len(payload))
        power_dbm = modem.output_power_dbm(settings)
        self._activity.deadline_us = end_us
        self._activity.transmitting = Transmitting(waveform, power_dbm, payload, start_us, end_us)

    def _fall_back(self, now_us: int) -> None:
        """Go to standby, as TX, RXSINGLE and CAD do when they are done."""
        operating_mode = self._memory.registers[Register.OP_MODE] & ~0x07 | Mode.STANDBY
        self._write_operating_mode(operating_mode, now_us)

    def _write_image_calibration(self, value: int, now_us: int) -> None:
        """RegImageCal of the FSK page; the start bit works in FSK standby and reads 0."""
        page = self._memory.fsk_page
        kept = IMAGE_CAL_RUNNING | TEMP_CHANGE
        page[Register.FSK_IMAGE_CAL] = page[Register.FSK_IMAGE_CAL] & kept | value & ~(
            kept | IMAGE_CAL_START
        )
        fsk_standby = self._memory.mode is Mode.STANDBY and not self._memory.long_range
        if value & IMAGE_CAL_START and fsk_standby:
            page[Register.FSK_IMAGE_CAL] |= IMAGE_CAL_RUNNING
            self._calibrating_until_us = self._settled_us(now_us) + IMAGE_CALIBRATION_US

    def _measure(self, rssi_dbm: float, snr_db: float, frequency_error_hz: float) -> None:
        """Write what the modem measured of a packet, in place of the last one's values."""
        waveform = modem.received_waveform(self._memory.settings)
        assert waveform is not None
        snr_quarters = modem.packet_snr_quarters(snr_db)
        rssi = modem.packet_rssi(rssi_dbm, snr_quarters, waveform.frequency_hz)
        fei = modem.frequency_error(frequency_error_hz, waveform.bandwidth_hz)
        registers = self._memory.registers
        registers[Register.PKT_SNR_VALUE] = snr_quarters & 0xFF
        registers[Register.PKT_RSSI_VALUE] = rssi
        registers[Register.FEI_MSB : Register.FEI_MSB + 3] = fei.to_bytes(3, "big")

    def _leave_reception(self, now_us: int) -> None:
        self._activity.receiving = False
        self._activity.expected_length = None
        self._set_modem_status(MODEM_CLEAR)
        if self._memory.mode is Mode.RXSINGLE:
            self._fall_back(now_us)

    def _lose(self, now_us: int) -> None:
        """Drop a reception; in RXSINGLE that counts as a time-out (page 41)."""
        single = self._memory.mode is Mode.RXSINGLE
        self._leave_reception(now_us)
        if single:
            self._raise(Irq.RX_TIMEOUT, now_us)

    def _set_modem_status(self, status: int) -> None:
        """Bits 4 to 0; above them stays the coding rate of the last header."""
        registers = self._memory.registers
        registers[Register.MODEM_STAT] = registers[Register.MODEM_STAT] & 0xE0 | status

    def _sample_rssi(self) -> None:
        frequency_hz = modem.carrier_hz(self._memory.settings)
        rssi = modem.current_rssi(self._channel_rssi_dbm, frequency_hz)
        self._memory.registers[Register.RSSI_VALUE] = rssi

    def _raise(self, flags: Irq, now_us: int) -> None:
        registers = self._memory.registers
        registers[Register.IRQ_FLAGS] |= flags & ~registers[Register.IRQ_FLAGS_MASK]
        self._pins.update(now_us)


def _burst(address: int, count: int) -> Iterator[int]:
    """The addresses of a burst; the bus has seven bits for them."""
    for offset in range(count):
        yield Register.FIFO if address == Register.FIFO else (address + offset) % ADDRESSES


def _settling_us(old: Mode, mode: Mode) -> int:
    """How long crystal and synthesizer need; going back to standby takes no time."""
    crystal_us = CRYSTAL_START_US if old is Mode.SLEEP else 0
    for path in (_TRANSMIT_PATH, _RECEIVE_PATH):
        if mode in path and old not in path:
            return crystal_us + SYNTHESIZER_START_US
    return crystal_us
