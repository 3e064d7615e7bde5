"""Questions that no family misunderstands, and answers in whatever else stands on the line.

Expected bytes are those of the documents that the module names, written out by hand.
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.probing import QUESTIONS, Introduction, Question, kiss_frames
from protocol.link.codec import parse, serialize
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import (
    BoardHello,
    Capability,
    Envelope,
    HostHello,
    RadioDescription,
    ResetCause,
    Status,
    StatusCode,
)
from simulator.fronts.loraprs_line import REBOOT, LoraprsLine

BY_NAME = {question.driver: question for question in QUESTIONS}
RADIO = RadioDescription(76, 0x12, tcxo=False, pa_boost=True)
HELLO = BoardHello(
    nonce=1,
    boot_id=2,
    reset_cause=ResetCause.POWER_ON,
    capabilities=Capability(0),
    ring_capacity=64,
    max_requests=4,
    transmit_queue=0,
    first_unacknowledged=1,
    unique_id=bytes.fromhex("e66138935f6c2a21"),
    firmware="lora-edge-firmware 1.2",
    radios=(RADIO, RADIO),
)
BRIDGE = encode_frame(serialize(Envelope(HELLO)))
RNODE_SERIAL = "e0e90100c0ffee"  # product, model, revision, serial number with an escaped byte
EEPROM = (
    bytes.fromhex("c051 e0e90100dbdcffee") + b"\xff" * (0x9B - 7) + b"\x73" + b"\xff" * 44 + b"\xc0"
)
RNODE = bytes.fromhex("c00846c0 c0500156c0") + EEPROM
PUBLIC_KEY = bytes(range(0xC0, 0xE0))  # holds both bytes that are escaped
MESHCORE = bytes.fromhex("c006910200c0") + b"\xc0\x06\x81" + (
    b"\xdb\xdc" + bytes(range(0xC1, 0xDB)) + b"\xdb\xdd" + bytes(range(0xDC, 0xE0)) + b"\xc0"
)  # fmt: skip
RN2903 = b"invalid_param\r\nRN2903 1.0.5 Nov 06 2018 10:45:27\r\n0004A30B001A2B3C\r\n"
LORAPRS = bytes.fromhex("c000aabbc0 c007ff9c01f4c0")

ANSWERS = {
    "bridge": (BRIDGE, Introduction("bridge", "e66138935f6c2a21", "lora-edge-firmware 1.2", 2)),
    "rnode": (RNODE, Introduction("rnode", RNODE_SERIAL, "RNode firmware 1.86")),
    "meshcore": (MESHCORE, Introduction("meshcore", PUBLIC_KEY.hex(), "MeshCore KISS modem 2")),
    "rn2xx3": (RN2903, Introduction("rn2xx3", "0004a30b001a2b3c", "RN2903 1.0.5")),
    "loraprs": (
        LORAPRS,
        Introduction("loraprs", "", "esp32_loraprs, by the frames that it sends"),
    ),
}
BANNER = b"\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\nload:0x3fff0030\r\n"
families = pytest.mark.parametrize("question", QUESTIONS, ids=lambda question: question.driver)


@families
def test_an_answer_is_recognised(question: Question) -> None:
    answer, expected = ANSWERS[question.driver]

    assert question.recognise(answer) == expected


@families
def test_half_an_answer_is_none(question: Question) -> None:
    answer, _ = ANSWERS[question.driver]

    assert all(question.recognise(answer[:end]) is None for end in range(len(answer) - 1))


@families
def test_a_boot_banner_before_the_answer_does_no_harm(question: Question) -> None:
    answer, expected = ANSWERS[question.driver]
    # COBS frames end at a zero; a board begins with one.
    assert question.recognise(BANNER + b"\0" + answer) == expected


@families
def test_no_family_takes_another_ones_answer_for_its_own(question: Question) -> None:
    others = [answer for driver, (answer, _) in ANSWERS.items() if driver != question.driver]

    assert [question.recognise(answer) for answer in others] == [None] * len(others)


def test_all_families_are_asked_and_those_of_one_line_rate_together() -> None:
    assert {question.driver for question in QUESTIONS} == set(ANSWERS)
    rates = [question.baud for question in QUESTIONS]
    assert rates == sorted(rates, reverse=True)


def test_the_bridge_is_greeted_with_a_short_lease() -> None:
    [body] = FrameDecoder().feed(BY_NAME["bridge"].ask(b""))

    assert isinstance(parse(body).message, HostHello)


def test_other_messages_of_a_board_and_damaged_ones_are_passed_over() -> None:
    status = encode_frame(serialize(Envelope(Status(StatusCode.OK), 0, 1)))
    unknown = encode_frame(b"\xff\xff\xff\xff")

    assert BY_NAME["bridge"].recognise(status + unknown + BRIDGE) is not None


def test_an_rnode_is_asked_for_its_firmware_only_when_it_has_said_that_it_is_one() -> None:
    ask = BY_NAME["rnode"].ask

    assert ask(b"") == bytes.fromhex("c00873c0")
    assert ask(bytes.fromhex("c00800c0")) == bytes.fromhex("c00873c0")
    assert ask(bytes.fromhex("c00846c0")) == bytes.fromhex("c05000c0")
    assert ask(bytes.fromhex("c0500156c0")) == bytes.fromhex("c00873c0")


def test_an_rnode_is_asked_for_its_eeprom_and_a_platform_in_its_place_means_it_was_lost() -> None:
    rnode, told = BY_NAME["rnode"], bytes.fromhex("c00846c0 c0500156c0")

    assert rnode.ask(told) == bytes.fromhex("c05100c0 c04800c0")
    damaged = EEPROM[:40] + EEPROM[90:]
    other = bytes.fromhex("c02600c0")  # a channel's statistics are nothing to us
    assert rnode.recognise(told + damaged + other) is None
    assert rnode.recognise(told + damaged + bytes.fromhex("c04880c0")) == Introduction(
        "rnode", "", "RNode firmware 1.86"
    )


def test_an_rnode_that_nobody_has_provisioned_has_no_identity_and_says_so() -> None:
    blank = bytes.fromhex("c00846c0 c0500156c0 c051") + b"\xff" * 200 + b"\xc0"
    text = "RNode firmware 1.86 (not provisioned: rnodeconf --autoinstall)"

    assert BY_NAME["rnode"].recognise(blank) == Introduction("rnode", "", text)


def test_nothing_that_is_asked_unknown_devices_is_data_or_a_setting_for_a_kiss_modem() -> None:
    """Command 0 in the lower half would be transmitted, 1 to 5 would change how it transmits."""
    asked = b"".join(question.ask(b"") for question in QUESTIONS)

    commands = [command & 0x0F for command, _ in kiss_frames(asked)]
    assert set(commands) <= {0x06, 0x08, 0x0D}  # 0x0D begins the text for an RN2xx3


def test_meshcore_is_asked_for_its_version_and_then_its_key() -> None:
    ask = BY_NAME["meshcore"].ask

    assert ask(b"") == bytes.fromhex("c00611c0")
    assert ask(bytes.fromhex("c006910200c0")) == bytes.fromhex("c00601c0")


def test_an_rn2xx3_gets_an_empty_line_and_then_one_command_at_a_time() -> None:
    ask = BY_NAME["rn2xx3"].ask

    assert ask(b"") == b"\r\nsys get ver\r\n"
    assert ask(b"RN2483 1.0.4 Oct 12 2017 14:59:25\r\n") == b"sys get hweui\r\n"


def test_loraprs_is_never_asked_and_its_telemetry_tells_it_too() -> None:
    loraprs = BY_NAME["loraprs"]

    assert loraprs.ask(b"") == b""
    assert loraprs.recognise(bytes.fromhex("c00901c0")) is not None


def test_loraprs_takes_the_question_for_an_rnode_for_an_order_to_restart() -> None:
    """Its command 8. The ROM tells the cause; what crashes by itself is something else."""
    asked = LoraprsLine().feed(BY_NAME["rnode"].ask(b""))
    assert [command for command, _ in asked] == [REBOOT]

    recognise = BY_NAME["loraprs"].recognise
    restarted = b"\r\nrst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    assert recognise(restarted) == Introduction(
        "loraprs", "", "esp32_loraprs, by its restart when told so"
    )
    assert recognise(b"Guru Meditation Error: Core 1\r\nRebooting...\r\n" + restarted) is None
    assert recognise(BANNER) is None


@given(st.binary(max_size=600), st.sampled_from(sorted(ANSWERS)))
def test_no_noise_raises_and_none_hides_an_answer_that_follows(noise: bytes, driver: str) -> None:
    question = BY_NAME[driver]
    for each in QUESTIONS:
        each.recognise(noise)
        each.ask(noise)
    answer, _ = ANSWERS[driver]
    # What ends an unfinished frame or line of the family.
    end = {"bridge": b"\0", "rn2xx3": b"\r\n"}.get(driver, b"\xc0")

    assert question.recognise(noise + end + answer) is not None
