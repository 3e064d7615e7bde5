"""The session with an RNode: golden bytes, and what it does without an answer."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.kiss_framing import encode_frame
from protocol.dialects.rnode import (
    CONFIGURE_ATTEMPTS,
    CONFIGURE_US,
    DETECT_INTERVAL_US,
    QUERY_INTERVAL_US,
    SILENCE_US,
    RadioSettings,
    Ready,
    Received,
    RNodeEvent,
    RNodeSession,
)
from protocol.dialects.rnode_commands import (
    DeviceError,
    NotAMessage,
    noise_rssi_dbm,
    parse,
    rssi_dbm,
    snr_db,
)
from protocol.dialects.session_events import Alive, Lost, Unusable

ROOF = RadioSettings(921_400_000, 125_000, 9, 5)
PIER = RadioSettings(922_000_000, 125_000, 7, 5)
SERIAL = "e0e90100c0ffee"
EEPROM = encode_frame(b"\x51" + bytes.fromhex(SERIAL).ljust(0x9B, b"\xff") + b"\x73").hex(" ")
BLANK = encode_frame(b"\x51" + b"\xff" * 200).hex(" ")
IDENTITY = "c0 08 46 c0 c0 50 01 56 c0 c0 48 80 c0 c0 49 81 c0"
READY = Ready((1, 86), "ESP32", bytes.fromhex(SERIAL))
ECHOES = "c0 01 36 eb 72 db dc c0  c0 02 00 01 e8 48 c0  c0 03 02 c0  c0 04 09 c0  c0 05 05 c0"
ON = "c0 06 01 c0"
OFF = "c0 06 00 c0"
DETECT = "c0 08 73 c0 c0 50 00 c0 c0 48 00 c0 c0 49 00 c0"
SETTINGS = f"c0 51 00 c0 c0 06 00 c0 {ECHOES} c0 06 01 c0"


class Desk:
    """A session, and a device whose words the test writes."""

    def __init__(self, *radios: RadioSettings) -> None:
        self.now_us = 1_000_000
        self.session = RNodeSession(radios or (ROOF,), self.now_us)

    def say(self, *texts: str) -> list[RNodeEvent]:
        """Let the device say hex digits; what the session makes of it."""
        self.session.receive(bytes.fromhex("".join(texts)), self.now_us)
        return self.events()

    def events(self) -> list[RNodeEvent]:
        """All new events."""
        return list(iter(self.session.next_event, None))

    def asked(self) -> str:
        """What the session wants to write."""
        return self.session.bytes_to_send().hex(" ")

    def wait(self, duration_us: int) -> list[RNodeEvent]:
        """Let time pass, from timer to timer."""
        end_us = self.now_us + duration_us
        while self.session.timer_us() <= end_us:
            before = self.session.timer_us()
            self.now_us = max(self.now_us, before)
            self.session.handle_timer(self.now_us)
            if self.session.timer_us() == before:
                break
        self.now_us = end_us
        return self.events()

    def bring_up(self) -> list[RNodeEvent]:
        """Answer everything as an RNode does."""
        self.wait(0)
        return [*self.say(IDENTITY), *self.say(EEPROM, OFF, ECHOES, ON, ON)]


def hexed(text: str) -> str:
    """Hex digits with one space between bytes."""
    return bytes.fromhex(text).hex(" ")


def test_it_asks_who_is_there_until_somebody_answers() -> None:
    """The first questions after a plug are often lost."""
    desk = Desk()
    for _ in range(10):
        desk.wait(0)
        assert desk.asked() == hexed(DETECT)
        assert desk.wait(DETECT_INTERVAL_US - 1) == []
        desk.now_us += 1


def test_golden_set_up() -> None:
    """921.4 MHz has a byte that must be escaped."""
    desk = Desk()
    desk.wait(0)
    desk.asked()
    assert desk.say(IDENTITY) == []
    assert desk.asked() == hexed(SETTINGS)
    assert desk.say(EEPROM, OFF, ECHOES) == []
    assert desk.say(ON) == [READY]
    assert desk.say(ON) == [Alive()]


def test_a_packet_is_three_frames_with_escapes_in_rssi_and_snr() -> None:
    """SNR -16 dB is sent as DB DC: read as it stands it would be another number."""
    desk = Desk()
    desk.bring_up()
    (event,) = desk.say("c0 23 3d c0 c0 24 db dc c0 c0 00 db dc db dd 01 c0")
    assert event == Received(0, bytes.fromhex("c0db01"), 0x3D, 0xC0)
    assert (rssi_dbm(0x3D), snr_db(0xC0), snr_db(0xDB), snr_db(20)) == (-96.0, -16.0, -9.25, 5.0)


def test_channel_statistics_may_come_between_a_packets_frames() -> None:
    desk = Desk()
    desk.bring_up()
    statistics = "c0 25 00 01 00 02 00 03 00 04 2f 2d ff c0"
    assert desk.say("c0 23 3d c0", statistics, "c0 24 14 c0", statistics, "c0 00 61 c0") == [
        Alive(),
        Alive(),
        Received(0, b"a", 0x3D, 20),
    ]
    assert desk.session.noise_rssi_dbm == [45.0 - 157]
    assert noise_rssi_dbm(bytes(8)) is None


@pytest.mark.parametrize(
    ("frames", "rssi", "snr"),
    [("c0 24 14 c0", None, 20), ("c0 23 3d c0", 0x3D, None), ("", None, None)],
)
def test_what_was_lost_is_unknown_and_never_another_packets(
    frames: str, rssi: int | None, snr: int | None
) -> None:
    desk = Desk()
    desk.bring_up()
    desk.say("c0 23 10 c0 c0 24 10 c0 c0 00 61 c0")
    assert desk.say(frames, "c0 00 62 c0") == [Received(0, b"b", rssi, snr)]


def test_an_old_firmware_is_refused() -> None:
    desk = Desk()
    desk.wait(0)
    (event,) = desk.say("c0 08 46 c0 c0 50 01 33 c0 c0 48 80 c0")
    assert event == Unusable(
        "RNode firmware 1.51 is too old, 1.52 is needed; rnodeconf --update brings the present one"
    )
    assert desk.wait(60_000_000) == []
    assert desk.say(IDENTITY, ECHOES, ON) == []


def test_a_device_that_is_not_provisioned_is_told_from_a_slow_one() -> None:
    """It answers, and its radio stays off."""
    desk = Desk()
    desk.wait(0)
    desk.say(IDENTITY)
    for _ in range(CONFIGURE_ATTEMPTS - 1):
        assert desk.say(BLANK, OFF, ECHOES, OFF) == []
        assert desk.wait(CONFIGURE_US) == []
    desk.say(OFF, ECHOES, OFF)
    (event,) = desk.wait(CONFIGURE_US)
    assert isinstance(event, Unusable)
    assert "not provisioned" in event.reason


def test_an_echo_that_differs_is_told() -> None:
    desk = Desk()
    desk.wait(0)
    desk.say(IDENTITY)
    events: list[RNodeEvent] = []
    for _ in range(CONFIGURE_ATTEMPTS):
        events += desk.say(OFF, ECHOES.replace("04 09", "04 08"), ON)
        events += desk.wait(CONFIGURE_US)
    assert events == [Unusable("radio 0 was told spreading_factor 9, and reports 8")]


def test_an_echo_that_does_not_come_is_told() -> None:
    desk = Desk()
    desk.wait(0)
    desk.say("c0 08 47 c0", IDENTITY)  # another byte is no answer to the detection
    events: list[RNodeEvent] = []
    for _ in range(CONFIGURE_ATTEMPTS):
        events += [*desk.say(EEPROM, OFF, ON), *desk.wait(CONFIGURE_US)]
    assert events == [Unusable("radio 0 was told frequency 921400000, and reports nothing")]


def test_a_frequency_may_be_off_by_the_chips_step() -> None:
    desk = Desk()
    desk.wait(0)
    desk.say(IDENTITY)
    off_by_40 = ECHOES.replace("36 eb 72 db dc", "36 eb 72 98")
    assert desk.say(EEPROM, OFF, off_by_40, ON) == [READY]


def test_a_device_that_does_not_answer_to_settings_is_looked_for_again() -> None:
    desk = Desk()
    desk.wait(0)
    desk.say(IDENTITY)
    assert desk.wait(CONFIGURE_ATTEMPTS * CONFIGURE_US) == [Lost("does not answer to its settings")]
    desk.asked()
    desk.wait(DETECT_INTERVAL_US)
    assert hexed(DETECT) in desk.asked()


def test_a_provisioned_device_whose_radio_stays_off_has_another_fault() -> None:
    desk = Desk()
    desk.wait(0)
    desk.say(IDENTITY)
    events: list[RNodeEvent] = []
    for _ in range(CONFIGURE_ATTEMPTS):
        events += [*desk.say(EEPROM, OFF, ECHOES, OFF), *desk.wait(CONFIGURE_US)]
    (event,) = events
    assert isinstance(event, Unusable)
    assert "module broken" in event.reason


def test_an_identity_that_was_lost_on_the_line_is_asked_for_once_more() -> None:
    """And then the device is used without: it may have none that it can tell."""
    desk = Desk()
    desk.wait(0)
    desk.say(IDENTITY)
    assert desk.say(OFF, ECHOES, ON) == []
    assert desk.wait(CONFIGURE_US) == []
    assert desk.say(OFF, ECHOES, ON) == [Ready((1, 86), "ESP32", b"")]


def test_a_restart_can_be_asked_for() -> None:
    desk = Desk()
    desk.bring_up()
    desk.asked()
    desk.session.restart_device()
    assert desk.asked() == hexed("c0 55 f8 c0")


def test_a_broken_radio_module_is_told() -> None:
    desk = Desk()
    desk.wait(0)
    desk.say(IDENTITY)
    (event,) = desk.say(OFF, ECHOES, "c0 90 01 c0")
    assert event == Unusable("the device says that its radio module does not start")


def test_it_is_questioned_every_two_seconds_and_given_up_when_silent() -> None:
    """Boards with an AVR never say anything by themselves."""
    desk = Desk()
    desk.bring_up()
    desk.asked()
    desk.wait(QUERY_INTERVAL_US)
    assert desk.asked() == hexed("c0 06 ff c0")
    assert desk.say(ON) == [Alive()]
    assert desk.wait(SILENCE_US - 1) == []
    assert desk.wait(QUERY_INTERVAL_US) == [Lost("silent for 10 s")]


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("c0 55 f8 c0", "the device has restarted"),
        (OFF + OFF, "radio 0 has been switched off"),
    ],
)
def test_a_restart_is_noticed_and_everything_is_set_up_again(words: str, reason: str) -> None:
    desk = Desk()
    desk.bring_up()
    desk.asked()
    assert desk.say(words) == [Lost(reason)]
    desk.wait(0)
    assert desk.asked() == hexed(DETECT)
    assert desk.say(IDENTITY, EEPROM, OFF, ECHOES, ON) == [READY]


def test_one_word_that_a_radio_is_off_is_asked_about() -> None:
    """A byte that was damaged must not cost a second of reception."""
    desk = Desk()
    desk.bring_up()
    desk.asked()
    assert desk.say(OFF) == []
    assert desk.asked() == hexed("c0 06 ff c0")
    assert desk.say("c0 00 61 c0", ON, OFF) == [Received(0, b"a", None, None), Alive()]


def test_what_it_says_while_it_is_being_looked_for_or_set_up_is_no_event() -> None:
    """Its reset when the opening of the port has restarted it, and statistics of an old session."""
    desk = Desk()
    desk.wait(0)
    assert desk.say("c0 55 f8 c0") == []
    desk.say(IDENTITY)
    assert desk.say("c0 25 00 01 00 02 00 03 00 04 2f 2d ff c0") == []
    assert desk.say(EEPROM, OFF, ECHOES, ON) == [READY]


def test_data_before_all_radios_are_up_is_not_taken() -> None:
    """It may be of another's settings: the radio may still listen as an earlier host told it."""
    desk = Desk()
    desk.wait(0)
    assert desk.say(IDENTITY, "c0 23 3d c0 c0 00 61 c0") == []


def test_errors_are_counted() -> None:
    desk = Desk()
    desk.bring_up()
    desk.say("c0 90 02 c0 c0 90 06 c0 c0 90 02 c0 c0 90 77 c0")
    assert desk.session.errors == {DeviceError.TRANSMIT_FAILED: 2, DeviceError.MODEM_TIMEOUT: 1}
    assert desk.session.rejects == {"unknown_error": 1}


def test_the_empty_data_of_a_broken_raw_mode_is_counted() -> None:
    """Firmware 1.85 on an AVR says so for every packet in promiscuous mode."""
    desk = Desk()
    desk.bring_up()
    assert desk.say("c0 00 c0") == []
    assert desk.session.rejects == {"empty_data": 1}


def test_text_between_frames_is_no_message() -> None:
    desk = Desk()
    text = b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    desk.bring_up()
    assert desk.say(text.hex(), "c0 23 3d c0", text.hex(), "c0 24 14 c0 c0 00 61 c0") == [
        Received(0, b"a", 0x3D, 20)
    ]
    assert desk.session.rejects["unknown_command"] == 2


def test_two_radios_are_named_before_each_frame() -> None:
    """The Community Edition: the choice is state of the line, so it goes before everything."""
    desk = Desk(ROOF, PIER)
    desk.wait(0)
    desk.asked()
    desk.say(IDENTITY.replace("50 01 56", "50 01 4a"))
    asked = desk.asked()
    assert asked.startswith(hexed("c0 51 00 c0 c0 1f 00 c0 c0 06 00 c0"))
    assert hexed("c0 1f 01 c0 c0 06 00 c0 c0 01 36 f4 9a 80 c0") in asked
    pier = ECHOES.replace("36 eb 72 db dc", "36 f4 9a 80").replace("04 09", "04 07")
    assert desk.say(EEPROM, "c0 1f 00 c0", OFF, ECHOES, ON) == []
    assert desk.say("c0 1f 01 c0", OFF, pier, ON) == [replace(READY, firmware=(1, 74))]
    assert desk.say("c0 1f 00 c0 c0 00 61 c0 c0 1f 01 c0 c0 00 62 c0") == [
        Received(0, b"a", None, None),
        Received(1, b"b", None, None),
    ]
    assert desk.say("c0 1f 09 c0 c0 00 63 c0") == []  # a radio that is not configured
    desk.asked()
    desk.wait(QUERY_INTERVAL_US)
    assert desk.asked() == hexed("c0 1f 00 c0 c0 06 ff c0 c0 1f 01 c0 c0 06 ff c0")


def test_two_radios_of_a_firmware_that_has_one() -> None:
    """All echoes come without a name; and too old a firmware is told before."""
    desk = Desk(ROOF, PIER)
    desk.wait(0)
    (event,) = desk.say(IDENTITY.replace("50 01 56", "50 01 49"))
    assert isinstance(event, Unusable)
    assert "1.74 is needed" in event.reason
    desk = Desk(ROOF, PIER)
    desk.wait(0)
    events = desk.say(IDENTITY)
    for _ in range(CONFIGURE_ATTEMPTS):
        events += [*desk.say(OFF, ECHOES, ON), *desk.wait(CONFIGURE_US)]
    (event,) = events
    assert isinstance(event, Unusable)
    assert "Community Edition" in event.reason


def test_one_radio_cannot_be_misrouted() -> None:
    """Noise that looks like a choice of another radio is nothing where there is one."""
    desk = Desk()
    desk.bring_up()
    assert desk.say("c0 1f 07 c0 c0 00 61 c0") == [Received(0, b"a", None, None)]


@pytest.mark.parametrize("body", ["", "72 7374", "01 00", "25 00", "06", "fe"])
def test_what_no_device_says(body: str) -> None:
    with pytest.raises(NotAMessage):
        parse(bytes.fromhex(body))


@pytest.mark.parametrize("body", ["26 00", "27 01 02", "47 35", "0f 01"])
def test_what_is_nothing_to_us(body: str) -> None:
    assert parse(bytes.fromhex(body)) is None


@given(st.lists(st.binary(max_size=30), max_size=6), st.integers(1, 9))
def test_any_cut_gives_the_same_events(bodies: list[bytes], size: int) -> None:
    """A stream has no borders."""
    stream = b"".join(encode_frame(b"\0" + body) for body in bodies)
    whole, pieces = Desk(), Desk()
    for desk in (whole, pieces):
        desk.bring_up()
    whole.session.receive(stream, whole.now_us)
    for at in range(0, len(stream), size):
        pieces.session.receive(stream[at : at + size], pieces.now_us)
    assert whole.events() == pieces.events()
