"""The real gateway under libfaketime: a wall clock that jumps while it runs and between restarts.

Only the wall clock is faked; CLOCK_BOOTTIME and the event loop's clock are the host's. Whether the
kernel calls the clock synchronised cannot be faked by libfaketime, so a small library answers
``adjtimex`` from a file. What is proved is everything from libc upwards: how the service reads its
clocks, that no timer of it follows the wall clock, and what it stores. What the kernel itself says
after a real NTP exchange is not.
"""

import asyncio
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.outbox.admission import OutboxSettings
from edge.outbox.store import open_outbox
from protocol.records.sensor_frame import SensorFrame
from tests.e2e.processes import (
    Boards,
    Gateway,
    boards,
    free_port,
    gateway,
    uplink_payload,
    use_mqtt,
    wait_until,
)
from tests.edge.outbox.open_store import StillClock

LIBRARIES = sorted(Path("/usr/lib").glob("*/faketime/libfaketime.so.1"))

pytestmark = [
    pytest.mark.skipif(not LIBRARIES, reason="NOT RUN: needs Debian package faketime"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="NOT RUN: needs a C compiler (cc)"),
]

ADJTIMEX = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/timex.h>

/* Synchronised within 10 ms if the file says 1. */
int adjtimex(struct timex *answer) {
    FILE *file = fopen(getenv("TEST_SYNCHRONISED"), "r");
    int synchronised = file != NULL && fgetc(file) == '1';
    if (file != NULL) fclose(file);
    memset(answer, 0, sizeof *answer);
    answer->status = synchronised ? 0 : STA_UNSYNC;
    answer->maxerror = synchronised ? 10000 : 16000000;
    return synchronised ? TIME_OK : TIME_ERROR;
}
"""


@dataclass(frozen=True)
class HostClock:
    """What processes that are started from here take for the host's wall clock."""

    directory: Path

    def set(self, offset: str, *, synchronised: bool) -> None:
        """Let it be off by this much, in libfaketime's words, from now on."""
        for name, text in (("offset", offset), ("synchronised", str(int(synchronised)))):
            path = self.directory / f"{name}.new"
            path.write_text(text + "\n")
            path.rename(self.directory / name)  # never seen half written


@contextmanager
def host_clock(directory: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HostClock]:
    """Build the preloaded library and set the environment of processes yet to be started."""
    source, library = directory / "adjtimex.c", directory / "adjtimex.so"
    source.write_text(ADJTIMEX)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, source], check=True)
    with monkeypatch.context() as environment:
        environment.setenv("LD_PRELOAD", f"{library}:{LIBRARIES[0]}")
        environment.setenv("TEST_SYNCHRONISED", str(directory / "synchronised"))
        environment.setenv("FAKETIME_TIMESTAMP_FILE", str(directory / "offset"))
        environment.setenv("FAKETIME_NO_CACHE", "1")
        environment.setenv("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        yield HostClock(directory)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Boards]:
    """One board, and an upstream that never answers; they keep the real time."""
    with boards(tmp_path) as running:
        use_mqtt(tmp_path, free_port())
        yield running


class Witness:
    """Injects frames and remembers when, by the real clock."""

    def __init__(self, site: Boards, running: Gateway) -> None:
        self.injected_at_s: list[tuple[float, float]] = []
        self._site = site
        self._running = running

    def inject(self, count: int = 3) -> None:
        """Let frames arrive and wait until they are committed."""
        for _ in range(count):
            before_s = time.time()
            self._site.inject_surely(uplink_payload(len(self.injected_at_s)))
            self.injected_at_s.append((before_s, time.time()))
        wait_until(
            lambda: self._running.pending() == len(self.injected_at_s),
            "all are stored and wait for the upstream, none was removed",
        )

    def clock_is_seen(self, *, synchronised: bool) -> None:
        """Wait until the service has noticed."""
        wait_until(
            lambda: self._running.status()["clock_synchronised"] == synchronised,
            "the service sees whether its clock is synchronised",
        )


def stored_frames(directory: Path, gateway_id: str) -> list[SensorFrame]:
    """What is in the store of a stopped gateway, dated by what was written there."""

    async def read() -> list[SensorFrame]:
        async with (
            open_outbox(
                directory / "state" / "outbox.db",
                gateway=bytes.fromhex(gateway_id),
                clock=StillClock(b"another boot 16b"),
                settings=OutboxSettings(upstreams=None),
                metrics=Metrics("test"),
            ) as outbox,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(outbox.run())
            try:
                return list(await outbox.frames(limit=1_000))
            finally:
                outbox.stop()

    return asyncio.run(read())


def test_jumps(site: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """1970, 56 years ahead, a day back, a step: all kept, in order, right to 1 s in the end."""
    with host_clock(tmp_path, monkeypatch) as clock:
        clock.set(f"-{int(time.time()) - 10}", synchronised=False)  # 1970-01-01 00:00:10
        with gateway(tmp_path) as running:
            gateway_id = running.status()["gateway"]
            witness = Witness(site, running)
            wait_until(running.up, "the board is up although it is 1970")
            witness.inject()
            assert not running.status()["clock_synchronised"]
            clock.set("+56y", synchronised=True)
            witness.clock_is_seen(synchronised=True)
            witness.inject()
            running.process.kill()
            running.start()  # and learns that it is 56 years later
            witness.inject()
            clock.set("-1d", synchronised=True)
            witness.inject()
            assert running.process.terminate() == 0
            running.start()
            witness.inject()
            clock.set("+3600", synchronised=True)
            witness.inject()
            clock.set("+0", synchronised=True)
            witness.inject()
            assert running.process.terminate() == 0
    frames = stored_frames(tmp_path, gateway_id)
    assert [frame.content.phy_payload for frame in frames] == site.injected
    for frame, (before_s, after_s) in zip(frames, witness.injected_at_s, strict=True):
        assert frame.received_at is not None
        assert before_s - 1 <= frame.received_at.unix_us / 1e6 <= after_s + 1


def may_have_own_boot_id() -> bool:
    """Whether a process can be given a boot id of its own here."""
    if shutil.which("unshare") is None:
        return False
    command = ["unshare", "--mount", "--map-root-user", "true"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(
    not may_have_own_boot_id(), reason="NOT RUN: needs user namespaces (unshare --map-root-user)"
)
def test_reboot_into_the_future(
    site: Boards, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A boot 56 years ahead, vouched for, does not expire what the boot before has stored."""
    boot_id = tmp_path / "boot_id"
    with host_clock(tmp_path, monkeypatch) as clock:
        clock.set("+0", synchronised=True)
        boot_id.write_text("00000000-0000-4000-8000-000000000001\n")
        with gateway(tmp_path, own_boot_id=boot_id) as running:
            gateway_id = running.status()["gateway"]
            witness = Witness(site, running)
            witness.inject()
            assert running.process.terminate() == 0
            boot_id.write_text("00000000-0000-4000-8000-000000000002\n")
            clock.set("+56y", synchronised=True)
            running.start()
            witness.inject()
            assert running.process.terminate() == 0
            running.start()
            witness.inject()
            clock.set("+0", synchronised=True)
            assert running.process.terminate() == 0
    frames = stored_frames(tmp_path, gateway_id)
    assert [frame.content.phy_payload for frame in frames] == site.injected
    assert len({frame.content.boot_id for frame in frames}) == 2
    for frame, (before_s, after_s) in zip(frames, witness.injected_at_s, strict=True):
        assert frame.received_at is not None
        assert before_s - 1 <= frame.received_at.unix_us / 1e6 <= after_s + 1
