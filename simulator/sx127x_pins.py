"""The DIO pins of an SX127x in LoRa mode (data sheet table 18)."""

from collections.abc import Callable

from simulator.sx127x_memory import Memory
from simulator.sx127x_registers import Irq, Register

_NONE = Irq(0)

_SOURCES: tuple[tuple[Irq, Irq, Irq, Irq], ...] = (
    (Irq.RX_DONE, Irq.TX_DONE, Irq.CAD_DONE, _NONE),
    (Irq.RX_TIMEOUT, Irq.FHSS_CHANGE_CHANNEL, Irq.CAD_DETECTED, _NONE),
    (Irq.FHSS_CHANGE_CHANNEL, Irq.FHSS_CHANGE_CHANNEL, Irq.FHSS_CHANGE_CHANNEL, _NONE),
    (Irq.CAD_DONE, Irq.VALID_HEADER, Irq.PAYLOAD_CRC_ERROR, _NONE),
    (Irq.CAD_DETECTED, _NONE, _NONE, _NONE),
    (_NONE, _NONE, _NONE, _NONE),
)
"""What drives DIO0 to DIO5 for the four mapping values. PllLock, ModeReady and ClkOut are not
modelled: those pins stay low."""

DioListener = Callable[[int, bool, int], None]
"""Told of each edge: DIO number, level, time. It may read and write the chip."""


class Pins:
    """Turns interrupt flags into edges."""

    def __init__(self, memory: Memory, on_dio: DioListener) -> None:
        self._memory = memory
        self._on_dio = on_dio
        self._levels = [False] * len(_SOURCES)

    def update(self, now_us: int) -> None:
        """Bring the pins to the levels that the registers ask for."""
        # DIO0 last: whoever acts on RxDone has then seen the edges that came with it. A listener
        # may change everything, so each level is looked up when its turn comes.
        for dio in reversed(range(len(_SOURCES))):
            level = self._level(dio)
            if level != self._levels[dio]:
                self._levels[dio] = level
                self._on_dio(dio, level, now_us)

    def _level(self, dio: int) -> bool:
        registers = self._memory.registers
        # Two bits for each pin, DIO0's the topmost of the two registers.
        mapping = registers[Register.DIO_MAPPING_1] << 8 | registers[Register.DIO_MAPPING_2]
        source = _SOURCES[dio][mapping >> 14 - 2 * dio & 0x03]
        return self._memory.long_range and source & registers[Register.IRQ_FLAGS] != _NONE
