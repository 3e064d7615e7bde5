"""A TCP proxy that cuts the line after so many bytes of one direction."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


@dataclass
class CuttingProxy:
    """All its connections together share one limit.

    Attributes:
        direction: which bytes count: "up" from the client, or "down" from the server.
        left: bytes until everything is cut.
    """

    target_port: int
    direction: str
    left: int
    port: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        writers = [writer]
        try:
            server_reader, server_writer = await asyncio.open_connection(
                "127.0.0.1", self.target_port
            )
            writers.append(server_writer)
            async with asyncio.TaskGroup() as group:
                up = group.create_task(self._copy(reader, server_writer, "up"))
                down = group.create_task(self._copy(server_reader, writer, "down"))
                await asyncio.wait((up, down), return_when=asyncio.FIRST_COMPLETED)
                up.cancel()
                down.cancel()
        finally:
            for each in writers:
                each.transport.abort()

    async def _copy(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, direction: str
    ) -> None:
        try:
            while data := await reader.read(4096):
                if direction == self.direction:
                    data, self.left = data[: self.left], self.left - len(data)
                writer.write(data)
                await writer.drain()
                if self.left <= 0:
                    return
        except OSError:
            pass


@asynccontextmanager
async def cutting_proxy(
    target_port: int, direction: str, limit: int
) -> AsyncIterator[CuttingProxy]:
    """Listening on a port of its own."""
    proxy = CuttingProxy(target_port, direction, limit)
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    async with server:
        yield proxy
