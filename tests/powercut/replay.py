"""What a disk may hold after a power cut, rebuilt from the log of what was written to it.

What was written before a file's last sync is there. For what was written after it there are
*models*; every block of it may have reached the disk or not, in any order:

``dropped``  none of it did.
``halved``   a random part of the writes did; a file may have grown although its new end is zeros.
``torn``     as halved, and the write that was under way was cut at a multiple of 512 bytes.
``smash``    as halved, and each block of 4 KiB that such a write touches may be garbage, with what
             was in that block before and had been synced: cards rewrite whole blocks.

A sync that failed is the end of what it was for: Linux then takes those pages for clean, so that a
later sync writes them no more, although whoever reads the file still sees them. Each of the writes
may have reached the disk or not, in any model.

Changes of names (create, rename, unlink) are taken to be durable at once and in order, as on a
journalling file system with ordered directory updates; SQLite syncs the directory itself where it
matters to it.
"""

import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.powercut.workload import STORE
from tests.powercut.write_log import Kind, Record

MODELS = ("dropped", "halved", "torn", "smash")
BLOCK_BYTES = 4096
_SECTOR_BYTES = 512


@dataclass(frozen=True, slots=True)
class _Change:
    """A write, or without data a truncation to the offset."""

    offset: int
    data: bytes | None

    def apply(self, content: bytearray) -> None:
        if self.data is None:
            resize(content, self.offset)
            return
        if len(content) < self.offset:
            resize(content, self.offset)
        content[self.offset : self.offset + len(self.data)] = self.data


@dataclass(slots=True)
class _File:
    synced: bytearray = field(default_factory=bytearray)
    pending: list[_Change] = field(default_factory=list)

    def sync(self) -> None:
        for change in self.pending:
            change.apply(self.synced)
        self.pending.clear()

    def fail_to_sync(self, chance: random.Random) -> None:
        kept = [change for change in self.pending if chance.random() < 0.5]
        self.pending = kept
        self.sync()

    def whole(self) -> bytearray:
        content = bytearray(self.synced)
        for change in self.pending:
            change.apply(content)
        return content


class Disk:
    """The files below the watched directory, as the log's records make them."""

    def __init__(self, before: Mapping[str, bytes] | None = None) -> None:
        """Args:
        before: what was there, and durable, before the log begins.
        """
        self._names = {name: _File(bytearray(data)) for name, data in (before or {}).items()}
        self._open: dict[int, _File] = {}
        self._chance = random.Random(0)

    def apply(self, record: Record) -> None:
        """Take in the next record."""
        match record.kind:
            case Kind.OPEN:
                file = self._names.setdefault(record.data.decode(), _File())
                self._open[record.descriptor] = file
                if record.offset:
                    file.pending.append(_Change(0, None))
            case Kind.WRITE:
                change = _Change(record.offset, record.data)
                self._open[record.descriptor].pending.append(change)
            case Kind.TRUNCATE:
                self._open[record.descriptor].pending.append(_Change(record.offset, None))
            case Kind.SYNC:
                self._open[record.descriptor].sync()
            case Kind.FAILED_SYNC:
                self._open[record.descriptor].fail_to_sync(self._chance)
            case Kind.RENAME:
                old, new = record.data.decode().split("\0")
                self._names[new] = self._names.pop(old)
            case Kind.UNLINK:
                del self._names[record.data.decode()]
            case Kind.PROMISE:
                pass

    def has_unsynced(self) -> bool:
        """Whether a cut now can do any harm."""
        return any(file.pending for name, file in self._names.items() if name.startswith(STORE))

    def without_cut(self) -> dict[str, bytes]:
        """What is there if nothing goes wrong."""
        return {name: bytes(file.whole()) for name, file in self._names.items()}

    def after_cut(self, model: str, chance: random.Random) -> dict[str, bytes]:
        """What may be left of the store's files if the power goes now."""
        return {
            name: bytes(_left_of(file, model, chance))
            for name, file in self._names.items()
            if name.startswith(STORE)
        }


def write_files(directory: Path, files: Mapping[str, bytes]) -> None:
    """Put an image where it can be opened."""
    for name, data in files.items():
        (directory / name).write_bytes(data)


def _left_of(file: _File, model: str, chance: random.Random) -> bytearray:
    content = bytearray(file.synced)
    if model == "dropped" or not file.pending:
        return content
    kept = [change for change in _reordered(file.pending, chance) if chance.random() < 0.5]
    if model == "torn" and kept:
        kept[-1] = _torn(kept[-1], chance)
    for change in kept:
        change.apply(content)
    whole_bytes = len(file.whole())
    if whole_bytes > len(content) and chance.random() < 0.5:
        resize(content, whole_bytes)
    if model == "smash":
        _smash(content, file.pending, chance)
    return content


def _reordered(changes: Iterable[_Change], chance: random.Random) -> list[_Change]:
    """In any order, but that nothing passes a truncation."""
    parts: list[list[_Change]] = [[]]
    for change in changes:
        if change.data is None:
            parts += [[change], []]
        else:
            parts[-1].append(change)
    for part in parts:
        chance.shuffle(part)
    return [change for part in parts for change in part]


def _torn(change: _Change, chance: random.Random) -> _Change:
    if change.data is None:
        return change
    first = change.offset // _SECTOR_BYTES
    last = (change.offset + len(change.data)) // _SECTOR_BYTES
    end = max(change.offset, chance.randint(first, last) * _SECTOR_BYTES)
    return _Change(change.offset, change.data[: end - change.offset])


def _smash(content: bytearray, changes: Iterable[_Change], chance: random.Random) -> None:
    touched = {
        block
        for change in changes
        if change.data
        for block in range(
            change.offset // BLOCK_BYTES,
            (change.offset + len(change.data) - 1) // BLOCK_BYTES + 1,
        )
    }
    for block in sorted(touched):
        begin, end = block * BLOCK_BYTES, min((block + 1) * BLOCK_BYTES, len(content))
        if begin < end and chance.random() < 0.5:
            content[begin:end] = chance.randbytes(end - begin)


def resize(content: bytearray, size: int) -> None:
    """Cut off, or fill up with zeros."""
    del content[size:]
    content.extend(bytes(size - len(content)))
