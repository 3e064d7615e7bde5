"""A network server for Basics Station, as small as one can be: aiohttp, and none of our codecs.

Written from the published description of the LNS protocol. It puts the fields of an uplink together
to the bytes of the air by itself. As a program it serves one gateway and writes what it gets to a
file, one JSON object a line: ``python -m tests.edge.upstreams.lns_server PORT FILE``.
"""

import asyncio
import json
import ssl
import struct
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

DEADLINE_S = 20.0

# As The Things Stack numbers AS923, with the channels of group 2 (921.4 and 921.6 MHz).
ROUTER_CONFIG: dict[str, Any] = {
    "msgtype": "router_config",
    "NetID": None,
    "JoinEui": None,
    "region": "AS923",
    "hwspec": "sx1301/1",
    "freq_range": [920_000_000, 923_000_000],
    "DRs": [[sf, 125, 0] for sf in range(12, 6, -1)] + [[7, 250, 0], [0, 0, 0]] + [[-1, 0, 0]] * 8,
    "sx1301_conf": [
        {
            "radio_0": {"enable": True, "freq": 921_600_000},
            "radio_1": {"enable": True, "freq": 922_200_000},
            "chan_multiSF_0": {"enable": True, "radio": 0, "if": -200_000},
            "chan_multiSF_1": {"enable": True, "radio": 0, "if": 0},
            "chan_multiSF_2": {"enable": False, "radio": 1, "if": 0},
            "chan_Lora_std": {
                "enable": True,
                "radio": 0,
                "if": -200_000,
                "bandwidth": 250_000,
                "spread_factor": 7,
            },
            "chan_FSK": {"enable": False},
        }
    ],
    "nocca": True,
    "a_field_of_the_future": {"x": [1, 2, 3]},
}


def phy_payload(message: dict[str, Any]) -> bytes:
    """The bytes of the air, from the fields (LoRaWAN 1.0.4, section 4)."""
    match message["msgtype"]:
        case "updf":
            head = struct.pack(
                "<BiBH", message["MHdr"], message["DevAddr"], message["FCtrl"], message["FCnt"]
            )
            port = b"" if message["FPort"] == -1 else bytes([message["FPort"]])
            options, body = (bytes.fromhex(message[key]) for key in ("FOpts", "FRMPayload"))
            return head + options + port + body + struct.pack("<i", message["MIC"])
        case "jreq":
            join_eui, dev_eui = (
                bytes.fromhex(message[f"{which}Eui"].replace("-", ""))[::-1]
                for which in ("Join", "Dev")
            )
            nonce_and_mic = struct.pack("<Hi", message["DevNonce"], message["MIC"])
            return bytes([message["MHdr"]]) + join_eui + dev_eui + nonce_and_mic
        case "propdf":
            return bytes.fromhex(message["FRMPayload"])
        case other:
            raise AssertionError(f"not an uplink: {other}")


@dataclass
class LnsServer:
    """One network server; attributes may be changed while it runs.

    Attributes:
        path: of the data connection.
        advertised_port: told in discovery; 0 = its own.
        discovery: what is answered instead of its address.
        at_hello: what is sent when a station says its version.
        deaf: it reads nothing any more, as an application that hangs.
        close_at_once: it accepts a connection and closes it.
        heartbeat_s: it sends a PING so often, and closes the connection without a PONG.
        log: file that gets each uplink.
    """

    port: int = 0
    path: str = "/traffic"
    advertised_port: int = 0
    discovery: str | None = None
    at_hello: list[str] = field(default_factory=lambda: [json.dumps(ROUTER_CONFIG)])
    deaf: bool = False
    close_at_once: bool = False
    heartbeat_s: float | None = None
    log: Path | None = None
    requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    messages: list[dict[str, Any]] = field(default_factory=list)
    sockets: list[web.WebSocketResponse] = field(default_factory=list)
    connections: int = 0

    def uplinks(self) -> list[dict[str, Any]]:
        """In the order of their arrival."""
        return [m for m in self.messages if m["msgtype"] in ("updf", "jreq", "propdf")]

    def of(self, msgtype: str) -> list[dict[str, Any]]:
        """Messages of one type."""
        return [message for message in self.messages if message["msgtype"] == msgtype]

    async def wait(self, msgtype: str, at_least: int = 1) -> list[dict[str, Any]]:
        """Poll until so many messages of a type have arrived."""
        async with asyncio.timeout(DEADLINE_S):
            while len(self.of(msgtype)) < at_least:
                await asyncio.sleep(0.01)
        return self.of(msgtype)

    async def tell(self, message: dict[str, Any] | str | bytes) -> None:
        """Send to the newest connection."""
        async with asyncio.timeout(DEADLINE_S):
            while not self.sockets:
                await asyncio.sleep(0.01)
        if isinstance(message, bytes):
            await self.sockets[-1].send_bytes(message)
        else:
            text = message if isinstance(message, str) else json.dumps(message)
            await self.sockets[-1].send_str(text)

    async def hang_up(self) -> None:
        """Close all connections."""
        for socket in list(self.sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def router_info(self, request: web.Request) -> web.WebSocketResponse:
        """Discovery."""
        self.headers.append(dict(request.headers))
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            router = json.loads(message.data)["router"]
            self.requests.append(router)
            answer = self.discovery or json.dumps(
                {
                    "router": router,
                    "muxs": "::0",
                    "uri": f"ws://127.0.0.1:{self.advertised_port or self.port}{self.path}",
                }
            )
            await socket.send_str(answer)
        return socket

    async def traffic(self, request: web.Request) -> web.WebSocketResponse:
        """The data connection."""
        self.connections += 1
        self.headers.append(dict(request.headers))
        socket = web.WebSocketResponse(max_msg_size=1_000_000, heartbeat=self.heartbeat_s)
        await socket.prepare(request)
        if self.close_at_once:
            await socket.close()
            return socket
        self.sockets.append(socket)
        try:
            await self._read(socket)
        finally:
            self.sockets.remove(socket)
        return socket

    async def _read(self, socket: web.WebSocketResponse) -> None:
        while True:
            while self.deaf:
                await asyncio.sleep(0.01)
            message = await socket.receive()
            if message.type is not WSMsgType.TEXT:
                return
            content = json.loads(message.data)
            self.messages.append(content)
            if content["msgtype"] == "version":
                for text in self.at_hello:
                    await socket.send_str(text)
            elif content["msgtype"] == "timesync":
                await socket.send_str(json.dumps({**content, "gpstime": 1_474_035_218_000_000}))
            elif self.log is not None:
                with self.log.open("a") as file:
                    file.write(json.dumps(content) + "\n")

    def app(self) -> web.Application:
        """Both of its end points."""
        app = web.Application()
        app.router.add_get("/router-info", self.router_info)
        app.router.add_get(self.path, self.traffic)
        return app

    async def start(self, tls: ssl.SSLContext | None = None) -> web.AppRunner:
        """Listen; on a port of its own unless one is set."""
        runner = web.AppRunner(self.app(), shutdown_timeout=0.1, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=tls)
        await site.start()
        self.port = runner.addresses[0][1]
        return runner


@asynccontextmanager
async def lns(tls: ssl.SSLContext | None = None, **how: Any) -> AsyncIterator[LnsServer]:
    """A running server."""
    server = LnsServer(**how)
    runner = await server.start(tls)
    try:
        yield server
    finally:
        await server.hang_up()
        await runner.cleanup()


async def main(port: int, log: Path) -> None:
    """Serve until killed."""
    await LnsServer(port=port, log=log).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), Path(sys.argv[2])))
