"""The serial line to the host, never waited for: what does not fit goes in the next turn.

Over USB the line is the one on which MicroPython has its prompt. Once the firmware runs, Ctrl-C is
a byte like any other and nothing else is printed there; ``mpremote`` gets the prompt back after
``main.py`` was removed in boot loader or safe mode (README.md).
"""

import select
import sys

import micropython
from machine import UART

_CHUNK = 64  # one USB packet


class UsbLine:
    """Standard input and output, as USB-CDC or any serial console gives them."""

    def __init__(self):
        micropython.kbd_intr(-1)
        self._input = select.poll()
        self._input.register(sys.stdin, select.POLLIN)
        self._output = select.poll()
        self._output.register(sys.stdout, select.POLLOUT)
        self._held = bytearray(_CHUNK)

    def read(self):
        """What has come, up to a chunk; empty if nothing has."""
        length = 0
        while length < _CHUNK and _ready(self._input):
            byte = sys.stdin.buffer.read(1)
            if not byte:
                break
            self._held[length] = byte[0]
            length += 1
        return bytes(memoryview(self._held)[:length])

    def write(self, data):
        """Send what can be sent now; how many bytes that were.

        Byte by byte: a Pico says that there is room if there is any, and waits up to 0.5 s for the
        rest of what it gets. That would be when a host has died, and packets must not be missed.
        """
        sent = 0
        end = min(len(data), _CHUNK)
        while sent < end and _ready(self._output):
            sys.stdout.buffer.write(data[sent : sent + 1])
            sent += 1
        return sent


def _ready(poll):
    """Whether a poll of one stream finds it ready; takes no memory."""
    for _ in poll.ipoll(0):
        return True
    return False


class UartLine:
    """A serial port of the chip, for a Raspberry Pi's header."""

    def __init__(self, number, tx, rx, baud):
        self._uart = UART(number, baud, tx=tx, rx=rx, rxbuf=1024, txbuf=1024, timeout=0)

    def read(self):
        """What has come, up to a chunk; empty if nothing has."""
        return self._uart.read(min(self._uart.any(), _CHUNK)) or b""

    def write(self, data):
        """Send what can be sent now; how many bytes that were."""
        return self._uart.write(data[:_CHUNK]) or 0
