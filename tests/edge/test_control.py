"""The control socket: a real Unix socket, and clients of all kinds."""

import asyncio
import contextlib
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.control import (
    MAX_CLIENTS,
    MAX_REQUEST_BYTES,
    ControlSocketError,
    Handler,
    RequestError,
    serve_control,
)
from edge.outbox.errors import StoreClosed

Answer = dict[str, object]


async def greet(request: Answer) -> AsyncIterator[Answer]:
    """Two lines."""
    yield {"hello": request.get("name")}
    yield {"bye": True}


async def refuse(_request: Answer) -> AsyncIterator[Answer]:
    raise RequestError("this makes no sense")
    yield {}


async def fail(_request: Answer) -> AsyncIterator[Answer]:
    yield {"begun": True}
    raise KeyError("secret detail")


async def close_store(_request: Answer) -> AsyncIterator[Answer]:
    raise StoreClosed("the outbox was stopped")
    yield {}


class Pour:
    """Sends far more than a socket's buffers hold, and tells when it is left."""

    def __init__(self) -> None:
        self.left = asyncio.Event()

    async def __call__(self, _request: Answer) -> AsyncIterator[Answer]:
        try:
            while True:
                yield {"water": "x" * 100_000}
        finally:
            self.left.set()


class Endless:
    """Waits for ever, and tells when it is left."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.left = asyncio.Event()

    async def __call__(self, _request: Answer) -> AsyncIterator[Answer]:
        try:
            self.began.set()
            yield {"waiting": True}
            await asyncio.Event().wait()
        finally:
            self.left.set()


@asynccontextmanager
async def served(
    path: Path,
    more: Mapping[str, Handler] | None = None,
    *,
    request_deadline_s: float = 5,
    read_deadline_s: float = 10,
) -> AsyncIterator[None]:
    """A control socket with handlers of every temper."""
    handlers: dict[str, Handler] = {
        "greet": greet, "refuse": refuse, "fail": fail, "store": close_store, **(more or {})
    }  # fmt: skip
    ready = asyncio.Event()
    task = asyncio.create_task(
        serve_control(
            path,
            handlers,
            ready=lambda _path: ready.set(),
            request_deadline_s=request_deadline_s,
            read_deadline_s=read_deadline_s,
        )
    )
    waiting = asyncio.create_task(ready.wait())
    await asyncio.wait([task, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    try:
        if task.done():
            await task
        yield
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def send(path: Path, request: bytes) -> list[Answer]:
    """All lines that come before the connection is closed."""
    reader, writer = await asyncio.open_unix_connection(path)
    writer.write(request)
    async with asyncio.timeout(10):
        answer = await reader.read(-1)
    writer.close()
    return [json.loads(line) for line in answer.splitlines()]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "control.sock"


async def test_an_answer_has_its_lines_and_an_end(path: Path) -> None:
    async with served(path):
        assert await send(path, b'{"command": "greet", "name": "x"}\n') == [
            {"hello": "x"},
            {"bye": True},
            {"end": True},
        ]


async def test_only_owner_and_group_may_use_it(path: Path) -> None:
    old = os.umask(0)
    try:
        async with served(path):
            assert stat.S_IMODE(path.stat().st_mode) == 0o660
    finally:
        os.umask(old)


@pytest.mark.parametrize(
    ("request_line", "message"),
    [
        (b"\n", "a request is one line of JSON"),
        (b"GET / HTTP/1.1\r\n", "a request is one line of JSON"),
        (b"\xff\xfe\x00\n", "a request is one line of JSON"),
        (b"[" * 60_000 + b"\n", "a request is one line of JSON"),
        (b"[]\n", "a request is a JSON object"),
        (b"7\n", "a request is a JSON object"),
        (b"{}\n", "there is no such command; there are fail, greet, refuse, store"),
        (b'{"command": ["greet"]}\n', "there is no such command"),
        (b'{"command": "refuse"}\n', "this makes no sense"),
        (b'{"command": "store"}\n', "the outbox was stopped"),
        (b"x" * (MAX_REQUEST_BYTES + 10), "a request has at most 65536 bytes"),
    ],
)
async def test_what_makes_no_sense_is_answered_with_an_error(
    path: Path, request_line: bytes, message: str
) -> None:
    async with served(path):
        [answer] = await send(path, request_line)

        assert str(answer["error"]).startswith(message)
        assert len(await send(path, b'{"command": "greet"}\n')) == 3


async def test_a_fault_of_ours_is_logged_and_not_told(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.ERROR):
        async with served(path):
            answers = await send(path, b'{"command": "fail"}\n')
            assert len(await send(path, b'{"command": "greet"}\n')) == 3

    assert answers == [{"begun": True}, {"error": "internal error: see the journal"}]
    assert "secret detail" in caplog.text


async def test_a_client_that_sends_nothing_is_left_after_a_while(path: Path) -> None:
    async with served(path, request_deadline_s=0.05):
        assert await send(path, b"") == []
        assert await send(path, b'{"command"') == []
        assert len(await send(path, b'{"command": "greet"}\n')) == 3


async def test_a_client_that_does_not_read_is_left_after_a_while(path: Path) -> None:
    pour = Pour()
    async with served(path, {"pour": pour}, read_deadline_s=0.05):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b'{"command": "pour"}\n')
            async with asyncio.timeout(10):
                await pour.left.wait()

        assert len(await send(path, b'{"command": "greet"}\n')) == 3


async def test_a_client_that_vanishes_ends_its_answer(path: Path) -> None:
    pour = Pour()
    async with served(path, {"pour": pour}):
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
            client.sendall(b'{"command": "pour"}\n')
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(path))
        async with asyncio.timeout(10):
            await pour.left.wait()

        assert len(await send(path, b'{"command": "greet"}\n')) == 3


async def test_too_many_clients_are_sent_away_and_the_others_served(path: Path) -> None:
    endless = Endless()
    async with served(path, {"endless": endless}):
        others = []
        for _ in range(MAX_CLIENTS):
            reader, writer = await asyncio.open_unix_connection(path)
            writer.write(b'{"command": "endless"}\n')
            await reader.readline()
            others.append(writer)

        assert await send(path, b"") == [{"error": "too many clients: try again"}]

        for writer in others:
            writer.close()


async def test_stopping_ends_answers_and_removes_the_socket(path: Path) -> None:
    endless = Endless()
    async with served(path, {"endless": endless}):
        reader, writer = await asyncio.open_unix_connection(path)
        writer.write(b'{"command": "endless"}\n')
        await endless.began.wait()

    assert endless.left.is_set()
    assert not path.exists()
    with contextlib.suppress(ConnectionError):
        await reader.read(-1)
    writer.close()


async def test_what_a_killed_service_left_gives_way(path: Path) -> None:
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    path.with_name("control.sock.new").touch()

    async with served(path):
        assert len(await send(path, b'{"command": "greet"}\n')) == 3


async def test_a_second_service_is_refused_and_the_first_undisturbed(path: Path) -> None:
    async with served(path):
        with pytest.raises(ControlSocketError, match="another lora-edge is running"):
            await serve_control(path, {})
        assert len(await send(path, b'{"command": "greet"}\n')) == 3


async def test_the_socket_of_a_successor_is_not_removed(path: Path) -> None:
    async with served(path):
        path.unlink()
        path.touch()

    assert path.exists()


async def test_a_file_that_is_no_socket_is_never_removed(path: Path) -> None:
    path.write_text("precious")

    with pytest.raises(ControlSocketError, match="is no socket: remove it"):
        await serve_control(path, {})

    assert path.read_text() == "precious"


async def test_why_it_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(ControlSocketError, match=r"there is no directory .*RuntimeDirectory="):
        await serve_control(tmp_path / "none" / "s", {})
    with pytest.raises(ControlSocketError, match="path too long"):
        await serve_control(tmp_path / ("x" * 200), {})
    (tmp_path / "file").touch()
    with pytest.raises(ControlSocketError, match="Not a directory"):
        await serve_control(tmp_path / "file" / "s", {})


@settings(
    max_examples=30,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.lists(st.binary(max_size=200), min_size=1, max_size=3))
def test_whatever_bytes_come_it_goes_on_serving(tmp_path: Path, requests: list[bytes]) -> None:
    path = tmp_path / "fuzz.sock"

    async def attack() -> None:
        async with served(path, request_deadline_s=0.02):
            for request in requests:
                answers = await send(path, request)
                assert len(answers) <= 3
            assert len(await send(path, b'{"command": "greet"}\n')) == 3

    asyncio.run(attack())
