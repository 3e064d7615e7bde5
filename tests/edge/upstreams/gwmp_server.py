"""A Semtech UDP server of a few lines, written by PROTOCOL.TXT alone: struct and json.

It can lose, repeat, delay and reorder what it answers, and go away.
"""

import asyncio
import base64
import json
import random
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, cast

DEADLINE_S = 20.0
PUSH_DATA, PUSH_ACK, PULL_DATA, PULL_RESP, PULL_ACK, TX_ACK = range(6)
ANSWERS = {PUSH_DATA: PUSH_ACK, PULL_DATA: PULL_ACK}


@dataclass
class GwmpServer(asyncio.DatagramProtocol):
    """Notes everything.

    Attributes:
        answers: whether it answers at all.
        spoil: made of each answer, what is really sent: nothing, it, it twice, ...
        push_data: bodies of PUSH_DATA in order of arrival, with their tokens; repeats included.
        lost: PUSH_DATA that ``hear`` said it should not hear.
    """

    port: int = 0
    answers: bool = True
    hear: Callable[[bytes], bool] = lambda _data: True
    spoil: Callable[[bytes], list[tuple[float, bytes]]] = lambda data: [(0.0, data)]
    push_data: list[tuple[bytes, dict[str, Any]]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    pulls: list[bytes] = field(default_factory=list)
    tx_acks: list[tuple[bytes, bytes]] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    gateways: set[bytes] = field(default_factory=set)
    addresses: list[Any] = field(default_factory=list)
    transport: asyncio.DatagramTransport | None = None
    pull_address: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if not self.hear(data):
            return
        version, token, kind = struct.unpack_from(">B2sB", data)
        assert version == 2
        self.gateways.add(data[4:12])
        self.sizes.append(len(data))
        if addr not in self.addresses:
            self.addresses.append(addr)
        body = data[12:]
        if kind == PUSH_DATA and self.answers:
            self.push_data.append((token, json.loads(body)))
            self.times.append(asyncio.get_running_loop().time())
        elif kind == PULL_DATA:
            assert not body
            self.pulls.append(token)
            self.pull_address = addr
        elif kind == TX_ACK:
            self.tx_acks.append((token, body))
        if kind in ANSWERS and self.answers:
            for delay_s, answer in self.spoil(struct.pack(">B2sB", 2, token, ANSWERS[kind])):
                asyncio.get_running_loop().call_later(delay_s, self.send, answer, addr)

    def send(self, data: bytes, addr: Any = None) -> None:
        """To the gateway, where its last PULL_DATA came from."""
        if self.transport is not None and not self.transport.is_closing():
            self.transport.sendto(data, addr or self.pull_address)

    def ask(self, token: bytes, body: bytes, *, version: int = 2) -> None:
        """A PULL_RESP."""
        self.send(struct.pack(">B2sB", version, token, PULL_RESP) + body)

    def rxpk(self) -> list[dict[str, Any]]:
        """All uplinks in order of arrival, repeats included."""
        return [each for _, body in self.push_data for each in body.get("rxpk", ())]

    def stats(self) -> list[dict[str, Any]]:
        return [body["stat"] for _, body in self.push_data if "stat" in body]

    def payloads(self) -> list[bytes]:
        return [base64.b64decode(each["data"]) for each in self.rxpk()]

    async def wait(self, condition: Callable[[], object]) -> None:
        """Poll until it holds."""
        async with asyncio.timeout(DEADLINE_S):
            while not condition():
                await asyncio.sleep(0.005)


class Spoiler:
    """Loses, repeats and delays answers by chance; delayed ones overtake each other."""

    def __init__(self, seed: int, *, lose: float = 0.3, repeat: float = 0.3) -> None:
        self.chance = random.Random(seed)
        self.lose = lose
        self.repeat = repeat

    def __call__(self, data: bytes) -> list[tuple[float, bytes]]:
        if self.chance.random() < self.lose:
            return []
        copies = 2 if self.chance.random() < self.repeat else 1
        return [(self.chance.random() * 0.05, data) for _ in range(copies)]

    def hears(self, data: bytes) -> bool:
        """On the way there as well."""
        return self.chance.random() >= self.lose


@asynccontextmanager
async def gwmp_server(port: int = 0, **how: Any) -> AsyncIterator[GwmpServer]:
    """Listening on the loopback."""
    server = GwmpServer(**how)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=("127.0.0.1", port)
    )
    server.port = transport.get_extra_info("sockname")[1]
    try:
        yield server
    finally:
        transport.close()
