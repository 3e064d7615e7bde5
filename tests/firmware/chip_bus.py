"""Simulated chips behind pipes: the other end of the firmware's SPI bus and pins."""

import os
import runpy
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulator.sx127x import Sx127x
from simulator.sx127x_modem import Transmitting

FIRMWARE = Path(__file__).parents[2] / "deploy" / "firmware"
_HEADER = struct.Struct("<BBHQ")  # kind, pin, count, time in us
READ, WRITE, RESET_PIN, FEED, RESTART = range(5)


class ChipUnit:
    """A chip, and the time that it lives in.

    A transfer happens at the time at which the firmware put it on the wire, not at which this
    process came to serve it: between a chip and its microcontroller nothing takes time.
    """

    def __init__(self, clock_us: Callable[[], int], on_edge: Callable[[int, bool], None]) -> None:
        self._clock_us = clock_us
        self._time_us = clock_us()
        self._on_edge = on_edge
        self.levels: dict[int, bool] = {}
        self.edge_us = 0
        self.chip = Sx127x(on_dio=self._on_dio)
        self.chip.reset(self._time_us)

    @property
    def unread(self) -> bool:
        """Whether a packet waits for the firmware."""
        return self.levels.get(0, False)

    def now_us(self) -> int:
        """Now, for what comes from the air."""
        return self.at(self._clock_us())

    def at(self, time_us: int) -> int:
        """The chip's time of something that happens at this time; it never goes back."""
        self._time_us = max(self._time_us, time_us)
        return self._time_us

    def advance(self) -> None:
        """Let what is due happen."""
        due_us = self.chip.next_timer_us()
        if due_us is not None and due_us <= self._clock_us():
            self.chip.advance(self.now_us())

    def _on_dio(self, dio: int, level: bool, at_us: int) -> None:
        self.levels[dio] = level
        self._on_edge(dio, level)


class ChipBus:
    """Pipes to one boot of the firmware, and the chips that it may speak to.

    Attributes:
        fed_us: when the watchdog was fed last.
        wants_restart: the firmware has called ``machine.reset``.
        lose_edges: pins change, and no interrupt comes of it.
        sent: what the chips have sent to its end: chip, and transmission.
    """

    def __init__(self, radios: int, clock_us: Callable[[], int]) -> None:
        self._clock_us = clock_us
        pins = board_pins()["RADIOS"][:radios]
        self._by_select = {wires[0]: index for index, wires in enumerate(pins)}
        self._by_reset = {wires[1]: index for index, wires in enumerate(pins)}
        self._dio_pins = [{0: wires[2], 3: wires[3]} for wires in pins]
        self.units = [ChipUnit(clock_us, self._edge_of(index)) for index in range(radios)]
        self.fed_us = clock_us()
        self.wants_restart = False
        self.lose_edges = False
        self.sent: list[tuple[int, Transmitting]] = []
        self._on_air: dict[int, Transmitting | None] = {}
        self._pending = b""
        self._requests, self._replies, self._edges = -1, -1, -1

    def attach(self, requests: int, replies: int, edges: int) -> None:
        """Speak to a new boot through these pipes; the chips stay as they are."""
        self._requests, self._replies, self._edges = requests, replies, edges
        self._pending = b""
        self.wants_restart = False
        self.fed_us = self._clock_us()

    def serve(self) -> None:
        """Carry out what has come."""
        self._pending += os.read(self._requests, 65_536)
        while len(self._pending) >= _HEADER.size:
            kind, pin, count, time_us = _HEADER.unpack_from(self._pending)
            length = {READ: 1, WRITE: count}.get(kind, 0)
            end = _HEADER.size + length
            if len(self._pending) < end:
                return
            data, self._pending = self._pending[_HEADER.size : end], self._pending[end:]
            self._carry_out(kind, pin, count, time_us, data)

    def disturb(self, radio: int) -> None:
        """An edge on DIO0 that the chip knows nothing of: a late interrupt, or noise."""
        pin = self._dio_pins[radio][0]
        os.write(self._edges, bytes((pin, 1, pin, 0)))

    def _carry_out(self, kind: int, pin: int, count: int, time_us: int, data: bytes) -> None:
        if kind == FEED:
            self.fed_us = self._clock_us()
        elif kind == RESTART:
            self.wants_restart = True
        elif kind == RESET_PIN:
            if pin in self._by_reset:
                unit = self.units[self._by_reset[pin]]
                unit.chip.reset(unit.at(time_us))
        else:
            index = self._by_select[pin]
            unit = self.units[index]
            address = data[0] & 0x7F
            if kind == READ:
                os.write(self._replies, unit.chip.read(address, count, unit.at(time_us)))
            else:
                unit.chip.write(address, data[1:], unit.at(time_us))
                self._on_air[index] = unit.chip.transmitting()

    def _edge_of(self, index: int) -> Callable[[int, bool], None]:
        def on_edge(dio: int, level: bool) -> None:
            sending = self._on_air.get(index)
            if dio == 0 and level and sending is not None:
                self._on_air[index] = None
                self.sent.append((index, sending))
            pin = self._dio_pins[index].get(dio)
            if pin is not None and self._edges >= 0:
                os.write(self._edges, bytes((pin, level | self.lose_edges << 1)))

        return on_edge


def board_pins() -> dict[str, Any]:
    """What the firmware's own file says of the wiring."""
    return runpy.run_path(str(FIRMWARE / "pins.py"))
