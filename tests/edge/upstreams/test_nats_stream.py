"""The stream as a real server has it: made, looked at, and told what is wrong with it."""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.js import JetStreamContext

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError
from tests.edge.outbox.open_store import GATEWAY
from tests.edge.upstreams.frames import frames, ids
from tests.edge.upstreams.nats_servers import NatsServer, server, stored
from tests.edge.upstreams.test_nats import needs_nats, upstream_at

pytestmark = needs_nats
ALL = "lora-edge.*.up.*"


@pytest.fixture
def running(tmp_path: Path) -> Iterator[NatsServer]:
    with server(tmp_path) as started:
        yield started


@asynccontextmanager
async def operator(port: int, **login: str) -> AsyncIterator[JetStreamContext]:
    """Who makes and changes streams, by nats-py."""
    client = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, **login)
    try:
        yield client.jetstream()
    finally:
        await client.close()


async def make(port: int, **config: Any) -> None:
    """A stream as an operator makes it."""
    settings = {"name": "LORA_EDGE", "subjects": [ALL], "duplicate_window": 86_400, **config}
    async with operator(port) as streams:
        await streams.add_stream(**settings)


async def test_it_is_made(running: NatsServer) -> None:
    """In files, for all gateways, with a long window, and refusing what is over a limit."""
    async with upstream_at(running.port) as upstream:
        await upstream.send(frames(1, 1))
    async with operator(running.port) as streams:
        config = (await streams.stream_info("LORA_EDGE")).config
    assert (config.storage, config.retention, config.discard) == ("file", "limits", "new")
    assert (config.subjects, config.num_replicas) == ([ALL], 1)
    assert config.duplicate_window == 86_400
    assert (config.max_msgs, config.max_bytes, config.max_age) == (-1, -1, 0)


async def test_another_stream_is_made_as_configured(running: NatsServer) -> None:
    own = {"stream": "CITY", "subject": "city.{device}.{gateway}", "duplicate_window_s": 60.0}
    async with upstream_at(running.port, **own) as upstream:
        await upstream.send(frames(1, 1))
    [message] = await stored(running.port, "CITY")
    assert message.subject == f"city.flood-1.{GATEWAY.hex()}"
    async with operator(running.port) as streams:
        config = (await streams.stream_info("CITY")).config
    assert (config.subjects, config.duplicate_window) == (["city.*.*"], 60)


async def test_it_is_not_made_if_one_does_not_want_that(running: NatsServer) -> None:
    """The fault holds the command that makes it."""
    with pytest.raises(PermanentUpstreamError, match="nats stream add LORA_EDGE --subjects='lora"):
        async with upstream_at(running.port, create_stream=False):
            pass


async def test_subjects_of_another_stream(running: NatsServer) -> None:
    """Two streams cannot take one subject, and ours is not there: a person has to decide."""
    await make(running.port, name="OTHER", subjects=["lora-edge.>"])
    with pytest.raises(PermanentUpstreamError, match="subjects overlap with an existing stream"):
        async with upstream_at(running.port):
            pass


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"subjects": ["city.>"]}, "does not take lora-edge.*--subjects='city.>,lora-edge"),
        ({"subjects": [f"lora-edge.{GATEWAY.hex()}.up.cam-1"]}, "does not take"),
        ({"no_ack": True}, "acknowledges nothing"),
        ({"sealed": True}, "sealed"),
    ],
)
async def test_a_stream_that_cannot_work(
    running: NatsServer, config: dict[str, Any], words: str
) -> None:
    sealed = config.pop("sealed", False)
    await make(running.port, **config)
    if sealed:
        async with operator(running.port) as streams:
            await streams.update_stream(name="LORA_EDGE", subjects=[ALL], sealed=True)
    with pytest.raises(PermanentUpstreamError, match=words):
        async with upstream_at(running.port):
            pass


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"duplicate_window": 120}, "knows repeats for 120 s only.*--dupe-window=86400s"),
        ({"storage": "memory"}, "is in memory"),
    ],
)
async def test_a_stream_that_may_lose_or_double(
    running: NatsServer, caplog: pytest.LogCaptureFixture, config: dict[str, Any], words: str
) -> None:
    """Frames flow all the same; the log says what to change."""
    await make(running.port, **config)
    with caplog.at_level(logging.WARNING):
        async with upstream_at(running.port) as upstream:
            await upstream.send(frames(1, 1))
    [record] = caplog.records
    assert re.search(words, record.getMessage())


async def test_it_is_deleted_meanwhile(running: NatsServer) -> None:
    """Transient, because the next connection makes it again, or says what is wrong."""
    async with upstream_at(running.port) as upstream:
        await upstream.send(frames(1, 1))
        async with operator(running.port) as streams:
            await streams.delete_stream("LORA_EDGE")
        with pytest.raises(TransientUpstreamError, match="no stream takes this subject"):
            await upstream.send(frames(2, 1))
    async with upstream:
        await upstream.send(frames(2, 1))
    assert len(await stored(running.port)) == 1


async def test_whether_it_still_has_what_it_acknowledged(running: NatsServer) -> None:
    """A restart is nothing; a new stream of that name, or one that lost its end, has forgotten."""
    upstream = upstream_at(running.port)
    async with upstream:
        assert upstream.session_lost, "what was sent before this process, nobody knows"
        await upstream.send(frames(1, 5))
    await asyncio.to_thread(running.kill)
    await asyncio.to_thread(running.start)
    async with upstream:
        assert not upstream.session_lost
        await upstream.send(frames(6, 1))
    async with operator(running.port) as streams:
        await streams.delete_stream("LORA_EDGE")
    async with upstream:
        assert upstream.session_lost
        await upstream.send(frames(1, 6))
    async with upstream:
        assert not upstream.session_lost
    upstream._stored_seq = 7  # as if the server's disk had lost one that it acknowledged
    async with upstream:
        assert upstream.session_lost


@pytest.mark.parametrize("limits", [{"max_msgs": 3}, {"max_bytes": 20_000}])
async def test_a_full_stream(running: NatsServer, limits: dict[str, int]) -> None:
    """Transient, and what went in before it was full is acknowledged.

    With bytes for a few messages only, nats-server 2.9 drops old ones instead (its issue 4775).
    """
    await make(running.port, discard="new", **limits)
    async with upstream_at(running.port) as upstream:
        with pytest.raises(
            TransientUpstreamError, match=r"LORA_EDGE: maximum \w+ exceeded"
        ) as full:
            await upstream.send(frames(1, 40))
    kept = await stored(running.port)
    assert 0 < len(kept) < 40
    assert {str(each) for each in full.value.acknowledged} == set(ids(frames(1, len(kept))))


async def test_a_message_too_large_for_the_stream(running: NatsServer) -> None:
    """Rejected by itself; its neighbours are stored."""
    await make(running.port, max_msg_size=900)
    small, large, last = frames(1, 3)
    object.__setattr__(large.content, "phy_payload", bytes(250))
    async with upstream_at(running.port) as upstream:
        result = await upstream.send([small, large, last])
    assert result.acknowledged == {small.frame_id, last.frame_id}
    assert result.rejected == {large.frame_id: "message size exceeds maximum allowed"}


async def test_jetstream_is_off(tmp_path: Path) -> None:
    with (
        server(tmp_path, jetstream=False) as running,
        pytest.raises(PermanentUpstreamError, match="JetStream is off on this server"),
    ):
        async with upstream_at(running.port):
            pass


async def test_jetstream_is_off_for_the_account(tmp_path: Path) -> None:
    accounts = 'accounts { A { users: [{ user: "g", password: "p" }] } }\n'
    (tmp_path / "password").write_text("p")
    login = {"username": "g", "password_file": str(tmp_path / "password")}
    with (
        server(tmp_path, accounts) as running,
        pytest.raises(PermanentUpstreamError, match="not enabled for this account"),
    ):
        async with upstream_at(running.port, **login):
            pass
