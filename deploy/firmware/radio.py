"""One radio: its receive profile, its interrupts and what it reads at RxDone (link, section 6).

An interrupt stores a time and nothing else: no memory, no bus. The main loop reads the chip within
a few milliseconds, long before another packet can end.
"""

import struct
from time import ticks_us

import status
from chip import SX127X, VERSION
from machine import Pin
from ring import EVENT_HEADER

FIFO, OP_MODE, FRF, FIFO_ADDR_PTR = 0x00, 0x01, 0x06, 0x0D
RX_CURRENT_ADDR, IRQ_FLAGS_MASK, IRQ_FLAGS = 0x10, 0x11, 0x12
MODEM_STAT, RSSI_VALUE, FEI, DIO_MAPPING_1 = 0x18, 0x1B, 0x28, 0x40

SLEEP, LORA_SLEEP, STANDBY, RECEIVE = 0x00, 0x80, 0x81, 0x85
RX_DONE, PAYLOAD_CRC_ERROR = 0x40, 0x20
MODEM_BUSY = 0x0F
RX_EVENT = 0x41

OWNED = bytes((FIFO, OP_MODE, FIFO_ADDR_PTR, IRQ_FLAGS_MASK, IRQ_FLAGS, DIO_MAPPING_1))
"""Registers that the host may not write while the radio is managed."""

OFF, RECEIVING, TRANSMITTING, FAULT = 0, 1, 2, 3


class Radio:
    """A chip and what the board knows of it.

    Attributes:
        shadow: address, value, address, value ... of the receive profile; None = not managed.
        state: as the heartbeat has it.
        version: RegVersion, 0x12 where a chip is.
        done: an edge on DIO0 has not been looked at yet; ``done_tick`` is its time.
    """

    def __init__(self, index, chip, dio0, dio3, counter, hard):
        self.index = index
        self.chip = chip
        self.counter = counter
        self.shadow = None
        self.state = OFF
        self.received = self.crc_errors = self.transmitted = self.faults = 0
        self.done = False
        self.done_tick = 0
        self._header = False
        self._header_tick = 0
        self._dio0 = dio0
        # From RegFifoRxCurrentAddr to RegModemConfig2 in one burst: 0x10 to 0x1E.
        self._status = bytearray(15)
        self._three = bytearray(3)
        chip.restart()
        self.version = chip.read(VERSION)
        options = {"hard": True} if hard else {}
        dio0.irq(handler=self._on_dio0, trigger=Pin.IRQ_RISING, **options)
        dio3.irq(handler=self._on_dio3, trigger=Pin.IRQ_RISING, **options)

    def _on_dio0(self, _pin):
        self.done_tick = ticks_us()
        self.done = True

    def _on_dio3(self, _pin):
        self._header_tick = ticks_us()
        self._header = True

    def set_profile(self, pairs):
        """Receive with these pairs, or switch off (None): status code and index."""
        self.shadow = None
        self.state = OFF
        self.done = False
        self.chip.write(OP_MODE, SLEEP)
        self.chip.write(OP_MODE, LORA_SLEEP)
        if pairs is None:
            return status.OK, 0
        for index in range(0, len(pairs), 2):
            if pairs[index] in OWNED:
                return status.REFUSED, index // 2
        self.shadow = pairs
        return self.arm()

    def arm(self):
        """Begin continuous reception anew: status code and index of the pair that did not hold."""
        self.enter_standby()
        difference = self.load(self.shadow)
        if difference is not None:
            self.state = FAULT
            return status.RADIO_FAULT, difference
        self.done = self._header = False
        self.chip.write(DIO_MAPPING_1, 0x01)  # DIO0 RxDone, DIO3 ValidHeader
        self.chip.write(IRQ_FLAGS_MASK, 0)
        self.chip.write(IRQ_FLAGS, 0xFF)
        self.chip.write(OP_MODE, RECEIVE)
        self.state = RECEIVING
        return status.OK, 0

    def enter_standby(self):
        """The LoRa bit changes only in sleep."""
        for mode in (SLEEP, LORA_SLEEP, STANDBY):
            self.chip.write(OP_MODE, mode)

    def load(self, pairs):
        """Write pairs and read them back; the index of the first that differs, or None."""
        for index in range(0, len(pairs), 2):
            self.chip.write(pairs[index], pairs[index + 1])
        for index in range(0, len(pairs), 2):
            if self.chip.read(pairs[index]) != pairs[index + 1]:
                return index // 2
        return None

    def restart(self):
        """Reset the chip by its pin and set it up as it was."""
        self.chip.restart()
        self.done = False
        if self.shadow is None:
            return status.OK, 0
        return self.arm()

    def scrub(self):
        """Compare the chip with its shadow; the register that differs, or None.

        A chip that has lost itself is armed again.
        """
        if self.shadow is None or self.state == TRANSMITTING:
            return None
        register = self._difference()
        if register is not None:
            self.faults += 1
            self.chip.restart()
            self.arm()
        return register

    def look(self):
        """Make up for an edge that was missed: DIO0 stays high, and would never rise again.

        The pin comes before the flag: an interrupt in between then finds its edge told already.
        """
        if self.state == RECEIVING and self._dio0() and not self.done:
            self._on_dio0(self._dio0)

    def _difference(self):
        if self.chip.read(VERSION) != SX127X:
            return VERSION
        if self.chip.read(OP_MODE) != RECEIVE:
            return OP_MODE
        for index in range(0, len(self.shadow), 2):
            if self.chip.read(self.shadow[index]) != self.shadow[index + 1]:
                return self.shadow[index]
        return None

    def idle(self):
        """Whether no packet is coming in."""
        return not self.chip.read(MODEM_STAT) & MODEM_BUSY

    def noise_rssi(self):
        """RegRssiValue while nothing is received, else 0."""
        if self.state != RECEIVING or not self.idle():
            return 0
        return self.chip.read(RSSI_VALUE)

    def take(self, ring):
        """Read the packet whose end :attr:`done` has told; into the ring, if there is room."""
        self.done = False
        values = self._status
        self.chip.read_into(RX_CURRENT_ADDR, values)
        flags = values[2]
        if not flags & RX_DONE:
            return
        self.received += 1
        if flags & PAYLOAD_CRC_ERROR:
            self.crc_errors += 1
        slot = ring.next_slot()
        if slot is not None:
            ring.keep(self._snapshot(slot, ring.last + 1))
        self._header = False
        self.chip.write(IRQ_FLAGS, 0xFF)

    def _snapshot(self, slot, number):
        """Make the body of the event; its length."""
        values = self._status
        length = values[3]
        at = self.counter.at
        struct.pack_into(
            "<BBBIQQ", slot, 0, RX_EVENT, self.index, 0, number,
            at(self.done_tick), at(self._header_tick) if self._header else 0,
        )  # fmt: skip
        # irq_flags, modem_stat, hop_channel, pkt_snr, pkt_rssi, rssi, modem_config_1 and 2
        for offset, source in enumerate((2, 8, 12, 9, 10, 11, 13, 14)):
            slot[23 + offset] = values[source]
        self._read_reversed(FEI, slot, 31)
        self._read_reversed(FRF, slot, 34)
        slot[37] = length
        self.chip.write(FIFO_ADDR_PTR, values[0])
        if length:
            self.chip.read_into(FIFO, memoryview(slot)[EVENT_HEADER : EVENT_HEADER + length])
        return EVENT_HEADER + length

    def _read_reversed(self, address, slot, offset):
        """Three registers, which the chip has most significant first and the link last."""
        self.chip.read_into(address, self._three)
        for index in range(3):
            slot[offset + index] = self._three[2 - index]
