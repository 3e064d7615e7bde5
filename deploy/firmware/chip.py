"""Registers of one SX127x on the SPI bus (data sheet, section 4.2 "SPI interface").

Mode 0, most significant bit first. The first byte is the address, with bit 7 set to write. The
address advances by itself, but for the FIFO at 0.
"""

from time import sleep_us

VERSION = 0x42
SX127X = 0x12


class Chip:
    """Reads and writes registers; the bus belongs to one call at a time."""

    def __init__(self, spi, select, reset):
        self._spi = spi
        self._select = select
        self._reset = reset
        self._address = bytearray(1)
        self._byte = bytearray(1)
        select(1)
        reset(1)

    def restart(self):
        """Pull NRST for 100 us or more, then wait 5 ms (data sheet, section 7.2.2)."""
        self._reset(0)
        sleep_us(200)
        self._reset(1)
        sleep_us(6000)

    def read_into(self, address, buffer):
        """Burst read into memory that is there already."""
        self._address[0] = address
        self._select(0)
        self._spi.write(self._address)
        self._spi.readinto(buffer)
        self._select(1)

    def read(self, address):
        """One register."""
        self.read_into(address, self._byte)
        return self._byte[0]

    def write_from(self, address, data):
        """Burst write."""
        self._address[0] = address | 0x80
        self._select(0)
        self._spi.write(self._address)
        self._spi.write(data)
        self._select(1)

    def write(self, address, value):
        """One register."""
        self._byte[0] = value
        self.write_from(address, self._byte)
