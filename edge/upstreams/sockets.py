"""How every TCP connection of an upstream is kept honest.

Over a half-open link writes go on succeeding for a quarter of an hour: the other end is gone, and
nobody says so. Every upstream's socket is tuned here, so that it fails within about 20 s of unread
data, and within 2 min when idle. A deadline for connecting is each adapter's own business.
"""

import socket
from typing import Any, Protocol

CONNECT_DEADLINE_S = 10.0
"""Look-up, TCP and TLS together; for the adapters."""

USER_TIMEOUT_MS = 20_000
"""What was sent and is not acknowledged by the other end's kernel after this long ends it."""

KEEPALIVE_IDLE_S = 60
KEEPALIVE_INTERVAL_S = 15
KEEPALIVE_PROBES = 4


class TcpSocket(Protocol):
    """A socket, or what asyncio shows of one by ``get_extra_info("socket")``."""

    @property
    def type(self) -> int: ...

    @property
    def family(self) -> int: ...

    def setsockopt(self, level: int, option: int, value: int, /) -> Any: ...


def tune(sock: TcpSocket) -> None:
    """Have the kernel end the connection when the other end is gone (tcp(7)).

    Does nothing for what is no TCP socket, such as a test's socket pair.
    """
    if sock.type != socket.SOCK_STREAM or sock.family not in (socket.AF_INET, socket.AF_INET6):
        return
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_USER_TIMEOUT, USER_TIMEOUT_MS),
        (socket.TCP_KEEPIDLE, KEEPALIVE_IDLE_S),
        (socket.TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S),
        (socket.TCP_KEEPCNT, KEEPALIVE_PROBES),
    ):
        sock.setsockopt(socket.IPPROTO_TCP, option, value)
