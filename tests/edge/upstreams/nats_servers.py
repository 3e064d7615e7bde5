"""A real nats-server, what stands in its streams, and a server that answers too little."""

import asyncio
import shutil
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nats
from nats.js.api import RawStreamMsg

from tests.edge.upstreams.brokers import free_port

DEADLINE_S = 20.0


def nats_server() -> str | None:
    """Path of Debian's server."""
    return shutil.which("nats-server") or shutil.which("nats-server", path="/usr/sbin")


@dataclass
class NatsServer:
    """One server process on a port of its own, with JetStream in files."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    @property
    def log(self) -> Path:
        return self.directory / "nats.log"

    def configure(self, extra: str = "", *, jetstream: bool = True) -> None:
        store = f'jetstream {{ store_dir: "{self.directory}/store" }}\n' if jetstream else ""
        (self.directory / "nats.conf").write_text(
            f'listen: "127.0.0.1:{self.port}"\nlog_file: "{self.log}"\n{store}{extra}'
        )

    def start(self) -> None:
        command = nats_server()
        assert command is not None
        self.process = subprocess.Popen([command, "-c", str(self.directory / "nats.conf")])
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                with socket.create_connection(("127.0.0.1", self.port), timeout=1) as probe:
                    assert probe.recv(4).startswith(b"INFO")
                return
            except (OSError, AssertionError):
                assert self.process.poll() is None, self.log.read_text()
                assert time.monotonic() < end, "nats-server does not accept connections"
                time.sleep(0.01)

    def stop(self) -> None:
        """A clean end."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)
            self.process = None

    def kill(self) -> None:
        """As a power cut of the process."""
        assert self.process is not None
        self.process.kill()
        self.process.wait(DEADLINE_S)
        self.process = None


@contextmanager
def server(directory: Path, extra: str = "", *, jetstream: bool = True) -> Iterator[NatsServer]:
    """A running server."""
    data = directory / "nats"
    data.mkdir()
    running = NatsServer(data, free_port())
    running.configure(extra, jetstream=jetstream)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@dataclass(frozen=True)
class Message:
    """As it stands in the stream."""

    subject: str
    payload: bytes
    headers: Mapping[str, str]


async def stored(port: int, stream: str = "LORA_EDGE", **connect: Any) -> list[Message]:
    """All messages of a stream in order, by nats-py's own way to ask for them."""
    client = await nats.connect(f"nats://127.0.0.1:{port}", allow_reconnect=False, **connect)
    try:
        context = client.jetstream()
        state = (await context.stream_info(stream)).state
        messages = []
        for number in range(state.first_seq, state.last_seq + 1):
            raw: RawStreamMsg = await context.get_msg(stream, number)
            messages.append(Message(str(raw.subject), raw.data or b"", raw.headers or {}))
        return messages
    finally:
        await client.close()


GREETING = (
    b'INFO {"server_id":"X","version":"2.9.10","proto":1,"headers":true,"max_payload":1048576,'
    b'"jetstream":true}\r\n'
)


@dataclass
class Rude:
    """A server written by hand (NATS client protocol) that says only what it is told to say.

    Attributes:
        greeting: what it begins with.
        answers: by command, e.g. ``b"PING"``, what to answer; nothing for others.
        replies: payloads for messages with a reply subject, one each, in order.
        delay_s: before each reply.
    """

    greeting: bytes = GREETING
    answers: dict[bytes, bytes] = field(default_factory=lambda: {b"PING": b"PONG\r\n"})
    replies: list[bytes] = field(default_factory=list)
    delay_s: float = 0.0
    port: int = 0
    commands: list[bytes] = field(default_factory=list)
    published: list[bytes] = field(default_factory=list)
    open_connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_connections += 1
        try:
            writer.write(self.greeting)
            while line := await reader.readline():
                await self._answer(line, reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def _answer(
        self, line: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        command, *words = line.split()
        self.commands.append(command)
        writer.write(self.answers.get(command, b""))
        if command in (b"PUB", b"HPUB"):
            await reader.readexactly(int(words[-1]) + 2)
            self.published.append(words[0])
            if self.replies:
                await asyncio.sleep(self.delay_s)
                body = self.replies.pop(0)
                writer.write(b"MSG %s 1 %d\r\n%s\r\n" % (words[1], len(body), body))
        await writer.drain()


@asynccontextmanager
async def rude(**how: Any) -> AsyncIterator[Rude]:
    """Listening on a port of its own."""
    running = Rude(**how)
    listening = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield running


@dataclass
class Scissors:
    """A relay to a server that cuts connections off after so many bytes in one direction.

    Attributes:
        to_client: bytes of the server's that get through; None = all.
        to_server: bytes of ours that do.
        mute: nothing of the server's gets through any more.
        passed: bytes that the last connection passed on: to the client, to the server.
    """

    target: int
    to_client: int | None = None
    to_server: int | None = None
    mute: bool = False
    port: int = 0
    passed: list[int] = field(default_factory=lambda: [0, 0])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self.target)
        self.passed = [0, 0]
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._relay(far_reader, writer, 0, self.to_client))
                both.create_task(self._relay(reader, far_writer, 1, self.to_server))
        except* ConnectionError:
            pass
        finally:
            writer.transport.abort()
            far_writer.transport.abort()

    async def _relay(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        direction: int,
        limit: int | None,
    ) -> None:
        while chunk := await source.read(65_536):
            if limit is not None:
                chunk = chunk[: limit - self.passed[direction]]
            self.passed[direction] += len(chunk)
            if direction or not self.mute:
                sink.write(chunk)
                await sink.drain()
            if limit is not None and self.passed[direction] >= limit:
                raise ConnectionResetError
        raise ConnectionResetError


@asynccontextmanager
async def scissors(target: int, **how: Any) -> AsyncIterator[Scissors]:
    """Listening on a port of its own."""
    running = Scissors(target, **how)
    listening = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = listening.sockets[0].getsockname()[1]
    async with listening:
        yield running
