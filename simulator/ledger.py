"""What became of every transmission: the truth that a gateway's records are held against."""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from simulator.sensors import Transmission


class Cause(StrEnum):
    """How far a transmission came at one radio, from the least to the furthest."""

    NOT_LISTENING = "not_listening"  # no radio is tuned to it
    DEAF_GAP = "deaf_gap"  # the radio waited for its host between two receptions
    BELOW_SENSITIVITY = "below_sensitivity"
    HALF_DUPLEX = "half_duplex"  # the radio was sending
    LOCKED = "locked"  # the radio was busy with an earlier frame
    INTER_SF = "inter_sf"
    CO_SF = "co_sf"
    CRC_ERROR = "crc_error"
    BOARD_DOWN = "board_down"  # without power, or it took what it had received with it
    RING_OVERFLOW = "ring_overflow"
    SERIAL_FAULT = "serial_fault"
    MERGED = "merged"  # another radio's copy stands for it
    DELIVERED = "delivered"


_PROGRESS: Mapping[Cause, int] = {cause: rank for rank, cause in enumerate(Cause)}


@dataclass(slots=True)
class Entry:
    """One transmission and the last word of each (concentrator, radio) on it."""

    number: int
    sensor: str
    start_us: int
    payload: bytes
    causes: dict[tuple[str, int], Cause] = field(default_factory=dict)

    @property
    def cause(self) -> Cause:
        """The one final cause: that of the radio where it came furthest."""
        return max(self.causes.values(), key=_PROGRESS.__getitem__, default=Cause.NOT_LISTENING)


class Ledger:
    """All transmissions of a run. Record none that the end of the run cut off."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, int], Entry] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def sent(self, transmission: Transmission) -> None:
        """Take note of a transmission; until a radio says otherwise, nobody listened."""
        self._entry(transmission)

    def record(
        self, transmission: Transmission, concentrator: str, radio: int, cause: Cause
    ) -> None:
        """Say what became of it at one radio. The last word counts: a frame may yet be lost."""
        self._entry(transmission).causes[concentrator, radio] = cause

    def entries(self) -> Iterator[Entry]:
        """In the order in which they were first mentioned."""
        yield from self._entries.values()

    def counts(self) -> dict[Cause, int]:
        """Transmissions by final cause, every cause named; the numbers add up to all sent."""
        counted = Counter(entry.cause for entry in self._entries.values())
        return {cause: counted[cause] for cause in Cause}

    def summary(self) -> dict[str, object]:
        """Totals for people and programs."""
        counts = self.counts()
        sent = len(self._entries)
        return {
            "sent": sent,
            "causes": {str(cause): count for cause, count in counts.items()},
            "delivered_share": counts[Cause.DELIVERED] / sent if sent else None,
        }

    def write(self, path: Path) -> None:
        """Write JSON lines, one for each transmission."""
        with path.open("w", encoding="utf-8") as file:
            for entry in self._entries.values():
                file.write(json.dumps(_as_json(entry), separators=(",", ":")) + "\n")

    def _entry(self, transmission: Transmission) -> Entry:
        key = (transmission.sensor, transmission.number)
        if key not in self._entries:
            self._entries[key] = Entry(
                transmission.number,
                transmission.sensor,
                transmission.start_us,
                transmission.payload,
            )
        return self._entries[key]


def _as_json(entry: Entry) -> dict[str, object]:
    return {
        "number": entry.number,
        "sensor": entry.sensor,
        "start_us": entry.start_us,
        "payload": entry.payload.hex(),
        "cause": entry.cause,
        "radios": [
            {"concentrator": concentrator, "radio": radio, "cause": cause}
            for (concentrator, radio), cause in sorted(entry.causes.items())
        ],
    }
