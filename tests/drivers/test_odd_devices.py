"""What may hang on a serial port that is not the board one hoped for."""

import asyncio
import os
import tty
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from drivers.base import DriverOptions, RadioOptions
from drivers.bridge import BridgeDriver
from drivers.errors import HandshakeTimeout, PortLost, UnsupportedConfiguration, UnsupportedDevice
from drivers.serial_port import open_port
from protocol.link.codec import parse, serialize
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import (
    BoardHello,
    Capability,
    Envelope,
    HostHello,
    Message,
    RadioDescription,
    ResetCause,
    Status,
    StatusCode,
)
from tests.drivers.devices import boottime_us

HELLO = BoardHello(
    nonce=0,
    boot_id=1,
    reset_cause=ResetCause.POWER_ON,
    capabilities=Capability(0),
    ring_capacity=64,
    max_requests=1,
    transmit_queue=0,
    first_unacknowledged=1,
    unique_id=bytes(8),
    firmware="odd",
    radios=(RadioDescription(76, 0x12, tcxo=False, pa_boost=False),),
)
OK = Status(StatusCode.OK)


@dataclass
class OddBoard:
    """Answers the hello with what it was given, and each request with one status."""

    master: int
    hello: BoardHello
    status: Status
    decoder: FrameDecoder = field(default_factory=FrameDecoder)

    def read(self) -> None:
        for body in self.decoder.feed(os.read(self.master, 4096)):
            envelope = parse(body)
            if isinstance(envelope.message, HostHello):
                self.send(replace(self.hello, nonce=envelope.message.nonce), 0)
            elif envelope.request:
                self.send(self.status, envelope.request)

    def send(self, message: Message, request: int) -> None:
        os.write(self.master, encode_frame(serialize(Envelope(message, 0, request))))


@contextmanager
def pty_pair() -> Iterator[tuple[int, str]]:
    """A raw pty: master and the slave's path."""
    master, slave = os.openpty()
    tty.setraw(slave)
    try:
        yield master, os.ttyname(slave)
    finally:
        os.close(slave)
        os.close(master)


@asynccontextmanager
async def odd_board(hello: BoardHello, status: Status = OK) -> AsyncIterator[BridgeDriver]:
    """A driver, not yet entered, for a board that says this of itself."""
    with pty_pair() as (master, path):
        board = OddBoard(master, hello, status)
        asyncio.get_running_loop().add_reader(master, board.read)
        try:
            yield BridgeDriver(options(path), boottime_us)
        finally:
            asyncio.get_running_loop().remove_reader(master)


def options(port: str) -> DriverOptions:
    """One radio, any board."""
    radio = RadioOptions(frequency_hz=921_400_000, spreading_factor=9)
    return DriverOptions(name="roof", port=port, baud=115_200, unique_id="", radios=(radio,))


async def test_a_silent_port_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """A GPS receiver, a console, a board without firmware."""
    monkeypatch.setattr(BridgeDriver, "handshake_s", 0.2)
    with pty_pair() as (_, path), pytest.raises(HandshakeTimeout, match="is it the right port"):
        await BridgeDriver(options(path), boottime_us).__aenter__()


async def test_another_version_of_the_link() -> None:
    """Told apart from a board that is away: trying again cannot help."""
    async with odd_board(replace(HELLO, major=2)) as driver:
        with pytest.raises(UnsupportedDevice, match="speaks version 2"):
            await driver.__aenter__()


@pytest.mark.parametrize("version", [0x22, 0x00, 0xFF])
async def test_a_chip_of_another_family_or_none(version: int) -> None:
    """0x22 is an SX1272; 0x00 and 0xFF are an empty socket (RegVersion, 0x42)."""
    radio = RadioDescription(76, version, tcxo=False, pa_boost=False)
    async with odd_board(replace(HELLO, radios=(radio,))) as driver:
        with pytest.raises(UnsupportedDevice, match=f"0x{version:02x}"):
            await driver.__aenter__()


async def test_more_radios_than_anybody_builds() -> None:
    """Nothing is asked of them."""
    async with odd_board(replace(HELLO, radios=HELLO.radios * 200)) as driver:
        with pytest.raises(UnsupportedDevice, match="200 radios"):
            await driver.__aenter__()


async def test_a_board_without_radios() -> None:
    """It cannot do what is configured."""
    async with odd_board(replace(HELLO, radios=())) as driver:
        with pytest.raises(UnsupportedConfiguration, match="has 0 radios"):
            await driver.__aenter__()


async def test_a_radio_that_cannot_be_set_up() -> None:
    """The step and the board's answer are told."""
    async with odd_board(HELLO, Status(StatusCode.RADIO_FAULT, 3)) as driver:
        with pytest.raises(PortLost, match="RADIO_FAULT at operation 3"):
            await driver.__aenter__()


async def test_no_such_port(tmp_path: Path) -> None:
    with pytest.raises(PortLost, match="is the board plugged in"):
        await open_port(str(tmp_path / "none"), 115_200)


async def test_a_file_is_no_port(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PortLost, match="file"):
        await open_port(str(tmp_path / "file"), 115_200)


async def test_a_reader_that_lags_stops_the_port_and_loses_nothing() -> None:
    """Memory is bounded; what waits in the kernel comes when it is read."""
    sent = bytes(range(256)) * 1024
    with pty_pair() as (master, path):
        os.set_blocking(master, False)
        port = await open_port(path, 115_200)
        left = sent

        async def write() -> None:
            nonlocal left
            while left:
                try:
                    left = left[os.write(master, left) :]
                except BlockingIOError:
                    await asyncio.sleep(0.001)

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.3)
        assert left  # it does not read on and on
        received = b""
        async with asyncio.timeout(20):
            while len(received) < len(sent):
                received += await port.read()
            await writing
        await port.close()
    assert received == sent
