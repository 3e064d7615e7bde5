"""Finds out which family of device answers on a serial port.

Opening a port may reset the board behind it, so a port that somebody uses is left alone, and the
callers let people decide. What is asked is in :mod:`protocol.dialects.probing`. A port is done with
within :data:`BUDGET_S`; all ports are asked at the same time.
"""

import asyncio
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from drivers.errors import PortLost
from drivers.port_users import obstacle
from drivers.ports import FoundPort, Machine
from drivers.registry import DRIVERS
from drivers.serial_port import SerialPort, open_port
from protocol.dialects.probing import QUESTIONS, Introduction, Question

# An ESP32 that the opening of its port has reset boots within 2 s, and then has to hear us.
_FIRST_RATE_S = 4.0
_NEXT_RATE_S = 1.5
_TURN_S = 0.25  # each family's own time to answer
_HEARD_LIMIT = 16_384

BUDGET_S = 8.0
"""Longest time that one port takes, its opening and closing included."""


DRIVEN = tuple(question for question in QUESTIONS if question.driver in DRIVERS)
"""Those families for which there is a driver."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What became of one port: a device that introduced itself, or why there is none.

    ``asked`` is False where the port was not opened.
    """

    port: FoundPort
    introduction: Introduction | None
    reason: str = ""
    fix: str = ""
    asked: bool = True


async def probe_ports(
    machine: Machine, ports: Iterable[FoundPort], questions: Sequence[Question] = DRIVEN
) -> list[Probed]:
    """Ask on all ports at once; the order of the answers is that of the ports."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(probe_port(machine, port, questions)) for port in ports]
    return [task.result() for task in tasks]


async def probe_port(
    machine: Machine, port: FoundPort, questions: Sequence[Question] = DRIVEN
) -> Probed:
    """Ask on one port, unless it is in use; never raises for what the port does."""
    if port.is_bluetooth:
        return Probed(port, None, "the machine's Bluetooth chip", asked=False)
    hindrance = await asyncio.to_thread(obstacle, machine, port.device)
    if hindrance is not None:
        return Probed(port, None, hindrance.text, hindrance.fix, asked=False)
    heard_anything = False
    try:
        async with asyncio.timeout(BUDGET_S):
            limit_s = _FIRST_RATE_S
            for baud, families in groupby(questions, lambda question: question.baud):
                found, heard = await _ask_at(port.device, baud, list(families), limit_s)
                if found is not None:
                    return Probed(port, found)
                heard_anything = heard_anything or bool(heard)
                limit_s = _NEXT_RATE_S
    except PortLost as error:
        return Probed(port, None, str(error))
    except TimeoutError:
        return Probed(port, None, f"{port.device}: does not open or close in time")
    if heard_anything:
        fix = "is it a GPS receiver, a console, another firmware? See docs/DEVICES.md"
        return Probed(port, None, "something answers that is none of the known families", fix)
    return Probed(port, None, "nothing answers", "see docs/DEVICES.md for firmware that would")


async def _ask_at(
    device: Path, baud: int, questions: Sequence[Question], limit_s: float
) -> tuple[Introduction | None, bytes]:
    port = await open_port(str(device), baud)
    try:
        return await _take_turns(port, questions, limit_s)
    finally:
        await port.close()


async def _take_turns(
    port: SerialPort, questions: Sequence[Question], limit_s: float
) -> tuple[Introduction | None, bytes]:
    """Let each family have its turn, again and again, until one is recognised."""
    loop = asyncio.get_running_loop()
    end_s = loop.time() + limit_s
    heard = b""
    while loop.time() < end_s:
        for question in questions:
            asked = b""
            turn_ends_s = loop.time() + _TURN_S
            # An answer may call for another question: that one gets its own time.
            while (wanted := question.ask(heard)) != asked or loop.time() < turn_ends_s:
                if wanted != asked:
                    port.write(wanted)
                    asked, turn_ends_s = wanted, loop.time() + _TURN_S
                heard = (heard + await _listen(port, turn_ends_s))[-_HEARD_LIMIT:]
                for each in questions:
                    if (found := each.recognise(heard)) is not None:
                        return found, heard
    return None, heard


async def _listen(port: SerialPort, until_s: float) -> bytes:
    try:
        async with asyncio.timeout_at(until_s):
            return await port.read()
    except TimeoutError:
        return b""
