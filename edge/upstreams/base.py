"""The contract that every upstream keeps.

An upstream is an adapter to one system that takes frames: an async context manager with one
:meth:`Upstream.send`. Adding one is one file here and one line in :mod:`edge.upstreams.registry`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import Any, Protocol, Self, runtime_checkable

from edge.clock import Clock
from edge.downlink.gate import DownlinkGate
from edge.monitoring.metrics import Metrics
from protocol.records.sensor_frame import FrameId, SensorFrame

Batch = Sequence[SensorFrame]


class Lane(StrEnum):
    """In which order an upstream gets its frames.

    ``DATA``: receivers order by time and tell repeats by the frame's id, so live frames go before
    the backlog. ``NETWORK_SERVER``: a network server drops counters that go backwards, so all goes
    oldest first, and a device's backlog before its live frames.
    """

    DATA = "data"
    NETWORK_SERVER = "network-server"


@dataclass(frozen=True, slots=True)
class SendResult:
    """What became of a batch; frames in none of the three are sent again.

    Attributes:
        rejected: frames that the receiver will never take, each with the reason it gave.
        passed_over: frames that this kind does not carry, such as private ones for a network
            server; nothing of them was sent.
        sent_bytes: about what went over the line for this batch, without TCP and IP.
    """

    acknowledged: frozenset[FrameId]
    rejected: Mapping[FrameId, str] = field(default_factory=dict)
    passed_over: frozenset[FrameId] = frozenset()
    sent_bytes: int = 0


class UpstreamError(Exception):
    """A send, or the connection, failed; carries what was acknowledged before it did."""

    def __init__(self, message: str, acknowledged: frozenset[FrameId] = frozenset()) -> None:
        super().__init__(message)
        self.acknowledged = acknowledged


class TransientUpstreamError(UpstreamError):
    """The receiver or the way to it is away: try again with back-off."""


class PermanentUpstreamError(UpstreamError):
    """A person has to mend it (revoked certificate, wrong password): tried every 5 minutes."""


class Upstream(Protocol):
    """One destination. Entering connects; both raise :class:`UpstreamError`.

    One that was left may be entered again. Each time it reads its files anew: the forwarder leaves
    and enters it when one that an option ``..._file`` names has changed.
    """

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None: ...

    @property
    def max_batch(self) -> int:
        """How many frames one send carries at most."""
        ...

    async def send(self, batch: Batch) -> SendResult:
        """Deliver frames, oldest first; returns when the receiver has taken responsibility."""
        ...

    async def tick(self) -> None:
        """Do what has to be done also when there are no frames, e.g. notice a lost connection.

        Called between batches and while idle, about every 5 s and never more often.

        Raises:
            UpstreamError: the connection is gone.
        """
        ...


@runtime_checkable
class KnowsSession(Protocol):
    """An upstream that can tell whether the receiver still had our session when it was entered.

    For ``hold_after_ack``. One that cannot tell is taken to have lost it with each connection.
    """

    @property
    def session_lost(self) -> bool:
        """After entering: whether what was acknowledged before may be gone there."""
        ...


@runtime_checkable
class ShowsPeerCertificate(Protocol):
    """An upstream that shows the certificate of its receiver, for the metric of its end."""

    @property
    def peer_certificate(self) -> bytes | None:
        """DER, while entered; None without TLS."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where the gateway stands, for upstreams that tell it.

    Attributes:
        region: as configured, e.g. "AS923-2".
        position: latitude and longitude in degrees, altitude in metres; None = not configured.
    """

    region: str
    position: tuple[float, float, float] | None = None


@dataclass(frozen=True, slots=True)
class UpstreamContext:
    """What every kind of upstream is given besides its options.

    Attributes:
        gateway: EUI-64, 8 bytes.
        name: the upstream's configured name.
        statistics: the gateway's status, for upstreams that publish it.
        downlinks: takes what a server wants transmitted.
    """

    gateway: bytes
    name: str
    metrics: Metrics
    clock: Clock
    statistics: Callable[[], dict[str, object]]
    site: Site
    downlinks: DownlinkGate


class UpstreamFactory(Protocol):
    """A kind of upstream, mostly its class."""

    @property
    def lane(self) -> Lane:
        """Order of its frames."""
        ...

    @property
    def Options(self) -> type[Any]:  # noqa: N802 - a class: the kind's part of the configuration
        """Frozen dataclass that ``[[upstream]]`` is read into; metadata ``help`` of each field."""
        ...

    def __call__(self, options: Any, context: UpstreamContext) -> Upstream:
        """Make an upstream; nothing is opened before it is entered."""
        ...
