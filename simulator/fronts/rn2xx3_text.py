"""The text side of a simulated RN2483 or RN2903: its input buffer and its table of settings.

From the command reference of the modules (DS40001784, DS40001811): which values a setting takes,
and how it is reported. The simulator's own reading of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

INVALID = "invalid_param"
_LONGEST_COMMAND = 600
_CHOICES = {
    "mod": ("lora", "fsk"),
    "sf": tuple(f"sf{number}" for number in range(7, 13)),
    "crc": ("on", "off"),
    "iqi": ("on", "off"),
    "cr": ("4/5", "4/6", "4/7", "4/8"),
    "bw": ("125", "250", "500"),
}
_LARGEST = {"prlen": 65_535, "wdt": 4_294_967_295}


class CommandBuffer:
    """Takes bytes, yields commands. What stands in it from a noisy start spoils the first one."""

    def __init__(self, noise: bytes = b"") -> None:
        self._held = bytearray(noise)

    def feed(self, data: bytes) -> Iterator[str]:
        """A command ends with CR LF."""
        for byte in data:
            if byte == 0x0A:
                command = self._held.decode("latin-1").removesuffix("\r")
                self._held.clear()
                yield command
            elif len(self._held) < _LONGEST_COMMAND:
                self._held.append(byte)


@dataclass(slots=True)
class RadioTable:
    """``radio set`` and ``radio get``; factory values at first.

    Attributes:
        bands_hz: what this model tunes to.
        powers_dbm: what it can be told to send with.
    """

    bands_hz: tuple[tuple[int, int], ...]
    powers_dbm: range
    values: dict[str, str] = field(init=False)

    def __post_init__(self) -> None:
        self.values = {
            "mod": "lora",
            "freq": str(self.bands_hz[-1][0]),
            "pwr": "1" if 1 in self.powers_dbm else "2",
            "sf": "sf12",
            "afcbw": "41.7",
            "rxbw": "25",
            "bitrate": "50000",
            "fdev": "25000",
            "prlen": "8",
            "crc": "on",
            "iqi": "off",
            "cr": "4/5",
            "wdt": "15000",
            "sync": "34",
            "bw": "125",
        }

    def set(self, name: str, value: str) -> str:
        """Reply to ``radio set``."""
        if name not in self.values or not self._allowed(name, value):
            return INVALID
        self.values[name] = value.lower()
        return "ok"

    def number(self, name: str) -> int:
        """A setting that is a number, whatever stands around it."""
        return int(self.values[name].removeprefix("sf").removeprefix("4/"))

    def _allowed(self, name: str, value: str) -> bool:
        if name in _CHOICES:
            return value in _CHOICES[name]
        match name:
            case "freq":
                return value.isdigit() and any(low <= int(value) <= up for low, up in self.bands_hz)
            case "pwr":
                return value.removeprefix("-").isdigit() and int(value) in self.powers_dbm
            case "sync":
                return is_hex(value) and len(value) <= 2
            case "prlen" | "wdt":
                return value.isdigit() and int(value) <= _LARGEST[name]
            case _:
                return bool(value)


def is_hex(text: str) -> bool:
    """Whether there are hexadecimal digits and nothing else."""
    return bool(text) and all(digit in "0123456789abcdefABCDEF" for digit in text)
