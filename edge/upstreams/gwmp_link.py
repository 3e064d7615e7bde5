"""One UDP socket to a server of the Semtech UDP protocol: tokens, repeats, keepalive.

The socket is connected, so the kernel lets in only what comes from the server's address. Nothing
that arrives can raise: what is no datagram of the protocol is counted and forgotten.
"""

import asyncio
import secrets
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

from edge.upstreams.base import TransientUpstreamError
from edge.upstreams.sockets import CONNECT_DEADLINE_S
from protocol.network_server.gwmp import Datagram, GwmpError, Kind, Reject, parse, serialize

LOOK_UP_S = 5.0
FIRST_REPEAT_S = 0.5
"""After this long without PUSH_ACK the same datagram goes again; then after twice as long, ..."""

LOST_LIMIT = 12
"""PULL_DATA without answer in a row, after which name and socket are tried anew."""

SPACING_S = 0.0015
"""Between datagrams. The Things Stack drops what exceeds ten in 10 ms."""

_REMEMBERED_TOKENS = 8_192


@dataclass(slots=True)
class Counts:
    """Of one link, since it was opened."""

    pushed: int = 0
    push_acknowledged: int = 0
    sent_bytes: int = 0


class GwmpLink(asyncio.DatagramProtocol):
    """Open between :meth:`open` and :meth:`close`; all of it on the loop's thread.

    Args:
        gateway: EUI-64, 8 bytes.
        keepalive_s: between two PULL_DATA.
        rejected: is told why a datagram was ignored.
    """

    def __init__(
        self,
        gateway: bytes,
        *,
        keepalive_s: float,
        rejected: Callable[[Reject], None],
    ) -> None:
        self._gateway = gateway
        self._keepalive_s = keepalive_s
        self._downlink: Callable[[Datagram], None] = lambda _: None
        self._rejected = rejected
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.DatagramTransport | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._answered = asyncio.Event()
        self._waiting: dict[bytes, asyncio.Future[None]] = {}
        self._recent_tokens: deque[bytes] = deque(maxlen=_REMEMBERED_TOKENS)
        self._used_tokens: set[bytes] = set()
        self._lost = 0
        self._next_slot = 0.0
        self._fault: str | None = None
        self.counts = Counts()

    async def open(self, address: tuple[str, int], downlink: Callable[[Datagram], None]) -> None:
        """Connect the socket, and wait for the server's first answer.

        Args:
            address: an IP address and a port.
            downlink: is given each PULL_RESP; must not raise.

        Raises:
            TransientUpstreamError: there is no way there, or no answer within 10 s.
        """
        self._downlink = downlink
        where = f"udp://{address[0]}:{address[1]}"
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await self._loop.create_datagram_endpoint(lambda: self, remote_addr=address)
                wait_s = FIRST_REPEAT_S
                while not await self._is_answered(wait_s):
                    wait_s *= 2
        except TimeoutError:
            raise TransientUpstreamError(
                f"{where}: no PULL_ACK within {CONNECT_DEADLINE_S:.0f} s"
            ) from None
        except OSError as error:
            raise TransientUpstreamError(f"{where}: {error}") from None
        self._keep_alive()

    def close(self) -> None:
        """Forget the socket. Nothing is said: the server notices that PULL_DATA do not come."""
        if self._timer is not None:
            self._timer.cancel()
        if self._transport is not None:
            self._transport.abort()
        self._fail("closed")

    def check(self) -> None:
        """Raises :class:`TransientUpstreamError` if the link is of no more use."""
        if self._fault is not None:
            raise TransientUpstreamError(self._fault)
        if self._lost >= LOST_LIMIT:
            raise TransientUpstreamError(f"{self._lost} PULL_DATA in a row were not answered")

    async def push(self, body: bytes, *, within_s: float) -> None:
        """Send a PUSH_DATA, unchanged time and again until it is acknowledged.

        Raises:
            TransientUpstreamError: it was not, within this time.
        """
        token, acknowledged = self._new_token(), self._loop.create_future()
        self._waiting[token] = acknowledged
        self.counts.pushed += 1
        try:
            async with asyncio.timeout(within_s):
                await self._repeat(
                    Datagram(Kind.PUSH_DATA, token, body, self._gateway), acknowledged
                )
        except TimeoutError:
            raise TransientUpstreamError(f"no PUSH_ACK within {within_s:g} s") from None
        finally:
            del self._waiting[token]

    def push_once(self, body: bytes) -> None:
        """Send a PUSH_DATA that may be lost."""
        self.counts.pushed += 1
        self._send(Datagram(Kind.PUSH_DATA, self._new_token(), body, self._gateway))

    def answer(self, token: bytes, body: bytes) -> None:
        """Send a TX_ACK for the PULL_RESP with this token."""
        self._send(Datagram(Kind.TX_ACK, token, body, self._gateway))

    async def _repeat(self, datagram: Datagram, acknowledged: asyncio.Future[None]) -> None:
        wait_s = FIRST_REPEAT_S
        while True:
            await self._slot()
            self.check()
            self._send(datagram)
            await asyncio.wait([acknowledged], timeout=wait_s)
            if acknowledged.done():
                return acknowledged.result()
            wait_s *= 2

    async def _slot(self) -> None:
        """Wait until it is this datagram's turn."""
        now = self._loop.time()
        at = max(now, self._next_slot)
        self._next_slot = at + SPACING_S
        if at > now:
            await asyncio.sleep(at - now)

    async def _is_answered(self, wait_s: float) -> bool:
        self._pull()
        try:
            async with asyncio.timeout(wait_s):
                await self._answered.wait()
        except TimeoutError:
            return False
        return True

    def _keep_alive(self) -> None:
        self._lost += 1  # until an answer comes
        self._pull()
        self._timer = self._loop.call_later(self._keepalive_s, self._keep_alive)

    def _pull(self) -> None:
        self._send(Datagram(Kind.PULL_DATA, self._new_token(), gateway=self._gateway))

    def _send(self, datagram: Datagram) -> None:
        if self._transport is not None and not self._transport.is_closing():
            data = serialize(datagram)
            self.counts.sent_bytes += len(data)
            self._transport.sendto(data)

    def _new_token(self) -> bytes:
        """None that was used lately, whose acknowledgement may still be on its way."""
        while (token := secrets.token_bytes(2)) in self._used_tokens:
            pass
        if len(self._recent_tokens) == _REMEMBERED_TOKENS:
            self._used_tokens.discard(self._recent_tokens[0])
        self._recent_tokens.append(token)
        self._used_tokens.add(token)
        return token

    def _fail(self, fault: str) -> None:
        self._fault = self._fault or fault
        for waiting in self._waiting.values():
            if not waiting.done():
                waiting.set_exception(TransientUpstreamError(self._fault))

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See :class:`asyncio.DatagramProtocol`."""
        self._transport = cast(asyncio.DatagramTransport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """See :class:`asyncio.DatagramProtocol`."""
        self._fail(f"the socket is closed: {exc}" if exc else "the socket is closed")

    def error_received(self, _exc: Exception) -> None:
        """Nobody listens there, or the way is gone. It may pass: the next answer is waited for."""

    def datagram_received(self, data: bytes, _addr: Any) -> None:
        """See :class:`asyncio.DatagramProtocol`."""
        try:
            datagram = parse(data)
        except GwmpError as error:
            self._rejected(error.reason)
            return
        match datagram.kind:
            case Kind.PUSH_ACK | Kind.PULL_ACK:
                self._acknowledge(datagram)
            case Kind.PULL_RESP:
                self._alive()
                self._downlink(datagram)
            case _:
                self._rejected(Reject.UNEXPECTED)

    def _acknowledge(self, datagram: Datagram) -> None:
        if datagram.token not in self._used_tokens:
            self._rejected(Reject.UNKNOWN_TOKEN)
            return
        self._alive()
        if datagram.kind is not Kind.PUSH_ACK:
            return
        self.counts.push_acknowledged += 1
        waiting = self._waiting.get(datagram.token)
        if waiting is not None and not waiting.done():
            waiting.set_result(None)

    def _alive(self) -> None:
        self._lost = 0
        self._answered.set()
