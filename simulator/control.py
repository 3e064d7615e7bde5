"""Orders to a running simulation, as JSON lines on a Unix socket in its directory.

``{"order": "fault", "concentrator": NAME, "fault": KIND, "duration_s": S}``, ``{"order":
"inject", "concentrator": NAME, "radio": N, "payload": HEX}``, ``{"order": "garbage",
"concentrator": NAME, "data": HEX}``, ``{"order": KIND}`` with KIND balance, counts, timings or
silence. Each is answered by one line.
"""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulator.concentrator import Fault
from simulator.simulated_site import Arrival, Site

_MAX_LINE = 4_000_000


class ControlServer:
    """Answers orders until the loop ends."""

    def __init__(self, site: Site, silence: Callable[[], None]) -> None:
        self._site = site
        self._silence = silence
        self.finished = False
        self._injected = 1_000_000_000  # apart from the air's own numbers
        self._orders: dict[str, Callable[[dict[str, Any]], Any]] = {
            "fault": self._fault,
            "inject": self._inject,
            "garbage": self._garbage,
            "balance": self._balance,
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
        except (ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    async def _answer(self, line: bytes) -> dict[str, object]:
        try:
            request = json.loads(line)
            answer = self._orders[request["order"]](request)
            return dict(await answer if asyncio.iscoroutine(answer) else answer)
        except (KeyError, ValueError, TypeError) as error:
            return {"error": f"{type(error).__name__}: {error}"}

    async def _fault(self, request: dict[str, Any]) -> dict[str, object]:
        concentrator = self._site.concentrators[request["concentrator"]]
        await concentrator.suffer(Fault(request["fault"]), float(request.get("duration_s", 1.0)))
        return {"device": concentrator.port.device}

    def _inject(self, request: dict[str, Any]) -> dict[str, object]:
        name, index = request["concentrator"], int(request["radio"])
        board = self._site.concentrators[name].board
        if (
            board is None
            or board.radios[index].chip.listening(board.radios[index].now_us()) is None
        ):
            return {"received": False}
        self._injected += 1
        self._site.balance.sent += 1
        arrival = Arrival(
            bytes.fromhex(request["payload"]),
            float(request.get("rssi_dbm", -80)),
            float(request.get("snr_db", 8)),
            crc_ok=bool(request.get("crc_ok", True)),
        )
        self._site.whole_frame(self._injected, name, board.radios[index], arrival)
        return {"received": True}

    def _garbage(self, request: dict[str, Any]) -> dict[str, object]:
        self._site.concentrators[request["concentrator"]].inject_garbage(
            bytes.fromhex(request["data"])
        )
        return {}

    def _counts(self, _request: dict[str, Any]) -> dict[str, object]:
        boards = [c.board for c in self._site.concentrators.values() if c.board is not None]
        return {
            "sent": self._site.balance.sent,
            "finished": self.finished,
            "unacknowledged": sum(len(board.session.unacknowledged) for board in boards),
        }

    def _be_silent(self, _request: dict[str, Any]) -> dict[str, object]:
        self._silence()
        return {}

    def _balance(self, _request: dict[str, Any]) -> dict[str, object]:
        return self._site.balance.summary()
