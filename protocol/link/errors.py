"""Errors of the concentrator link: ours against theirs (the split that h11 made customary).

A peer's fault is an ordinary value (a counted :class:`RejectReason`), because a serial line carries
noise; only a wrong call by our own side raises.
"""

from enum import StrEnum


class LocalLinkError(Exception):
    """Our own side asked for something that the link cannot carry."""


class RejectReason(StrEnum):
    """Why received bytes were thrown away; a closed list, used as a metric label."""

    COBS = "cobs"
    CRC = "crc"
    TOO_LONG = "too_long"
    TOO_SHORT = "too_short"
    MALFORMED = "malformed"  # a whole frame whose content breaks the specification
    UNEXPECTED = "unexpected"  # a well-formed message that this role or state cannot use


class MalformedMessage(Exception):
    """A frame passed its CRC, but its content breaks the specification."""
