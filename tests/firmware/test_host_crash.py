"""``kill -9`` of the host, again and again, while frames come in: the board loses none."""

import asyncio
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from drivers.base import Driver
from protocol.lora.events import LinkState
from tests.drivers.conformance import Listener
from tests.drivers.devices import DEADLINE_S
from tests.firmware.devices import FirmwareDevice, firmware_device
from tests.firmware.micropython_board import needs_micropython
from tests.scale import SCALE

pytestmark = needs_micropython

KILLS = 3 * SCALE
FRAMES_EACH = 60


class Disk:
    """What hosts have committed, of any life of theirs."""

    def __init__(self) -> None:
        self.events: dict[int, set[str]] = {}

    async def take(self, output: asyncio.StreamReader) -> None:
        """Read a host's output to its end; a line cut off by the kill was not committed."""
        while (line := await output.readline()).endswith(b"\n"):
            number, payload = line.decode().split(" ")
            self.events.setdefault(int(number), set()).add(payload.strip())


@asynccontextmanager
async def host(port: Path, disk: Disk) -> AsyncIterator[None]:
    """A process that has the board; killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.firmware.host_process", str(port),
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(disk.take(process.stdout))
            yield
            process.kill()
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def set_up(driver: Driver) -> None:
    """Let a driver set the radios up, and go."""
    async with driver:
        await Listener(driver).state(LinkState.UP)


async def until_committed(disk: Disk, count: int) -> None:
    """Wait until so many events are on the disk."""
    async with asyncio.timeout(DEADLINE_S):
        while len(disk.events) < count:
            await asyncio.sleep(0.005)


async def test_nothing_is_lost(tmp_path: Path) -> None:
    """Every frame is committed in the end, under one number and no other."""
    chance = random.Random(4)
    disk, sent = Disk(), list[str]()

    async def hear(device: FirmwareDevice, count: int) -> None:
        for _ in range(count):
            payload = len(sent).to_bytes(4, "big") + chance.randbytes(chance.randrange(200))
            await device.hear_on(0, payload)
            sent.append(payload.hex())

    async with firmware_device(tmp_path) as device:
        await set_up(device.new_driver())
        boots = device.board().boots
        for _ in range(KILLS):
            await hear(device, 5)  # nobody is there
            async with host(device.port, disk):
                await until_committed(disk, len(sent))
                await hear(device, FRAMES_EACH)
                await until_committed(disk, len(sent) - chance.randrange(FRAMES_EACH))
        async with host(device.port, disk):
            await until_committed(disk, len(sent))
        assert device.board().boots == boots
    assert [disk.events[number] for number in sorted(disk.events)] == [{each} for each in sent]
    assert sorted(disk.events) == list(range(1, len(sent) + 1))
