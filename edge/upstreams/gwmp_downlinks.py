"""Downlinks of a Semtech UDP server: from PULL_RESP through the one gate to a truthful TX_ACK."""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable

from edge.downlink.gate import DownlinkOutcome, DownlinkRequest
from edge.upstreams.base import UpstreamContext
from protocol.network_server.gwmp import Datagram, GwmpError, Reject
from protocol.network_server.gwmp_downlink import GpsUnlocked, Txpk, begins_at_us, parse_txpk
from protocol.network_server.gwmp_reports import TxError, tx_ack
from protocol.network_server.uplink import Now

logger = logging.getLogger(__name__)

MAX_UNDER_WAY = 32
REPEAT_US = 5_000_000
"""The same datagram within this time is the network's doing, and not transmitted again."""

_ERRORS = {
    DownlinkOutcome.SENT: TxError.NONE,
    DownlinkOutcome.TOO_LATE: TxError.TOO_LATE,
    DownlinkOutcome.TOO_EARLY: TxError.TOO_EARLY,
    DownlinkOutcome.COLLISION: TxError.COLLISION_PACKET,
    DownlinkOutcome.FREQUENCY: TxError.TX_FREQ,
    DownlinkOutcome.POWER: TxError.TX_POWER,
    # The protocol has no word for these; servers read both as "not sent, try the next gateway".
    DownlinkOutcome.QUEUE_FULL: TxError.COLLISION_PACKET,
    DownlinkOutcome.NOT_ALLOWED: TxError.TX_FREQ,
}

Answer = Callable[[bytes, bytes], None]
"""Sends a TX_ACK: token, body."""


class GwmpDownlinks:
    """The downlinks of one connection."""

    def __init__(self, context: UpstreamContext, group: asyncio.TaskGroup, answer: Answer) -> None:
        self._context = context
        self._group = group
        self._answer = answer
        self._under_way: set[asyncio.Task[None]] = set()
        self._seen: OrderedDict[tuple[bytes, bytes], tuple[int, TxError | None]] = OrderedDict()
        self.asked = 0
        self.transmitted = 0

    def take(self, datagram: Datagram) -> None:
        """Deal with a PULL_RESP; returns at once."""
        key = datagram.token, datagram.body
        now_us = self._context.clock.boottime_us()
        at_us, error = self._seen.get(key, (now_us - REPEAT_US, None))
        if now_us - at_us < REPEAT_US:
            if error is not None:
                self._answer(datagram.token, tx_ack(error))
            return
        if len(self._under_way) >= MAX_UNDER_WAY:
            self._reject(Reject.CROWDED)
            self._reply(datagram, TxError.COLLISION_PACKET)
            return
        self.asked += 1
        self._note(key, None)
        task = self._group.create_task(self._run(datagram))
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)

    def cancel(self) -> None:
        """Nobody could be told any more what becomes of them."""
        for task in self._under_way:
            task.cancel()

    async def _run(self, datagram: Datagram) -> None:
        try:
            txpk = parse_txpk(datagram.body)
        except GwmpError as fault:
            self._reject(fault.reason)
            if fault.reason is Reject.UNSUPPORTED:
                self._reply(datagram, TxError.TX_FREQ)
            return  # what cannot be read is not answered, as the reference forwarder has it
        error = await self._submit(txpk)
        self.transmitted += error is TxError.NONE
        self._note((datagram.token, datagram.body), error)
        self._reply(datagram, error)

    async def _submit(self, txpk: Txpk) -> TxError:
        clock = self._context.clock
        now_us = clock.boottime_us()
        try:
            at_us = begins_at_us(txpk, Now(clock.boot_id, now_us, clock.wall()))
        except GpsUnlocked:
            return TxError.GPS_UNLOCKED
        if at_us is not None and at_us <= now_us:
            return TxError.TOO_LATE
        request = DownlinkRequest(
            upstream=self._context.name,
            payload=txpk.payload,
            frequency_hz=txpk.frequency_hz,
            spreading_factor=txpk.spreading_factor,
            bandwidth_hz=txpk.bandwidth_hz,
            coding_rate=txpk.coding_rate,
            power_dbm=txpk.power_dbm,
            invert_iq=txpk.invert_iq,
            at_boottime_us=at_us,
        )
        return _ERRORS[await self._context.downlinks.submit(request)]

    def _reply(self, datagram: Datagram, error: TxError) -> None:
        metric = self._context.metrics.network_server_downlinks
        metric.labels(self._context.name, error.value.lower()).inc()
        if datagram.version > 1:  # version 1 has no TX_ACK
            self._answer(datagram.token, tx_ack(error))

    def _reject(self, reason: Reject) -> None:
        metric = self._context.metrics.network_server_rejects
        metric.labels(self._context.name, reason.value).inc()
        logger.debug("downlink refused upstream=%s reason=%s", self._context.name, reason)

    def _note(self, key: tuple[bytes, bytes], error: TxError | None) -> None:
        self._seen[key] = self._context.clock.boottime_us(), error
        while len(self._seen) > 2 * MAX_UNDER_WAY:
            self._seen.popitem(last=False)
