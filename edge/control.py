"""The control socket: how the tools on the gateway talk to the running service.

A client sends one line, a JSON object with a ``command``, and gets lines of JSON back; the last one
is ``{"end": true}`` or ``{"error": "..."}``. Whoever may use the socket file may ask; so it has
mode 0660. Everything is bounded: clients, the length of a request, and how long a client may take
to send it or to read on.
"""

import asyncio
import contextlib
import errno
import json
import logging
import os
import socket
import stat
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from pathlib import Path

from edge.outbox.errors import StoreError

logger = logging.getLogger(__name__)

MAX_CLIENTS = 8
MAX_REQUEST_BYTES = 64 * 1024
REQUEST_DEADLINE_S = 5.0
READ_DEADLINE_S = 10.0
"""How long one line of the answer may wait for the client to read."""

_LIVENESS_S = 1.0

Handler = Callable[[dict[str, object]], AsyncIterator[dict[str, object]]]
"""Answers one command, line by line; raises :class:`RequestError` for what it cannot do."""


class ControlSocketError(Exception):
    """The socket cannot be made: another service has it, no such directory, no rights."""


class RequestError(Exception):
    """What a client asked for makes no sense; the text goes to the client."""


def _log_path(path: Path) -> None:
    logger.info("control socket at %s", path)


async def serve_control(
    path: Path,
    handlers: Mapping[str, Handler],
    *,
    ready: Callable[[Path], None] = _log_path,
    request_deadline_s: float = REQUEST_DEADLINE_S,
    read_deadline_s: float = READ_DEADLINE_S,
) -> None:
    """Serve until cancelled; ``ready`` is told the path once clients are accepted.

    Raises:
        ControlSocketError: the socket cannot be made.
    """
    door = _Door(handlers, request_deadline_s, read_deadline_s)
    clients: set[asyncio.Task[None]] = set()
    listener, inode = await asyncio.to_thread(_bind, path)

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(clients) >= MAX_CLIENTS or not server.is_serving():
            writer.write(_line({"error": "too many clients: try again"}))
            writer.close()
            return
        client = connections.create_task(door.serve(reader, writer), name="control client")
        clients.add(client)
        client.add_done_callback(clients.discard)

    try:
        server = await asyncio.start_unix_server(
            accept, sock=listener, limit=MAX_REQUEST_BYTES, start_serving=False
        )
        async with asyncio.TaskGroup() as connections:
            try:
                await server.start_serving()
                ready(path)
                await asyncio.Event().wait()
            finally:
                # Not wait_closed(): from Python 3.12 on it waits for clients, which end after it.
                server.close()
    finally:
        listener.close()
        await asyncio.to_thread(_remove, path, inode)


class _Door:
    """Answers clients; knows nothing of how many come at once."""

    def __init__(
        self, handlers: Mapping[str, Handler], request_deadline_s: float, read_deadline_s: float
    ) -> None:
        self._handlers = handlers
        self._request_deadline_s = request_deadline_s
        self._read_deadline_s = read_deadline_s

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one request and close the connection, whatever the client does."""
        try:
            async with asyncio.timeout(self._request_deadline_s):
                request = await reader.readuntil(b"\n")
            await self._answer(request, writer)
            writer.close()
            async with asyncio.timeout(self._read_deadline_s):
                await writer.wait_closed()
        except asyncio.LimitOverrunError:
            writer.write(_line({"error": f"a request has at most {MAX_REQUEST_BYTES} bytes"}))
            writer.close()
        except (OSError, EOFError, TimeoutError):
            # A client that vanished or that is too slow has earned no answer.
            writer.transport.abort()
        except asyncio.CancelledError:
            writer.transport.abort()
            raise

    async def _answer(self, request: bytes, writer: asyncio.StreamWriter) -> None:
        try:
            arguments = _parse(request)
            handler = self._handlers.get(str(arguments.get("command")))
            if handler is None:
                known = ", ".join(sorted(self._handlers))
                raise RequestError(f"there is no such command; there are {known}")
            async with contextlib.aclosing(_closable(handler(arguments))) as answers:
                async for answer in answers:
                    await self._send(writer, answer)
        except (RequestError, StoreError) as error:
            await self._send(writer, {"error": str(error)})
        except OSError:
            raise
        except Exception:
            # A fault in an answer to a tool must not end the service that the tool asks about.
            logger.exception("cannot answer a request on the control socket")
            await self._send(writer, {"error": "internal error: see the journal"})
        else:
            await self._send(writer, {"end": True})

    async def _send(self, writer: asyncio.StreamWriter, answer: dict[str, object]) -> None:
        writer.write(_line(answer))
        async with asyncio.timeout(self._read_deadline_s):
            await writer.drain()


async def _closable(answers: AsyncIterator[dict[str, object]]) -> AsyncGenerator[dict[str, object]]:
    """Make a generator of any iterator, so that leaving it early closes it."""
    async for answer in answers:
        yield answer


def _parse(request: bytes) -> dict[str, object]:
    try:
        arguments = json.loads(request)
    except (ValueError, RecursionError):
        raise RequestError("a request is one line of JSON") from None
    if not isinstance(arguments, dict):
        raise RequestError("a request is a JSON object with a command")
    return arguments


def _line(answer: dict[str, object]) -> bytes:
    return json.dumps(answer, separators=(",", ":")).encode() + b"\n"


def _bind(path: Path) -> tuple[socket.socket, int]:
    """Make the listening socket; what is left of a dead service gives way.

    It gets its name last, so a client finds either nobody or somebody who will answer.

    Returns:
        The socket, and the inode of its file.
    """
    if _is_alive(path):
        raise ControlSocketError(f"{path}: another lora-edge is running and answers there")
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    temporary = path.with_name(f"{path.name}.new")
    try:
        temporary.unlink(missing_ok=True)
        listener.bind(str(temporary))
        temporary.chmod(0o660)
        listener.listen(MAX_CLIENTS)
        temporary.rename(path)
        inode = path.lstat().st_ino
    except OSError as error:
        listener.close()
        raise ControlSocketError(f"{path}: {_in_words(error, path)}") from error
    listener.setblocking(False)
    return listener, inode


def _is_alive(path: Path) -> bool:
    """Whether a service answers at the path.

    Raises:
        ControlSocketError: something is there that is no socket, or it cannot be asked.
    """
    try:
        if not stat.S_ISSOCK(path.lstat().st_mode):
            raise ControlSocketError(f"{path} is there, but it is no socket: remove it")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            probe.settimeout(_LIVENESS_S)
            probe.connect(str(path))
    except (FileNotFoundError, ConnectionRefusedError):
        return False
    except TimeoutError:
        return True  # it listens, but its backlog is full
    except OSError as error:
        raise ControlSocketError(f"{path}: {_in_words(error, path)}") from error
    return True


def _in_words(error: OSError, path: Path) -> str:
    match error.errno:
        case errno.ENOENT:
            return f"there is no directory {path.parent}; under systemd RuntimeDirectory= makes it"
        case errno.EACCES | errno.EPERM:
            return f"no right to write in {path.parent}"
        case None:
            return str(error)  # the socket module's own: "AF_UNIX path too long"
        case _:
            return os.strerror(error.errno)


def _remove(path: Path, inode: int) -> None:
    """Remove the socket file, unless a successor has put its own there."""
    with contextlib.suppress(OSError):
        if path.lstat().st_ino == inode:
            path.unlink()
