"""A real mosquitto, a witness that is subscribed to it, and a broker that answers too little."""

import asyncio
import shutil
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

DEADLINE_S = 20.0


def mosquitto() -> str | None:
    """Path of Debian's broker."""
    return shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")


def free_port() -> int:
    """A TCP port on the loopback that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@dataclass
class Mosquitto:
    """One broker process on a port of its own."""

    directory: Path
    port: int
    process: subprocess.Popen[bytes] | None = None

    def configure(self, extra: str) -> None:
        (self.directory / "mosquitto.conf").write_text(
            f"listener {self.port} 127.0.0.1\nuser root\n"
            f"persistence true\npersistence_location {self.directory}/\n"
            f"autosave_on_changes true\nautosave_interval 1\nmax_queued_messages 0\n"
            f"log_dest file {self.directory}/mosquitto.log\n{extra}"
        )

    def start(self) -> None:
        command = mosquitto()
        assert command is not None
        self.process = subprocess.Popen([command, "-c", str(self.directory / "mosquitto.conf")])
        end = time.monotonic() + DEADLINE_S
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
            except OSError:
                assert time.monotonic() < end, "mosquitto does not accept connections"
                time.sleep(0.01)
            else:
                return

    def stop(self) -> None:
        """A clean end: it saves its sessions."""
        if self.process is not None:
            self.process.terminate()
            self.process.wait(DEADLINE_S)
            self.process = None


@contextmanager
def broker(directory: Path, extra: str = "allow_anonymous true\n") -> Iterator[Mosquitto]:
    """A running broker."""
    data = directory / "mosquitto"
    data.mkdir()
    running = Mosquitto(data, free_port())
    running.configure(extra)
    running.start()
    try:
        yield running
    finally:
        running.stop()


@dataclass(frozen=True)
class Message:
    """As it reached the witness."""

    topic: str
    payload: bytes
    retain: bool
    properties: dict[str, str]


@dataclass
class Witness:
    """A subscriber in a thread of its own, with a session that survives outages."""

    messages: list[Message] = field(default_factory=list)
    subscribed: threading.Event = field(default_factory=threading.Event)

    def of(self, part: str) -> list[Message]:
        """Messages under a part of the topic, e.g. ``/up/``."""
        return [message for message in self.messages if part in message.topic]

    async def wait(self, part: str, at_least: int) -> list[Message]:
        """Poll until so many have arrived."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.of(part)) < at_least:
                await asyncio.sleep(0.01)
        return self.of(part)


@contextmanager
def witness(
    port: int, *, name: str = "witness", tls: ssl.SSLContext | None = None
) -> Iterator[Witness]:
    """Subscribed before the body begins."""
    seen = Witness()
    client = paho.Client(CallbackAPIVersion.VERSION2, name, protocol=paho.MQTTv5)
    client.reconnect_delay_set(1, 1)
    if tls is not None:
        client.tls_set_context(tls)

    def on_connect(*_: Any) -> None:
        client.subscribe("#", qos=1)

    def on_message(_client: paho.Client, _data: Any, message: paho.MQTTMessage) -> None:
        pairs = getattr(message.properties, "UserProperty", [])
        seen.messages.append(
            Message(message.topic, bytes(message.payload), message.retain, dict(pairs))
        )

    client.on_connect = on_connect
    client.on_message = on_message
    client.on_subscribe = lambda *_: seen.subscribed.set()
    properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    properties.SessionExpiryInterval = 3600
    client.connect("127.0.0.1", port, clean_start=False, properties=properties)
    client.loop_start()
    try:
        assert seen.subscribed.wait(DEADLINE_S)
        yield seen
    finally:
        client.disconnect()
        client.loop_stop()


CONNECT, PUBLISH, PINGREQ = 1, 3, 12
CONNACK_OK = bytes.fromhex("2003000000")  # MQTT 5.0, section 3.2: success, no properties


@dataclass
class Rude:
    """A broker written by hand (MQTT 5.0, chapter 2) that says only what it is told to say.

    Attributes:
        answers: by type of packet, what to answer; nothing for others.
        publish_limit: so many PUBLISH are answered with PUBACK.
    """

    port: int = 0
    answers: dict[int, bytes] = field(default_factory=dict)
    publish_limit: int = 0
    puback_code: int = 0
    packets: list[int] = field(default_factory=list)
    connections: int = 0
    open_connections: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_connections += 1
        try:
            while True:
                await self.answer(reader, writer)
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_connections -= 1
            writer.close()

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        [first] = await reader.readexactly(1)
        length, shift = 0, 0
        while True:
            [byte] = await reader.readexactly(1)
            length |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
        body = await reader.readexactly(length)
        self.packets.append(first >> 4)
        writer.write(self.answers.get(first >> 4, b""))
        if first >> 4 == PUBLISH and self.publish_limit > 0:
            self.publish_limit -= 1
            (topic_length,) = struct.unpack_from(">H", body)
            identifier = body[2 + topic_length : 4 + topic_length]
            writer.write(b"\x40\x03" + identifier + bytes([self.puback_code]))
        await writer.drain()


@asynccontextmanager
async def rude(**how: Any) -> AsyncIterator[Rude]:
    """Listening on a port of its own."""
    running = Rude(**how)
    server = await asyncio.start_server(running.serve, "127.0.0.1", 0)
    running.port = server.sockets[0].getsockname()[1]
    async with server:
        yield running
