"""A session of each dialect with a sound device at its other end, for the tests that spoil lines.

The devices answer from tables that are written from the documents of their dialects: what they say
are the words that a fuzz spoils. A further dialect is a class here, and its name in :data:`PEERS`.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import replace
from random import Random
from typing import Any, ClassVar, Protocol

from protocol.dialects import loraprs, meshcore, rn2xx3, rn2xx3_events, rnode, session_events
from protocol.dialects.rn2xx3_settings import RadioSettings as ModuleSettings
from protocol.link import host_session
from protocol.link.board_session import BoardSession
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import RxEvent
from tests.protocol.link.pair import identity, rx_event
from tests.protocol.link.test_codec import GOLDEN


class Session(Protocol):
    """What all sessions have."""

    @property
    def rejects(self) -> dict[Any, int]: ...

    def bytes_to_send(self) -> bytes: ...

    def next_event(self) -> Any | None: ...

    def timer_us(self) -> int: ...

    def receive(self, data: bytes, now_us: int) -> None: ...

    def handle_timer(self, now_us: int) -> None: ...


class Peer(ABC):
    """A session, and a device that does what it is told.

    Attributes:
        driver: name of its family in the registry.
        end: what ends whatever stands unfinished on the line.
        ups / downs / overs: kinds of events after which it is set up, is not, never will be.
        longest_question: bytes that the session may want to send at once, at most.
        most_kept: bytes and elements that the session may hold, at most; see :func:`kept`.
    """

    driver: ClassVar[str]
    end: ClassVar[bytes]
    ups: ClassVar[tuple[type, ...]]
    downs: ClassVar[tuple[type, ...]]
    overs: ClassVar[tuple[type, ...]]
    longest_question: ClassVar[int]
    most_kept: ClassVar[int]
    session: Session

    @abstractmethod
    def __init__(self, now_us: int) -> None:
        """A session that begins now, and a device that has just got its power."""

    @property
    def listening(self) -> bool:
        """Whether the device can hear a packet."""
        return True

    @abstractmethod
    def words(self, chance: Random) -> Sequence[bytes]:
        """Whole frames or lines that the device may say, to be spoilt."""

    @abstractmethod
    def answer(self, asked: bytes, now_us: int) -> bytes:
        """What the device says to what was asked."""

    def by_itself(self, now_us: int) -> bytes:
        """What the device says unasked, once a second."""
        return b""

    @abstractmethod
    def packet(self, payload: bytes, now_us: int) -> bytes:
        """What the device says when it has heard this."""

    @abstractmethod
    def take(self, event: Any, now_us: int) -> bytes | None:
        """Do with an event what a driver does; the payload in it."""


class BridgePeer(Peer):
    """Our own link. Its board is the session of the other end, which golden bytes judge."""

    driver = "bridge"
    end = b"\0"
    ups = (host_session.SessionOpened,)
    downs = (host_session.SessionLost,)
    overs = (host_session.IncompatibleBoard,)
    longest_question = 2_000
    most_kept = 1_500

    def __init__(self, now_us: int) -> None:
        self._now_us = now_us
        self._nonce = 0
        self.session = self._host = host_session.HostSession(
            window=8, new_nonce=self._new_nonce, now_us=now_us
        )
        self._board = BoardSession(identity(), count_us=lambda: self._now_us, now_us=now_us)
        self._said = [
            encode_frame(bytes.fromhex(text))
            for name, (text, _) in GOLDEN.items()
            if name != "rx event"  # sooner or later its number would be the next one
        ]
        self._golden = len(self._said)

    def _new_nonce(self) -> int:
        self._nonce += 1
        return self._nonce

    def words(self, chance: Random) -> Sequence[bytes]:
        """Golden frames, what was said before, and sound frames around a notice that is not."""
        del self._said[self._golden : -8]
        kinds = [word for word in self._said if FrameDecoder().feed(word)[0][0] in _NOTICES]
        forged = bytearray(FrameDecoder().feed(chance.choice(kinds))[0])
        forged[chance.randrange(1, len(forged))] = chance.randrange(256)
        return [*self._said, encode_frame(bytes(forged))]

    def answer(self, asked: bytes, now_us: int) -> bytes:
        self._now_us = now_us
        self._board.receive(asked, now_us)
        return self._frames(now_us)

    def by_itself(self, now_us: int) -> bytes:
        self._now_us = now_us
        self._board.handle_timer(now_us)
        self._board.heartbeat(())
        return self._frames(now_us)

    def packet(self, payload: bytes, now_us: int) -> bytes:
        assert self._board.push_event(0, rx_event(payload)) is not None
        return self._frames(now_us)

    def _frames(self, now_us: int) -> bytes:
        frames = [frame.data for frame in iter(lambda: self._board.next_frame(now_us), None)]
        self._said += frames
        return b"".join(frames)

    def take(self, event: Any, now_us: int) -> bytes | None:
        if isinstance(event, host_session.SessionOpened):
            self._host.grant(now_us)
        if not isinstance(event, host_session.EventReceived):
            return None
        received: RxEvent = event.event
        self._host.acknowledge(received.number, now_us)
        return received.payload


_NOTICES = (0x83, 0x84, 0x42, 0x43, 0x44, 0x45)
"""Time, status, heartbeat, faults. A forged event or greeting would rightly be believed."""


class RNodePeer(Peer):
    """RNode firmware with one radio."""

    driver = "rnode"
    end = b"\xc0"
    ups = (rnode.Ready,)
    downs = (session_events.Lost,)
    overs = (session_events.Unusable,)
    longest_question = 1_000
    most_kept = 1_000
    radios: ClassVar[tuple[rnode.RadioSettings, ...]] = (
        rnode.RadioSettings(921_400_000, 125_000, 9, 5),
    )
    about = b""

    def __init__(self, now_us: int) -> None:
        self.session = rnode.RNodeSession(self.radios, now_us)

    def words(self, chance: Random) -> Sequence[bytes]:
        return _RNODE_WORDS

    def answer(self, asked: bytes, now_us: int) -> bytes:
        return b"".join(b"\xc0" + self._answer(frame) + b"\xc0" for frame in _bodies(asked))

    def _answer(self, body: bytes) -> bytes:
        """Settings are echoed as they are, and so is the choice of a radio."""
        return _RNODE_ANSWERS.get(body, body)

    def packet(self, payload: bytes, now_us: int) -> bytes:
        frames = (b"\x23\x3d", b"\x24\x14", b"\x00" + payload)
        return self.about + b"".join(b"\xc0" + frame + b"\xc0" for frame in frames)

    def take(self, event: Any, now_us: int) -> bytes | None:
        """With its RSSI and SNR, or one of the packet's three frames is lost."""
        whole = isinstance(event, rnode.Received) and (event.rssi, event.snr) == (0x3D, 0x14)
        return event.payload if whole else None


class RNodeOfTwoRadiosPeer(RNodePeer):
    """The Community Edition's: which radio a frame is about stands before it."""

    radios = (*RNodePeer.radios, replace(RNodePeer.radios[0], frequency_hz=922_000_000))
    about = bytes.fromhex("c01f01c0")


_EEPROM = b"\x51" + bytes.fromhex("e0e90100c0ffee").replace(b"\xc0", b"\xdb\xdc").ljust(
    0x9C, b"\xff"
) + b"\x73"  # fmt: skip
_RNODE_ANSWERS = {
    b"\x08\x73": b"\x08\x46",
    b"\x50\x00": b"\x50\x01\x56",
    b"\x48\x00": b"\x48\x80",
    b"\x49\x00": b"\x49\x81",
    b"\x51\x00": _EEPROM,
    b"\x06\xff": b"\x06\x01",
}
_RNODE_WORDS = [
    b"\xc0" + word + b"\xc0"
    for word in (
        *_RNODE_ANSWERS.values(),
        *map(
            bytes.fromhex,
            ("0136eb72dbdc", "020001e848", "0302", "0409", "0505", "0600", "1f00", "1f01", "55f8",
             "2500010002000300042f2dff", "9001", "9002", "233d", "24dbdc", "00dbdcdbdd01",
             "29aa", "00"),
        ),
    )
]  # fmt: skip


class KissPeer(Peer):
    """A KISS modem that tells RSSI and SNR behind each packet, in a frame of their own."""

    end = b"\xc0"
    downs = (session_events.Lost,)
    overs = (session_events.Unusable,)
    longest_question = 100
    most_kept = 1_000
    received: ClassVar[type[meshcore.Received | loraprs.Received]]

    def take(self, event: Any, now_us: int) -> bytes | None:
        """With its RSSI and SNR."""
        whole = isinstance(event, self.received) and (event.rssi_dbm, event.snr_db) == (-100, 5)
        return event.payload if whole else None


class MeshCorePeer(KissPeer):
    """MeshCore's KISS modem."""

    driver = "meshcore"
    ups = (meshcore.Ready,)
    received = meshcore.Received

    def __init__(self, now_us: int) -> None:
        self.session = meshcore.MeshCoreSession(
            meshcore.RadioSettings(921_400_000, 125_000, 9, 5), now_us
        )

    def words(self, chance: Random) -> Sequence[bytes]:
        return _MESHCORE_WORDS

    def answer(self, asked: bytes, now_us: int) -> bytes:
        answers = (_MESHCORE_ANSWERS.get(frame[:2], b"\x06\xf0") for frame in _bodies(asked))
        return b"".join(b"\xc0" + answer + b"\xc0" for answer in answers)

    def packet(self, payload: bytes, now_us: int) -> bytes:
        return b"\xc0\x00" + payload + bytes.fromhex("c0 c0 06 f9 14 9c c0")


_MESHCORE_ANSWERS = {
    bytes.fromhex(question): bytes.fromhex(answer)
    for question, answer in (
        ("0611", "06910200"),
        ("0601", "0681" + bytes(range(32)).hex()),
        ("060b", "068bdbdc72eb3648e801000905"),
        ("0619", "069a01"),
        ("0612", "0692050000000000000002000000"),
        ("0610", "069090ff"),
        ("0614", "0694fd00"),
        ("0613", "06938813"),
    )
}
_MESHCORE_WORDS = [
    b"\xc0" + word + b"\xc0"
    for word in (
        *_MESHCORE_ANSWERS.values(),
        *map(
            bytes.fromhex,
            ("06f0", "06f102", "06f105", "06f107", "06f801", "06f9149c", "06f9f7dbdc",
             "068b5083d53324f400000808", "0001dbdd02", "007061636b6574", "1000", "00"),
        ),
    )
]  # fmt: skip


def _bodies(asked: bytes) -> Iterator[bytes]:
    """Frames between FENDs, still escaped."""
    return (body for body in asked.split(b"\xc0") if body)


class LoraprsPeer(KissPeer):
    """An esp32_loraprs modem."""

    driver = "loraprs"
    ups = (loraprs.Ready,)
    received = loraprs.Received

    def __init__(self, now_us: int) -> None:
        self.session = loraprs.LoraprsSession(
            loraprs.RadioSettings(921_400_000, 125_000, 9, 5, 0x34), now_us
        )

    def words(self, chance: Random) -> Sequence[bytes]:
        return _LORAPRS_WORDS

    def answer(self, asked: bytes, now_us: int) -> bytes:
        """It obeys one command by starting anew, and answers nothing."""
        return _LORAPRS_BOOT if b"\x08" in _bodies(asked) else b""

    def by_itself(self, now_us: int) -> bytes:
        return bytes.fromhex("c0 09 01 9a c0") if now_us // 1_000_000 % 60 == 0 else b""

    def packet(self, payload: bytes, now_us: int) -> bytes:
        return b"\xc0\x00" + payload + bytes.fromhex("c0 c0 07 ff9c 01f4 c0")


_LORAPRS_BOOT = b"rst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
_LORAPRS_WORDS = [
    _LORAPRS_BOOT,
    b"rst:0x1 (POWERON_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n",
    *(
        bytes.fromhex(f"c0{word}c0")
        for word in ("07ff9c01f4", "09019a", "0001dbdd02", "007061636b6574", "1000", "00", "07")
    ),
]


class RN2xx3Peer(Peer):
    """An RN2903 with the last firmware."""

    driver = "rn2xx3"
    end = b"\r\n"
    ups = (rn2xx3_events.Ready,)
    downs = (session_events.Lost,)
    overs = (session_events.Unusable, rn2xx3_events.Unresponsive)
    longest_question = 200
    most_kept = 2_000
    signal: ClassVar = rn2xx3_events.SignalReading.BEFORE
    replies: ClassVar[dict[str, str]] = {}

    def __init__(self, now_us: int) -> None:
        settings = ModuleSettings(921_400_000, 9, 125_000, "4/5", 0x34)
        self.session = rn2xx3.RN2xx3Session(settings, "", now_us, self.signal)
        self._settings: dict[str, str] = {}
        self._receiving = False

    @property
    def listening(self) -> bool:
        return self._receiving and self._settings.get("freq") == "921400000"

    def words(self, chance: Random) -> Sequence[bytes]:
        return _RN2XX3_WORDS

    def answer(self, asked: bytes, now_us: int) -> bytes:
        commands = asked.replace(rn2xx3.AUTO_BAUD, b"").decode("ascii").split("\r\n")[:-1]
        return "".join(f"{self._reply(command)}\r\n" for command in commands).encode()

    def _reply(self, command: str) -> str:
        if command in self.replies:
            return self.replies[command]
        match command.split(" "):
            case ["radio", "set", name, value]:
                self._settings[name] = value
            case ["radio", "get", name] if name in self._settings:
                return self._settings[name]
            case ["radio", "rx", "0"]:
                if self._receiving:
                    return "busy"
                self._receiving = True
            case ["radio", "rxstop"]:
                self._receiving = False
            case ["sys", "reset"]:
                self._settings.clear()
                self._receiving = False
        return _RN2XX3_REPLIES.get(command, "ok")

    def packet(self, payload: bytes, now_us: int) -> bytes:
        self._receiving = False
        return f"radio_rx  {payload.hex().upper()}\r\n".encode()

    def take(self, event: Any, now_us: int) -> bytes | None:
        return event.payload if isinstance(event, rn2xx3_events.Received) else None


class OldRN2xx3Peer(RN2xx3Peer):
    """Older firmware: it cannot stop a reception, and knows no RSSI; asked while it listens."""

    signal = rn2xx3_events.SignalReading.AFTER
    replies: ClassVar[dict[str, str]] = {
        "sys get ver": "RN2903 0.9.8 Feb 14 2017 20:17:03",
        "radio rxstop": "invalid_param",
        "radio get rssi": "invalid_param",
    }


_RN2903 = "RN2903 1.0.5 Nov 06 2018 10:45:27"
_RN2XX3_REPLIES = {
    "": "invalid_param",
    "sys get ver": _RN2903,
    "sys reset": _RN2903,
    "sys get hweui": "0004A30B001A2B3C",
    "sys get vdd": "3300",
    "mac pause": "4294967245",
    "radio get snr": "-7",
    "radio get rssi": "-101",
}
_RN2XX3_WORDS = [
    f"{word}\r\n".encode()
    for word in (*_RN2XX3_REPLIES.values(), "ok", "busy", "radio_err", "radio_rx  C0DB01", "0",
                 "radio_rx  " + 255 * "AB", "mac_err", "RN2483 0.9.5 Mar", "921400000", "3.3", "")
]  # fmt: skip


PEERS = (BridgePeer, RNodePeer, RNodeOfTwoRadiosPeer, LoraprsPeer, MeshCorePeer, RN2xx3Peer,
         OldRN2xx3Peer)  # fmt: skip
