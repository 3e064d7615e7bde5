"""Files of sensor frames in one directory: appended to, rotated, bounded, never torn.

Blocking; the upstream ``file`` calls it in a thread.
"""

import json
import logging
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import cbor2

from protocol.records.sensor_frame import FrameId, SensorFrame
from protocol.records.sensor_frame_codec import encode
from protocol.records.sensor_frame_json import encode_json

logger = logging.getLogger(__name__)

_INDEX = ".files"


def _json_line(frame: SensorFrame) -> bytes:
    return encode_json(frame) + b"\n"


def _whole_json_lines(file: BinaryIO) -> int:
    length = 0
    # A line that ends is not yet whole: after a power cut a file may have holes of zeros.
    with suppress(ValueError):
        for line in file:
            if not line.endswith(b"\n") or not isinstance(json.loads(line), dict):
                break
            length += len(line)
    return length


def _whole_cbor_items(file: BinaryIO) -> int:
    decoder = cbor2.CBORDecoder(file, allow_indefinite=False, max_depth=8)
    length = 0
    with suppress(cbor2.CBORDecodeError):
        while isinstance(decoder.decode(), dict):
            length = file.tell()
    return length


@dataclass(frozen=True, slots=True)
class FileFormat:
    """How frames are written, and how many bytes of a file are whole frames."""

    suffix: str
    encode: Callable[[SensorFrame], bytes]
    whole_bytes: Callable[[BinaryIO], int]


FORMATS = {
    "json": FileFormat(".jsonl", _json_line, _whole_json_lines),
    "cbor": FileFormat(".cborseq", encode, _whole_cbor_items),
}


class FrameFiles:
    """Appends to the newest file; a full one is followed by another, the oldest are removed.

    A file is named by epoch and number of its first frame, because the clock may say 1970. Neither
    names nor file times tell which file came first, so a list of their names is kept beside them.

    Args:
        max_bytes: of all files; the newest one stays in any case.
        max_file_bytes: a file that has reached this is not appended to.
    """

    def __init__(
        self, directory: Path, file_format: FileFormat, *, max_bytes: int, max_file_bytes: int
    ) -> None:
        self._directory = directory
        self._format = file_format
        self._max_bytes = max_bytes
        self._max_file_bytes = max_file_bytes
        self._sizes: dict[str, int] = {}  # oldest first
        self._file: BinaryIO | None = None

    def open(self) -> None:
        """Make the directory, and cut off what a crash has torn.

        Raises:
            OSError: that is not possible.
        """
        self._directory.mkdir(parents=True, exist_ok=True)
        self._sizes = {
            name: (self._directory / name).stat().st_size
            for name in self._listed()
            if (self._directory / name).exists()
        }
        if self._sizes:
            self._open_file(next(reversed(self._sizes)))

    def append(self, frames: Sequence[SensorFrame]) -> int:
        """Write frames; they are on the disk when this returns. Returns how many bytes that was.

        Raises:
            OSError: they are not, or not all of them; open again before going on.
        """
        if not frames:
            return 0
        if self._file is None or self._is_finished(frames[0].frame_id):
            self._begin(frames[0].frame_id)
        assert self._file is not None
        data = b"".join(map(self._format.encode, frames))
        self._file.write(data)
        self._file.flush()
        os.fsync(self._file.fileno())
        self._sizes[next(reversed(self._sizes))] += len(data)
        self._remove_oldest()
        return len(data)

    def close(self) -> None:
        """Close the newest file."""
        file, self._file = self._file, None
        if file is not None:
            # What could not be written before is not acknowledged, so nothing is lost with it.
            with suppress(OSError):
                file.close()

    def _is_finished(self, next_frame: FrameId) -> bool:
        name, size = next(reversed(self._sizes.items()))
        return size >= self._max_file_bytes or not name.startswith(next_frame.epoch.hex())

    def _begin(self, first: FrameId) -> None:
        self.close()
        name = f"{first.epoch.hex()}-{first.seq:012d}{self._format.suffix}"
        # A frame that is sent again may have begun a file before.
        size = self._sizes.pop(name, 0)
        self._sizes[name] = size
        self._write_list()
        self._open_file(name)
        _sync_directory(self._directory)

    def _open_file(self, name: str) -> None:
        # Appending, every write goes to the end, wherever reading has left off.
        self._file = file = (self._directory / name).open("a+b")
        file.seek(0)
        whole = self._format.whole_bytes(file)
        torn = file.seek(0, os.SEEK_END) - whole
        if torn:
            logger.warning("cut off a torn frame file=%s bytes=%d", name, torn)
            file.truncate(whole)
            os.fsync(file.fileno())
        self._sizes[name] = whole

    def _remove_oldest(self) -> None:
        while sum(self._sizes.values()) > self._max_bytes and len(self._sizes) > 1:
            name = next(iter(self._sizes))
            (self._directory / name).unlink(missing_ok=True)
            size = self._sizes.pop(name)
            logger.warning("removed the oldest file file=%s bytes=%d", name, size)
            self._write_list()

    def _listed(self) -> list[str]:
        found = self._directory.glob(f"*{self._format.suffix}")
        by_time = [path.name for path in sorted(found, key=lambda path: path.stat().st_mtime_ns)]
        try:
            listed = (self._directory / _INDEX).read_text().split()
        except (FileNotFoundError, UnicodeDecodeError):
            listed = []
        # Without the list, or where a power cut has damaged it, times are the best guess.
        return listed if set(by_time) <= set(listed) else by_time

    def _write_list(self) -> None:
        new = self._directory / f"{_INDEX}.new"
        with new.open("w") as file:
            file.writelines(f"{name}\n" for name in self._sizes)
            file.flush()
            os.fsync(file.fileno())
        new.replace(self._directory / _INDEX)


def _sync_directory(directory: Path) -> None:
    """Make new and renamed entries survive a power cut."""
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
