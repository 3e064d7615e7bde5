"""The published Reticulum package brings up the simulated RNode: another reading of the firmware.

What our driver and our simulated device might both have got wrong, its interface would not accept:
it compares the echoes of all settings itself before it comes online.
"""

import asyncio
import importlib.util
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from simulator.simulated_site import Site
from tests.drivers.devices import Device
from tests.drivers.test_rnode import RNODE

PACKETS = 200
PYTHON = os.environ.get("RNS_PYTHON") or sys.executable
MISSING = "RNS_PYTHON" not in os.environ and importlib.util.find_spec("RNS") is None

pytestmark = [
    pytest.mark.rns,
    pytest.mark.skipif(MISSING, reason="needs the package rns (or RNS_PYTHON=python with it)"),
]

CONFIGURATION = """\
[reticulum]
enable_transport = no
share_instance = no
[interfaces]
  [[judge]]
    type = RNodeInterface
    enabled = yes
    port = {port}
    frequency = 921400000
    bandwidth = 500000
    txpower = 2
    spreadingfactor = 7
    codingrate = 5
"""


@dataclass
class Judge:
    """The other process, and what it has received."""

    process: asyncio.subprocess.Process
    received: list[bytes] = field(default_factory=list)

    async def line(self) -> str:
        """Its next line."""
        assert self.process.stdout is not None
        line = (await self.process.stdout.readline()).decode().strip()
        assert line, "the judge has ended"
        return line

    async def receive(self, count: int) -> None:
        """Wait until it has received so many packets."""
        async with asyncio.timeout(60):
            while len(self.received) < count:
                word, _, digits = (await self.line()).partition(" ")
                assert word == "in"
                self.received.append(bytes.fromhex(digits))

    def send(self, packet: bytes) -> None:
        """Let its interface send a packet."""
        assert self.process.stdin is not None
        self.process.stdin.write(packet.hex().encode() + b"\n")


@asynccontextmanager
async def judge_at(site: Site, directory: Path) -> AsyncIterator[Judge]:
    """A Reticulum whose interface has come online."""
    directory.mkdir()
    (directory / "config").write_text(CONFIGURATION.format(port=site.directory / "board"))
    process = await asyncio.create_subprocess_exec(
        PYTHON, str(Path(__file__).with_name("rns_peer.py")), str(directory),
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        judge = Judge(process)
        async with asyncio.timeout(60):
            assert await judge.line() == "up"
        yield judge
    finally:
        process.kill()
        await process.wait()


def packets(seed: int) -> list[bytes]:
    """Of all lengths, with what must be escaped, and some that need two packets on the air."""
    chance = random.Random(seed)
    lengths = [1, 253, 254, 255, 300, 508] + [chance.randrange(1, 90) for _ in range(PACKETS - 6)]
    return [
        bytes(chance.choices([*range(256), *[0xC0, 0xDB, 0xDC, 0xDD] * 20], k=length))
        for length in lengths
    ]


def on_the_air(payload: bytes, number: int) -> list[bytes]:
    """As another RNode sends it: a header byte, with bit 0 set on both of two packets."""
    header = number % 16 << 4
    if len(payload) <= 254:
        return [bytes([header]) + payload]
    return [bytes([header | 1]) + part for part in (payload[:254], payload[254:])]


def off_the_air(sent: list[bytes]) -> list[bytes]:
    """Payloads of packets on the air, two with the same header joined."""
    payloads: list[bytes] = []
    half: bytes | None = None
    for packet in sent:
        header, payload = packet[:1], packet[1:]
        if not header[0] & 1:
            payloads.append(payload)
        elif half is None:
            half = packet
        else:
            assert half[:1] == header
            payloads.append(half[1:] + payload)
            half = None
    assert half is None
    return payloads


async def until(true: object, deadline_s: float = 60.0) -> None:
    """Wait for a condition."""
    assert callable(true)
    async with asyncio.timeout(deadline_s):
        while not true():
            await asyncio.sleep(0.002)


@pytest.mark.timeout(180)
async def test_200_packets_cross_in_each_direction(tmp_path: Path) -> None:
    """Byte-equal and in order, after Reticulum has brought the device up."""
    transmitted: list[bytes] = []
    site = Site(tmp_path, {"board": 1}, seed=1, baud=0, kinds={"board": "rnode"})
    site.on_transmit = lambda _name, _radio, packet: transmitted.append(packet)
    site.start()
    device = Device(site, RNODE)
    try:
        async with judge_at(site, tmp_path / "reticulum") as judge:
            inward = packets(1)
            for number, payload in enumerate(inward):
                for packet in on_the_air(payload, number):
                    await device.transmission(packet)
            await judge.receive(PACKETS)
            assert judge.received == inward

            outward = packets(2)
            for number, payload in enumerate(outward):
                judge.send(payload)
                # The device's queue overflows without a word: no more than it can take.
                if number % 50 == 49:
                    await until(lambda done=number: len(off_the_air_so_far(transmitted)) > done)
            assert off_the_air(transmitted) == outward
    finally:
        site.stop()


def off_the_air_so_far(transmitted: list[bytes]) -> list[bytes]:
    """Payloads of what has been sent completely."""
    halves = sum(packet[0] & 1 for packet in transmitted)
    return off_the_air(transmitted[:-1] if halves % 2 else transmitted)
