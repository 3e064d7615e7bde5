"""Bytes of register operations and images (``docs/CONCENTRATOR-LINK.md`` section 6)."""

from enum import IntEnum
from typing import assert_never

from protocol.link.errors import MalformedMessage
from protocol.link.fields import Reader, Writer
from protocol.lora.register_operations import (
    RegisterOperation,
    RegisterRead,
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)

RegisterImage = tuple[tuple[int, int], ...]
"""Pairs of (address, value), written in this order."""


class OperationCode(IntEnum):
    """First byte of an operation."""

    READ = 0
    WRITE = 1
    READ_MODIFY_WRITE = 2
    WAIT = 3


def write_operations(writer: Writer, operations: tuple[RegisterOperation, ...]) -> None:
    """Append a count and the operations."""
    writer.u8(len(operations))
    for operation in operations:
        match operation:
            case RegisterRead(address, count):
                writer.u8(OperationCode.READ).u8(address).u8(count)
            case RegisterWrite(address, value):
                writer.u8(OperationCode.WRITE).u8(address).short(value)
            case RegisterReadModifyWrite(address, mask, value):
                writer.u8(OperationCode.READ_MODIFY_WRITE).u8(address).u8(mask).u8(value)
            case RegisterWait(address, mask, value, timeout_ms):
                writer.u8(OperationCode.WAIT).u8(address).u8(mask).u8(value).u16(timeout_ms)
            case _ as never:
                assert_never(never)


def read_operations(reader: Reader) -> tuple[RegisterOperation, ...]:
    """Take a count and the operations off a body."""
    return tuple(_read_operation(reader) for _ in range(reader.u8()))


def _read_operation(reader: Reader) -> RegisterOperation:
    code = reader.u8()
    address = reader.u8()
    if address > 0x7F:
        raise MalformedMessage(f"register 0x{address:02x} does not exist")
    match code:
        case OperationCode.READ:
            return RegisterRead(address, reader.u8())
        case OperationCode.WRITE:
            return RegisterWrite(address, reader.short())
        case OperationCode.READ_MODIFY_WRITE:
            return RegisterReadModifyWrite(address, reader.u8(), reader.u8())
        case OperationCode.WAIT:
            return RegisterWait(address, reader.u8(), reader.u8(), reader.u16())
        case _:
            raise MalformedMessage(f"operation code {code} does not exist")


def write_image(writer: Writer, image: RegisterImage) -> None:
    """Append a count and the pairs."""
    writer.u8(len(image))
    for address, value in image:
        writer.u8(address).u8(value)


def read_image(reader: Reader) -> RegisterImage:
    """Take a count and the pairs off a body."""
    image = tuple((reader.u8(), reader.u8()) for _ in range(reader.u8()))
    if any(address > 0x7F for address, _ in image):
        raise MalformedMessage("a register address has 7 bits")
    return image
