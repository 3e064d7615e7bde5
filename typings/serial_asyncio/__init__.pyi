"""The part of pyserial-asyncio 0.6 (untyped) that drivers/serial_port.py uses."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import serial

_P = TypeVar("_P", bound=asyncio.Protocol)

class SerialTransport(asyncio.Transport):
    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        protocol: asyncio.Protocol,
        serial_instance: serial.Serial,
    ) -> None: ...
    @property
    def serial(self) -> serial.Serial | None: ...

async def create_serial_connection(
    loop: asyncio.AbstractEventLoop,
    protocol_factory: Callable[[], _P],
    *args: Any,
    **kwargs: Any,
) -> tuple[SerialTransport, _P]: ...
