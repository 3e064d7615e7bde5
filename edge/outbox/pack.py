"""Packs: the frames of one class that one commit brought, as one row. Pure.

A row costs a page in the WAL and one flush however much it holds, so a commit writes as few as it
can: one for each class that is in it. A pack carries a checksum of its own, because SQLite does not
notice a card that returns other bytes than were written.

Beside the frames a pack carries a *delta*: the marks and cursors that changed since the last
commit. They would cost a page each in tables of their own; here they share the frames' page, and
a commit stays one statement. The tables are brought up to date from time to time
(:mod:`edge.outbox.contents`).
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, pairwise
from zlib import crc32

import cbor2

MAX_BODY_BYTES = 0xFFFF
"""Of one frame: lengths are 16 bits."""

_IDENTITY = struct.Struct("<qqqq")
_CHECKSUM = struct.Struct("<I")


class PackError(ValueError):
    """What was read is not what was written."""


@dataclass(frozen=True, slots=True)
class Delta:
    """What changed besides the frames, and is committed with them.

    Attributes:
        marks: new values by key.
        cursors: by upstream, what it has acknowledged as text, and how many frames are pending.
    """

    marks: Mapping[str, bytes] = field(default_factory=dict)
    cursors: Mapping[str, tuple[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PackHead:
    """A pack without its frames.

    Attributes:
        seq: number of its first frame; the others follow without gaps.
        frames: how many; 0 for a commit that brought only a delta.
        boot: number of the boot in which it was committed.
        boottime_us: when it was committed, on CLOCK_BOOTTIME of that boot.
    """

    seq: int
    frames: int
    boot: int
    boottime_us: int

    @property
    def last_seq(self) -> int:
        """Number of its last frame."""
        return self.seq + self.frames - 1


def join(bodies: Sequence[bytes]) -> bytes:
    """Encode frames: their lengths, 16 bits little-endian each, then their bytes.

    Raises:
        struct.error: one is longer than :data:`MAX_BODY_BYTES`.
    """
    return struct.pack(f"<{len(bodies)}H", *map(len, bodies)) + b"".join(bodies)


def split(body: bytes, frames: int) -> list[bytes]:
    """Undo :func:`join`. Raises :class:`PackError`."""
    try:
        lengths = struct.unpack_from(f"<{frames}H", body)
    except struct.error:
        raise PackError("too short for its lengths") from None
    ends = list(accumulate(lengths, initial=2 * frames))
    if ends[-1] != len(body):
        raise PackError("its lengths do not add up")
    return [body[begin:end] for begin, end in pairwise(ends)]


def checksum(head: PackHead, body: bytes) -> int:
    """CRC-32 of where the pack belongs and of its frames, signed: SQLite keeps that in 4 bytes."""
    identity = _IDENTITY.pack(head.seq, head.frames, head.boot, head.boottime_us)
    return (crc32(body, crc32(identity)) ^ 0x80000000) - 0x80000000


def encode_delta(delta: Delta) -> bytes | None:
    """CRC-32, then CBOR; None if nothing changed."""
    if not delta.marks and not delta.cursors:
        return None
    data = cbor2.dumps([dict(delta.marks), {k: list(v) for k, v in delta.cursors.items()}])
    return _CHECKSUM.pack(crc32(data)) + data


def decode_delta(data: bytes) -> Delta:
    """Undo :func:`encode_delta`. Raises :class:`PackError`."""
    if len(data) < _CHECKSUM.size or _CHECKSUM.unpack_from(data)[0] != crc32(data[4:]):
        raise PackError("its delta is damaged")
    marks, cursors = cbor2.loads(data[4:])
    return Delta(marks, {name: (text, pending) for name, (text, pending) in cursors.items()})
