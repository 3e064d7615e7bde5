"""Starts the board: MicroPython runs this file after every reset."""

import gc
import os
import sys

import machine
import pins
from board import Board
from chip import Chip
from counter import Counter
from line import UartLine, UsbLine
from radio import Radio
from ring import Ring

# A "hard" reset is the pin on one chip and a restart by software on another: that stays unknown.
_CAUSES = (("PWRON_RESET", 1), ("WDT_RESET", 3), ("SOFT_RESET", 4))


def reset_cause():
    """As BOARD_HELLO numbers them (link, section 8); 0 if this port does not tell."""
    cause = machine.reset_cause()
    for name, number in _CAUSES:
        if getattr(machine, name, None) == cause:
            return number
    return 0


def make_radios(counter):
    """All radios that are soldered on."""
    spi = machine.SPI(
        pins.SPI_ID,
        baudrate=pins.SPI_HZ,
        polarity=0,
        phase=0,
        sck=machine.Pin(pins.SCK),
        mosi=machine.Pin(pins.MOSI),
        miso=machine.Pin(pins.MISO),
    )
    radios = []
    for index, (select, reset, dio0, dio3) in enumerate(pins.RADIOS[: pins.FITTED]):
        chip = Chip(
            spi,
            machine.Pin(select, machine.Pin.OUT, value=1),
            machine.Pin(reset, machine.Pin.OUT, value=1),
        )
        inputs = [machine.Pin(number, machine.Pin.IN) for number in (dio0, dio3)]
        radios.append(Radio(index, chip, *inputs, counter, pins.HARD_INTERRUPTS))
    return radios


def main():
    """Put everything together and run; whatever goes wrong ends in a restart."""
    ring = Ring(pins.RING_CAPACITY)  # first, while memory is in one piece
    gc.collect()
    counter = Counter()
    if pins.LINK == "usb":
        line = UsbLine()
    else:
        line = UartLine(pins.UART_ID, pins.UART_TX, pins.UART_RX, pins.UART_BAUD)
    board = Board(
        make_radios(counter),
        line,
        ring,
        counter,
        int.from_bytes(os.urandom(8), "little"),
        reset_cause(),
        pins.CHIP,
        pins.TCXO | pins.PA_BOOST << 1,
    )
    board.run()


def wants_maintenance():
    """Whether somebody holds the board at its prompt, to change its files."""
    return not machine.Pin(pins.MAINTENANCE, machine.Pin.IN, machine.Pin.PULL_UP)()


def keep(error):
    """Write the first error down for who comes to look; a flash does not bear one a second."""
    if "error.txt" not in os.listdir():
        with open("error.txt", "w") as file:
            sys.print_exception(error, file)


if __name__ == "__main__" and not wants_maintenance():
    try:
        main()
    except Exception as error:  # begin anew: another boot id tells the host what is gone
        if sys.platform == "linux":  # under test somebody is there to look
            raise
        keep(error)
        machine.reset()
