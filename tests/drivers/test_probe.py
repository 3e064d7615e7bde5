"""Asking what is on a port: real ptys, the simulated board, and what is no device of ours."""

import asyncio
import fcntl
import os
import subprocess
import sys
import tty
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from drivers import probe
from drivers.ports import FoundPort, Machine
from drivers.probe import Probed, probe_port, probe_ports
from protocol.dialects.probing import QUESTIONS
from tests.drivers.devices import BRIDGE, powered
from tests.drivers.test_loraprs import LORAPRS

HERE = Machine()


@pytest.fixture(autouse=True)
def short_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ptys answer at once; silence need not be waited for as long as a boot takes."""
    monkeypatch.setattr(probe, "_FIRST_RATE_S", 0.6)
    monkeypatch.setattr(probe, "_NEXT_RATE_S", 0.3)
    monkeypatch.setattr(probe, "_TURN_S", 0.1)


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[FoundPort]:
    """A device that answers what it reads; must be used on a running loop."""
    master, slave = os.openpty()
    tty.setraw(slave)

    def read() -> None:
        os.write(master, answer(os.read(master, 4096)))

    loop = asyncio.get_running_loop()
    loop.add_reader(master, read)
    try:
        yield FoundPort(Path(os.ttyname(slave)))
    finally:
        loop.remove_reader(master)
        os.close(slave)
        os.close(master)


def an_rnode(asked: bytes) -> bytes:
    """By its document: echoes of the command with the value."""
    answers = {
        b"\xc0\x08\x73\xc0": b"\xc0\x08\x46\xc0",
        b"\xc0\x50\x00\xc0": b"\xc0\x50\x01\x56\xc0",
        b"\xc0\x51\x00\xc0\xc0\x48\x00\xc0": b"\xc0\x51"
        + b"\x01" * 0x9B
        + b"\x73\xc0\xc0\x48\x80\xc0",
    }
    return answers.get(asked, b"")


def an_rn2903(asked: bytes) -> bytes:
    """By its document; to lines that it does not understand it says so."""
    if b"sys get ver" in asked:
        return b"invalid_param\r\nRN2903 1.0.5 Nov 06 2018 10:45:27\r\n"
    return b"0004A30B001A2B3C\r\n" if b"hweui" in asked else b""


async def test_a_board_introduces_itself_and_can_be_used_right_after(tmp_path: Path) -> None:
    async with powered(BRIDGE, tmp_path) as device:
        found = await probe_port(HERE, FoundPort(device.port.resolve()))

        assert found.introduction is not None
        assert found.introduction.driver == "bridge"
        concentrator = device.site.concentrators["board"]
        assert found.introduction.identity == concentrator.identity.unique_id.hex()
        assert found.introduction.radios == 2
        async with device.new_driver():
            pass


async def test_a_silent_modem_shows_itself_by_restarting(tmp_path: Path) -> None:
    """It is in use by nobody, so that its settings are nobody's loss."""
    async with powered(LORAPRS, tmp_path) as device:
        found = await probe_port(HERE, FoundPort(device.port.resolve()))

        assert found.introduction is not None
        assert (found.introduction.driver, found.introduction.identity) == ("loraprs", "")
        async with device.new_driver():
            pass


async def test_other_families_are_told_apart_all_at_once(tmp_path: Path) -> None:
    with answering(an_rnode) as rnode, answering(an_rn2903) as rn2903:
        found = await probe_ports(HERE, [rnode, rn2903], QUESTIONS)

    drivers = [each.introduction and each.introduction.driver for each in found]
    assert drivers == ["rnode", "rn2xx3"]
    identities = [each.introduction and each.introduction.identity for each in found]
    assert identities == ["01" * 7, "0004a30b001a2b3c"]


async def test_a_silent_port_has_no_device() -> None:
    with answering(lambda _asked: b"") as port:
        found = await probe_port(HERE, port)

    assert (found.introduction, found.reason, found.asked) == (None, "nothing answers", True)


async def test_something_unknown_is_told_from_nothing() -> None:
    with answering(lambda asked: b"$GPGGA,,,,,,0,,,,,,,,*66\r\n") as port:
        found = await probe_port(HERE, port)

    assert found.introduction is None
    assert "none of the known families" in found.reason
    assert "GPS" in found.fix


async def test_a_port_that_is_in_use_is_never_opened() -> None:
    seen: list[bytes] = []

    def note(asked: bytes) -> bytes:
        seen.append(asked)
        return b""

    with answering(note) as port:
        hold = subprocess.Popen(
            [sys.executable, "-c", "import sys; p = open(sys.argv[1], 'rb', 0); print(flush=True);"
             "sys.stdin.read()", str(port.device)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )  # fmt: skip
        assert hold.stdout is not None
        try:
            await asyncio.to_thread(hold.stdout.readline)
            found = await probe_port(HERE, port)
        finally:
            await asyncio.to_thread(hold.communicate, b"")

    assert not found.asked
    assert f"(process {hold.pid})" in found.reason
    assert seen == []


async def test_a_port_that_was_locked_at_the_last_moment_is_told() -> None:
    with answering(lambda _asked: b"") as port, port.device.open("rb", buffering=0) as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # this process's own hold is seen by the lock only
        found = await probe_port(HERE, port)

    assert "in use by another process" in found.reason


async def test_the_bluetooth_chip_is_left_alone() -> None:
    found = await probe_port(HERE, FoundPort(Path("/dev/null"), is_bluetooth=True))

    assert found == Probed(
        FoundPort(Path("/dev/null"), is_bluetooth=True),
        None,
        "the machine's Bluetooth chip",
        asked=False,
    )


async def test_a_port_that_vanishes_meanwhile_is_told() -> None:
    master, slave = os.openpty()
    port = FoundPort(Path(os.ttyname(slave)))
    asyncio.get_running_loop().call_later(0.2, os.close, master)
    asyncio.get_running_loop().call_later(0.2, os.close, slave)

    found = await probe_port(HERE, port)

    assert found.introduction is None
    assert str(port.device) in found.reason


async def test_a_device_that_never_stops_talking_is_done_with_in_time() -> None:
    master, slave = os.openpty()
    tty.setraw(slave)
    os.set_blocking(master, False)
    loop = asyncio.get_running_loop()

    def talk() -> None:
        with suppress(BlockingIOError):
            os.write(master, b"x" * 1024)
        if talking:
            loop.call_later(0.001, talk)

    talking = [True]
    talk()
    try:
        found = await probe_port(HERE, FoundPort(Path(os.ttyname(slave))))
    finally:
        talking.clear()
        await asyncio.sleep(0.01)
        os.close(slave)
        os.close(master)

    assert "none of the known families" in found.reason
