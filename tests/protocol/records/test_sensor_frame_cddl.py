"""``sensor_frame.cddl`` describes what is written: judged by a CDDL validator that is not ours.

The validator reads CBOR by itself, so cbor2 is judged too. The controls show that it refuses:
a validator that accepts everything would prove nothing.
"""

import copy
from collections.abc import Iterator
from importlib import resources
from typing import Any

import cbor2
import pytest
from cddl_verifier import Validator
from hypothesis import given

from protocol.records.sensor_frame import FrameContent, SensorFrame, SensorFrameError
from protocol.records.sensor_frame_codec import decode, encode, encode_content
from tests.protocol.records import strategies
from tests.protocol.records.example import FRAME, FRAME_MAP
from tests.protocol.records.test_sensor_frame_reader import WRONG, WRONG_RECEPTION

SCHEMA = resources.files("protocol.records").joinpath("sensor_frame.cddl").read_text()
VALIDATOR = Validator(SCHEMA)


def faults(data: bytes, rule: str = "sensor-frame") -> list[str]:
    """What the validator says against bytes."""
    result = VALIDATOR.validate(data, root_type=rule, require_deterministic=True)
    return [] if result.valid else list(result.errors) or ["invalid"]


def test_example() -> None:
    """With every member there is."""
    assert faults(encode(FRAME)) == []
    assert faults(encode_content(FRAME.content), "frame-content") == []


@given(strategies.sensor_frame)
def test_every_frame_is_valid_and_deterministic(frame: SensorFrame) -> None:
    """Shortest numbers, sorted keys, definite lengths (RFC 8949 section 4.2.1)."""
    assert faults(encode(frame)) == []


@given(strategies.content)
def test_every_content_is_valid_and_deterministic(content: FrameContent) -> None:
    """What the store keeps."""
    assert faults(encode_content(content), "frame-content") == []


def test_the_validator_demands_determinism() -> None:
    """A frame whose keys are not in order, and one with a long integer."""
    backwards = dict(reversed(FRAME_MAP.items()))
    assert faults(cbor2.dumps(backwards)) != []
    long_version = bytes([0xB8, len(FRAME_MAP)]) + encode(FRAME)[1:]
    assert faults(long_version) != []


# CDDL cannot say that one member is the hash of another; that check is the reader's alone.
BEYOND_CDDL = [(4, b"0123456789abcdef")]


def wrong_frames() -> Iterator[dict[Any, Any]]:
    """Frames with one member wrong, missing, or too many."""
    for key, value in WRONG:
        if (key, value) not in BEYOND_CDDL:
            yield {**FRAME_MAP, key: value}
    for key, value in WRONG_RECEPTION:
        members: dict[Any, Any] = copy.deepcopy(FRAME_MAP)
        members[9][0][key] = value
        yield members
    for key in range(12):
        yield {other: value for other, value in FRAME_MAP.items() if other != key}


@pytest.mark.parametrize("members", list(wrong_frames()))
def test_schema_and_reader_refuse_the_same(members: dict[Any, Any]) -> None:
    """The negative controls: neither accepts what the other refuses."""
    data = cbor2.dumps(members, canonical=True)
    assert faults(data) != []
    with pytest.raises(SensorFrameError):
        decode(data)
