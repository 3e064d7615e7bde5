"""Cayenne LPP: published examples, and pycayennelpp as the judge of all types."""

from typing import Any

import pytest
from cayennelpp import LppFrame
from cayennelpp.lpp_type import LppType
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.cayenne_lpp import decode_cayenne_lpp
from protocol.records.decoded import Decoded, DecodeFault
from protocol.records.sensor_frame import Measurement

# Bytes of a value, of every type that is decoded. Load (122) is missing on purpose: encoders do
# not agree whether it is signed.
SIZES = {
    0: 1, 1: 1, 2: 2, 3: 2, 100: 4, 101: 2, 102: 1, 103: 2, 104: 1, 113: 6, 115: 2, 116: 2,
    117: 2, 118: 4, 120: 1, 121: 2, 125: 2, 128: 2, 130: 4, 131: 4, 132: 2, 133: 4, 134: 6,
    135: 3, 136: 9, 142: 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "measurements"),
    [
        (
            "03 67 01 10 05 67 00 ff",
            [Measurement("temperature_3", 27.2, "Cel"), Measurement("temperature_5", 25.5, "Cel")],
        ),
        ("01 67 ff d7", [Measurement("temperature_1", -4.1, "Cel")]),
        (
            "06 71 04 d2 fb 2e 00 00",
            [
                Measurement("accelerometer_6_x", 1.234),
                Measurement("accelerometer_6_y", -1.234),
                Measurement("accelerometer_6_z", 0.0),
            ],
        ),
        (
            "01 88 06 76 5f f2 96 0a 00 03 e8",
            [
                Measurement("gps_1_latitude", 42.3519, "lat"),
                Measurement("gps_1_longitude", -87.9094, "lon"),
                Measurement("gps_1_altitude", 10.0, "m"),
            ],
        ),
    ],
)
def test_examples_of_the_format(text: str, measurements: list[Measurement]) -> None:
    """The four payloads that the format's documentation explains."""
    assert decode_cayenne_lpp(bytes.fromhex(text), 1) == Decoded(tuple(measurements))


@pytest.mark.parametrize("type_number", range(256))
def test_which_types_are_known(type_number: int) -> None:
    """Each has the judge's size: one byte less is too short."""
    if type_number not in SIZES:
        value = bytes([1, type_number]) + bytes(9)
        assert decode_cayenne_lpp(value, 1) == Decoded((), DecodeFault.UNKNOWN_TYPE)
        return
    size = SIZES[type_number]
    assert LppType.get_lpp_type(type_number).size == size
    whole = bytes([1, type_number]) + bytes(size)
    assert decode_cayenne_lpp(whole, 1).error is None
    assert decode_cayenne_lpp(whole[:-1], 1) == Decoded((), DecodeFault.TOO_SHORT)


@st.composite
def frames(draw: st.DrawFn) -> bytes:
    """Values of known types, one after the other."""
    types = draw(st.lists(st.sampled_from(sorted(SIZES)), max_size=8))
    return b"".join(
        bytes([draw(st.integers(0, 255)), number])
        + draw(st.binary(min_size=SIZES[number], max_size=SIZES[number]))
        for number in types
    )


@given(frames())
def test_the_judge_reads_the_same(payload: bytes) -> None:
    """Numbers of all values, in order."""
    judged: list[Any] = [part for value in LppFrame.from_bytes(payload) for part in value.value]
    decoded = decode_cayenne_lpp(payload, None)
    assert decoded.error is None
    assert [measurement.value for measurement in decoded.measurements] == judged


@given(frames())
def test_channels_are_in_the_names(payload: bytes) -> None:
    """As the judge reads them."""
    channels = [
        str(value.channel) for value in LppFrame.from_bytes(payload) for _part in value.value
    ]
    names = [one.name for one in decode_cayenne_lpp(payload, 1).measurements]
    assert [[part for part in name.split("_") if part.isdigit()] for name in names] == [
        [channel] for channel in channels
    ]


@given(frames(), st.binary(min_size=1, max_size=1))
def test_a_channel_with_nothing_behind_it(payload: bytes, channel: bytes) -> None:
    """Values before it stand."""
    assert decode_cayenne_lpp(payload + channel, 1) == Decoded(
        decode_cayenne_lpp(payload, 1).measurements, DecodeFault.TOO_SHORT
    )


@given(st.binary(max_size=255))
def test_nothing_is_ever_raised(payload: bytes) -> None:
    """Whatever is on the air."""
    assert len(decode_cayenne_lpp(payload, 1).measurements) <= len(payload)
