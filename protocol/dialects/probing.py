"""What to ask on a serial port to learn which family of device is there.

Each :class:`Question` is a pair of pure functions of what the port has sent so far. The questions
change no setting of any family and make none of them transmit, also when the wrong family hears
them; that decides their order and their form:

- A KISS command byte means one thing to an RNode and another to a modem that keeps to the KISS
  specification (a port in the upper half, a command in the lower). RNode's question for its
  firmware (0x50) would be a frame to transmit there: only who says that it is an RNode gets it.
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
)
from protocol.link.codec import parse, serialize
from protocol.link.errors import MalformedMessage
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import BoardHello, Envelope, HostHello

_LEASE_MS = 1000  # nobody holds the board after the question

_RNODE_DETECTED = (Command.DETECT, bytes([DETECT_RESPONSE]))
_ESP32_RESTARTED = re.compile(rb"rst:0x(?:3|c) \(SW_[A-Z_]+\),boot:")
_ESP32_CRASHED = b"Rebooting..."
_RN_VERSION = re.compile(rb"(RN2483|RN2903)\S* (\d+\.\d+\.\d+)")
_RN_IDENTITY = re.compile(rb"[\r\n]([0-9A-Fa-f]{16})\r\n")


@dataclass(frozen=True, slots=True)
class Introduction:
    """What a device says of itself.

    Attributes:
        driver: name in the registry of drivers.
        identity: what ``unique_id`` is compared with, in hexadecimal; "" = the family has none.
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
    if _RNODE_DETECTED in kiss_frames(heard):
        return kiss_framing.encode_frame(bytes([Command.FIRMWARE_VERSION, 0x00]))
    return kiss_framing.encode_frame(bytes([Command.DETECT, DETECT_REQUEST]))


def _recognise_rnode(heard: bytes) -> Introduction | None:
    frames = list(kiss_frames(heard))
    versions = [
        data for command, data in frames if command == Command.FIRMWARE_VERSION and len(data) == 2
    ]
    if _RNODE_DETECTED not in frames or not versions:
        return None
    major, minor = versions[-1]
    return Introduction("rnode", "", f"RNode firmware {major}.{minor:02d}")


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
