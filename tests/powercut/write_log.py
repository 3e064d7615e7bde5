"""Reads the log that the preloaded library writes."""

import enum
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_HEAD = struct.Struct("<IiqQ")


class Kind(enum.IntEnum):
    """As in writelog.c."""

    OPEN = 1
    WRITE = 2
    TRUNCATE = 3
    SYNC = 4
    RENAME = 5
    UNLINK = 6
    PROMISE = 7
    FAILED_SYNC = 8


@dataclass(frozen=True, slots=True)
class Record:
    """One change.

    Attributes:
        descriptor: of the file, from its OPEN on; -1 for changes of names.
        offset: of a WRITE; the new size of a TRUNCATE; 1 if an OPEN emptied the file.
        data: what is written or promised; names below the directory, two with a zero between.
    """

    kind: Kind
    descriptor: int
    offset: int
    data: bytes


def read_log(path: Path) -> list[Record]:
    """All records; the last one may have been cut short by a kill, then it did not happen."""
    return list(_records(path.read_bytes()))


def _records(log: bytes) -> Iterator[Record]:
    at = 0
    while at + _HEAD.size <= len(log):
        kind, descriptor, offset, length = _HEAD.unpack_from(log, at)
        at += _HEAD.size
        if at + length > len(log):
            return
        yield Record(Kind(kind), descriptor, offset, log[at : at + length])
        at += length
