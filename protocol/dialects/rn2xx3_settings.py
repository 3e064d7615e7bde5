"""What an RN2483 or RN2903 can be set to, and the commands that do it.

Source: RN2483 and RN2903 command reference (DS40001784, DS40001811), section "radio commands".
"""

from collections.abc import Mapping
from dataclasses import dataclass

FREQUENCIES_HZ: Mapping[int, tuple[tuple[int, int], ...]] = {
    2483: ((433_050_000, 434_790_000), (863_000_000, 870_000_000)),
    2903: ((902_000_000, 928_000_000),),
}
"""First and last by model: the module's filters and its firmware allow no others."""

SPREADING_FACTORS = range(7, 13)
BANDWIDTHS_HZ = (125_000, 250_000, 500_000)
CODING_RATES = ("4/5", "4/6", "4/7", "4/8")
RSSI_SINCE = (1, 0, 5)
_LOWEST_POWER_DBM = {2483: -3, 2903: 2}


@dataclass(frozen=True, slots=True)
class RadioSettings:
    """What the radio is to listen to."""

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    sync_word: int

    def values(self, model: int, watchdog_ms: int) -> dict[str, str]:
        """All settings, as the device takes them and reports them; nothing is left to chance.

        Args:
            model: 2483 or 2903.
            watchdog_ms: after how long the device ends a reception by itself; 0 = never.
        """
        return {
            "mod": "lora",
            "freq": str(self.frequency_hz),
            "pwr": str(_LOWEST_POWER_DBM[model]),  # we never send
            "sf": f"sf{self.spreading_factor}",
            "bw": str(self.bandwidth_hz // 1000),
            "cr": self.coding_rate,
            "crc": "on",
            "iqi": "off",
            "prlen": "8",
            "sync": f"{self.sync_word:02x}",
            "wdt": str(watchdog_ms),
        }


def can_tune(model: int, frequency_hz: int) -> bool:
    """Whether a module of this model covers a frequency."""
    return any(first <= frequency_hz <= last for first, last in FREQUENCIES_HZ[model])


def ranges_in_words(model: int) -> str:
    """What a model covers, for people."""
    return " and ".join(
        f"{first / 1e6:g} to {last / 1e6:g} MHz" for first, last in FREQUENCIES_HZ[model]
    )


def same_value(asked: str, reported: str) -> bool:
    """Whether a setting is as it was asked: firmware differs in case and leading zeros."""
    return asked.lstrip("0").lower() == reported.removeprefix("0x").lstrip("0").lower()
