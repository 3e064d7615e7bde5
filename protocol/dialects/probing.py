"""What to ask on a serial port to learn which family of device is there.

Each :class:`Question` is a pair of pure functions of what the port has sent so far. The questions
change no setting of any family and make none of them transmit, also when the wrong family hears
them; that decides their order and their form:

- A KISS command byte means one thing to an RNode and another to a modem that keeps to the KISS
  specification (a port in the upper half, a command in the lower). RNode's questions for its
  firmware (0x50) and its platform (0x48) would be such frames: only who says that it is an RNode
  gets them.
- MeshCore's question is command 0x06: an RNode takes that for its radio's state and acts on 0 and
  1 only.
- The RN2483 and RN2903 are asked last, on their own line rate.

An esp32_loraprs modem answers no question at all. But it takes RNode's (command 8) for the order to
restart, and its ROM tells that it does so, and why: it is recognised by that, or by a frame that it
sends by itself. The restart makes it forget its settings; a port that is in use is never asked.

Sources: CONCENTRATOR-LINK.md section 5; RNode_Firmware 1.86 (Framing.h, RNode_Firmware.ino);
Microchip DS40001784 and DS40001811, "sys get"; MeshCore docs/kiss_modem_protocol.md; esp32_loraprs
1.0.22 (kiss_processor.cpp); ESP-IDF, esp32/rom/rtc.h and the text of a crash.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from protocol.dialects import kiss_framing
from protocol.dialects.kiss_framing import KissDecoder
from protocol.dialects.loraprs import Command as Loraprs
from protocol.dialects.meshcore import SET_HARDWARE, Hardware, answer_to
from protocol.dialects.rnode_commands import (
    DETECT_REQUEST,
    DETECT_RESPONSE,
    MAX_BODY,
    Command,
    Message,
    NotAMessage,
    identity,
)
from protocol.dialects.rnode_commands import parse as parse_rnode
from protocol.link.codec import parse, serialize
from protocol.link.errors import MalformedMessage
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import BoardHello, Envelope, HostHello

_LEASE_MS = 1000  # nobody holds the board after the question

_ESP32_RESTARTED = re.compile(rb"rst:0x(?:3|c) \(SW_[A-Z_]+\),boot:")
_ESP32_CRASHED = b"Rebooting..."
_RNODE_DETECTED = Message(Command.DETECT, bytes([DETECT_RESPONSE]))
_RNODE_ASKED_AFTER = {
    Command.FIRMWARE_VERSION: Command.DETECT,
    Command.EEPROM: Command.FIRMWARE_VERSION,
    Command.PLATFORM: Command.FIRMWARE_VERSION,
}
_LORAPRS_SIGNAL, _LORAPRS_TELEMETRY = 0x07, 0x09
_RN_VERSION = re.compile(rb"(RN2483|RN2903)\S* (\d+\.\d+\.\d+)")
_RN_IDENTITY = re.compile(rb"[\r\n]([0-9A-Fa-f]{16})\r\n")


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a device says of itself.

    Attributes:
        driver: name in the registry of drivers.
        identity: what ``unique_id`` is compared with, in hexadecimal; "" = it tells none.
        firmware: name and version, for people.
        radios: how many it has; 1 where the family knows no other number.
    """

    driver: str
    identity: str
    firmware: str
    radios: int = 1


@dataclass(frozen=True, slots=True)
class Question:
    """How one family is asked.

    Attributes:
        baud: line rate on which the family is found as it comes.
        ask: what to send next, given all that was heard; the same bytes again = ask once more.
        recognise: the answer in all that was heard, once it is complete.
    """

    driver: str
    baud: int
    ask: Callable[[bytes], bytes]
    recognise: Callable[[bytes], Introduction | None]


def _ask_bridge(_heard: bytes) -> bytes:
    # The leading zero ends whatever stands unfinished on the line.
    return b"\0" + encode_frame(serialize(Envelope(HostHello(1, _LEASE_MS))))


def _recognise_bridge(heard: bytes) -> Introduction | None:
    for body in FrameDecoder().feed(heard):
        try:
            message = parse(body).message
        except MalformedMessage:
            continue
        if isinstance(message, BoardHello):
            identity, radios = message.unique_id.hex(), len(message.radios)
            return Introduction("bridge", identity, message.firmware, radios)
    return None


def _ask_rnode(heard: bytes) -> bytes:
    told = _rnode_answers(heard)
    if Command.FIRMWARE_VERSION in told:
        questions = [(Command.EEPROM, 0), (Command.PLATFORM, 0)]  # both are but read
    elif Command.DETECT in told:
        questions = [(Command.FIRMWARE_VERSION, 0)]
    else:
        questions = [(Command.DETECT, DETECT_REQUEST)]
    return b"".join(kiss_framing.encode_frame(bytes(question)) for question in questions)


def _recognise_rnode(heard: bytes) -> Introduction | None:
    told = _rnode_answers(heard)
    # It answers in order: with a platform but no EEPROM, that answer was lost on the line.
    if not told.keys() & {Command.EEPROM, Command.PLATFORM}:
        return None
    major, minor = told[Command.FIRMWARE_VERSION]
    firmware, serial = f"RNode firmware {major}.{minor:02d}", b""
    if Command.EEPROM in told:
        serial = identity(told[Command.EEPROM]) or b""
        firmware += "" if serial else " (not provisioned: rnodeconf --autoinstall)"
    return Introduction("rnode", serial.hex(), firmware)


def _rnode_answers(heard: bytes) -> dict[Command, bytes]:
    """What it has said of itself, as far as it came in the order in which it is asked."""
    told: dict[Command, bytes] = {}
    for body in KissDecoder(MAX_BODY).feed(heard):
        try:
            message = parse_rnode(body)
        except NotAMessage:
            continue
        if message is None:
            continue
        detected = message == _RNODE_DETECTED
        if detected or _RNODE_ASKED_AFTER.get(message.command) in told:
            told[message.command] = message.argument
    return told


def _ask_meshcore(heard: bytes) -> bytes:
    known = _meshcore_answer(heard, Hardware.GET_VERSION, 2)
    wanted = Hardware.GET_IDENTITY if known else Hardware.GET_VERSION
    return kiss_framing.encode_frame(bytes([SET_HARDWARE, wanted]))


def _recognise_meshcore(heard: bytes) -> Introduction | None:
    version = _meshcore_answer(heard, Hardware.GET_VERSION, 2)
    identity = _meshcore_answer(heard, Hardware.GET_IDENTITY, 32)
    if not version or not identity:
        return None
    return Introduction("meshcore", identity.hex(), f"MeshCore KISS modem {version[0]}")


def _meshcore_answer(heard: bytes, request: Hardware, length: int) -> bytes:
    reply = bytes([answer_to(request)])
    for command, data in kiss_frames(heard):
        if command == SET_HARDWARE and data[:1] == reply and len(data) == 1 + length:
            return data[1:]
    return b""


def _recognise_loraprs(heard: bytes) -> Introduction | None:
    for command, data in kiss_frames(heard):
        if (command == Loraprs.SIGNAL_REPORT and len(data) == 4) or (
            command == Loraprs.TELEMETRY and data
        ):
            return Introduction("loraprs", "", "esp32_loraprs, by the frames that it sends")
    if _ESP32_RESTARTED.search(heard) and _ESP32_CRASHED not in heard:
        return Introduction("loraprs", "", "esp32_loraprs, by its restart when told so")
    return None


def _ask_rn2xx3(heard: bytes) -> bytes:
    # The empty line ends what noise has begun. One command at a time, each has one answer.
    if _RN_VERSION.search(heard) is None:
        return b"\r\nsys get ver\r\n"
    return b"sys get hweui\r\n"


def _recognise_rn2xx3(heard: bytes) -> Introduction | None:
    version, identity = _RN_VERSION.search(heard), _RN_IDENTITY.search(heard)
    if version is None or identity is None:
        return None
    firmware = f"{version[1].decode()} {version[2].decode()}"
    return Introduction("rn2xx3", identity[1].decode().lower(), firmware)


def kiss_frames(heard: bytes) -> Iterator[tuple[int, bytes]]:
    """Whole frames: first byte, and the rest unescaped. What is no frame is passed over."""
    for body in KissDecoder(MAX_BODY).feed(heard):
        yield body[0], body[1:]


QUESTIONS = (
    Question("bridge", 115_200, _ask_bridge, _recognise_bridge),
    Question("meshcore", 115_200, _ask_meshcore, _recognise_meshcore),
    Question("rnode", 115_200, _ask_rnode, _recognise_rnode),
    Question("loraprs", 115_200, lambda _heard: b"", _recognise_loraprs),
    Question("rn2xx3", 57_600, _ask_rn2xx3, _recognise_rn2xx3),
)
"""All families, in the order in which they are asked."""
