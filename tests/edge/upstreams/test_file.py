"""Upstream ``file``: what is on the disk, read with the standard library and cbor2 alone."""

import asyncio
import errno
import json
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import cbor2
import pytest

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError
from edge.upstreams.file import FileOptions, FileUpstream
from tests.edge.upstreams.conformance import Destination, UpstreamConformance
from tests.edge.upstreams.frames import (
    EPOCH,
    check_cbor,
    check_json,
    context,
    frame,
    frames,
    ids,
)

ROOT = Path(__file__).parents[3]


class Directory(Destination):
    """Files in one directory, in the order of its list."""

    def __init__(self, path: Path, file_format: str, **bounds: int) -> None:
        self.options = FileOptions(path=path, format=file_format, **bounds)

    def connection(self) -> FileUpstream:
        return FileUpstream(self.options, context())

    def files(self) -> list[Path]:
        """As the list beside them says."""
        path = self.options.path
        return [path / name for name in (path / ".files").read_text().split()]

    async def arrived(self, at_least: int) -> list[str]:
        found: list[str] = []
        for path in self.files():
            with path.open("rb") as file:
                if self.options.format == "json":
                    for line in file:
                        document = json.loads(line)
                        found.append(check_json(document, document["seq"]))
                else:
                    decoder = cbor2.CBORDecoder(file)
                    while file.tell() < path.stat().st_size:
                        document = decoder.decode()
                        found.append(check_cbor(document, document[3]))
        assert len(found) >= at_least
        return found

    @asynccontextmanager
    async def outage(self) -> AsyncIterator[None]:
        """Writes beyond a file's present end fail, as on a disk that has no room."""
        [newest] = self.files()
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (newest.stat().st_size + 1, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


class TestJson(UpstreamConformance):
    """JSON lines."""

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Destination:
        return Directory(tmp_path / "frames", "json")


class TestCborSequence(UpstreamConformance):
    """RFC 8742: CBOR data items, one after the other."""

    @pytest.fixture
    def destination(self, tmp_path: Path) -> Destination:
        return Directory(tmp_path / "frames", "cbor")


FORMATS = pytest.mark.parametrize("file_format", ["json", "cbor"])


def directory(tmp_path: Path, file_format: str = "json", **bounds: int) -> Directory:
    return Directory(tmp_path / "frames", file_format, **bounds)


async def send(destination: Directory, first: int, count: int) -> None:
    async with destination.connection() as upstream:
        await upstream.send(frames(first, count))


class TestFiles:
    """Names, rotation and bounds."""

    async def test_a_file_is_named_by_its_first_frame(self, tmp_path: Path) -> None:
        """By epoch and number, because the clock may say 1970."""
        destination = directory(tmp_path)
        await send(destination, 41, 3)
        assert [path.name for path in destination.files()] == [
            "00c0ffee00c0ffee-000000000041.jsonl"
        ]

    async def test_a_new_epoch_begins_a_file(self, tmp_path: Path) -> None:
        destination = directory(tmp_path, "cbor")
        other = bytes.fromhex("1122334455667788")
        async with destination.connection() as upstream:
            await upstream.send([frame(9)])
            await upstream.send([frame(1, epoch=other)])
        assert [path.name for path in destination.files()] == [
            f"{EPOCH.hex()}-000000000009.cborseq",
            "1122334455667788-000000000001.cborseq",
        ]

    async def test_the_same_file_goes_on_after_a_restart(self, tmp_path: Path) -> None:
        destination = directory(tmp_path)
        await send(destination, 1, 3)
        await send(destination, 4, 3)
        assert len(destination.files()) == 1
        assert await destination.arrived(6) == ids(frames(1, 6))

    async def test_full_files_are_followed_and_the_oldest_removed(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        """Removing is told, with the size, because these frames exist nowhere else any more."""
        destination = directory(tmp_path, max_file_bytes=20_000, max_bytes=100_000)
        async with destination.connection() as upstream:
            for first in range(1, 1_001, 10):
                await upstream.send(frames(first, 10))
        sizes = [path.stat().st_size for path in destination.files()]
        assert sum(sizes) <= 100_000
        assert all(20_000 <= size < 30_000 for size in sizes[:-1])
        arrived = await destination.arrived(1)
        assert arrived == ids(frames(1_001 - len(arrived), len(arrived)))
        assert sorted(path.name for path in destination.options.path.glob("*.jsonl")) == sorted(
            path.name for path in destination.files()
        )
        assert "removed the oldest file" in caplog.text

    async def test_without_its_list_the_files_are_found(self, tmp_path: Path) -> None:
        destination = directory(tmp_path, max_file_bytes=10_000)
        for first in range(1, 101, 25):
            await send(destination, first, 25)
        before = destination.files()
        assert len(before) > 1
        (destination.options.path / ".files").unlink()
        await send(destination, 101, 25)
        assert destination.files()[: len(before)] == before
        assert await destination.arrived(125) == ids(frames(1, 125))

    async def test_files_that_somebody_took_away_are_forgotten(self, tmp_path: Path) -> None:
        """A stick is emptied by hand while the service is down."""
        destination = directory(tmp_path)
        await send(destination, 1, 3)
        for path in destination.files():
            path.unlink()
        await send(destination, 4, 3)
        assert await destination.arrived(3) == ids(frames(4, 3))


@FORMATS
class TestTorn:
    """A crash may leave half a frame at the end, or zeros."""

    async def test_half_a_frame_is_cut_off(
        self, tmp_path: Path, file_format: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """At every byte of the last frame; the whole ones before it stay."""
        destination = directory(tmp_path, file_format)
        await send(destination, 1, 2)
        [path] = destination.files()
        two = path.read_bytes()
        await send(destination, 3, 1)
        three = path.read_bytes()
        for length in range(len(two), len(three), 7):
            path.write_bytes(three[:length])
            async with destination.connection() as upstream:
                assert path.read_bytes() == two
                await upstream.send(frames(3, 1))
            assert path.read_bytes() == three
        assert "cut off a torn frame" in caplog.text

    @pytest.mark.parametrize("tail", [bytes(500), b"\xff" * 9, b"[1]\n", b"\x83\x01", b"{}"])
    async def test_other_rubbish_is_cut_off(
        self, tmp_path: Path, file_format: str, tail: bytes
    ) -> None:
        destination = directory(tmp_path, file_format)
        await send(destination, 1, 2)
        [path] = destination.files()
        whole = path.read_bytes()
        path.write_bytes(whole + tail)
        async with destination.connection():
            assert path.read_bytes() == whole

    async def test_what_a_failed_write_left_is_cut_off(
        self, tmp_path: Path, file_format: str
    ) -> None:
        """On a full disk half of a batch may have been written."""
        destination = directory(tmp_path, file_format)
        async with destination.connection() as upstream:
            await upstream.send(frames(1, 2))
            async with destination.outage():
                with pytest.raises(TransientUpstreamError, match="cannot write frames"):
                    await upstream.send(frames(3, 200))
        await send(destination, 3, 2)
        assert await destination.arrived(4) == ids(frames(1, 4))


class TestFaults:
    """Who has to do something: nobody, or a person."""

    async def test_a_path_that_is_no_directory_is_permanent(self, tmp_path: Path) -> None:
        (tmp_path / "frames").write_text("a file")
        with pytest.raises(PermanentUpstreamError, match="cannot write frames"):
            await send(directory(tmp_path), 1, 1)
        destination = directory(tmp_path / "frames")  # below a file
        with pytest.raises(PermanentUpstreamError, match=os.strerror(errno.ENOTDIR)):
            await send(destination, 1, 1)

    async def test_a_forbidden_directory_is_permanent(self, tmp_path: Path) -> None:
        """As a user without rights sees it; root is let in everywhere but /proc and /sys."""
        destination = Directory(Path("/proc/lora-edge"), "json")
        with pytest.raises((PermanentUpstreamError, TransientUpstreamError)) as caught:
            await send(destination, 1, 1)
        cause = caught.value.__cause__
        assert isinstance(cause, OSError)
        assert cause.errno in (errno.ENOENT, errno.EACCES)

    @pytest.mark.parametrize(
        ("code", "kind"),
        [
            (errno.EACCES, PermanentUpstreamError),
            (errno.EPERM, PermanentUpstreamError),
            (errno.EROFS, PermanentUpstreamError),
            (errno.ENOSPC, TransientUpstreamError),
            (errno.EDQUOT, TransientUpstreamError),
            (errno.EIO, TransientUpstreamError),
        ],
    )
    async def test_each_error_of_the_system(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, kind: type[Exception]
    ) -> None:
        """A disk that cannot be had in a test answers fsync(2)."""
        destination = directory(tmp_path)

        def failing(_descriptor: int) -> None:
            raise OSError(code, os.strerror(code))

        async with destination.connection() as upstream:
            await upstream.send(frames(1, 1))
            monkeypatch.setattr(os, "fsync", failing)
            with pytest.raises(kind, match=os.strerror(code)):
                await upstream.send(frames(2, 1))


SENDER = """
import asyncio, os, sys
from pathlib import Path
from edge.upstreams.file import FileOptions, FileUpstream
from tests.edge.upstreams.frames import context, frames

async def main():
    async with FileUpstream(FileOptions(path=Path(sys.argv[1])), context()) as upstream:
        for first in (1, 11):
            await upstream.send(frames(first, 10))
            os.write(1, b"ACKNOWLEDGED")

asyncio.run(main())
"""


@pytest.mark.skipif(shutil.which("strace") is None, reason="NOT RUN: needs Debian package strace")
def test_synchronised_before_it_is_acknowledged(tmp_path: Path) -> None:
    """As the kernel saw it: writes to the file, fsync(2), then the acknowledgement."""
    trace = tmp_path / "trace"
    subprocess.run(
        [
            *("strace", "-f", "-y", "-e", "trace=write,fsync,fdatasync", "-o", str(trace)),
            *(sys.executable, "-c", SENDER, str(tmp_path / "frames")),
        ],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=60,
    )
    unsynchronised = False
    acknowledgements = 0
    for line in trace.read_text().splitlines():
        if "ACKNOWLEDGED" in line:
            acknowledgements += 1
            assert not unsynchronised
        elif ".jsonl>" in line:
            # A call of one thread may be shown in two parts; it has ended when a result is shown.
            unsynchronised = "fsync(" not in line or "unfinished" in line
        elif "fsync resumed" in line:
            unsynchronised = False
    assert acknowledgements == 2


async def test_a_send_in_its_thread_is_waited_for(tmp_path: Path) -> None:
    """Closing while the thread still writes would pull the file from under it."""
    destination = directory(tmp_path)
    for _ in range(20):
        async with destination.connection() as upstream:
            sending = asyncio.ensure_future(upstream.send(frames(1, 200)))
            await asyncio.sleep(0)
            sending.cancel()
    arrived = await destination.arrived(0)
    assert set(arrived) <= set(ids(frames(1, 200)))
