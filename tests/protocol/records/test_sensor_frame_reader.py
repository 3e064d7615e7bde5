"""The checks of a frame's map: each member missing, of a wrong type, out of its range."""

import copy
from typing import Any

import pytest

from protocol.records.sensor_frame import SensorFrameError, Verified, WallTime
from protocol.records.sensor_frame_reader import read_content, read_frame
from tests.protocol.records.example import CONTENT_MAP, FRAME, FRAME_MAP

OPTIONAL = range(12, 22)

# A wrong value for each member of a frame; several where a range has two ends.
WRONG: list[tuple[int, Any]] = [
    (0, 2),
    (0, "1"),
    (0, True),
    (1, b"1234567"),
    (1, b"123456789"),
    (1, "12345678"),
    (2, None),
    (3, -1),
    (3, 2**63),
    (3, 1.0),
    (4, b"0123456789abcdef"),  # not the hash of the payload
    (4, b""),
    (5, bytes(15)),
    (6, -(2**63)),
    (7, -62_135_596_800_000_001),
    (7, 253_402_300_800_000_000),
    (7, 1.5),
    (7, None),  # without member 8
    (8, -1),
    (8, None),  # without member 7
    (9, []),
    (9, {}),
    (9, [7]),
    (10, "abc"),
    (10, bytes(509)),
    (11, "urgent"),
    (11, 1),
    (12, 7),
    (13, b""),
    (14, bytes(3)),
    (15, bytes(4)),
    (16, -1),
    (16, 2**32),
    (17, 256),
    (18, "unknown"),
    (18, "maybe"),
    (18, True),
    (19, 7),
    (20, None),
    (21, []),
    (21, [{0: "x"}]),
    (21, [{0: "x y", 2: 1}]),
    (21, [{0: "x", 2: 1, 9: 1}]),
    (22, 1),
    ("device", "x"),  # type: ignore[list-item]
]

WRONG_RECEPTION: list[tuple[int, Any]] = [
    (0, 7),
    (1, 256),
    (1, True),
    (2, -1),
    (3, 9.0),
    (4, 2**32),
    (5, 45),
    (6, -97),
    (6, "-97"),
    (7, None),
    (8, "3"),
    (9, 12),
    (10, "fine"),
    (10, []),
    (11, 1),
]


def frame_map() -> dict[Any, Any]:
    """The example's map, to be changed."""
    return copy.deepcopy(dict(FRAME_MAP))


def test_example() -> None:
    """Nothing is wrong before a member is changed."""
    assert read_frame(frame_map()) == FRAME
    assert read_content(copy.deepcopy(dict(CONTENT_MAP))) == FRAME.content  # type: ignore[arg-type]


@pytest.mark.parametrize(("key", "value"), WRONG)
def test_wrong_member(key: int, value: Any) -> None:
    """And the error names it, or says what does not go together."""
    members = frame_map()
    members[key] = value
    with pytest.raises(SensorFrameError, match=f"member.*{key}|version"):
        read_frame(members)


@pytest.mark.parametrize(("key", "value"), WRONG_RECEPTION)
def test_wrong_member_of_a_reception(key: int, value: Any) -> None:
    """Inside member 9."""
    members = frame_map()
    members[9][0][key] = value
    with pytest.raises(SensorFrameError, match=f"member 9: .*{key}"):
        read_frame(members)


@pytest.mark.parametrize("key", [key for key in FRAME_MAP if key not in OPTIONAL])
def test_missing_member(key: int) -> None:
    """All but those that may be unknown."""
    members = frame_map()
    del members[key]
    with pytest.raises(SensorFrameError, match=f"member {key} is missing"):
        read_frame(members)


@pytest.mark.parametrize("key", range(11))
def test_missing_member_of_a_reception(key: int) -> None:
    """A reception has them all."""
    members = frame_map()
    del members[9][0][key]
    with pytest.raises(SensorFrameError, match=f"member 9: member {key} is missing"):
        read_frame(members)


def test_members_that_are_not_known() -> None:
    """Absent, or null for the time."""
    members = {key: value for key, value in frame_map().items() if key not in OPTIONAL}
    members[7] = members[8] = None
    frame = read_frame(members)
    assert frame.received_at is None
    assert frame.content.verified is Verified.UNKNOWN
    assert (frame.content.device, frame.content.f_cnt, frame.content.measurements) == (
        None,
        None,
        (),
    )


def test_times_that_rfc_3339_can_write() -> None:
    """The first and the last microsecond of its years."""
    for unix_us in (-62_135_596_800_000_000, 253_402_300_799_999_999):
        assert read_frame({**frame_map(), 7: unix_us}).received_at == WallTime(unix_us, 2_500)


def test_a_content_has_no_identity() -> None:
    """The store's rows and whole frames are told apart."""
    with pytest.raises(SensorFrameError, match="unknown members"):
        read_content(frame_map())
    with pytest.raises(SensorFrameError, match="not a map"):
        read_content([])
