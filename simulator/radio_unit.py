"""One radio as the board's firmware handles it: a chip, its receive profile, its interrupts.

Addresses and values are the SX1276/77/78/79 data sheet's (registers, LoRa page).
"""

from collections.abc import Callable

from protocol.link.framing import MAX_BODY, MIN_BODY
from protocol.link.messages import RxEvent, Status, StatusCode
from protocol.link.register_lists import RegisterImage
from protocol.lora.register_operations import (
    RegisterOperation,
    RegisterRead,
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)
from simulator.sx127x import Sx127x

FIFO, OP_MODE, FRF, FIFO_ADDR_PTR = 0x00, 0x01, 0x06, 0x0D
RX_CURRENT_ADDR, IRQ_FLAGS_MASK, IRQ_FLAGS, RX_NB_BYTES = 0x10, 0x11, 0x12, 0x13
MODEM_STAT, PKT_SNR, PKT_RSSI, RSSI_VALUE, HOP_CHANNEL = 0x18, 0x19, 0x1A, 0x1B, 0x1C
MODEM_CONFIG_1, FEI, DIO_MAPPING_1, VERSION = 0x1D, 0x28, 0x40, 0x42

SLEEP, LORA_SLEEP, LORA_STANDBY, LORA_RX_CONTINUOUS = 0x00, 0x80, 0x81, 0x85
IRQ_PAYLOAD_CRC_ERROR = 0x20
CRC_ON_PAYLOAD = 0x40
DIO3_VALID_HEADER = 0x01  # DIO0 = 00 is RxDone
MODEM_BUSY = 0x0F
MAX_STATUS_DATA = MAX_BODY - MIN_BODY - 2  # behind the body's header, code and index

BOARD_OWNED = frozenset({FIFO, OP_MODE, FIFO_ADDR_PTR, IRQ_FLAGS_MASK, IRQ_FLAGS, DIO_MAPPING_1})
"""Registers that the host may not write while the radio is managed (link specification, 6.2)."""


class RadioUnit:
    """A chip and what the firmware knows about it; ``managed`` while a receive profile is set.

    Attributes:
        resting: the firmware has ended the reception by itself, and waits to be told to go on.
    """

    def __init__(
        self, count_us: Callable[[], int], on_reception: Callable[[RxEvent], None]
    ) -> None:
        self._count_us = count_us
        self._on_reception = on_reception
        self._chip_time_us = count_us()
        self.chip = Sx127x(on_dio=self._on_dio)
        self.chip.reset(self._chip_time_us)
        self._image: RegisterImage | None = None
        self._valid_header_us = 0
        self.resting = False
        self.received = 0
        self.crc_errors = 0
        self.faults = 0

    @property
    def managed(self) -> bool:
        """Whether the firmware reads what the chip receives."""
        return self._image is not None

    def now_us(self) -> int:
        """The chip's time: the board's counter, or later while a wait has run ahead of it."""
        self._chip_time_us = max(self._chip_time_us, self._count_us())
        return self._chip_time_us

    def set_profile(self, image: RegisterImage | None) -> Status:
        """Arm continuous reception with this image, or switch the radio off."""
        self._image = image
        self.resting = False
        self._write(OP_MODE, SLEEP)
        self._write(OP_MODE, LORA_SLEEP)
        if image is None:
            return Status(StatusCode.OK)
        if any(address in BOARD_OWNED for address, _ in image):
            self._image = None
            return Status(StatusCode.REFUSED)
        return self._arm(image)

    def restart(self) -> Status:
        """Reset the chip by its NRST pin and set it up as it was."""
        self.chip.reset(self.now_us())
        return Status(StatusCode.OK) if self._image is None else self._arm(self._image)

    def scrub(self) -> None:
        """Compare the chip with the profile; a chip that lost its registers is armed again."""
        if self._image is None:
            return
        sound = self._read(VERSION) == 0x12 and self._read(OP_MODE) == LORA_RX_CONTINUOUS
        if not sound or self._first_difference(self._image) is not None:
            self.faults += 1
            self._arm(self._image)

    def execute(
        self, operations: tuple[RegisterOperation, ...], *, skip_if_receiving: bool
    ) -> Status:
        """Run a list without anything in between; stops at the first that fails.

        A list that would read more than an answer can carry is not begun.
        """
        wanted = sum(each.count for each in operations if isinstance(each, RegisterRead))
        if wanted > MAX_STATUS_DATA:
            return Status(StatusCode.BAD_REQUEST)
        if skip_if_receiving and self.managed and self._read(MODEM_STAT) & MODEM_BUSY:
            return Status(StatusCode.SKIPPED)
        data = bytearray()
        for index, operation in enumerate(operations):
            if self.managed and _writes_owned(operation):
                return Status(StatusCode.REFUSED, index)
            if not self._execute_one(operation, data):
                return Status(StatusCode.WAIT_TIMEOUT, index)
        return Status(StatusCode.OK, 0, bytes(data))

    def noise_rssi(self) -> int:
        """RegRssiValue while nothing is received, else 0."""
        if not self.managed or self._read(MODEM_STAT) & MODEM_BUSY:
            return 0
        return self._read(RSSI_VALUE)

    def _arm(self, image: RegisterImage) -> Status:
        for mode in (SLEEP, LORA_SLEEP, LORA_STANDBY):
            self._write(OP_MODE, mode)
        for address, value in image:
            self._write(address, value)
        difference = self._first_difference(image)
        if difference is not None:
            return Status(StatusCode.RADIO_FAULT, difference)
        self._write(DIO_MAPPING_1, DIO3_VALID_HEADER)
        self._write(IRQ_FLAGS_MASK, 0)
        self._write(IRQ_FLAGS, 0xFF)
        self._write(OP_MODE, LORA_RX_CONTINUOUS)
        return Status(StatusCode.OK)

    def _first_difference(self, image: RegisterImage) -> int | None:
        for index, (address, value) in enumerate(image):
            if self._read(address) != value:
                return index
        return None

    def _execute_one(self, operation: RegisterOperation, data: bytearray) -> bool:
        match operation:
            case RegisterRead(address, count):
                data += self.chip.read(address, count, self.now_us())
            case RegisterWrite(address, value):
                self.chip.write(address, value, self.now_us())
            case RegisterReadModifyWrite(address, mask, value):
                self._write(address, self._read(address) & ~mask & 0xFF | value & mask)
            case RegisterWait(address, mask, value, timeout_ms):
                return self._wait(address, mask, value, timeout_ms)
        return True

    def _wait(self, address: int, mask: int, value: int, timeout_ms: int) -> bool:
        end_us = self.now_us() + timeout_ms * 1000
        while self._read(address) & mask != value & mask:
            timer_us = self.chip.next_timer_us()
            if timer_us is None or timer_us > end_us:
                return False
            self._chip_time_us = max(self._chip_time_us, timer_us)
            self.chip.advance(self._chip_time_us)
        return True

    def _read(self, address: int) -> int:
        return self.chip.read(address, 1, self.now_us())[0]

    def _write(self, address: int, value: int) -> None:
        self.chip.write(address, bytes([value]), self.now_us())

    def _on_dio(self, dio: int, level: bool, at_us: int) -> None:
        if not level or not self.managed:
            return
        if dio == 3:
            self._valid_header_us = at_us
        elif dio == 0:
            self._on_reception(self._snapshot(at_us))

    def _snapshot(self, rx_done_us: int) -> RxEvent:
        """Read everything about the last packet before the next one overwrites it."""
        now_us = self.now_us()
        chip = self.chip
        flags = self._read(IRQ_FLAGS)
        hop_channel = self._read(HOP_CHANNEL)
        modem_config = chip.read(MODEM_CONFIG_1, 2, now_us)
        self._write(FIFO_ADDR_PTR, self._read(RX_CURRENT_ADDR))
        payload = chip.read(FIFO, self._read(RX_NB_BYTES), now_us)
        event = RxEvent(
            number=0,
            count_us=rx_done_us,
            valid_header_us=self._valid_header_us,
            irq_flags=flags,
            modem_status=self._read(MODEM_STAT),
            hop_channel=hop_channel,
            packet_snr=self._read(PKT_SNR),
            packet_rssi=self._read(PKT_RSSI),
            rssi=self._read(RSSI_VALUE),
            modem_config_1=modem_config[0],
            modem_config_2=modem_config[1],
            frequency_error=int.from_bytes(chip.read(FEI, 3, now_us), "big"),
            frf=int.from_bytes(chip.read(FRF, 3, now_us), "big"),
            payload=payload,
        )
        self._write(IRQ_FLAGS, 0xFF)
        self._valid_header_us = 0
        self.received += 1
        if flags & IRQ_PAYLOAD_CRC_ERROR:
            self.crc_errors += 1
        return event


def _writes_owned(operation: RegisterOperation) -> bool:
    match operation:
        case RegisterWrite(address, value):
            last = address if address == FIFO else address + max(0, len(value) - 1)
            return any(address <= owned <= last for owned in BOARD_OWNED)
        case RegisterReadModifyWrite(address):
            return address in BOARD_OWNED
        case _:
            return False


def good_crc(event: RxEvent) -> bool:
    """Whether a chip vouches for the payload: no error flag, and a CRC was there to check."""
    return not event.irq_flags & IRQ_PAYLOAD_CRC_ERROR and bool(event.hop_channel & CRC_ON_PAYLOAD)
