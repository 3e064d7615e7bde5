"""Upstream ``chirpstack-mqtt``: a gateway of ChirpStack v4, over its MQTT broker.

Topics ``<prefix>/gateway/<EUI>/``: ``event/up``, ``event/ack`` and ``event/stats`` from us,
``state/conn`` retained and in the last will, ``command/+`` to us. A frame is acknowledged when the
broker's PUBACK says so: ChirpStack itself acknowledges nothing. Downlinks go through the one gate;
commands to run programs and configurations from outside are refused.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from enum import StrEnum
from types import TracebackType
from typing import ClassVar, Self

from edge.upstreams.base import (
    Batch,
    Lane,
    SendResult,
    TransientUpstreamError,
    UpstreamContext,
    UpstreamError,
)
from edge.upstreams.beside import beside
from edge.upstreams.chirpstack_messages import (
    Interval,
    downlink_request,
    radio_counts,
    status_of,
    uplink_frame,
)
from edge.upstreams.mqtt_connection import Incoming, MqttConnection, Outgoing
from edge.upstreams.mqtt_delivery import BrokerOptions, broker_of, deliver, publish
from edge.upstreams.network_server import (
    MAX_BATCH,
    NetworkServerLane,
    NetworkServerOptions,
    Parcels,
)
from edge.upstreams.urls import TOPIC
from protocol.network_server import proto_json, protobuf
from protocol.network_server.gateway_proto import (
    Connection,
    ConnState,
    DownlinkFrame,
    DownlinkTxAck,
    DownlinkTxAckItem,
    ExecRequest,
    ExecResponse,
    TxAckStatus,
    parse,
)
from protocol.network_server.message_schema import GatewayProtoError
from protocol.network_server.uplink import Uplink
from protocol.records.sensor_frame import FrameId

logger = logging.getLogger(__name__)

STATISTICS_INTERVAL_US = 30_000_000
MAX_COMMANDS = 32
"""That wait to be looked at; a server sends few, a hostile one no more than these."""

MAX_DOWNLINKS = 16
"""Under way at a time: each waits for its moment on the air, up to some seconds."""

_JSON_SIGN = b"gatewayId"


class CommandReject(StrEnum):
    """Why a command is not carried out; a closed list."""

    MALFORMED = "malformed"
    EXEC = "exec"
    UNSUPPORTED = "unsupported"
    CROWDED = "crowded"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChirpstackMqttOptions(NetworkServerOptions, BrokerOptions):
    """``[[upstream]] kind = "chirpstack-mqtt"``."""

    topic_prefix: str = field(
        default="",
        metadata={
            "help": "first levels of all topics, ChirpStack's id of the region; if not set, that"
            " of the gateway's region, such as as923_2",
            "example": "as923_2",
            "notation": TOPIC,
        },
    )
    format: str = field(
        default="protobuf",
        metadata={
            "help": "how messages are written; JSON takes three times the bytes",
            "choices": ("protobuf", "json"),
        },
    )


class ChirpstackMqttUpstream:
    """One ChirpStack; see :class:`edge.upstreams.base.Upstream`."""

    Options: ClassVar[type[ChirpstackMqttOptions]] = ChirpstackMqttOptions
    lane: ClassVar[Lane] = Lane.NETWORK_SERVER
    max_batch: ClassVar[int] = MAX_BATCH

    def __init__(self, options: ChirpstackMqttOptions, context: UpstreamContext) -> None:
        self._options = options
        self._context = context
        self._gateway_id = context.gateway.hex()
        first = options.topic_prefix or context.site.region.lower().replace("-", "_")
        self._prefix = f"{first}/gateway/{self._gateway_id}"
        self._frames = NetworkServerLane(options, context)
        self._interval = Interval()
        self._statistics_at_us = 0
        self._has_acknowledged = False
        self._connection: MqttConnection | None = None
        self._commands: asyncio.Queue[Incoming] = asyncio.Queue(MAX_COMMANDS)
        self._open = AsyncExitStack()

    async def __aenter__(self) -> Self:
        self._statistics_at_us = 0
        self._has_acknowledged = False
        self._commands = asyncio.Queue(MAX_COMMANDS)
        will = self._conn_state(Connection.OFFLINE)
        broker = await asyncio.to_thread(broker_of, self._options, self._context, will)
        async with AsyncExitStack() as opening:
            connection = MqttConnection(broker)
            opening.push_async_callback(connection.close)
            await connection.open()
            await opening.enter_async_context(beside(self._serve_commands(connection)))
            opening.push_async_callback(self._say_goodbye, connection)
            connection.subscribe(f"{self._prefix}/command/+", self._take_command)
            await publish(connection, self._conn_state(Connection.ONLINE))
            self._open = opening.pop_all()
        self._connection = connection
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._connection = None
        await self._open.__aexit__(exc_type, exc, traceback)

    async def send(self, batch: Batch) -> SendResult:
        """Publish the LoRaWAN frames among them, each device's in order and at its pace.

        Raises:
            TransientUpstreamError: the connection went, or a PUBACK did not come within 15 s.
            PermanentUpstreamError: the broker does not let us publish there.
        """
        connection = self._open_connection()

        async def transmit(uplinks: Sequence[Uplink]) -> Mapping[FrameId, str]:
            messages = {uplink.frame_id: self._up(uplink) for uplink in uplinks}
            result = await deliver(
                connection, messages, accept_no_subscriber=self._options.accept_no_subscriber
            )
            self._has_acknowledged = self._has_acknowledged or bool(result.acknowledged)
            return result.rejected

        # mosquitto 2.0.11 hangs up after a refusal, and what is unread then takes the PUBACK with
        # the reason along: so one frame goes alone first.
        in_flight = min(self._options.in_flight, connection.receive_maximum)
        if not self._has_acknowledged:
            in_flight = 1
        return await self._frames.send(batch, transmit, Parcels(in_flight=in_flight))

    @property
    def session_lost(self) -> bool:
        """Whether the broker has begun a new session for us, and may have lost more than that."""
        return self._connection is None or not self._connection.session_present

    async def tick(self) -> None:
        """Notice a lost connection, and publish statistics each half minute.

        Raises:
            UpstreamError: the connection is gone, or a PUBACK did not come within 15 s.
        """
        connection = self._open_connection()
        clock = self._context.clock
        now_us = clock.boottime_us()
        if now_us < self._statistics_at_us:
            return
        wall = clock.wall()
        radios = radio_counts(self._context.statistics())
        time_ns = None if wall is None else wall.unix_us * 1000
        if self._statistics_at_us == 0:
            # Those of an outage are nobody's interval; but that we are there shall be seen at once.
            self._interval.begin(radios)
        self._statistics_at_us = now_us + STATISTICS_INTERVAL_US
        stats = self._interval.stats(self._context.gateway, self._context.site, time_ns, radios)
        self._interval.begin(radios)
        await publish(connection, self._message("event/stats", stats))

    def _up(self, uplink: Uplink) -> Outgoing:
        return self._message("event/up", uplink_frame(uplink, self._context.site))

    def _conn_state(self, state: Connection) -> Outgoing:
        message = ConnState(gateway_id=self._gateway_id, state=state)
        return self._message("state/conn", message, retain=True)

    def _message(self, topic: str, message: object, *, retain: bool = False) -> Outgoing:
        payload = protobuf.encode(message)
        # ChirpStack takes for JSON whatever holds this text, be it what a device has sent.
        if self._options.format == "json" or _JSON_SIGN in payload:
            payload = proto_json.encode(message)
        return Outgoing(topic=f"{self._prefix}/{topic}", payload=payload, retain=retain)

    def _open_connection(self) -> MqttConnection:
        if self._connection is None:
            raise TransientUpstreamError("not connected")
        self._connection.check()
        return self._connection

    async def _say_goodbye(self, connection: MqttConnection) -> None:
        """A clean goodbye suppresses the last will, so it has to be said by us."""
        try:
            async with asyncio.timeout(1):
                await publish(connection, self._conn_state(Connection.OFFLINE))
        except (TimeoutError, UpstreamError):
            pass

    # Commands.

    def _take_command(self, message: Incoming) -> None:
        try:
            self._commands.put_nowait(message)
        except asyncio.QueueFull:
            self._refuse(CommandReject.CROWDED, message.topic)

    async def _serve_commands(self, connection: MqttConnection) -> None:
        """One after the other; but each downlink takes as long as it takes until it is sent."""
        room = asyncio.Semaphore(MAX_DOWNLINKS)
        async with asyncio.TaskGroup() as group:
            while True:
                message = await self._commands.get()
                await room.acquire()
                task = group.create_task(self._command(connection, message))
                task.add_done_callback(lambda _: room.release())

    async def _command(self, connection: MqttConnection, message: Incoming) -> None:
        name = message.topic.rpartition("/")[2]
        try:
            answer = await self._answer(name, message.payload)
            if answer is not None:
                await publish(connection, answer)
        except GatewayProtoError as error:
            self._refuse(CommandReject.MALFORMED, f"{name}: {error}")
        except UpstreamError:
            pass  # the next send or tick says so

    async def _answer(self, name: str, payload: bytes) -> Outgoing | None:
        match name:
            case "down":
                return await self._downlink(parse(DownlinkFrame, payload))
            case "exec":
                request = parse(ExecRequest, payload)
                self._refuse(CommandReject.EXEC, "never allowed")
                response = ExecResponse(
                    gateway_id=self._gateway_id,
                    exec_id=request.exec_id,
                    error="this gateway runs no commands",
                )
                return self._message("event/exec", response)
            case _:
                self._refuse(CommandReject.UNSUPPORTED, name)
                return None

    async def _downlink(self, downlink: DownlinkFrame) -> Outgoing | None:
        """Try its items in order, and say what became of each."""
        if downlink.gateway_id not in ("", self._gateway_id):
            raise GatewayProtoError("it is for another gateway")
        self._interval.downlinks += 1
        statuses = [TxAckStatus.IGNORED] * len(downlink.items)
        for index, item in enumerate(downlink.items):
            request = downlink_request(item, self._context.name, self._context.clock)
            if isinstance(request, TxAckStatus):
                status = request
            else:
                status = status_of(await self._context.downlinks.submit(request))
            statuses[index] = status
            self._interval.note(status, item)
            if status is TxAckStatus.OK:
                break
        if downlink.items:
            metric = self._context.metrics.network_server_downlinks
            metric.labels(self._context.name, status.name.lower()).inc()
        ack = DownlinkTxAck(
            gateway_id=self._gateway_id,
            downlink_id=downlink.downlink_id,
            items=tuple(DownlinkTxAckItem(status=status) for status in statuses),
        )
        return self._message("event/ack", ack)

    def _refuse(self, reason: CommandReject, detail: str) -> None:
        logger.warning(
            "command refused upstream=%s reason=%s (%s)", self._context.name, reason.value, detail
        )
        self._context.metrics.network_server_rejects.labels(self._context.name, reason.value).inc()
