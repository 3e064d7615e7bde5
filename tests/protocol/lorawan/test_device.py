"""Devices against vectors, against a naive network server, and against forgers."""

from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from protocol.lorawan.counter import ReplayWindow
from protocol.lorawan.crypto import build_data_up, data_mic
from protocol.lorawan.device import (
    COUNTER_RESET_BELOW,
    MAX_MIC_TRIALS,
    MIN_TRIALS_PER_DEVICE,
    DeviceKeys,
    DeviceMode,
    DeviceTable,
    Doubt,
    Opened,
)
from protocol.lorawan.frame import DataFrame, Direction, FrameError, parse
from protocol.records.sensor_frame import Verified
from tests.protocol.lorawan.vectors import (
    DOWN,
    NEGATIVE,
    UNCONFIRMED_UP,
    UPLINKS,
    DataVector,
    bit_flips,
)

ADDRESS = bytes.fromhex("01a2b3c4")
PLAINTEXT = b"\x18\x2a"
KEYS = DeviceKeys("gauge", ADDRESS, DeviceMode.OPEN, b"N" * 16, b"A" * 16)


@dataclass
class Station:
    """A gateway with its marks in a dictionary: every window it is given is committed."""

    devices: tuple[DeviceKeys, ...]
    windows: dict[str, ReplayWindow] = field(default_factory=dict)

    def hear(self, phy_payload: bytes) -> Opened:
        """Open an uplink and commit its window."""
        frame = parse(phy_payload)
        assert isinstance(frame, DataFrame)
        opened = DeviceTable(self.devices).open_uplink(frame, phy_payload, self.windows.get)
        if opened.new_window is not None:
            assert opened.device is not None
            assert opened.verified is Verified.YES
            self.windows[opened.device] = opened.new_window
        return opened


def uplink(
    f_cnt: int, plaintext: bytes = PLAINTEXT, *, keys: DeviceKeys = KEYS, f_port: int = 10
) -> bytes:
    """A frame of a device with keys."""
    assert keys.nwk_s_key is not None
    return build_data_up(
        dev_addr=keys.dev_addr,
        f_cnt=f_cnt,
        f_port=f_port,
        plaintext=plaintext,
        nwk_s_key=keys.nwk_s_key,
        app_s_key=keys.app_s_key or bytes(16),
    )


def portless_uplink() -> bytes:
    """FHDR and MIC only: the device answers MAC commands, say."""
    message = b"\x40" + ADDRESS[::-1] + b"\x00\x07\x00"
    mic = data_mic(b"N" * 16, message, dev_addr=ADDRESS, f_cnt=7, direction=Direction.UP)
    return message + mic


def vector_device(vector: DataVector, mode: DeviceMode = DeviceMode.OPEN) -> DeviceKeys:
    """The device of a vector."""
    return DeviceKeys("vector", vector.dev_addr, mode, vector.nwk_s_key, vector.app_s_key)


@pytest.mark.parametrize("vector", UPLINKS, ids=lambda vector: vector.name)
def test_vectors_open(vector: DataVector) -> None:
    """The whole counter and the payload, from a gateway that has never heard the device."""
    opened = Station((vector_device(vector),)).hear(vector.phy_payload)
    assert opened.device == "vector"
    assert opened.f_cnt == vector.f_cnt
    assert opened.verified is Verified.YES
    assert opened.reason is None
    assert opened.plaintext == vector.plaintext
    assert opened.new_window is not None
    assert opened.new_window.last == vector.f_cnt


@pytest.mark.parametrize("vector", UPLINKS, ids=lambda vector: vector.name)
def test_every_flipped_bit_is_refused(vector: DataVector) -> None:
    """Not one changed frame passes as genuine, opens, or moves a window."""
    station = Station((vector_device(vector),))
    passed = []
    for flip in bit_flips(vector.phy_payload):
        try:
            frame = parse(flip)
        except FrameError:
            continue
        if isinstance(frame, DataFrame) and frame.uplink:
            opened = station.hear(flip)
            if opened.verified is Verified.YES or opened.plaintext is not None:
                passed.append(flip.hex())
    assert passed == []
    assert station.windows == {}


@pytest.mark.parametrize("name", ["mic-bit-flipped", "payload-bit-flipped"])
def test_negative_vectors(name: str) -> None:
    """Marked as forged, not attributed to anybody."""
    opened = Station((vector_device(UNCONFIRMED_UP),)).hear(bytes.fromhex(NEGATIVE[name]["phy"]))
    assert opened == Opened(None, UNCONFIRMED_UP.f_cnt, Verified.NO, Doubt.MIC)


def test_verify_mode_never_unseals() -> None:
    """Even where the application key happens to be there."""
    opened = Station((vector_device(UNCONFIRMED_UP, DeviceMode.VERIFY),)).hear(
        UNCONFIRMED_UP.phy_payload
    )
    assert opened.verified is Verified.YES
    assert opened.plaintext is None
    assert opened.new_window is not None


def test_unknown_address_costs_nothing() -> None:
    """Neither a window nor a key is looked at."""

    def no_window(name: str) -> ReplayWindow | None:
        raise AssertionError(name)

    frame = parse(UNCONFIRMED_UP.phy_payload)
    assert isinstance(frame, DataFrame)
    opened = DeviceTable((KEYS,)).open_uplink(frame, UNCONFIRMED_UP.phy_payload, no_window)
    assert opened == Opened(None, UNCONFIRMED_UP.f_cnt, Verified.UNKNOWN)


def test_downlinks_are_not_for_this() -> None:
    """They have a counter of their own."""
    frame = parse(DOWN.phy_payload)
    assert isinstance(frame, DataFrame)
    with pytest.raises(ValueError, match="uplink"):
        DeviceTable(()).open_uplink(frame, DOWN.phy_payload, lambda _: None)


def test_one_opaque_device_is_known_by_its_address() -> None:
    """Nothing is claimed about the frame itself."""
    opened = Station((DeviceKeys("sealed", ADDRESS),)).hear(uplink(7))
    assert opened == Opened("sealed", 7, Verified.UNKNOWN)


def test_two_opaque_devices_are_not_told_apart() -> None:
    """A guess would file readings under the wrong name."""
    station = Station((DeviceKeys("sealed", ADDRESS), DeviceKeys("other", ADDRESS)))
    assert station.hear(uplink(7)) == Opened(None, 7, Verified.UNKNOWN)


def test_an_opaque_neighbour_leaves_a_misfit_open() -> None:
    """It may be the neighbour's genuine frame; a fitting MIC still names its device."""
    stranger = replace(KEYS, name="stranger", nwk_s_key=b"S" * 16)
    station = Station((DeviceKeys("sealed", ADDRESS), KEYS))
    assert station.hear(uplink(7, keys=stranger)) == Opened(None, 7, Verified.UNKNOWN)
    assert station.hear(uplink(7)).device == "gauge"


def test_the_mic_tells_devices_of_one_address_apart() -> None:
    """Each with a window of its own."""
    other = replace(KEYS, name="other", nwk_s_key=b"O" * 16)
    station = Station((KEYS, other))
    assert station.hear(uplink(9, keys=other)).device == "other"
    assert station.hear(uplink(3)).device == "gauge"
    assert {name: window.last for name, window in station.windows.items()} == {
        "other": 9,
        "gauge": 3,
    }


@pytest.mark.parametrize(("f_port", "plaintext"), [(0, b"\x02"), (0, b"")])
def test_mac_commands_are_never_application_data(f_port: int, plaintext: bytes) -> None:
    """Port 0 is verified and counted, not decoded."""
    opened = Station((KEYS,)).hear(uplink(7, plaintext, f_port=f_port))
    assert (opened.verified, opened.plaintext) == (Verified.YES, None)


def test_an_empty_payload_is_not_an_absent_one() -> None:
    """A port without bytes is a message; no port at all is not."""
    assert Station((KEYS,)).hear(uplink(7, b"")).plaintext == b""
    assert Station((KEYS,)).hear(portless_uplink()).plaintext is None


def test_the_last_frame_again_is_a_repeat() -> None:
    """Confirmed uplinks without an answer are sent again unchanged."""
    station = Station((KEYS,))
    station.hear(uplink(7))
    assert station.hear(uplink(7)) == Opened("gauge", 7, Verified.NO, Doubt.REPEAT)


def test_another_frame_with_a_used_counter_is_a_replay() -> None:
    """So is an older frame of the window, and one that has left it."""
    station = Station((KEYS,))
    for f_cnt in (2000, 2001, 5000):
        assert station.hear(uplink(f_cnt)).verified is Verified.YES
    committed = dict(station.windows)
    for f_cnt, plaintext in ((5000, b"other"), (2001, PLAINTEXT), (2000, PLAINTEXT)):
        opened = station.hear(uplink(f_cnt, plaintext))
        assert opened == Opened("gauge", f_cnt, Verified.NO, Doubt.REPLAY)
    assert station.windows == committed


@pytest.mark.parametrize("edge", [0x10000, 0x20000])
def test_a_late_frame_is_not_a_replay(edge: int) -> None:
    """Counters that were skipped may still come, also from before the roll-over, but only once."""
    station = Station((KEYS,))
    for f_cnt in (edge - 6, edge + 5):
        station.hear(uplink(f_cnt))
    late = station.hear(uplink(edge - 1))
    assert (late.f_cnt, late.verified) == (edge - 1, Verified.YES)
    assert station.hear(uplink(edge - 1)).reason is Doubt.REPLAY
    assert station.windows["gauge"].last == edge + 5


@pytest.mark.parametrize("last", [3000, 0x10005, 0x70000])
def test_a_counter_that_starts_again_is_marked(last: int) -> None:
    """The window does not move, so the recorded past stays worthless."""
    station = Station((KEYS,))
    station.hear(uplink(last))
    assert station.hear(uplink(0)) == Opened("gauge", 0, Verified.NO, Doubt.COUNTER_RESET)
    assert station.hear(uplink(COUNTER_RESET_BELOW - 1)).reason is Doubt.COUNTER_RESET
    assert station.hear(uplink(COUNTER_RESET_BELOW)).reason is Doubt.REPLAY
    assert station.windows["gauge"].last == last


@pytest.mark.parametrize(
    ("before", "first"),
    [
        ((0, 1, 2), 0),
        ((0, 1, 2), 2),
        ((3000,), 0),
        ((3000,), COUNTER_RESET_BELOW),
        ((0x10005,), 5),
        ((0x70000,), 1),
    ],
)
def test_an_allowed_reset_starts_the_window_again(before: tuple[int, ...], first: int) -> None:
    """Wherever the device is by the time it is heard again."""
    station = Station((replace(KEYS, allow_counter_reset=True),))
    for f_cnt in before:
        station.hear(uplink(f_cnt))
    opened = station.hear(uplink(first, b"again"))
    assert (opened.f_cnt, opened.verified, opened.plaintext) == (first, Verified.YES, b"again")
    assert station.windows["gauge"].last == first
    assert station.hear(uplink(first, b"again")).reason is Doubt.REPEAT
    assert station.hear(uplink(first + 1)).verified is Verified.YES


def test_an_allowed_reset_does_not_excuse_a_replay_from_above_16_bits() -> None:
    """A device that starts again starts at zero."""
    station = Station((replace(KEYS, allow_counter_reset=True),))
    for f_cnt in (0x10005, 0x10006):
        station.hear(uplink(f_cnt))
    assert station.hear(uplink(0x10005, b"other")).reason is Doubt.REPLAY


def test_new_keys_are_a_new_session() -> None:
    """A device that was given new keys counts from zero without being a suspect."""
    station = Station((KEYS,))
    station.hear(uplink(3000))
    renewed = replace(KEYS, nwk_s_key=b"R" * 16)
    station.devices = (renewed,)
    assert station.hear(uplink(0, keys=renewed)).verified is Verified.YES
    assert station.windows["gauge"].last == 0


def test_a_new_address_is_a_new_session() -> None:
    """The address is part of every MIC, so old frames are of no use there either."""
    station = Station((KEYS,))
    station.hear(uplink(3000))
    moved = replace(KEYS, dev_addr=b"\x01\x02\x03\x04")
    station.devices = (moved,)
    assert station.hear(uplink(0, keys=moved)).verified is Verified.YES


@pytest.mark.parametrize("lost_frames", [1, 0xFFFF, 0x10000, 0x2ABCD, 13 * 0x10000])
def test_a_long_outage_is_bridged(lost_frames: int) -> None:
    """850,000 unheard frames at least."""
    station = Station((KEYS,))
    station.hear(uplink(0x20005))
    opened = station.hear(uplink(0x20005 + lost_frames))
    assert (opened.f_cnt, opened.verified) == (0x20005 + lost_frames, Verified.YES)


def test_trials_are_bounded() -> None:
    """One frame costs 16 MICs, so the upper half 16 is out of reach of a new gateway."""
    assert MAX_MIC_TRIALS == 16
    assert Station((KEYS,)).hear(uplink(15 << 16)).f_cnt == 15 << 16
    assert Station((KEYS,)).hear(uplink(16 << 16)) == Opened(None, 0, Verified.NO, Doubt.MIC)


def test_trials_are_shared_by_the_devices_of_an_address() -> None:
    """But each keeps what daily traffic needs."""
    others = tuple(replace(KEYS, name=f"n{i}", nwk_s_key=bytes([i]) * 16) for i in range(9))
    crowd = (*others, KEYS)
    assert MIN_TRIALS_PER_DEVICE == 4
    assert Station(crowd).hear(uplink(3 << 16)).device == "gauge"
    assert Station(crowd).hear(uplink(4 << 16)).reason is Doubt.MIC


@pytest.mark.parametrize(
    "change",
    [
        {"dev_addr": b"\x01\x02\x03"},
        {"nwk_s_key": None},
        {"app_s_key": None},
        {"mode": DeviceMode.VERIFY, "nwk_s_key": None},
        {"nwk_s_key": b""},
        {"nwk_s_key": bytes(32)},
        {"app_s_key": bytes(15)},
    ],
    ids=str,
)
def test_incomplete_devices_are_refused_at_start(change: dict[str, Any]) -> None:
    """Not at their first frame; the message names the device."""
    with pytest.raises(ValueError, match=r"^gauge: "):
        replace(KEYS, **change)


def test_two_devices_of_one_name_are_refused() -> None:
    """They would share a window."""
    with pytest.raises(ValueError, match="same name"):
        DeviceTable((KEYS, replace(KEYS, dev_addr=bytes(4))))


def test_keys_do_not_show() -> None:
    """A device in a log line or a traceback gives nothing away."""
    assert "NNNN" not in repr(KEYS)
    assert "AAAA" not in repr(KEYS)


@settings(max_examples=500)
@given(st.binary(min_size=4, max_size=247), st.sampled_from((0x40, 0x80)))
def test_forged_frames_move_nothing(rest: bytes, mhdr: int) -> None:
    """Any bytes under the address of a device: marked, and the session goes on."""
    station = Station((KEYS,))
    station.hear(uplink(7))
    try:
        opened = station.hear(bytes([mhdr]) + ADDRESS[::-1] + rest)
    except FrameError:
        return
    assert (opened.device, opened.verified, opened.reason) == (None, Verified.NO, Doubt.MIC)
    assert station.hear(uplink(8)).verified is Verified.YES


class NaiveServer(RuleBasedStateMachine):
    """A station against a server that keeps every counter and every frame it ever accepted."""

    def __init__(self) -> None:
        super().__init__()
        self.station = Station((KEYS,))
        self.accepted: dict[int, bytes] = {}

    def expected(self, f_cnt: int, phy_payload: bytes) -> Doubt | None:
        """What the rules of the design say, with unlimited memory."""
        last = max(self.accepted, default=-1)
        if f_cnt > last or (f_cnt not in self.accepted and last - f_cnt < 64):
            return None
        if f_cnt == last and phy_payload == self.accepted[last]:
            return Doubt.REPEAT
        if last - f_cnt >= 64 and f_cnt < 1024:
            return Doubt.COUNTER_RESET
        return Doubt.REPLAY

    def hear(self, f_cnt: int, plaintext: bytes) -> None:
        """One genuine uplink, new or not."""
        phy_payload = uplink(f_cnt, plaintext)
        reason = self.expected(f_cnt, phy_payload)
        opened = self.station.hear(phy_payload)
        assert (opened.device, opened.f_cnt, opened.reason) == ("gauge", f_cnt, reason)
        if reason is None:
            assert (opened.verified, opened.plaintext) == (Verified.YES, plaintext)
            self.accepted[f_cnt] = phy_payload
        else:
            assert (opened.verified, opened.plaintext) == (Verified.NO, None)

    @rule(offset=st.integers(-70, 70), plaintext=st.sampled_from((b"a", b"b")))
    def near(self, offset: int, plaintext: bytes) -> None:
        """Daily traffic: late, again, next, some lost. Counters of one upper half or two."""
        self.hear(max(0, max(self.accepted, default=65500) + offset), plaintext)

    @rule(lost=st.integers(0, 12 * 0x10000))
    def outage(self, lost: int) -> None:
        """Many frames unheard."""
        self.hear(max(self.accepted, default=0) + lost, b"back")

    @rule(f_cnt=st.integers(0, 0xFFFF))
    def from_the_start(self, f_cnt: int) -> None:
        """A device that lost its counter, or a replay from its first life."""
        self.hear(f_cnt, b"start")

    @rule(data=st.data())
    def forged(self, data: st.DataObject) -> None:
        """A frame of which the air or somebody changed a bit."""
        phy_payload = uplink(max(self.accepted, default=0) + 1)
        # Bytes 1 to 4 are the address: changed, it is nobody's frame at all.
        bit = data.draw(st.integers(5 * 8, 8 * len(phy_payload) - 1))
        changed = bytearray(phy_payload)
        changed[bit // 8] ^= 1 << bit % 8
        try:
            opened = self.station.hear(bytes(changed))
        except FrameError:
            return
        assert (opened.verified, opened.reason) == (Verified.NO, Doubt.MIC)


TestNaiveServer = NaiveServer.TestCase
TestNaiveServer.settings = settings(max_examples=150, stateful_step_count=40)
