"""Scaling and the collecting of readings."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.decoded import Decoded, DecodeFault, Label, Readings, label_faults
from protocol.records.sensor_frame import Measurement, Value


def read(label: Label, value: Value) -> Decoded:
    """One reading, collected."""
    readings = Readings()
    readings.add(label, value)
    return readings.decoded()


@pytest.mark.parametrize(
    ("value", "exponent", "expected"),
    [
        (294, -1, 29.4),
        (3, -1, 0.3),
        (-1234, -3, -1.234),
        (70, -1, 7.0),
        (12, 2, 1200),
        (7, 0, 7),
        (1.5, 0, 1.5),
        (2.5, 1, 25.0),
        (True, -1, True),
        ("open", -1, "open"),
        (b"\x01", 3, b"\x01"),
    ],
)
def test_scaling(value: Value, exponent: int, expected: Value) -> None:
    """Numbers are scaled, exactly as the decimal is written; nothing else is."""
    assert repr(read(Label("x", exponent, "m"), value)) == repr(
        Decoded((Measurement("x", expected, "m"),))
    )


@given(st.integers(-(2**63), 2**64 - 1), st.integers(-18, 18))
def test_scaling_is_decimal(value: int, exponent: int) -> None:
    """The judge is decimal arithmetic, rounded once to a double."""
    decoded = read(Label("x", exponent), value)
    exact = Decimal(value).scaleb(exponent)
    if exponent < 0:
        assert repr(decoded.measurements[0].value) == repr(float(exact))
    elif -(2**63) <= exact < 2**64:
        assert decoded.measurements[0].value == int(exact)
    else:
        assert decoded == Decoded((), DecodeFault.RANGE)


@pytest.mark.parametrize(
    ("value", "exponent"),
    [
        (float("nan"), 0),
        (float("inf"), -3),
        (1e300, 18),
        (2**64, 0),
        (-(2**63) - 1, 0),
        (2**60, 3),
    ],
)
def test_numbers_that_no_frame_carries(value: Value, exponent: int) -> None:
    """Not finite, or beyond 64 bits."""
    assert read(Label("x", exponent), value) == Decoded((), DecodeFault.RANGE)


def test_first_fault_is_told_and_good_readings_are_kept() -> None:
    """In the payload's order."""
    readings = Readings()
    readings.add(Label("a"), 1)
    readings.add(Label("độ"), 2)
    readings.fault(DecodeFault.TOO_SHORT)
    readings.add(Label("b"), 3)
    assert readings.decoded() == Decoded(
        (Measurement("a", 1), Measurement("b", 3)), DecodeFault.NAME
    )


def test_label_faults() -> None:
    """In words, one a fault."""
    assert label_faults(Label("water_level", -18, "m")) == []
    assert label_faults(Label("x", 18)) == []
    assert len(label_faults(Label("", 19))) == 2
    assert label_faults(Label("x", -19)) == ["exponent must be -18 to 18"]
