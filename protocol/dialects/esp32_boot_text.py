"""The text that an ESP32's ROM prints when it starts, found between KISS frames. Pure.

A modem on an ESP32 that restarts says so on its line, whatever its firmware does: the ROM prints
some 350 bytes, and in them ``rst:0xc (SW_CPU_RESET)`` with the cause. The text stands outside
frames, but KISS has no outside: what follows a FEND may be the next frame. So a find counts only

- when no FEND has come behind it for a moment (the firmware boots longer than that), or
- when one has come, and what it ends is no frame of the modem: it begins with no command that the
  modem uses, or is longer than a frame.

A payload that spells the text out is thereby no restart.

Sources: Espressif, ESP-IDF, ``components/esp_rom/include/esp32/rom/rtc.h`` (causes); the esptool
documentation, "Boot mode selection" (the text).
"""

import re
from collections.abc import Collection

from protocol.dialects.kiss_framing import FEND, FESC

QUIET_US = 200_000
"""A frame of the longest kind takes 45 ms at 115200 bit/s."""

SOFTWARE_CAUSES = frozenset({0x03, 0x0C})
"""SW_RESET and SW_CPU_RESET: the firmware, or a crash of it, has asked for the restart."""

_CAUSE = re.compile(rb"rst:0x([0-9a-f]{1,2}) \([A-Z0-9_]+\)")
_LONGEST_MATCH = 48


class BootTextFinder:
    """Watches the bytes of one line. Holds some tens of bytes.

    Args:
        commands: first bytes of the frames that the modem sends.
        longest: length of its longest frame, command included, without escapes.
    """

    def __init__(self, commands: Collection[int], longest: int) -> None:
        self._commands = frozenset(commands)
        self._longest = longest
        self._first: int | None = None
        self._length = 0
        self._tail = b""
        self._found: tuple[int, int] | None = None
        self._causes: list[int] = []

    def feed(self, data: bytes, now_us: int) -> None:
        """Take bytes in. Never raises."""
        *ended, rest = data.split(bytes([FEND]))
        for part in ended:
            self._add(part, now_us)
            self._end()
        self._add(rest, now_us)

    def timer_us(self) -> int | None:
        """When a find will count, if nothing comes behind it; None = there is none."""
        return None if self._found is None else self._found[1] + QUIET_US

    def causes(self, now_us: int) -> list[int]:
        """Causes of the restarts that are certain by now, oldest first; each is told once."""
        if self._found is not None and now_us >= self._found[1] + QUIET_US:
            self._causes.append(self._found[0])
            self._found = None
        causes, self._causes = self._causes, []
        return causes

    def _add(self, part: bytes, now_us: int) -> None:
        if not part:
            return
        if self._first is None:
            self._first = part[0]
        self._length += len(part) - part.count(FESC)
        text = self._tail + part
        behind = 0
        for match in _CAUSE.finditer(text):
            self._found = int(match[1], 16), now_us
            behind = match.end()
        self._tail = text[behind:][-_LONGEST_MATCH:]

    def _end(self) -> None:
        is_frame = self._first in self._commands and self._length <= self._longest
        if self._found is not None and not is_frame:
            self._causes.append(self._found[0])
        self._found = None
        self._first, self._length, self._tail = None, 0, b""
