"""Upstream ``file``: sensor frames as JSON lines or as a CBOR sequence (RFC 8742) on a disk.

For sites without a network, for a stick that is collected by hand, and for trying things out. A
frame is acknowledged once it is synchronised to the disk.
"""

import asyncio
import errno
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

from edge.upstreams.base import (
    Batch,
    Lane,
    PermanentUpstreamError,
    SendResult,
    TransientUpstreamError,
    UpstreamContext,
)
from edge.upstreams.frame_files import FORMATS, FrameFiles

# What a person has to mend. A full or failing disk may recover, e.g. when a stick is changed.
_PERMANENT = {
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.EEXIST,
    errno.ENAMETOOLONG,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class FileOptions:
    """``[[upstream]] kind = "file"``."""

    path: Path = field(
        metadata={"help": "directory for the files", "example": "/var/lib/lora-edge/frames"}
    )
    format: str = field(
        default="json",
        metadata={"help": "JSON lines or a CBOR sequence", "choices": tuple(FORMATS)},
    )
    max_bytes: int = field(
        default=1_000_000_000,
        metadata={"help": "size of all files; the oldest are removed", "minimum": 1_000_000},
    )
    max_file_bytes: int = field(
        default=10_000_000,
        metadata={"help": "size at which the next file begins", "minimum": 10_000},
    )


class FileUpstream:
    """One directory; see :class:`edge.upstreams.base.Upstream`."""

    Options: ClassVar[type[FileOptions]] = FileOptions
    lane: ClassVar[Lane] = Lane.DATA
    max_batch: ClassVar[int] = 256

    def __init__(self, options: FileOptions, context: UpstreamContext) -> None:
        self._name = context.name
        self._files = FrameFiles(
            options.path,
            FORMATS[options.format],
            max_bytes=options.max_bytes,
            max_file_bytes=options.max_file_bytes,
        )
        # A send that is cancelled goes on in its thread: closing has to wait for it.
        self._in_thread = threading.Lock()

    async def __aenter__(self) -> Self:
        try:
            await self._run(self._files.open)
        except BaseException:
            await self._run(self._files.close)
            raise
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._run(self._files.close)

    async def send(self, batch: Batch) -> SendResult:
        """Append frames to the newest file.

        Raises:
            TransientUpstreamError: the disk is full, or failing, or away.
            PermanentUpstreamError: the directory may not be written.
        """
        sent_bytes = await self._run(lambda: self._files.append(batch))
        return SendResult(frozenset(frame.frame_id for frame in batch), sent_bytes=sent_bytes or 0)

    @property
    def session_lost(self) -> bool:
        """What is on the disk stays there."""
        return False

    async def tick(self) -> None:
        """Nothing to do: a disk that went away is noticed by the next write."""

    async def _run(self, work: Callable[[], int | None]) -> int | None:
        def locked() -> int | None:
            with self._in_thread:
                return work()

        try:
            return await asyncio.to_thread(locked)
        except OSError as error:
            kind = PermanentUpstreamError if error.errno in _PERMANENT else TransientUpstreamError
            raise kind(f"cannot write frames: {error}") from error
