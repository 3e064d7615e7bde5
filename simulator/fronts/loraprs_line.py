"""How the esp32_loraprs firmware reads its line: a state at a time, and not quite as KISS has it.

- Between frames everything is passed over, but for a FEND. The FEND that ends a frame begins none.
- Of a frame with an unknown command nothing counts up to its FEND.
- TXDELAY and TXTAIL are unknown, P and SLOTTIME take the next byte whatever it is, unescaped.
- A wrong byte behind FESC spoils the rest of the frame, a FEND there is passed over.
"""

from enum import Enum, auto

FEND, FESC, TFEND, TFESC = 0xC0, 0xDB, 0xDC, 0xDD
DATA, PERSISTENCE, SLOT_TIME, SET_HARDWARE, REBOOT = 0x00, 0x02, 0x03, 0x06, 0x08

_WITH_DATA = (DATA, SET_HARDWARE, REBOOT)
_WITH_A_BYTE = (PERSISTENCE, SLOT_TIME)
_MEANT = {TFEND: FEND, TFESC: FESC}


class _State(Enum):
    BETWEEN = auto()
    COMMAND = auto()
    ONE_BYTE = auto()
    FRAME = auto()
    ESCAPED = auto()
    PASSED_OVER = auto()


class LoraprsLine:
    """What the modem understands of what it is sent."""

    def __init__(self) -> None:
        self._state = _State.BETWEEN
        self._command = 0
        self._data = bytearray()

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Commands with their data, as they are completed."""
        return [found for byte in data if (found := self._take(byte)) is not None]

    def _take(self, byte: int) -> tuple[int, bytes] | None:
        match self._state:
            case _State.BETWEEN if byte == FEND:
                self._state = _State.COMMAND
            case _State.COMMAND if byte != FEND:
                self._begin(byte)
            case _State.ONE_BYTE:
                self._state = _State.PASSED_OVER
                return self._command, bytes([byte])
            case _State.FRAME if byte == FEND:
                self._state = _State.BETWEEN
                return self._command, bytes(self._data)
            case _State.FRAME if byte == FESC:
                self._state = _State.ESCAPED
            case _State.FRAME:
                self._data.append(byte)
            case _State.ESCAPED if byte in _MEANT:
                self._data.append(_MEANT[byte])
                self._state = _State.FRAME
            case _State.ESCAPED if byte != FEND:
                self._state = _State.PASSED_OVER
            case _State.PASSED_OVER if byte == FEND:
                self._state = _State.BETWEEN
        return None

    def _begin(self, command: int) -> None:
        self._command = command
        self._data.clear()
        if command in _WITH_DATA:
            self._state = _State.FRAME
        elif command in _WITH_A_BYTE:
            self._state = _State.ONE_BYTE
        else:
            self._state = _State.PASSED_OVER
