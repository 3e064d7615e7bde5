"""JSON of sensor frames: a frame written by hand, and round trips."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.records.sensor_frame import FrameContent, SensorFrame, SensorFrameError, WallTime
from protocol.records.sensor_frame_json import from_json_object, to_json_object
from tests.protocol.records import strategies
from tests.protocol.records.example import BOOT_ID, FRAME, JSON_OBJECT


def test_example() -> None:
    """Names, order, and how bytes and times are written."""
    assert json.dumps(to_json_object(FRAME)) == json.dumps(JSON_OBJECT)
    assert from_json_object(JSON_OBJECT) == FRAME


def test_what_is_not_known() -> None:
    """The time is null, other members are left out."""
    content = FrameContent(BOOT_ID, 1, FRAME.content.receptions, b"abc")
    written = to_json_object(SensorFrame(FRAME.frame_id, content, None))
    assert written["received_at"] is None
    assert written["uncertainty_us"] is None
    assert list(written) == list(JSON_OBJECT)[:13]


@pytest.mark.parametrize(
    ("unix_us", "text"),
    [
        # date --utc --date=@0 +%FT%T.%6NZ, and so on
        (0, "1970-01-01T00:00:00.000000Z"),
        (-1, "1969-12-31T23:59:59.999999Z"),
        (951_827_696_000_007, "2000-02-29T12:34:56.000007Z"),
        (253_402_300_799_999_999, "9999-12-31T23:59:59.999999Z"),
        (-62_135_596_800_000_000, "0001-01-01T00:00:00.000000Z"),
    ],
)
def test_times(unix_us: int, text: str) -> None:
    """RFC 3339 in UTC, always with microseconds."""
    frame = SensorFrame(FRAME.frame_id, FRAME.content, WallTime(unix_us, 0))
    written = to_json_object(frame)
    assert written["received_at"] == text
    assert from_json_object(written) == frame


@given(strategies.sensor_frame)
def test_round_trip(frame: SensorFrame) -> None:
    """Through text, which no number may need more than JSON has."""
    text = json.dumps(to_json_object(frame), allow_nan=False)
    assert repr(from_json_object(json.loads(text))) == repr(frame)


def test_numbers_of_other_writers() -> None:
    """JavaScript writes -120 for -120.0."""
    members: dict[str, Any] = copy.deepcopy(JSON_OBJECT)
    members["receptions"][0]["rssi_dbm"] = -120
    assert from_json_object(members).content.receptions[0].rssi_dbm == -120.0


WRONG: list[tuple[str, Any]] = [
    ("version", 2),
    ("frame_id", "b827ebfffe123456-00112233445566ff-70001"),
    ("frame_id", None),
    ("gateway", "b827ebfffe1234"),
    ("gateway", "b827ebfffe12345x"),
    ("gateway", 7),
    ("seq", "70000"),
    ("seq", 1.5),
    ("seq", [70_000]),
    ("uplink_id", "cae66941d9efbd404e4d88758ea67670"),
    ("received_at", "2023-01-04T21:31:22Z"),
    ("received_at", "2023-01-04T21:31:22.173000"),
    ("received_at", "2023-01-04T21:31:22.173000+01:00"),
    ("received_at", "yesterday"),
    ("received_at", None),
    ("received_at", 1.5),
    ("received_at", {}),
    ("receptions", {}),
    ("receptions", []),
    ("receptions", [[]]),
    ("receptions", [{"roof": 1}]),
    ("phy_payload", "6162"),
    ("class", 7),
    ("device", None),
    ("verified", "unknown"),
    ("measurements", None),
    ("measurements", [{"n": "x"}]),
    ("measurements", [{"n": "x", "v": float("nan")}]),
    ("measurements", [{"n": "x", "v": 2**64}]),
    ("measurements", [{"n": "x", "vd": "not base64"}]),
    ("color", "red"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_wrong_members(name: str, value: Any) -> None:
    """With the one error."""
    members = {**JSON_OBJECT, name: value}
    with pytest.raises(SensorFrameError):
        from_json_object(members)


def test_a_number_that_no_float_is() -> None:
    """An integer of 400 digits."""
    members: dict[str, Any] = copy.deepcopy(JSON_OBJECT)
    members["receptions"][0]["rssi_dbm"] = 10**400
    with pytest.raises(SensorFrameError):
        from_json_object(members)


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=5,
)


@given(st.sampled_from(sorted(JSON_OBJECT)), anything)
def test_any_value_is_refused_or_read(name: str, value: object) -> None:
    """Nothing but the one error is ever raised."""
    try:
        frame = from_json_object({**JSON_OBJECT, name: value})
    except SensorFrameError:
        return
    assert from_json_object(to_json_object(frame)) == frame
