"""MicroPython's machine module for the simulated board: pins and bus lead to simulated chips.

Runs under MicroPython. What happens on the bus goes through pipes to the process that holds the
chips (``tests/firmware/micropython_board.py``), each transfer with the time at which it was on the
wire. Interrupts come from a thread, as they come from hardware: between any two byte codes.
"""

import _thread
import os
import select
import struct
import sys
from binascii import unhexlify

import utime

PWRON_RESET, HARD_RESET, WDT_RESET, SOFT_RESET = 1, 2, 3, 5
_READ, _WRITE, _RESET_PIN, _FEED, _RESTART = range(5)

_to_chips = open(os.getenv("BOARD_TO_CHIPS"), "wb")
_from_chips = open(os.getenv("BOARD_FROM_CHIPS"), "rb")
_edges = open(os.getenv("BOARD_EDGES"), "rb")
_untold = b""
_pins = {}


def _note(kind, pin, count, data=b""):
    global _untold  # noqa: PLW0603
    _untold += struct.pack("<BBHQ", kind, pin, count, utime.ticks_us()) + data
    if len(_untold) > 2000:  # half of what a pipe takes at once
        _tell()


def _tell():
    """Several transfers at once: to wake the other process up at each would hold this one up."""
    global _untold  # noqa: PLW0603
    if _untold:
        _to_chips.write(_untold)
        _untold = b""


class Pin:
    """A GPIO: chip selects and resets act on the chips, inputs show their DIO pins."""

    IN, OUT, PULL_UP, IRQ_RISING = 0, 1, 1, 1

    def __init__(self, number, mode=IN, pull=None, value=0):
        self.number = number
        self.level = value if pull is None else 1
        self.handler = None
        _pins[number] = self

    def irq(self, handler, trigger, hard=False):
        """Call on each rising edge."""
        self.handler = handler

    def __call__(self, value=None):
        if value is None:
            return self.level
        self.level = value
        SPI.bus.pin_set(self)
        return None


class SPI:
    """The bus. A transfer is what happens while one chip select is low."""

    bus = None

    def __init__(self, number, baudrate, polarity, phase, sck, mosi, miso):
        SPI.bus = self
        self._select = None
        self._written = b""
        self._has_read = False

    def pin_set(self, pin):
        """A chip select or a reset pin has been set; a pulse without a transfer is a reset."""
        if not pin.level:
            self._select = pin
            self._written = b""
            self._has_read = False
        elif pin is self._select:
            if self._written:
                _note(_WRITE, pin.number, len(self._written), self._written)
            elif not self._has_read:
                _note(_RESET_PIN, pin.number, 0)
            self._select = None

    def write(self, data):
        """Towards the selected chip."""
        self._written += bytes(data)

    def readinto(self, buffer):
        """From the selected chip, after the address has been written."""
        _note(_READ, self._select.number, len(buffer), self._written)
        _tell()
        self._written = b""
        self._has_read = True
        if _from_chips.readinto(buffer) != len(buffer):
            sys.exit()  # the simulation has ended


class WDT:
    """The watchdog bites in the other process."""

    def __init__(self, timeout):
        self._told = 0
        self.feed()

    def feed(self):
        """Told now and then, which is enough for 2 s."""
        now = utime.ticks_ms()
        if now - self._told > 50:
            self._told = now
            _note(_FEED, 0, 0)
        _tell()


class UART:
    """The simulated board talks over its USB port."""


_sleeper = select.poll()
_sleeper.register(sys.stdin, select.POLLIN)


def idle():
    """Until something comes in, 1 ms at most."""
    _tell()
    _sleeper.poll(1)


def reset():
    """The other process starts the firmware anew."""
    _note(_RESTART, 0, 0)
    _tell()
    sys.exit()


def reset_cause():
    """Why this boot was."""
    return int(os.getenv("BOARD_RESET_CAUSE"))


def unique_id():
    """Of the simulated board."""
    return unhexlify(os.getenv("BOARD_UNIQUE_ID"))


def _interrupts():
    edge = bytearray(2)
    while _edges.readinto(edge) == 2:
        pin = _pins.get(edge[0])
        if pin is None:
            continue
        pin.level = edge[1] & 1
        if edge[1] == 1 and pin.handler is not None:  # bit 1: the interrupt is lost
            pin.handler(pin)


_thread.start_new_thread(_interrupts, ())
