"""Where every downlink goes, whatever protocol asked for it.

The transmitter is off until it is allowed: as long as no guard holds the limits of the region,
the one gate there is refuses everything, and says so. An upstream tells its server in the words of
its protocol, so that no downlink ever counts as sent.
"""

import logging
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class DownlinkRequest:
    """One frame that a server wants on the air.

    Attributes:
        upstream: configured name of the upstream that brought it.
        payload: PHY payload.
        power_dbm: EIRP asked for; None = as much as is allowed.
        at_boottime_us: when it has to begin, on CLOCK_BOOTTIME of this boot; None = at once.
    """

    upstream: str
    payload: bytes
    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    power_dbm: float | None
    invert_iq: bool
    at_boottime_us: int | None


class DownlinkOutcome(StrEnum):
    """What became of it."""

    SENT = "sent"
    TOO_LATE = "too_late"
    TOO_EARLY = "too_early"
    COLLISION = "collision"
    FREQUENCY = "frequency"
    POWER = "power"
    QUEUE_FULL = "queue_full"
    NOT_ALLOWED = "not_allowed"
    """No transmitter, or none that may be used."""


class DownlinkGate(Protocol):
    """Takes downlinks of all upstreams."""

    async def submit(self, request: DownlinkRequest) -> DownlinkOutcome:
        """Have it transmitted; returns when it is known how that ended."""
        ...


class ClosedGate:
    """Nothing is transmitted."""

    def __init__(self, now_us: "NowUs") -> None:
        self._now_us = now_us

    async def submit(self, request: DownlinkRequest) -> DownlinkOutcome:
        """Refuse it, with the reason that weighs most."""
        at_us = request.at_boottime_us
        outcome = DownlinkOutcome.NOT_ALLOWED
        if at_us is not None and at_us <= self._now_us():
            outcome = DownlinkOutcome.TOO_LATE
        logger.warning("downlink refused upstream=%s reason=%s", request.upstream, outcome)
        return outcome


class NowUs(Protocol):
    """CLOCK_BOOTTIME in microseconds."""

    def __call__(self) -> int: ...
