"""How aiohttp is used, wherever it is: tuned sockets, and nothing that the environment decides.

Cookies and proxies of the environment are off: frames go where the configuration says, and nowhere
else.
"""

import socket
import ssl
from typing import Any

import aiohttp

from edge.upstreams.sockets import tune

_KEEPALIVE_S = 60.0


def client_session(tls: ssl.SSLContext | None, **options: Any) -> aiohttp.ClientSession:
    """A session for one endpoint; close it.

    Args:
        tls: for https and wss; None = nobody will ask for it.
        options: of :class:`aiohttp.ClientSession`.
    """
    connector = aiohttp.TCPConnector(
        ssl=tls or True,
        keepalive_timeout=_KEEPALIVE_S,
        resolver=aiohttp.ThreadedResolver(),
        socket_factory=_tuned_socket,
    )
    return aiohttp.ClientSession(
        connector=connector, cookie_jar=aiohttp.DummyCookieJar(), **options
    )


def _tuned_socket(address: tuple[Any, ...]) -> socket.socket:
    family, kind, protocol, *_ = address
    made = socket.socket(family, kind, protocol)
    tune(made)
    return made
