"""Which pin goes where, and what else differs between boards: the only file to edit.

The numbers are GPIO numbers, not positions on the connector. README.md has the same as a table and
as a picture. Each radio has four wires of its own; the SPI bus is shared.
"""

import sys

FITTED = 2
"""How many radios are soldered on, 1 to 4; they are the first ones of RADIOS."""

LINK = "usb"
"""Where the host is: "usb" (the connector that the firmware was loaded through) or "uart"."""

UART_BAUD = 115_200

SPI_HZ = 8_000_000
"""An SX127x takes up to 10 MHz; halve this if wires are longer than 15 cm."""

RING_CAPACITY = 256
"""Events that wait for the host; each takes 304 bytes of memory. Use 128 on an ESP32 without PSRAM
if the board restarts for want of memory."""

CHIP = 76
"""76 to 79 for SX1276 to SX1279. An RFM95W is an SX1276."""

PA_BOOST = True
"""RFM95W, Ra-01 and Ra-02 have their antenna on PA_BOOST, not on RFO."""

TCXO = False

MAINTENANCE = 0 if sys.platform == "esp32" else 28
"""Held low at the start, the board stays at MicroPython's prompt: a wire from position 34 to 33 of
a Pico, or the BOOT button of an ESP32 board, pressed right after its reset button is let go."""

if sys.platform == "esp32":
    SPI_ID, SCK, MOSI, MISO = 2, 18, 23, 19
    UART_ID, UART_TX, UART_RX = 1, 4, 36
    # Handlers of this port run between two byte codes; a hard one does not exist.
    HARD_INTERRUPTS = False
    # (chip select, reset, DIO0, DIO3)
    RADIOS = ((5, 14, 26, 35), (15, 13, 27, 34), (21, 22, 32, 39), (25, 33, 16, 17))
else:  # Raspberry Pi Pico
    SPI_ID, SCK, MOSI, MISO = 0, 18, 19, 16
    UART_ID, UART_TX, UART_RX = 0, 0, 1
    HARD_INTERRUPTS = sys.platform == "rp2"
    RADIOS = ((17, 20, 21, 22), (13, 12, 11, 10), (9, 8, 7, 6), (5, 4, 3, 2))
