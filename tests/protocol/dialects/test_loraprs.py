"""esp32_loraprs' dialect, byte for byte as its firmware has it (1.0.22)."""

import random
from collections.abc import Iterable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.dialects.loraprs import (
    ALIVE_US,
    APPLY_US,
    ASK_AGAIN_US,
    BOOT_US,
    QUIET_US,
    REPORT_US,
    RHYTHM_US,
    SILENCE_US,
    TELEMETRY_US,
    UNREPORTED,
    LoraprsEvent,
    LoraprsSession,
    RadioSettings,
    Ready,
    Received,
)
from protocol.dialects.session_events import Alive, Lost, Unusable
from tests.protocol.dialects.test_esp32_boot_text import ROM_TEXT, SHORT
from tests.scale import SCALE

SETTINGS = RadioSettings(921_400_000, 125_000, 9, 5, 0x34)
REBOOT = bytes.fromhex("c0 c0 08 c0")
# 921.4 MHz is 0x36EB72C0 twice, escaped; LoRa; 2 dBm; 125 kHz; SF9; 4/5; 0x34; CRC; no FSK.
SET_HARDWARE = bytes.fromhex(
    "c0 c0 06 36eb72dbdc 36eb72dbdc 00 0002 0001e848 0009 0005 0034 0100000000 00000000 00000000 c0"
)
PACKET = b"\xc0\x00packet\xc0"
REPORT = bytes.fromhex("c0 07 ff9c 01f4 c0")  # -100 dBm, 5.00 dB
TELEMETRY = bytes.fromhex("c0 09 019c c0")  # 4.12 V
SOFTWARE, POWER_ON = ROM_TEXT, SHORT
SECOND_US = 1_000_000

REJECTS = {
    "bad_escape",
    "bad_length",
    "not_set_up",
    "stray_report",
    "too_long",
    "unknown_command",
    "unreported",
}


class Line:
    """A session and a clock."""

    def __init__(self) -> None:
        self.now_us = 1_000_000
        self.session = LoraprsSession(SETTINGS, self.now_us)
        self.told: list[bytes] = []

    def wait(self, duration_us: int) -> list[LoraprsEvent]:
        """Let time pass from timer to timer."""
        end_us = self.now_us + duration_us
        while self.session.timer_us() <= end_us:
            self.now_us = max(self.now_us, self.session.timer_us())
            self._tick()
        self.now_us = end_us
        return self._events()

    def hear(self, *said: bytes) -> list[LoraprsEvent]:
        """The modem says something."""
        self.session.receive(b"".join(said), self.now_us)
        self._tick()
        return self._events()

    def up(self) -> "Line":
        """Restarted, set up, and with a first packet heard."""
        self.wait(0)
        self.hear(SOFTWARE)
        assert self.wait(BOOT_US + APPLY_US + SECOND_US) == [Ready()]
        assert len(self.hear(PACKET, REPORT)) == 1
        self.told.clear()
        return self

    def minutes(self, count: int) -> list[LoraprsEvent]:
        """With their telemetry; all that happens but signs of life."""
        events = [
            event for _ in range(count) for event in self.wait(TELEMETRY_US) + self.hear(TELEMETRY)
        ]
        return unusual(events)

    def _tick(self) -> None:
        self.session.handle_timer(self.now_us)
        if told := self.session.bytes_to_send():
            self.told.append(told)

    def _events(self) -> list[LoraprsEvent]:
        return list(iter(self.session.next_event, None))


def unusual(events: Iterable[LoraprsEvent]) -> list[LoraprsEvent]:
    return [event for event in events if event != Alive()]


def test_it_is_restarted_and_then_set_up() -> None:
    """The settings wait until it reads its line."""
    line = Line()
    assert line.wait(0) == []
    assert line.told == [REBOOT]
    line.hear(SOFTWARE)
    assert line.wait(BOOT_US) == []
    assert line.told == [REBOOT]  # the text became certain, and then it booted
    assert line.wait(SECOND_US) == []
    assert line.told == [REBOOT, SET_HARDWARE]
    assert line.wait(APPLY_US) == [Ready()]


def test_it_is_asked_until_it_restarts() -> None:
    """What does not obey gets no settings: a text-mode build would put them on the air."""
    line = Line()
    line.wait(2 * ASK_AGAIN_US)
    assert line.told == [REBOOT] * 3
    assert line.hear(PACKET, REPORT, TELEMETRY) == []
    assert line.session.rejects == {"not_set_up": 1, "stray_report": 1}


def test_the_opening_of_the_port_may_have_restarted_it() -> None:
    """Then it was not us: it is asked when it has booted."""
    line = Line()
    line.wait(0)
    line.hear(POWER_ON)
    line.wait(BOOT_US + SECOND_US)
    assert line.told == [REBOOT] * 2
    line.hear(SOFTWARE)
    assert line.wait(BOOT_US + APPLY_US + SECOND_US) == [Ready()]


def test_a_restart_while_it_is_set_up_begins_that_anew() -> None:
    line = Line()
    line.wait(0)
    line.hear(SOFTWARE)
    line.wait(BOOT_US + SECOND_US // 2)
    assert line.told == [REBOOT, SET_HARDWARE]
    line.hear(POWER_ON)
    assert line.wait(BOOT_US) == []
    assert line.wait(APPLY_US + SECOND_US) == [Ready()]
    assert line.told == [REBOOT, SET_HARDWARE, SET_HARDWARE]


@pytest.mark.parametrize(
    ("report", "rssi_dbm", "snr_db"),
    [
        ("ff9c 01f4", -100, 5.0),
        ("ff79 f830", -135, -20.0),
        ("ffdbdc ff1f", -64, -2.25),
        ("ffdbdbdddbdd 0000", None, None),  # spoilt: no report
    ],
)
def test_packet_and_report(report: str, rssi_dbm: int | None, snr_db: float | None) -> None:
    """16 bits each, big-endian; SNR in hundredths."""
    line = Line().up()
    heard_us = line.now_us
    events = line.hear(bytes.fromhex("c0 00 01 dbdd 02 c0"), bytes.fromhex(f"c0 07 {report} c0"))
    if rssi_dbm is None:
        assert events == []
        events = unusual(line.wait(REPORT_US))
    assert events == [Received(b"\x01\xdb\x02", heard_us, rssi_dbm, snr_db)]


def test_a_packet_whose_report_is_lost_waits_for_the_next_or_a_moment() -> None:
    line = Line().up()
    assert line.hear(PACKET) == []
    heard_us = line.now_us
    assert line.session.timer_us() <= heard_us + REPORT_US
    line.now_us += 10
    assert line.hear(PACKET) == [Received(b"packet", heard_us, None, None)]
    assert unusual(line.wait(REPORT_US)) == [Received(b"packet", heard_us + 10, None, None)]


def test_without_any_report_it_has_not_taken_its_settings() -> None:
    """A build without the extensions: what it hears is on another channel."""
    line = Line()
    line.wait(0)
    line.hear(SOFTWARE)
    line.wait(BOOT_US + APPLY_US + SECOND_US)
    assert [event for _ in range(UNREPORTED) for event in line.hear(PACKET)] == []
    [event] = unusual(line.wait(REPORT_US))
    assert isinstance(event, Unusable)
    assert "CFG_KISS_EXTENSIONS" in event.reason
    line.hear(PACKET)
    assert line.session.rejects == {"unreported": UNREPORTED}
    line.hear(PACKET, POWER_ON)
    assert line.wait(SILENCE_US) + line.hear() == []
    assert line.session.timer_us() > 1 << 59


def test_noise_that_looks_like_packets_does_not_condemn_it() -> None:
    """The first report counts, whatever came before it."""
    line = Line()
    line.wait(0)
    line.hear(SOFTWARE)
    line.wait(BOOT_US + APPLY_US + SECOND_US)
    for _ in range(UNREPORTED):
        line.hear(PACKET)
    assert line.hear(PACKET, REPORT) == [Received(b"packet", line.now_us, -100, 5.0)]


def test_a_restart_puts_the_verdict_off() -> None:
    """It lets the last unreported packet go."""
    line = Line()
    line.wait(0)
    line.hear(SOFTWARE)
    line.wait(BOOT_US + APPLY_US + SECOND_US)
    for _ in range(UNREPORTED):
        line.hear(PACKET)
    line.hear(POWER_ON)
    assert [type(event) for event in unusual(line.wait(SECOND_US))] == [Lost]
    assert [type(event) for event in unusual(line.wait(BOOT_US + APPLY_US))] == [Ready]
    line.hear(PACKET)
    assert [type(event) for event in unusual(line.wait(REPORT_US))] == [Unusable]


def test_what_is_no_frame_of_its_is_counted() -> None:
    line = Line().up()
    line.hear(b"\xc0\x00\xc0", b"\xc0\x00" + bytes(256) + b"\xc0", b"\xc0\xdb\x00\xc0")
    line.hear(b"\xc0\x10port one\xc0", b"\xc0\x07\xff\x9c\xc0", b"\xc0\x09\x01\xc0", REPORT)
    assert line.session.rejects == {
        "bad_length": 1,
        "too_long": 1,
        "bad_escape": 1,
        "unknown_command": 3,
        "stray_report": 1,
    }


def test_it_is_alive_as_long_as_telemetry_comes() -> None:
    line = Line().up()
    assert line.wait(ALIVE_US) == [Alive()]
    assert line.minutes(10) == []
    assert line.session.supply_volts == 4.12


def test_silence_is_noticed_and_it_is_restarted() -> None:
    line = Line().up()
    line.minutes(1)
    assert unusual(line.wait(SILENCE_US + ALIVE_US)) == [Lost("no telemetry for 150 s")]
    assert line.told == [REBOOT]
    line.hear(SOFTWARE)
    assert line.wait(BOOT_US + APPLY_US + SECOND_US) == [Ready()]
    assert line.minutes(3) == []


def test_a_build_without_telemetry_is_refused() -> None:
    """It restarts when asked, so it is no modem that hangs."""
    line = Line().up()
    assert len(unusual(line.wait(SILENCE_US))) == 1
    line.hear(SOFTWARE)
    events = line.wait(BOOT_US + APPLY_US + SECOND_US + SILENCE_US + ALIVE_US)
    assert unusual(events)[0] == Ready()
    [event] = unusual(events)[1:]
    assert isinstance(event, Unusable)
    assert "CFG_TLM_ENABLE" in event.reason


def test_a_restart_is_noticed_by_its_text() -> None:
    """And the packet that waits is let go first."""
    line = Line().up()
    line.hear(PACKET)
    line.hear(POWER_ON)
    events = line.wait(SECOND_US)
    assert unusual(events) == [
        Received(b"packet", line.now_us - SECOND_US, None, None),
        Lost("it has restarted, for cause 0x1"),
    ]
    assert line.hear(PACKET) == []  # of the channel that it was built for
    assert line.wait(BOOT_US + APPLY_US) == [Ready()]
    assert line.told == [SET_HARDWARE]
    assert line.session.rejects == {"not_set_up": 1, "unknown_command": 1}


@pytest.mark.parametrize("into_the_minute_us", [2 * SECOND_US, 30 * SECOND_US, 57 * SECOND_US])
def test_a_restart_whose_text_was_lost_shows_in_the_telemetry(into_the_minute_us: int) -> None:
    """Its minute began anew."""
    line = Line().up()
    line.minutes(2)
    assert unusual(line.wait(into_the_minute_us + TELEMETRY_US)) == []
    assert line.hear(TELEMETRY) == [Lost("its telemetry has another rhythm: it was restarted")]
    assert unusual(line.wait(APPLY_US)) == [Ready()]
    assert line.told == [SET_HARDWARE]
    assert line.minutes(3) == []


@pytest.mark.parametrize(
    "gap_us",
    [
        TELEMETRY_US - 10 * SECOND_US,  # the one before was read late
        TELEMETRY_US,
        TELEMETRY_US + RHYTHM_US,
        2 * TELEMETRY_US - 1000,
        2 * TELEMETRY_US + RHYTHM_US,  # one was lost
    ],
)
def test_telemetry_that_is_late_or_lost_is_no_restart(gap_us: int) -> None:
    line = Line().up()
    line.minutes(1)
    assert unusual(line.wait(gap_us) + line.hear(TELEMETRY)) == []


def test_after_a_quiet_while_its_settings_are_sent_again() -> None:
    """Its radio may be deaf without a word; whoever hears is left alone."""
    line = Line().up()
    for _ in range(40):
        assert len(line.hear(PACKET, REPORT)) == 1
        assert line.minutes(1) == []
    assert line.told == []
    assert line.minutes(QUIET_US // TELEMETRY_US) == []
    assert line.told == [SET_HARDWARE]
    assert line.session.refreshed == 1
    assert line.minutes(2 * QUIET_US // TELEMETRY_US) == []
    assert line.told == [SET_HARDWARE] * 3


def test_it_is_restarted_on_demand() -> None:
    line = Line().up()
    line.session.restart_device()
    assert line.session.bytes_to_send() == REBOOT
    line.hear(SOFTWARE)
    events = line.wait(BOOT_US + APPLY_US + SECOND_US)
    assert unusual(events) == [Lost("it has restarted, for cause 0xc"), Ready()]


pieces = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([PACKET, REPORT, TELEMETRY, SOFTWARE, POWER_ON, b"\xc0\x00\xc0", b"\xc0\xdb"]),
)


@settings(max_examples=100 * SCALE, deadline=None)
@given(st.lists(st.tuples(pieces, st.integers(0, 90_000_000)), max_size=20), st.integers(1, 700))
def test_nothing_on_the_line_breaks_it(script: list[tuple[bytes, int]], chunk: int) -> None:
    """However it is cut up. It ends up again, or says why not, and then hears what comes."""
    line = Line().up()
    events: list[LoraprsEvent] = []
    for data, later_us in script:
        events += line.wait(later_us)
        for at in range(0, len(data), chunk):
            events += line.hear(data[at : at + chunk])
    for _ in range(5):
        line.hear(b"\xc0")
        line.wait(ASK_AGAIN_US)
        line.hear(SOFTWARE)
        events += line.wait(BOOT_US + APPLY_US + SECOND_US)
    assert isinstance(unusual(events)[-1], Ready)
    heard = line.hear(b"\xc0", PACKET, REPORT)
    assert Received(b"packet", line.now_us, -100, 5.0) in heard


def test_ten_thousand_pieces_of_noise() -> None:
    """Neither an exception nor a buffer that grows, nor a packet behind them that is lost."""
    chance = random.Random(11)
    known = [PACKET, REPORT, TELEMETRY, SET_HARDWARE, ROM_TEXT]
    line = Line().up()
    for count in range(10_000 * SCALE):
        piece = chance.randbytes(chance.randrange(40))
        if chance.random() < 0.3:
            piece = chance.choice(known)[: chance.randrange(60)] + piece
        line.session.receive(piece, line.now_us)
        line.session.handle_timer(line.now_us)
        while line.session.next_event() is not None:
            pass
        if count % 100 == 0:
            line.hear(b"\xc0", SOFTWARE)
            line.wait(BOOT_US + APPLY_US + SECOND_US)
            assert Received(b"packet", line.now_us, -100, 5.0) in line.hear(b"\xc0", PACKET, REPORT)
    assert set(line.session.rejects) <= REJECTS
