"""The contract that every driver keeps.

A driver is an I/O shell around a protocol session: an async context manager that yields
:data:`~protocol.lora.events.RadioEvent` values. Adding a device family is one file here, one entry
in :mod:`drivers.registry` and its simulated counterpart.
"""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from types import TracebackType
from typing import Protocol, Self, runtime_checkable

from protocol.lora.events import RadioEvent, UplinkReceived

BoottimeUs = Callable[[], int]
"""The host's CLOCK_BOOTTIME in microseconds; the only clock a driver uses."""


@dataclass(frozen=True, slots=True)
class RadioOptions:
    """What one radio is to listen to (a ``[[concentrator.radio]]`` table).

    Attributes:
        payload: what the frames are: "lorawan", "cbor" or "raw".
        crc: "any" also wants frames with a bad or missing CRC, "required" does without them.
    """

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int = 125_000
    coding_rate: str = "4/5"
    sync_word: int = 0x34
    payload: str = "lorawan"
    crc: str = "required"


@dataclass(frozen=True, slots=True)
class DriverOptions:
    """What a driver needs to know (a ``[[concentrator]]`` table).

    Attributes:
        name: configured name of the concentrator.
        port: device path, best a ``/dev/serial/by-id`` link.
        baud: line rate in bit/s; USB devices ignore it.
        unique_id: hex identity the device must report; empty = whatever answers.
        radios: one entry per radio, in the board's order.
        signal_reading: when a device that has to be asked for SNR and RSSI is: "before" its
            receiver is opened again, "after" that, or "never".
    """

    name: str
    port: str
    baud: int
    unique_id: str
    radios: tuple[RadioOptions, ...]
    signal_reading: str = "before"


@dataclass(frozen=True, slots=True)
class OptionFault:
    """Something in the options that a family of devices cannot do, for the person who asked for it.

    Attributes:
        radio: index of the radio, None for the concentrator itself.
        key: the TOML key that asks for it; empty = the table as a whole.
        reason: what cannot be done, and why.
        remedy: what would work.
    """

    radio: int | None
    key: str
    reason: str
    remedy: str = ""

    def __str__(self) -> str:
        """One line: where, what, and what would work."""
        words = [] if self.radio is None else [f"radio {self.radio}"]
        where = " ".join([*words, self.key] if self.key else words)
        text = f"{where}: {self.reason}" if where else self.reason
        return f"{text} ({self.remedy})" if self.remedy else text


CheckOptions = Callable[[DriverOptions], Sequence[OptionFault]]
"""What a family cannot do of what is asked. Pure: opens nothing, so that a configuration is checked
without its hardware. A driver asks it once more before it opens its port."""


class Metadata(StrEnum):
    """What a device may tell of a reception beside the payload."""

    RSSI = "rssi"
    SNR = "snr"
    FREQUENCY_ERROR = "frequency_error"
    CRC_STATUS = "crc_status"  # it vouches for a good CRC, and passes on frames with a bad one
    TIME = "time"  # end of the frame on a clock of its own; else it is dated when it arrives here


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a device can do. Nothing here is a wish: what is claimed, the conformance kit checks.

    Attributes:
        radios: how many there are.
        sync_words: those it can listen to, None = any.
        lorawan: whether it hears LoRaWAN uplinks unchanged.
        scheduled_transmit: whether it sends at a given instant of its own clock.
        acknowledges: whether it keeps each event until it is acknowledged.
        metadata: what it tells of each reception.
        max_payload: longest PHY payload it passes on, bytes.
    """

    radios: int
    sync_words: frozenset[int] | None
    lorawan: bool
    scheduled_transmit: bool
    acknowledges: bool
    metadata: frozenset[Metadata]
    max_payload: int = 255


@dataclass(frozen=True, slots=True)
class Downlink:
    """One frame to transmit; ``at_count_us`` (the board's counter) None = as soon as possible."""

    radio: int
    payload: bytes
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    power_dbm: int
    invert_iq: bool
    at_count_us: int | None


class TxOutcome(StrEnum):
    """How a transmission ended; names as packet forwarders use them."""

    SENT = "sent"
    TOO_LATE = "too_late"
    TOO_EARLY = "too_early"
    COLLISION_PACKET = "collision_packet"
    QUEUE_FULL = "queue_full"
    RADIO_FAULT = "radio_fault"
    NOT_SUPPORTED = "not_supported"
    LINK_DOWN = "link_down"


@dataclass(frozen=True, slots=True)
class TxResult:
    """Outcome of :meth:`Driver.transmit`; ``started_at_count_us`` only when it was sent."""

    outcome: TxOutcome
    started_at_count_us: int | None = None


class Driver(Protocol):
    """One concentrator on one port. Use as an async context manager.

    Entering checks the options, opens the port, brings up the device and configures its radios; it
    raises :class:`~drivers.errors.DriverError`. :meth:`events` ends by raising
    :class:`~drivers.errors.PortLost` when the device goes away: a driver object is used once, and
    the supervisor makes a new one.
    """

    @property
    def capabilities(self) -> Capabilities: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    def events(self) -> AsyncIterator[RadioEvent]:
        """Yield events in the device's order until the device goes away."""
        ...

    def acknowledge(self, event: UplinkReceived) -> None:
        """Tell the device that this event and all before it are committed, merged or counted.

        Never blocks; a no-op where the device has no acknowledgements or the event is of an
        earlier boot.
        """
        ...

    async def transmit(self, downlink: Downlink) -> TxResult:
        """Send one frame; returns when the device says how it ended."""
        ...


@runtime_checkable
class SoftReset(Protocol):
    """A driver whose device knows a command to start anew. It then comes up again by itself."""

    def soft_reset(self) -> None:
        """Send the command; never blocks. Nothing happens while the device is not connected."""
        ...


DriverFactory = Callable[[DriverOptions, BoottimeUs], Driver]
