"""What every payload decoder takes and gives, and how a number gets its unit's scale."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from math import isfinite

from protocol.records.senml import is_senml_name
from protocol.records.sensor_frame import Measurement, Value
from protocol.records.strict_cbor import INTEGER_MAX, INTEGER_MIN

EXPONENTS = range(-18, 19)
"""Powers of ten that a label or a template may state."""


class DecodeFault(StrEnum):
    """Why a payload was not, or not wholly, turned into measurements; a label of metrics."""

    CBOR = "cbor"  # not the strict CBOR that is accepted
    SHAPE = "shape"  # CBOR of another shape: no map or pack, or a value that is none
    SENML = "senml"  # a pack against RFC 8428, or with times or sums
    NAME = "name"  # a name that RFC 8428 does not allow
    UNKNOWN_LABEL = "unknown_label"
    UNKNOWN_TAG = "unknown_tag"
    UNKNOWN_TYPE = "unknown_type"  # of Cayenne LPP
    TOO_MANY = "too_many"  # more items than fields are declared
    TOO_SHORT = "too_short"  # the payload ends inside a value
    RANGE = "range"  # a number that is not finite or leaves 64 bits
    F_PORT = "f_port"  # nothing is declared for this FPort, or it carries MAC commands


@dataclass(frozen=True, slots=True)
class Decoded:
    """Measurements in the payload's order, and the first fault: both, when only some were read."""

    measurements: tuple[Measurement, ...]
    error: DecodeFault | None = None


PayloadDecoder = Callable[[bytes, int | None], Decoded]
"""(decrypted payload, FPort or None where the frame has none); raises for no bytes at all."""


@dataclass(frozen=True, slots=True)
class Label:
    """What a number in a payload means: the value is the number times ten to ``exponent``."""

    name: str
    exponent: int = 0
    unit: str | None = None


def label_faults(label: Label) -> list[str]:
    """What is wrong with a configured label, in plain words; nothing if it can be used."""
    faults = []
    if not is_senml_name(label.name):
        faults.append(
            "a name has letters, digits and - : . / _ and begins with one of the first two"
        )
    if label.exponent not in EXPONENTS:
        faults.append(f"exponent must be {EXPONENTS[0]} to {EXPONENTS[-1]}")
    return faults


class Readings:
    """Collects what a decoder reads; a value that cannot be kept marks, and the rest goes on."""

    def __init__(self) -> None:
        self._measurements: list[Measurement] = []
        self._fault: DecodeFault | None = None

    def add(self, label: Label, value: Value) -> None:
        """Keep one value; numbers are scaled, other values are as they are."""
        if not is_senml_name(label.name):
            self.fault(DecodeFault.NAME)
            return
        scaled = value if isinstance(value, bool | str | bytes) else _scaled(value, label.exponent)
        if scaled is None:
            self.fault(DecodeFault.RANGE)
        else:
            self._measurements.append(Measurement(label.name, scaled, label.unit))

    def fault(self, fault: DecodeFault) -> None:
        """Note what is wrong; the first fault is the one that is told."""
        self._fault = self._fault or fault

    def decoded(self) -> Decoded:
        """All that was read."""
        return Decoded(tuple(self._measurements), self._fault)


def _scaled(number: float, exponent: int) -> int | float | None:
    """``number * 10**exponent``, None when a frame cannot carry it.

    A negative exponent divides: of two integers that gives the double nearest to the decimal
    (294 and -1: 29.4), where a multiplication by 0.1 would not.
    """
    if exponent < 0:
        number = number / 10**-exponent
    elif exponent > 0:
        number = number * 10**exponent
    if isinstance(number, int):
        return number if INTEGER_MIN <= number <= INTEGER_MAX else None
    return number if isfinite(number) else None
