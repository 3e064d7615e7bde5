"""Lists of register operations: reading them off a body, and carrying them out (link, 6.1)."""

from time import ticks_diff, ticks_us

import status
from fields import Malformed
from framing import MAX_BODY
from radio import FIFO, OWNED

READ, WRITE, MODIFY, WAIT = 0, 1, 2, 3
_MAX_DATA = MAX_BODY - 5
_MAX_WAIT_MS = 500
"""Of all waits of a list. Meanwhile the line, heartbeat and transmissions stand still."""


def read_pairs(fields):
    """Pairs of address and value behind their count, as bytes.

    Raises:
        Malformed: an address has more than seven bits, or the body ends too early.
    """
    pairs = fields.raw(2 * fields.u8())
    for index in range(0, len(pairs), 2):
        if pairs[index] > 0x7F:
            raise Malformed
    return pairs


def read_operations(fields):
    """All operations as tuples (code, address, ...).

    Raises:
        Malformed: one is unknown or cut off.
    """
    return [_read_operation(fields) for _ in range(fields.u8())]


def _read_operation(fields):
    code, address = fields.u8(), fields.u8()
    if address > 0x7F or code > WAIT:
        raise Malformed
    if code == READ:
        return code, address, fields.u8()
    if code == WRITE:
        return code, address, fields.raw(fields.u8())
    mask, value = fields.u8(), fields.u8()
    if code == MODIFY:
        return code, address, mask, value
    return code, address, mask, value, fields.u16()


def run(radio, operations, skip_if_receiving, meanwhile):
    """Carry a list out: status code, index, and the bytes that were read.

    Args:
        meanwhile: called while a wait lasts; serves the other radios and the watchdog.
    """
    wanted = sum(each[2] for each in operations if each[0] == READ)
    waits_ms = sum(each[4] for each in operations if each[0] == WAIT)
    if wanted > _MAX_DATA or waits_ms > _MAX_WAIT_MS:
        return status.BAD_REQUEST, 0, b""
    managed = radio.shadow is not None
    if skip_if_receiving and managed and not radio.idle():
        return status.SKIPPED, 0, b""
    data = bytearray()
    for index, operation in enumerate(operations):
        if managed and _writes_owned(operation):
            return status.REFUSED, index, b""
        if not _run_one(radio.chip, operation, data, meanwhile):
            return status.WAIT_TIMEOUT, index, b""
    return status.OK, 0, data


def _run_one(chip, operation, data, meanwhile):
    code, address = operation[0], operation[1]
    if code == READ:
        if operation[2]:
            part = bytearray(operation[2])
            chip.read_into(address, part)
            data.extend(part)
    elif code == WRITE:
        if operation[2]:
            chip.write_from(address, operation[2])
    elif code == MODIFY:
        mask, value = operation[2], operation[3]
        chip.write(address, chip.read(address) & ~mask & 0xFF | value & mask)
    else:
        return _wait(chip, operation, meanwhile)
    return True


def _wait(chip, operation, meanwhile):
    _, address, mask, value, timeout_ms = operation
    start = ticks_us()
    while True:
        # First the clock: the last look is after the end, however long the board was held up.
        over = ticks_diff(ticks_us(), start) > timeout_ms * 1000
        if chip.read(address) & mask == value & mask:
            return True
        if over:
            return False
        meanwhile()


def _writes_owned(operation):
    code, address = operation[0], operation[1]
    if code == MODIFY:
        return address in OWNED
    if code != WRITE or not operation[2]:
        return False
    last = address if address == FIFO else address + len(operation[2]) - 1
    return any(address <= owned <= last for owned in OWNED)
