"""What a network server wants transmitted over the LNS protocol, on its way to the one gate.

The protocol has no negative answer: a downlink that is refused is met with silence, counted by
what the gate said. ``dntxed`` is sent only for what the radio has really sent.
"""

import asyncio
import logging
from collections.abc import Callable

from edge.downlink.gate import DownlinkOutcome, DownlinkRequest
from edge.upstreams.base import UpstreamContext, UpstreamError
from edge.upstreams.web_socket import WebSocket
from protocol.network_server.lns import LnsSession
from protocol.network_server.lns_downlink import Downlink, Times, Window

logger = logging.getLogger(__name__)

MAX_WAITING = 32
"""More cannot be on the air of one radio in the seconds that a server plans ahead."""


class StationDownlinks:
    """Downlinks of one upstream under way; each is a task of the connection's group."""

    def __init__(
        self, session: LnsSession, context: UpstreamContext, times: Callable[[], Times]
    ) -> None:
        self._session = session
        self._context = context
        self._times = times
        self._waiting: set[asyncio.Task[None]] = set()
        self._outcomes = {
            outcome: context.metrics.network_server_downlinks.labels(context.name, outcome.value)
            for outcome in DownlinkOutcome
        }

    def begin(self, downlink: Downlink, socket: WebSocket, group: asyncio.TaskGroup) -> bool:
        """Have it transmitted; False = there are too many already."""
        if len(self._waiting) >= MAX_WAITING:
            return False
        task = group.create_task(self._transmit(downlink, socket))
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)
        return True

    def cancel(self) -> None:
        """The connection ends, and with it what has not been transmitted yet."""
        for task in self._waiting:
            task.cancel()

    async def _transmit(self, downlink: Downlink, socket: WebSocket) -> None:
        outcome = DownlinkOutcome.NOT_ALLOWED
        for window in downlink.windows:
            outcome = await self._context.downlinks.submit(self._request(downlink, window))
            if outcome is DownlinkOutcome.SENT:
                text = self._session.transmitted(downlink, window, self._times())
                await _tell(socket, text)
                break
        self._outcomes[outcome].inc()

    def _request(self, downlink: Downlink, window: Window) -> DownlinkRequest:
        """As devices expect it: inverted IQ, coding rate 4/5, as much power as is allowed."""
        return DownlinkRequest(
            upstream=self._context.name,
            payload=downlink.payload,
            frequency_hz=window.frequency_hz,
            spreading_factor=window.spreading_factor,
            bandwidth_hz=window.bandwidth_hz,
            coding_rate="4/5",
            power_dbm=None,
            invert_iq=True,
            at_boottime_us=window.at_boottime_us,
        )


async def _tell(socket: WebSocket, text: str | None) -> None:
    if text is None:
        return
    try:
        await socket.send(text)
    except UpstreamError as error:
        logger.info("the server does not learn that a downlink was sent: %s", error)
