"""Orders to a running simulation, as JSON lines on a Unix socket in its directory.

- ``{"order": "fault", "concentrator": NAME, "fault": KIND, "duration_s": S}``: answered when it is
  over; an unplug of 0 s lasts until a replug.
- ``{"order": "inject", "concentrator": NAME, "radio": N, "payload": HEX}``, optionally
  ``rssi_dbm``, ``snr_db``, ``crc_ok``.
- ``{"order": "garbage", "concentrator": NAME, "data": HEX}``
- ``{"order": KIND}`` with KIND balance, counts, timings or silence.

Each is answered by one line; one that cannot be carried out by ``{"error": REASON}``.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any

from simulator.capture import MAX_PAYLOAD_BYTES
from simulator.concentrator import SimulatedConcentrator
from simulator.scenario import FaultKind
from simulator.simulated_site import Arrival, Site

_MAX_LINE = 4_000_000
_LONGEST_FAULT_S = 86_400.0

Request = dict[str, Any]
Answer = dict[str, object]


class OrderError(ValueError):
    """An order that cannot be carried out, in words for whoever gave it."""


class ControlServer:
    """Answers orders until the loop ends; connections are independent of each other."""

    def __init__(self, site: Site, silence: Callable[[], None]) -> None:
        self._site = site
        self._silence = silence
        self.finished = False
        self._injected = 1_000_000_000  # apart from the air's own numbers
        self._orders: dict[str, Callable[[Request], Answer | Awaitable[Answer]]] = {
            "fault": self._fault,
            "inject": self._inject,
            "garbage": self._garbage,
            "balance": lambda _request: self._site.balance.summary(),
            "counts": self._counts,
            "timings": lambda _request: {"events": self._site.balance.timings()},
            "silence": self._be_silent,
        }

    async def start(self, path: Path) -> asyncio.Server:
        """Listen; close the returned server to stop."""
        return await asyncio.start_unix_server(self._serve, path, limit=_MAX_LINE)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                writer.write(json.dumps(await self._answer(line)).encode() + b"\n")
                await writer.drain()
        except ValueError:  # the rest of an overlong line cannot be told from the next order
            writer.write(b'{"error": "the order is too long"}\n')
        except (ConnectionError, asyncio.CancelledError):
            pass  # only the end of the loop cancels; Python 3.11 would print a traceback for it
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> Answer:
        try:
            request = json.loads(line)
            if not isinstance(request, dict):
                raise OrderError("an order is a JSON object")
            answer = self._orders[_one_of(request, "order", self._orders)](request)
            return await answer if isinstance(answer, Awaitable) else answer
        except OrderError as error:
            return {"error": str(error)}
        except (ValueError, RecursionError) as error:
            return {"error": f"not JSON: {error}"}

    async def _fault(self, request: Request) -> Answer:
        concentrator = self._concentrator(request)
        kind = FaultKind(_one_of(request, "fault", FaultKind))
        await concentrator.suffer(
            kind, _number(request, "duration_s", 1.0, low=0, high=_LONGEST_FAULT_S)
        )
        return {"device": concentrator.port.device}

    def _inject(self, request: Request) -> Answer:
        concentrator = self._concentrator(request)
        index = request.get("radio")
        radios = concentrator.identity.radios
        if not isinstance(index, int) or not 0 <= index < radios:
            raise OrderError(f"radio must be a number from 0 to {radios - 1}, not {index!r}")
        arrival = Arrival(
            _bytes(request, "payload", MAX_PAYLOAD_BYTES),
            _number(request, "rssi_dbm", -80, low=-200, high=50),
            _number(request, "snr_db", 8, low=-100, high=100),
            crc_ok=bool(request.get("crc_ok", True)),
        )
        board = concentrator.board
        radio = None if board is None else board.radios[index]
        if radio is None or radio.chip.listening(radio.now_us()) is None:
            return {"received": False}
        self._injected += 1
        self._site.balance.sent += 1
        self._site.whole_frame(self._injected, concentrator.identity.name, radio, arrival)
        return {"received": True}

    def _garbage(self, request: Request) -> Answer:
        self._concentrator(request).inject_garbage(_bytes(request, "data", _MAX_LINE))
        return {}

    def _counts(self, _request: Request) -> Answer:
        boards = [c.board for c in self._site.concentrators.values() if c.board is not None]
        return {
            "sent": self._site.balance.sent,
            "finished": self.finished,
            "unacknowledged": sum(len(board.unacknowledged) for board in boards),
        }

    def _be_silent(self, _request: Request) -> Answer:
        self._silence()
        return {}

    def _concentrator(self, request: Request) -> SimulatedConcentrator:
        return self._site.concentrators[_one_of(request, "concentrator", self._site.concentrators)]


def _one_of(request: Request, key: str, known: Iterable[str]) -> str:
    value = request.get(key)
    words = list(map(str, known))
    if not isinstance(value, str) or value not in words:
        raise OrderError(f"{key} must be one of {', '.join(words)}, not {json.dumps(value)}")
    return value


def _number(request: Request, key: str, default: float, *, low: float, high: float) -> float:
    value = request.get(key, default)
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or not low <= value <= high:
        raise OrderError(f"{key} must be a number from {low:g} to {high:g}, not {value!r}")
    return float(value)


def _bytes(request: Request, key: str, at_most: int) -> bytes:
    value = request.get(key)
    try:
        data = bytes.fromhex(value) if isinstance(value, str) else None
    except ValueError:
        data = None
    if data is None or len(data) > at_most:
        raise OrderError(f"{key} must be up to {at_most} bytes in hexadecimal digits")
    return data
