"""Datagrams of the Semtech UDP protocol (GWMP, version 2): header, kind, token, body.

Source: PROTOCOL.TXT 1.4 of Lora-net/packet_forwarder, sections 3 and 5: byte 0 the version, bytes
1 and 2 a token, byte 3 the kind, then the gateway's EUI in what a gateway sends, then JSON or
nothing. Only the syntax is here; what stands in the JSON is read and written in
:mod:`protocol.network_server.gwmp_reports` and :mod:`protocol.network_server.gwmp_downlink`.
"""

from dataclasses import dataclass
from enum import IntEnum, StrEnum

VERSION = 2
MAX_DATAGRAM = 1_400
"""What we send at most: it fits one packet on every link, so that no part of it can be lost."""

MAX_RECEIVED = 4_096
"""A txpk of 255 bytes takes 600; what is longer than this is none."""

TOKEN_BYTES = 2
HEADER_BYTES = 12  # with the gateway's EUI
_EUI_BYTES = 8
_VERSIONS = (1, VERSION)


class Kind(IntEnum):
    """The identifiers of section 5.1 and 6.1."""

    PUSH_DATA = 0
    PUSH_ACK = 1
    PULL_DATA = 2
    PULL_RESP = 3
    PULL_ACK = 4
    TX_ACK = 5


_FROM_GATEWAY = (Kind.PUSH_DATA, Kind.PULL_DATA, Kind.TX_ACK)


class Reject(StrEnum):
    """Why a datagram, or the downlink in it, is ignored or refused; a closed list."""

    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    VERSION = "version"
    UNEXPECTED = "unexpected"  # a kind that no gateway is sent
    UNKNOWN_TOKEN = "unknown_token"  # noqa: S105 - it acknowledges what nobody sent
    MALFORMED = "malformed"
    UNSUPPORTED = "unsupported"  # FSK and other modulations
    CROWDED = "crowded"  # more downlinks at a time than we keep


class GwmpError(Exception):
    """A datagram is not what it should be; ``reason`` says why."""

    def __init__(self, reason: Reject) -> None:
        super().__init__(reason.value)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Datagram:
    """One of either side.

    Attributes:
        token: 2 bytes, repeated in the acknowledgement.
        body: JSON, or empty.
        gateway: EUI-64 in what a gateway sends; None in what a server sends.
    """

    kind: Kind
    token: bytes
    body: bytes = b""
    gateway: bytes | None = None
    version: int = VERSION


def parse(data: bytes) -> Datagram:
    """Read a datagram of either side.

    Acknowledgements have no body; bytes after them are left alone.

    Raises:
        GwmpError: it is none.
    """
    if len(data) < 4:
        raise GwmpError(Reject.TOO_SHORT)
    if len(data) > MAX_RECEIVED:
        raise GwmpError(Reject.TOO_LONG)
    if data[0] not in _VERSIONS:
        raise GwmpError(Reject.VERSION)
    try:
        kind = Kind(data[3])
    except ValueError:
        raise GwmpError(Reject.UNEXPECTED) from None
    if kind not in _FROM_GATEWAY:
        return Datagram(kind, data[1:3], data[4:], version=data[0])
    if len(data) < HEADER_BYTES:
        raise GwmpError(Reject.TOO_SHORT)
    return Datagram(kind, data[1:3], data[HEADER_BYTES:], data[4:HEADER_BYTES], data[0])


def serialize(datagram: Datagram) -> bytes:
    """Write a datagram.

    Raises:
        ValueError: token or gateway have not their lengths.
    """
    gateway = datagram.gateway or b""
    if len(datagram.token) != TOKEN_BYTES:
        raise ValueError("a token has 2 bytes")
    if len(gateway) != (_EUI_BYTES if datagram.kind in _FROM_GATEWAY else 0):
        raise ValueError("a gateway's datagrams carry its EUI of 8 bytes, a server's none")
    head = bytes([datagram.version]) + datagram.token + bytes([datagram.kind])
    return head + gateway + datagram.body
