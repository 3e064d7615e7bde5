"""Registers and FIFO of an SX127x: the two pages, who may write, and where packets are put.

Pure storage: what a register's value makes the chip do is in :mod:`simulator.sx127x`.
"""

from collections import Counter

from simulator.sx127x_registers import (
    ACCESS_SHARED_REG,
    FSK_RESET_VALUES,
    LONG_RANGE_MODE,
    PAGED,
    READ_ONLY,
    RESET_VALUES,
    Mode,
    Register,
)

ADDRESSES = 0x80
FIFO_SIZE = 256


class Memory:
    """What one chip remembers.

    Attributes:
        registers: the common registers and those of the LoRa page.
        fsk_page: those of the FSK page, 0x0D to 0x3F.
        settings: the registers as they were when the configuration was last taken over.
        unknown_accesses: of undocumented registers, by address; survives a reset.
    """

    def __init__(self) -> None:
        self.unknown_accesses: Counter[int] = Counter()
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self.registers = bytearray(ADDRESSES)
        for address, value in RESET_VALUES.items():
            self.registers[address] = value
        self.fsk_page = bytearray(ADDRESSES)
        for address, value in FSK_RESET_VALUES.items():
            self.fsk_page[address] = value
        self.settings = bytes(self.registers)
        self._fifo = bytearray(FIFO_SIZE)
        self._next_packet_address = 0

    @property
    def mode(self) -> Mode:
        return Mode(self.registers[Register.OP_MODE] & 0x07)

    @property
    def long_range(self) -> bool:
        """Whether the chip is in LoRa mode."""
        return bool(self.registers[Register.OP_MODE] & LONG_RANGE_MODE)

    def read(self, address: int) -> int:
        """One byte as the bus reads it."""
        if address == Register.FIFO:
            return self._fifo[self._advance_fifo()] if self._fifo_accessible() else 0
        return self._page(address)[address]

    def write(self, address: int, value: int) -> None:
        """One byte as the bus writes it."""
        if address == Register.FIFO:
            if self._fifo_accessible():
                self._fifo[self._advance_fifo()] = value
            return
        page = self._page(address)
        if page is self.fsk_page or address not in READ_ONLY:
            page[address] = value if address != Register.IRQ_FLAGS else page[address] & ~value

    def shows_fsk_page(self) -> bool:
        """Whether 0x0D to 0x3F are the FSK registers now."""
        operating_mode = self.registers[Register.OP_MODE]
        return operating_mode & (LONG_RANGE_MODE | ACCESS_SHARED_REG) != LONG_RANGE_MODE

    def take_over_settings(self) -> None:
        """Make what is configured now the chip's configuration."""
        self.settings = bytes(self.registers)

    def sleep(self) -> None:
        """Lose what sleep mode does not keep: the FIFO, header and packet counters."""
        self._fifo = bytearray(FIFO_SIZE)
        for address in range(Register.RX_HEADER_CNT_MSB, Register.MODEM_STAT):
            self.registers[address] = 0

    def count(self, register: Register) -> None:
        """Add one to a counter of two bytes, which wraps."""
        counted = int.from_bytes(self.registers[register : register + 2], "big") + 1
        self.registers[register : register + 2] = (counted & 0xFFFF).to_bytes(2, "big")

    def start_receiver(self) -> None:
        """The next packet goes to RegFifoRxBaseAddr."""
        self._next_packet_address = self.settings[Register.FIFO_RX_BASE_ADDR]

    def store_packet(self, payload: bytes) -> None:
        """Put a packet behind the one before; what reaches the end goes on at the beginning."""
        first = self._next_packet_address
        for offset, value in enumerate(payload):
            self._fifo[(first + offset) % FIFO_SIZE] = value
        self._next_packet_address = (first + len(payload)) % FIFO_SIZE
        self.registers[Register.FIFO_RX_CURRENT_ADDR] = first
        self.registers[Register.FIFO_RX_BYTE_ADDR] = (self._next_packet_address - 1) % FIFO_SIZE
        self.registers[Register.RX_NB_BYTES] = len(payload)

    def packet_to_send(self) -> bytes:
        """RegPayloadLength bytes from RegFifoTxBaseAddr on."""
        first = self.registers[Register.FIFO_TX_BASE_ADDR]
        length = self.settings[Register.PAYLOAD_LENGTH]
        return bytes(self._fifo[(first + offset) % FIFO_SIZE] for offset in range(length))

    def _page(self, address: int) -> bytearray:
        if address in PAGED and self.shows_fsk_page():
            return self.fsk_page
        if address not in RESET_VALUES:
            self.unknown_accesses[address] += 1
        return self.registers

    def _fifo_accessible(self) -> bool:
        """Not in sleep; and the FIFO of FSK mode is another one, which is not modelled."""
        return self.long_range and self.mode is not Mode.SLEEP

    def _advance_fifo(self) -> int:
        """Where the bus accesses the FIFO now; the next access is one further."""
        address = self.registers[Register.FIFO_ADDR_PTR]
        self.registers[Register.FIFO_ADDR_PTR] = (address + 1) % FIFO_SIZE
        return address
