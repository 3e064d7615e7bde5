"""Simulated board, real gateway, and a server of the Semtech UDP protocol written by hand.

The server is away for a while under load, and the gateway is killed meanwhile and while it catches
up; what arrives is judged by the protocol's document alone.
"""

import base64
import json
import random
import socket
import struct
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import (
    Gateway,
    boards,
    gateway,
    uplink_payload,
    use_upstream,
    wait_until,
)
from tests.scale import SCALE

pytestmark = pytest.mark.timeout(300 * SCALE)

FRAMES = 300 * SCALE
OUTAGE_S = 2.0 * SCALE
ANSWERS = {0: 1, 2: 4}  # PUSH_DATA: PUSH_ACK, PULL_DATA: PULL_ACK


class Server:
    """Answers in a thread of its own while it is there."""

    def __init__(self) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.05)
        self.port = int(self.socket.getsockname()[1])
        self.there = True
        self.over = False
        self.rxpk: list[tuple[float, dict[str, Any]]] = []

    def run(self) -> None:
        while not self.over:
            try:
                data, address = self.socket.recvfrom(65_536)
            except TimeoutError:
                continue
            if not self.there:
                continue
            _, token, kind = struct.unpack_from(">B2sB", data)
            if kind == 0:
                now = time.monotonic()
                reports = json.loads(data[12:]).get("rxpk", ())
                self.rxpk += ((now, each) for each in reports)
            if kind in ANSWERS:
                self.socket.sendto(struct.pack(">B2sB", 2, token, ANSWERS[kind]), address)

    def payloads(self) -> list[bytes]:
        return [base64.b64decode(report["data"]) for _, report in list(self.rxpk)]


@contextmanager
def server() -> Iterator[Server]:
    running = Server()
    thread = threading.Thread(target=running.run)
    thread.start()
    try:
        yield running
    finally:
        running.over = True
        thread.join()
        running.socket.close()


def use_semtech_udp(directory: Path, port: int) -> None:
    """Let the gateway send to this server."""
    keys = f'kind = "semtech-udp"\nurl = "udp://127.0.0.1:{port}"\nacknowledge_timeout = "2s"\n'
    use_upstream(directory, keys)


def kill(running: Gateway) -> None:
    running.process.kill()
    running.start()


@pytest.mark.parametrize("kills", [False, True], ids=["outage", "outage and kill -9"])
def test_an_outage_loses_nothing(tmp_path: Path, kills: bool) -> None:
    """All of it arrives, once in effect, and first copies are in each device's order."""
    chance = random.Random(20261125)
    with server() as network, boards(tmp_path) as site:
        use_semtech_udp(tmp_path, network.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the board is up")
            for number in range(FRAMES):
                if number == FRAMES // 4:
                    network.there = False
                    gone_at = time.monotonic()
                if number == FRAMES // 2 and kills:
                    kill(running)
                    wait_until(running.up, "the board is up again")
                site.inject_surely(uplink_payload(number))
            wait_until(site.drained, "all events are committed")
            while time.monotonic() < gone_at + OUTAGE_S:
                time.sleep(0.05)
            network.there = True
            if kills:
                wait_until(lambda: len(set(network.payloads())) > FRAMES // 3, "it catches up")
                time.sleep(chance.uniform(0, 0.5))
                kill(running)
            wait_until(lambda: running.pending() == 0, "the outbox is empty")
        arrived = network.payloads()
        assert set(arrived) == set(site.injected)
        by_device: dict[bytes, list[bytes]] = {}
        for payload in dict.fromkeys(arrived):
            by_device.setdefault(payload[1:5], []).append(payload[6:8])
        for counters in by_device.values():
            numbers = [int.from_bytes(counter, "little") for counter in counters]
            assert numbers == sorted(numbers)
