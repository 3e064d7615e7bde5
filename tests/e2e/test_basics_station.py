"""Simulated boards, real gateway, and a network server that is a process of its own.

LNS has no acknowledgement: what is shown here is that a PONG behind the frames is one.
"""

import json
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import (
    Boards,
    Gateway,
    Process,
    boards,
    free_port,
    gateway,
    shown_on_failure,
    uplink_payload,
    use_upstream,
    wait_delivered,
    wait_until,
)
from tests.edge.upstreams.lns_server import phy_payload
from tests.scale import SCALE

pytestmark = pytest.mark.timeout(120 * SCALE)

OUTAGE_S = 3 * SCALE
FRAMES_PER_S = 50
KILLS = min(2 * SCALE, 10)


@dataclass
class Server:
    """The process, and what it has written down."""

    port: int
    log: Path
    process: Process

    def uplinks(self) -> list[dict[str, Any]]:
        """Every uplink that it got, repeats included."""
        if not self.log.exists():
            return []
        whole, _, _ = self.log.read_text().rpartition("\n")
        return [json.loads(line) for line in whole.splitlines()]

    def payloads(self) -> list[bytes]:
        """As they were on the air."""
        return [phy_payload(message) for message in self.uplinks()]


@contextmanager
def network_server(directory: Path) -> Iterator[Server]:
    """Running until it is killed; may be started again."""
    port, log = free_port(), directory / "uplinks.ndjson"
    command = [sys.executable, "-m", "tests.edge.upstreams.lns_server", str(port), str(log)]
    running = Server(port, log, Process(command, directory / "lns.log"))
    running.process.start()
    with shown_on_failure(running.process.log):
        try:
            yield running
        finally:
            if running.process.running:
                running.process.kill()


def use_basics_station(directory: Path, port: int) -> None:
    """Let the gateway talk to this server."""
    use_upstream(directory, f'kind = "basics-station"\nurl = "ws://127.0.0.1:{port}"\n')


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Boards]:
    """A board with two radios."""
    with boards(tmp_path, radios=("921.4:9", "921.6:9")) as running:
        yield running


def inject_for(site: Boards, first: int, seconds: float) -> int:
    """Frames of 50 devices at their pace; returns the number of the next one."""
    for number in range(first, first + round(seconds * FRAMES_PER_S)):
        site.inject_surely(uplink_payload(number), radio=number % 2)
        time.sleep(1 / FRAMES_PER_S)
    return first + round(seconds * FRAMES_PER_S)


def settle(site: Boards, running: Gateway, server: Server) -> None:
    """Everything is committed and delivered."""
    wait_delivered(site, running, deadline_s=120 * SCALE)
    check(site, server)


def check(site: Boards, server: Server) -> None:
    """Nothing is lost, nothing invented, and each device's frames came first in their order."""
    arrived = server.payloads()
    assert set(arrived) == set(site.injected)
    firsts = list(dict.fromkeys(arrived))
    for device in {payload[1:5] for payload in firsts}:
        of_device = [payload for payload in firsts if payload[1:5] == device]
        assert of_device == sorted(of_device, key=lambda p: int.from_bytes(p[6:8], "little"))


def test_an_outage_under_load(site: Boards, tmp_path: Path) -> None:
    """The server dies by kill -9 in the middle of traffic and comes back: 0 lost."""
    with network_server(tmp_path) as server:
        use_basics_station(tmp_path, server.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            number = inject_for(site, 0, 1)
            wait_until(lambda: len(server.payloads()) >= number, "live frames arrive")
            server.process.kill()
            number = inject_for(site, number, OUTAGE_S)
            before = len(server.payloads())
            server.process.start()
            wait_until(lambda: len(server.payloads()) > before, "catching up")
            inject_for(site, number, 1)
            settle(site, running, server)


def test_the_gateway_is_killed_in_the_outage_and_in_the_catch_up(
    site: Boards, tmp_path: Path
) -> None:
    """kill -9, again and again: 0 lost, repeats are the same bytes."""
    with network_server(tmp_path) as server:
        use_basics_station(tmp_path, server.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            server.process.kill()
            number = inject_for(site, 0, OUTAGE_S / 2)
            running.process.kill()
            running.start()
            number = inject_for(site, number, OUTAGE_S / 2)
            server.process.start()
            for _ in range(KILLS):
                before = len(server.payloads())
                wait_until(
                    lambda: len(server.payloads()) > before or running.pending() == 0,  # noqa: B023
                    "catching up",
                )
                running.process.kill()
                running.start()
            settle(site, running, server)
