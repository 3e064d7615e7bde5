"""What the sessions of several dialects tell their drivers in the same words."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Alive:
    """The device has said that it receives as it should."""


@dataclass(frozen=True, slots=True)
class Lost:
    """The device is there no more as it was; it is being looked for and set up anew."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unusable:
    """Trying again cannot help; the session is over."""

    reason: str
