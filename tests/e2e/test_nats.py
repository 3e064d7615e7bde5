"""Simulated boards, real gateway, real nats-server: what stands in the stream is every frame once.

JetStream itself drops what is sent twice, so the number of messages in the stream is the judge.
"""

import asyncio
import json
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import (
    Boards,
    Gateway,
    boards,
    check_delivery,
    gateway,
    uplink_payload,
    use_upstream,
    wait_delivered,
    wait_until,
)
from tests.edge.upstreams.nats_servers import NatsServer, nats_server, server, stored
from tests.scale import SCALE

pytestmark = [
    pytest.mark.nats,
    pytest.mark.timeout(300 * SCALE),
    pytest.mark.skipif(nats_server() is None, reason="NOT RUN: needs Debian package nats-server"),
]

KILLS = 3 * SCALE
FRAMES_PER_ROUND = 150


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Boards]:
    """One board with two radios."""
    with boards(tmp_path, radios=("921.4:9", "921.6:9")) as running:
        yield running


def use_nats(directory: Path, port: int, extra: str = "") -> None:
    """Let the gateway publish to this server."""
    use_upstream(directory, f'kind = "nats"\nurl = "nats://127.0.0.1:{port}"\n{extra}')


def inject_some(site: Boards, first: int, count: int) -> None:
    for number in range(first, first + count):
        site.inject_surely(uplink_payload(number), radio=number % 2)


def in_stream(running: NatsServer) -> list[dict[str, Any]]:
    """The frames of all messages, in the stream's order."""
    messages = asyncio.run(stored(running.port))
    return [json.loads(message.payload) for message in messages]


def check_each_once(site: Boards, frames: list[dict[str, Any]]) -> None:
    """Nothing lost, nothing invented, and no frame twice."""
    check_delivery(frames, site.injected)
    assert len(frames) == len({frame["frame_id"] for frame in frames}) == len(site.injected)


def test_outage_with_kills(site: Boards, tmp_path: Path) -> None:
    """kill -9 of the server under load, of the gateway in the outage and in the catch-up."""
    chance = random.Random(20261125)
    with server(tmp_path) as nats:
        use_nats(tmp_path, nats.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            for round_number in range(KILLS):
                first = round_number * 3 * FRAMES_PER_ROUND
                inject_some(site, first, FRAMES_PER_ROUND)
                nats.kill()
                inject_some(site, first + FRAMES_PER_ROUND, FRAMES_PER_ROUND)
                running.process.kill()
                running.start()
                nats.start()
                inject_some(site, first + 2 * FRAMES_PER_ROUND, FRAMES_PER_ROUND)
                time.sleep(chance.uniform(0, 0.4))
                running.process.kill()
                running.start()
            wait_delivered(site, running)
        check_each_once(site, in_stream(nats))


def test_a_full_stream_loses_nothing(site: Boards, tmp_path: Path) -> None:
    """What a stream at its limit refuses stays in the outbox until somebody makes room."""
    with server(tmp_path) as nats:
        asyncio.run(make_stream(nats.port, max_msgs=20))
        use_nats(tmp_path, nats.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, 50)
            wait_until(site.drained, "committed")
            wait_until(lambda: "maximum messages" in last_error(running), "the stream is full")
            assert running.pending() == 30
            asyncio.run(make_stream(nats.port, max_msgs=-1, again=True))
            wait_delivered(site, running)
        check_each_once(site, in_stream(nats))


def test_no_permission_parks_the_upstream(site: Boards, tmp_path: Path) -> None:
    """A forbidden subject is said in words, and loses nothing."""
    permissions = '{ publish: ["$JS.API.>"], subscribe: [">"] }'
    accounts = f'users = [{{ user: "g", password: "p", permissions: {permissions} }}]'
    (tmp_path / "password").write_text("p\n")
    login = f'username = "g"\npassword_file = "{tmp_path}/password"\n'
    with server(tmp_path, f"authorization {{ {accounts} }}\n") as nats:
        use_nats(tmp_path, nats.port, login)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, 10)
            wait_until(site.drained, "committed")
            wait_until(lambda: running.status()["upstreams"][0]["parked"], "it is parked")
            assert "the account may not publish to lora-edge." in last_error(running)
            assert running.pending() == 10


def last_error(running: Gateway) -> str:
    return running.status()["upstreams"][0]["last_error"] or ""


async def make_stream(port: int, *, max_msgs: int, again: bool = False) -> None:
    """As an operator does, by nats-py."""
    import nats

    client = await nats.connect(f"nats://127.0.0.1:{port}")
    try:
        context = client.jetstream()
        act = context.update_stream if again else context.add_stream
        await act(
            name="LORA_EDGE",
            subjects=["lora-edge.*.up.*"],
            max_msgs=max_msgs,
            discard="new",
            duplicate_window=86_400,
        )
    finally:
        await client.close()
