"""Arbitrary CBOR items, measurements and sensor frames."""

from hypothesis import strategies as st

from protocol.lora.events import CrcStatus
from protocol.records.sensor_frame import (
    FrameClass,
    FrameContent,
    FrameId,
    Measurement,
    Reception,
    SensorFrame,
    Verified,
    WallTime,
)
from protocol.records.strict_cbor import Item

u8 = st.integers(0, 2**8 - 1)
u32 = st.integers(0, 2**32 - 1)
u63 = st.integers(0, 2**63 - 1)
eui64 = st.binary(min_size=8, max_size=8)
text = st.text(max_size=12)
number = st.floats(allow_nan=False, allow_infinity=False)
integer = st.integers(-(2**63), 2**64 - 1)

scalar: st.SearchStrategy[Item] = st.one_of(
    integer, number, text, st.binary(max_size=12), st.booleans(), st.none()
)
item: st.SearchStrategy[Item] = st.recursive(
    scalar,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(integer, text), inner, max_size=4)
    ),
    max_leaves=12,
)

name = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9:./_-]{0,12}", fullmatch=True)
value = st.one_of(integer, number, text, st.booleans(), st.binary(max_size=12))
measurement = st.builds(Measurement, name, value, st.none() | text)

reception = st.builds(
    Reception,
    concentrator=text,
    radio=u8,
    frequency_hz=u32,
    spreading_factor=u8,
    bandwidth_hz=u32,
    coding_rate=text,
    rssi_dbm=st.none() | number,
    rssi_model=text,
    snr_db=st.none() | number,
    frequency_error_hz=st.none() | number,
    crc_status=st.sampled_from(CrcStatus),
)

content = st.builds(
    FrameContent,
    boot_id=st.binary(min_size=16, max_size=16),
    received_boottime_us=st.integers(-(2**63) + 1, 2**63 - 1),
    receptions=st.lists(reception, min_size=1, max_size=3).map(tuple),
    phy_payload=st.binary(max_size=255) | st.binary(min_size=508, max_size=508),
    frame_class=st.sampled_from(FrameClass),
    device=st.none() | text,
    message_type=st.none() | text,
    dev_addr=st.none() | st.binary(min_size=4, max_size=4),
    dev_eui=st.none() | eui64,
    f_cnt=st.none() | u32,
    f_port=st.none() | u8,
    verified=st.sampled_from(Verified),
    verified_reason=st.none() | text,
    decode_error=st.none() | text,
    measurements=st.lists(measurement, max_size=4).map(tuple),
)

frame_id = st.builds(FrameId, gateway=eui64, epoch=eui64, seq=u63)

# Years 1 to 9999 of the Gregorian calendar.
wall_time = st.builds(WallTime, st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999), u63)

sensor_frame = st.builds(
    SensorFrame, frame_id=frame_id, content=content, received_at=st.none() | wall_time
)
