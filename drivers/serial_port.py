"""The one gate to serial ports, and the only module that knows pyserial-asyncio.

A :class:`SerialPort` is read, written and closed; break and DTR are for devices that hang. Every
way in which a port can go away (hang-up, EIO, a vanished device, end of file) ends in
:class:`~drivers.errors.PortLost`.
"""

import asyncio
import termios
import time
from collections.abc import Callable
from contextlib import closing, suppress
from typing import cast

import serial
import serial_asyncio

from drivers.errors import PortLost
from drivers.port_users import explain
from drivers.ports import Machine

_READ_LIMIT = 65_536  # a reader that lags this far stops the port from reading
_CLOSE_DEADLINE_S = 2.0
_PULSE_S = 0.2


async def open_port(path: str, baud: int) -> "SerialPort":
    """Open a serial device exclusively: raw, 8N1, no flow control.

    Raises:
        PortLost: with plain words for what is in the way.
    """
    try:
        device = await asyncio.to_thread(_open_device, path, baud)
        port = SerialPort(path)
        try:
            # It sets the port up once more, which fails if the plug has come out meanwhile.
            transport = serial_asyncio.SerialTransport(asyncio.get_running_loop(), port, device)
        except BaseException:
            device.close()
            raise
    except (serial.SerialException, OSError, ValueError, termios.error) as error:
        # Who has the port is looked up among all processes.
        words = await asyncio.to_thread(explain, Machine(), path, error)
        raise PortLost(words) from error
    # The transport itself says so in the next turn of the loop, too late for what is written now.
    port.connection_made(transport)
    return port


def _open_device(path: str, baud: int) -> serial.Serial:
    device = serial.Serial(path, baud, exclusive=True)
    attributes = termios.tcgetattr(device.fileno())
    # Closing must not drop DTR: many boards wire it to reset, and a reset loses the ring.
    attributes[2] &= ~termios.HUPCL
    termios.tcsetattr(device.fileno(), termios.TCSANOW, attributes)
    return device


async def pulse_lines(path: str, baud: int) -> None:
    """Reset a device by its lines, as far as they are wired: DTR and RTS, and a break.

    An ESP32 board resets while RTS is set and DTR is not, an Arduino at the edge of DTR, an RN2483
    finds its line rate again by a break followed by 0x55. Nobody may have the port meanwhile; what
    the port cannot do is passed over, because there is nothing better to be done about it.
    """
    with suppress(serial.SerialException, OSError, ValueError, termios.error):
        await asyncio.to_thread(_pulse_lines, path, baud)


def _pulse_lines(path: str, baud: int) -> None:
    with closing(_open_device(path, baud)) as device:
        with suppress(OSError, termios.error):  # ptys, and adapters that have no such lines
            device.dtr, device.rts = False, True
            time.sleep(_PULSE_S)
            device.rts = False
            time.sleep(_PULSE_S)
            device.dtr = True
        with suppress(OSError, termios.error):
            device.send_break(_PULSE_S)
            device.write(b"\x55")


class SerialPort(asyncio.Protocol):
    """An open port. One task reads; anybody on the loop may write.

    Attributes:
        on_arrival: called when there is something to :meth:`take`, for devices that must be
            answered at once; None = the task that reads is woken.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._transport: serial_asyncio.SerialTransport | None = None
        self._buffer = bytearray()
        self._paused = False
        self._changed = asyncio.Event()
        self._lost: str | None = None
        self._closed = asyncio.Event()
        self.on_arrival: Callable[[], None] | None = None

    async def read(self) -> bytes:
        """Wait for bytes and return all that have arrived.

        Raises:
            PortLost: the port is gone and everything received before has been returned.
        """
        while not (data := self.take()):
            self._changed.clear()
            await self._changed.wait()
        return data

    def take(self) -> bytes:
        """All that has arrived, without waiting.

        Raises:
            PortLost: as :meth:`read`.
        """
        if not self._buffer and self._lost is not None:
            raise PortLost(f"{self.path}: {self._lost}")
        data = bytes(self._buffer)
        self._buffer.clear()
        if self._paused and self._transport is not None and self._lost is None:
            self._paused = False
            self._transport.resume_reading()
        return data

    def write(self, data: bytes) -> None:
        """Queue bytes for the line; what a lost port does not take is reported by :meth:`read`."""
        if data and self._transport is not None:
            self._transport.write(data)

    def hold_break(self, held: bool) -> None:
        """Hold the line in the break condition, or let it go; what cannot do that does nothing."""
        with suppress(serial.SerialException, OSError, termios.error):
            if self._transport is not None and self._transport.serial is not None:
                self._transport.serial.break_condition = held

    def set_dtr(self, active: bool) -> None:
        """Set the DTR line; what has none does nothing."""
        with suppress(serial.SerialException, OSError, termios.error):
            if self._transport is not None and self._transport.serial is not None:
                self._transport.serial.dtr = active

    async def close(self) -> None:
        """Close at once, throwing away unsent bytes; never raises, never blocks the loop."""
        if self._transport is None or self._lost is not None:
            return
        # Closing drains the line on the event loop: with flow control or a dead board for ever.
        with suppress(serial.SerialException, OSError, termios.error):
            if self._transport.serial is not None:
                self._transport.serial.reset_output_buffer()
        self._transport.abort()
        with suppress(TimeoutError):
            async with asyncio.timeout(_CLOSE_DEADLINE_S):
                await self._closed.wait()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the transport."""
        self._transport = cast(serial_asyncio.SerialTransport, transport)
        self._changed.set()

    def data_received(self, data: bytes) -> None:
        """Called by the transport."""
        self._buffer += data
        self._tell()
        if len(self._buffer) >= _READ_LIMIT and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by the transport, twice when a hang-up meets a close."""
        if self._lost is None:
            self._lost = "hung up" if exc is None else str(exc)
        self._closed.set()
        self._tell()

    def _tell(self) -> None:
        self._changed.set()
        if self.on_arrival is not None:
            self.on_arrival()
