"""What the kernel says of a socket that was tuned."""

import asyncio
import socket

import pytest

from edge.upstreams.sockets import tune


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_the_kernel_has_the_limits(family: socket.AddressFamily) -> None:
    """20 s of what nobody acknowledges; probes after 60 s of silence, 4 of them 15 s apart."""
    with socket.socket(family, socket.SOCK_STREAM) as sock:
        tune(sock)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        found = [
            sock.getsockopt(socket.IPPROTO_TCP, option)
            for option in (
                socket.TCP_USER_TIMEOUT,
                socket.TCP_KEEPIDLE,
                socket.TCP_KEEPINTVL,
                socket.TCP_KEEPCNT,
            )
        ]
        assert found == [20_000, 60, 15, 4]


async def test_the_socket_of_a_stream() -> None:
    """As asyncio shows it."""

    async def nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.close()

    async with await asyncio.start_server(nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            sock = writer.get_extra_info("socket")
            tune(sock)
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 20_000
        finally:
            writer.close()
            await writer.wait_closed()


def test_others_are_left_alone() -> None:
    """A socket pair has no such options, and a datagram socket no connection."""
    first, second = socket.socketpair()
    with first, second, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as datagrams:
        tune(first)
        tune(datagrams)
        assert first.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 0
