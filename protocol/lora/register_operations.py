"""Operations on a radio's registers, as data: what to read, write, change or wait for.

A list of them is executed atomically by the concentrator (``docs/CONCENTRATOR-LINK.md`` section 6).
Addresses are those of the SX1276/77/78/79 data sheet, 0x00 to 0x7F.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class RegisterRead:
    """Read ``count`` bytes from ``address`` in one burst."""

    address: int
    count: int


@dataclass(frozen=True, slots=True)
class RegisterWrite:
    """Write ``value`` to ``address`` in one burst."""

    address: int
    value: bytes


@dataclass(frozen=True, slots=True)
class RegisterReadModifyWrite:
    """Replace the bits under ``mask`` by those of ``value``."""

    address: int
    mask: int
    value: int


@dataclass(frozen=True, slots=True)
class RegisterWait:
    """Wait until the bits under ``mask`` equal those of ``value``."""

    address: int
    mask: int
    value: int
    timeout_ms: int


RegisterOperation = RegisterRead | RegisterWrite | RegisterReadModifyWrite | RegisterWait
