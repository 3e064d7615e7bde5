"""MeshCore's dialect, byte for byte as its document has it (docs/kiss_modem_protocol.md)."""

import struct

import pytest

from protocol.dialects.meshcore import (
    ANSWER_US,
    ATTEMPTS,
    META_US,
    SILENCE_US,
    MeshCoreEvent,
    MeshCoreSession,
    RadioSettings,
    Ready,
    Received,
)
from protocol.dialects.session_events import Alive, Lost, Unusable

SETTINGS = RadioSettings(921_400_000, 125_000, 9, 5)
# 921.4 MHz is 0x36EB72C0: little-endian it begins with a byte that has to be escaped.
SET_RADIO = bytes.fromhex("c0 06 09 dbdc 72 eb 36 48 e8 01 00 09 05 c0")
RADIO = bytes.fromhex("c0 06 8b dbdc 72 eb 36 48 e8 01 00 09 05 c0")
OTHER_RADIO = bytes.fromhex("c0 06 8b 50 83 d5 33 24 f4 00 00 08 08 c0")
GET_VERSION, VERSION = bytes.fromhex("c0 06 11 c0"), bytes.fromhex("c0 06 91 02 00 c0")
GET_IDENTITY = bytes.fromhex("c0 06 01 c0")
IDENTITY = bytes.fromhex("c0 06 81") + bytes(range(32)) + b"\xc0"
GET_RADIO = bytes.fromhex("c0 06 0b c0")
SET_REPORT, REPORT = bytes.fromhex("c0 06 19 01 c0"), bytes.fromhex("c0 06 9a 01 c0")
OK = bytes.fromhex("c0 06 f0 c0")
UNKNOWN, BUSY = bytes.fromhex("c0 06 f1 05 c0"), bytes.fromhex("c0 06 f1 07 c0")
REFUSED = bytes.fromhex("c0 06 f1 02 c0")
SETUP = (
    (GET_VERSION, VERSION),
    (GET_IDENTITY, IDENTITY),
    (SET_RADIO, OK),
    (GET_RADIO, RADIO),
    (SET_REPORT, REPORT),
)
ANSWERS = dict(SETUP) | {
    bytes.fromhex("c0 06 12 c0"): bytes.fromhex("c0 06 92 05000000 00000000 02000000 c0"),
    bytes.fromhex("c0 06 10 c0"): bytes.fromhex("c0 06 90 90ff c0"),
    bytes.fromhex("c0 06 14 c0"): bytes.fromhex("c0 06 94 fd00 c0"),
    bytes.fromhex("c0 06 13 c0"): bytes.fromhex("c0 06 93 8813 c0"),
}


class Line:
    """A session and a clock; what is asked is answered as a table says."""

    def __init__(self) -> None:
        self.now_us = 1_000_000
        self.session = MeshCoreSession(SETTINGS, self.now_us)
        self.asked: list[bytes] = []

    def turn(self, answers: dict[bytes, bytes] | None = None) -> list[MeshCoreEvent]:
        """Go on to the next timer, and answer what is then asked."""
        self.now_us = max(self.now_us, self.session.timer_us())
        self.session.handle_timer(self.now_us)
        asked = self.session.bytes_to_send()
        if asked:
            self.asked.append(asked)
        answer = (ANSWERS if answers is None else answers).get(asked, b"")
        return self.hear(answer)

    def hear(self, data: bytes) -> list[MeshCoreEvent]:
        """The modem says something."""
        self.session.receive(data, self.now_us)
        return list(iter(self.session.next_event, None))

    def up(self) -> "Line":
        """Set up, and the first questions asked."""
        events = [event for _ in SETUP for event in self.turn()]
        assert events == [Ready(2, bytes(range(32)))]
        return self


def test_it_is_set_up_question_by_question() -> None:
    """One at a time, as the modem answers them."""
    line = Line().up()
    assert line.asked == [question for question, _ in SETUP]


def test_it_is_asked_until_it_answers() -> None:
    """Opening the port has restarted it; it boots for two seconds."""
    line = Line()
    for _ in range(10):
        assert line.turn({}) == []
    assert set(line.asked) == {GET_VERSION}
    line.turn({GET_VERSION: b"garbage\xc0" + VERSION})
    assert line.turn() == []
    assert line.asked[-1] == GET_IDENTITY


def test_older_firmware_knows_fewer_questions() -> None:
    """It refuses them, and is used all the same."""
    line = Line()
    answers = ANSWERS | {GET_IDENTITY: UNKNOWN, SET_REPORT: UNKNOWN}
    events = [event for _ in SETUP for event in line.turn(answers)]
    assert events == [Ready(2, b"")]


def test_what_it_must_do_and_refuses_ends_it() -> None:
    """A frequency that it cannot tune, for instance."""
    line = Line()
    answers = ANSWERS | {SET_RADIO: REFUSED}
    events = [event for _ in SETUP for event in line.turn(answers)]
    assert events == [Unusable("the modem refuses set_radio: invalid_param")]
    assert line.turn() == []
    assert line.hear(VERSION) == []
    assert line.session.timer_us() > 1 << 59


def test_an_unknown_error_has_a_name_too() -> None:
    line = Line()
    line.hear(b"")
    [event] = [e for _ in range(3) for e in line.turn(ANSWERS | {SET_RADIO: UNKNOWN_ERROR})]
    assert event == Unusable("the modem refuses set_radio: error 153")


UNKNOWN_ERROR = bytes.fromhex("c0 06 f1 99 c0")


def test_busy_is_asked_again() -> None:
    """Its queue for the line was full."""
    line = Line()
    line.turn({GET_VERSION: BUSY})
    line.turn()
    assert line.asked == [GET_VERSION, GET_VERSION]
    line.turn()
    assert line.asked[-1] == GET_IDENTITY


def test_settings_that_do_not_stick_end_it() -> None:
    """It says OK and does not do it."""
    line = Line()
    answers = ANSWERS | {GET_RADIO: OTHER_RADIO}
    events = [event for _ in range(4 * ATTEMPTS) for event in line.turn(answers)]
    assert events == [Unusable("the modem does not take the radio's settings")]
    assert line.asked.count(SET_RADIO) == ATTEMPTS


def test_silence_in_the_middle_begins_again() -> None:
    line = Line()
    line.turn()
    for _ in range(ATTEMPTS + 1):
        line.turn({})
    assert line.asked[-1] == GET_VERSION


def test_packet_and_strength() -> None:
    """SNR in quarters of a dB; eight bits end at -128 dBm, weaker ones come out positive."""
    line = Line().up()
    for meta, rssi_dbm, snr_db in (
        ("f9 14 9c", -100, 5.0),
        ("f9 c4 83", -125, -15.0),
        ("f9 b0 7b", -133, -20.0),
        ("f9 f7 dbdc", -64, -2.25),
    ):
        assert line.hear(bytes.fromhex("c0 00 01 dbdd 02 c0")) == []
        assert line.hear(bytes.fromhex(f"c0 06 {meta} c0")) == [
            Received(b"\x01\xdb\x02", line.now_us, rssi_dbm, snr_db)
        ]


def test_a_packet_without_its_strength_waits_for_a_moment_only() -> None:
    """The strength is left out when the modem's queue is full."""
    line = Line().up()
    heard_us = line.now_us
    line.hear(b"\xc0\x00one\xc0")
    assert line.session.timer_us() <= heard_us + META_US
    assert [*line.turn(), *line.turn()] == [Alive(), Received(b"one", heard_us, None, None)]
    assert line.now_us == heard_us + META_US
    line.hear(b"\xc0\x00two\xc0")
    [two] = line.hear(b"\xc0\x00three\xc0")
    assert two == Received(b"two", line.now_us, None, None)


def test_packets_before_it_is_set_up_are_not_ours() -> None:
    """They were heard on another frequency."""
    line = Line()
    assert line.hear(b"\xc0\x00early\xc0\xc0\x06\xf9\x14\x9c\xc0") == []
    assert line.session.rejects == {"not_set_up": 1}


def test_what_is_no_packet_of_ours_is_counted() -> None:
    line = Line().up()
    line.hear(b"\xc0\x00\xc0" + b"\xc0\x00" + bytes(256) + b"\xc0")  # none, and too long
    line.hear(b"\xc0\x10port one\xc0rst:0x1 (POWERON)\xc0\x06\xc0")
    line.hear(b"\xc0\x06\x97\xc0\xc0\x06\xf8\x01\xc0\xc0\xdb\x00\xc0")
    assert line.session.rejects == {
        "bad_length": 2,
        "unknown_command": 3,
        "unexpected_answer": 1,
        "bad_escape": 1,
    }


def test_it_is_watched() -> None:
    """Alive as long as its radio is set as it should be; what else it tells is kept."""
    line = Line().up()
    events = [event for _ in range(10) for event in line.turn()]
    assert events == [Alive(), Alive()]
    session = line.session
    assert session.noise_floor_dbm == -112
    assert session.temperature_celsius == 25.3
    assert session.supply_volts == 5.0
    assert session.receive_errors == 2


def test_short_answers_tell_nothing() -> None:
    """They are neither believed nor an end."""
    line = Line().up()
    short = {question: answer[:3] + b"\xc0" for question, answer in ANSWERS.items()}
    short[GET_RADIO] = RADIO
    for _ in range(10):
        line.turn(short)
    assert line.session.noise_floor_dbm is None
    assert line.session.temperature_celsius is None
    assert line.session.supply_volts is None
    assert line.session.receive_errors == 0
    assert [type(event) for event in line.turn({GET_RADIO: b"\xc0\x06\x8b\xc0"})] == [Lost]


def test_a_restart_is_noticed_by_its_settings() -> None:
    """And the packet that waits is let go first."""
    line = Line().up()
    line.hear(b"\xc0\x00last\xc0")
    line.now_us += 10
    events = line.hear(b"") + line.turn(ANSWERS | {GET_RADIO: OTHER_RADIO})
    events += line.turn(ANSWERS | {GET_RADIO: OTHER_RADIO})
    assert [type(event) for event in events] == [Received, Lost]
    while not any(isinstance(event, Ready) for event in events):
        events += line.turn()
    assert line.asked[-5:] == [question for question, _ in SETUP]


def test_it_is_restarted_on_demand() -> None:
    """Its OK belongs to no question."""
    line = Line().up()
    line.session.restart_device()
    assert line.session.bytes_to_send() == bytes.fromhex("c0 06 18 c0")
    assert line.hear(OK) == []
    assert line.session.rejects == {}


def test_silence_is_noticed() -> None:
    line = Line().up()
    heard_us = line.now_us
    events: list[MeshCoreEvent] = []
    while not events:
        events = line.turn({})
    assert events == [Lost("silent for 10 s")]
    assert SILENCE_US <= line.now_us - heard_us <= SILENCE_US + 2 * ANSWER_US


@pytest.mark.parametrize("step_hz", [-100, -61, 0, 61, 100])
def test_the_chip_may_be_a_step_off(step_hz: int) -> None:
    data = struct.pack("<IIBB", SETTINGS.frequency_hz + step_hz, 125_000, 9, 5)
    assert SETTINGS.is_met_by(data)
    assert not SETTINGS.is_met_by(struct.pack("<IIBB", 921_400_101, 125_000, 9, 5))
