"""A running set of simulated concentrators, and the way in which frames enter their chips."""

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path

from protocol.link.messages import RxEvent
from simulator.balance import Balance, EventKey
from simulator.concentrator import SimulatedConcentrator, TakenEvent
from simulator.firmware import BoardIdentity
from simulator.radio_unit import RadioUnit


@dataclass(slots=True)
class SiteClock:
    """Monotonic time, and the boards' counter: the same, or ahead of it on captured time.

    Args:
        monotonic_s: the clock of the event loop.
    """

    monotonic_s: Callable[[], float] = time.monotonic
    _ahead_us: int = 0

    def now_us(self) -> int:
        """Monotonic microseconds."""
        return int(self.monotonic_s() * 1e6)

    def count_us(self) -> int:
        """What the boards' counters show."""
        return self.now_us() + self._ahead_us

    def jump_to(self, count_us: int) -> None:
        """Move the counter forward; it never goes back."""
        self._ahead_us = max(self._ahead_us, count_us - self.now_us())


@dataclass(frozen=True, slots=True)
class Arrival:
    """How a frame arrives at one chip."""

    payload: bytes
    rssi_dbm: float
    snr_db: float
    frequency_error_hz: float = 0.0
    coding_rate: int = 1
    crc_on_payload: bool = True
    crc_ok: bool = True


@dataclass(slots=True)
class Site:
    """Concentrators behind stable links in ``directory``.

    Args:
        directory: where the links are made, ``<name>`` each.
        radios: number of radios of each concentrator by name.
        baud: line rate; 0 = as fast as the ptys take it.
        kinds: family of each device by name; a name that is not there is a bridge.
        on_transmit: told of each frame that a device has put on the air: device, radio, payload.
        on_taken: told of each unacknowledged event that a board lost with its power.
    """

    directory: Path
    radios: dict[str, int]
    seed: int
    baud: int = 115_200
    clock: SiteClock = field(default_factory=SiteClock)
    balance: Balance = field(default_factory=Balance)
    on_taken: Callable[[EventKey], None] = lambda _key: None
    kinds: Mapping[str, str] = field(default_factory=dict)
    on_transmit: Callable[[str, int, bytes], None] = lambda _name, _radio, _payload: None
    concentrators: dict[str, SimulatedConcentrator] = field(init=False)
    _transmission: int = field(init=False, default=0)
    _kept: EventKey | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.concentrators = {name: self._make(name, count) for name, count in self.radios.items()}

    def start(self) -> None:
        """Power all boards; to be called on the event loop."""
        for concentrator in self.concentrators.values():
            concentrator.start()

    def stop(self) -> None:
        """Take all ports away."""
        for concentrator in self.concentrators.values():
            concentrator.stop()

    def chips(self) -> Iterator[tuple[str, int, RadioUnit]]:
        """All radios of powered boards: concentrator, index, radio."""
        for name, concentrator in self.concentrators.items():
            if concentrator.board is not None:
                for index, radio in enumerate(concentrator.board.radios):
                    yield name, index, radio

    def powered(self, name: str, radio: RadioUnit) -> bool:
        """Whether a radio still belongs to a board with power, and not to an earlier boot."""
        board = self.concentrators[name].board
        return board is not None and radio in board.radios

    def ready(self) -> bool:
        """Whether every radio has been set up by a host."""
        units = list(self.chips())
        return len(units) == sum(self.radios.values()) and all(
            unit.chip.listening(unit.now_us()) is not None for _, _, unit in units
        )

    def whole_frame(self, transmission: int, name: str, radio: RadioUnit, arrival: Arrival) -> None:
        """Let a frame enter a chip from preamble to end at this moment."""
        now_us = radio.now_us()
        radio.chip.begin_reception(now_us=now_us)
        accepted = radio.chip.header_received(
            coding_rate=arrival.coding_rate,
            crc_on_payload=arrival.crc_on_payload,
            payload_length=len(arrival.payload),
            now_us=now_us,
        )
        if accepted:
            self.end_frame(transmission, name, radio, arrival)

    def end_frame(
        self, transmission: int, name: str, radio: RadioUnit, arrival: Arrival
    ) -> EventKey | None:
        """Let a frame that a chip is receiving end now; the firmware reads it at once.

        Returns:
            The event in the board's ring; None if the ring was full.
        """
        self._transmission, self._kept = transmission, None
        radio.chip.end_reception(
            arrival.payload,
            rssi_dbm=arrival.rssi_dbm,
            snr_db=arrival.snr_db,
            frequency_error_hz=arrival.frequency_error_hz,
            crc_ok=arrival.crc_ok,
            now_us=radio.now_us(),
        )
        self.concentrators[name].kick()
        return self._kept

    def _make(self, name: str, radios: int) -> SimulatedConcentrator:
        def on_event(boot_id: int, raw: RxEvent, event: RxEvent | None) -> None:
            self.balance.received(self._transmission, name, boot_id, event, raw)
            self._kept = None if event is None else (name, boot_id, event.number)

        def on_taken(taken: TakenEvent) -> None:
            self.balance.taken(name, taken.boot_id, taken.number)
            self.on_taken((name, taken.boot_id, taken.number))

        kind = self.kinds.get(name, "bridge")
        return SimulatedConcentrator(
            BoardIdentity(
                name,
                # No two devices have one: not even those of one name on different sites.
                blake2b(
                    (name if kind == "bridge" else f"{kind}/{name}").encode(), digest_size=8
                ).digest(),
                radios,
                kind=kind,
            ),
            self.directory / name,
            self.seed,
            self.clock.now_us,
            self.clock.count_us,
            baud=self.baud,
            on_event=on_event,
            on_written=lambda boot_id, number: self.balance.written(name, boot_id, number),
            on_acknowledged=lambda boot_id, number: self.balance.acknowledged(
                name, boot_id, number
            ),
            on_taken=on_taken,
            on_transmit=lambda radio, payload: self.on_transmit(name, radio, payload),
        )
