"""Upstream ``mqtt``: one frame a message, QoS 1, MQTT 5."""

import asyncio
import json
import logging
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self

from edge.upstreams.base import (
    Batch,
    Lane,
    PermanentUpstreamError,
    SendResult,
    TransientUpstreamError,
    UpstreamContext,
    UpstreamError,
)
from edge.upstreams.frame_names import sender_of
from edge.upstreams.mqtt_connection import Broker, Incoming, MqttConnection, Outgoing
from edge.upstreams.mqtt_delivery import BrokerOptions, broker_of, deliver, publish
from edge.upstreams.urls import TOPIC
from protocol.records.sensor_frame import SensorFrame
from protocol.records.sensor_frame_codec import encode
from protocol.records.sensor_frame_json import encode_json

logger = logging.getLogger(__name__)

STATISTICS_INTERVAL_US = 60_000_000

_STRANGERS = 3
_WRITER = "boot_id"


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions(BrokerOptions):
    """``[[upstream]] kind = "mqtt"``."""

    topic: str = field(
        default="lora-edge",
        metadata={"help": "first levels of all topics", "example": "city", "notation": TOPIC},
    )
    format: str = field(
        default="json",
        metadata={"help": "payload of a frame's message", "choices": ("json", "cbor")},
    )


class MqttUpstream:
    """One broker; see :class:`edge.upstreams.base.Upstream`."""

    Options: ClassVar[type[MqttOptions]] = MqttOptions
    lane: ClassVar[Lane] = Lane.DATA

    def __init__(self, options: MqttOptions, context: UpstreamContext) -> None:
        self._options = options
        self._context = context
        self._prefix = f"{options.topic}/{context.gateway.hex()}"
        self._connection: MqttConnection | None = None
        self._statistics_at_us = 0
        self._has_acknowledged = False
        self._writer = context.clock.boot_id.hex()
        self._strangers = 0
        self._last_writer: str | None = None

    async def __aenter__(self) -> Self:
        self._statistics_at_us = 0
        self._has_acknowledged = False
        connection = MqttConnection(await asyncio.to_thread(self._broker))
        try:
            await connection.open()
            await self._take_over_state(connection)
        except BaseException:
            await connection.close()
            raise
        self._connection = connection
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        connection, self._connection = self._connection, None
        if connection is None:
            return
        try:
            # A clean goodbye suppresses the last will, so it has to be said by us.
            async with asyncio.timeout(1):
                await publish(connection, self._state(b"offline"))
        except (TimeoutError, UpstreamError):
            pass
        finally:
            await connection.close()

    @property
    def max_batch(self) -> int:
        """As many as may be in flight, which the broker may limit further; at first only one.

        mosquitto 2.0.11 hangs up after a refusal. If it had more of us unread then, the reset of
        the connection would destroy the PUBACK that says why.
        """
        if self._connection is None or not self._has_acknowledged:
            return 1
        return min(self._options.in_flight, self._connection.receive_maximum)

    async def send(self, batch: Batch) -> SendResult:
        """Publish frames side by side and wait for all their PUBACKs.

        Raises:
            TransientUpstreamError: the connection went, or a PUBACK did not come within 15 s.
            PermanentUpstreamError: the broker does not let us publish there.
        """
        connection = self._open_connection()
        result = await deliver(
            connection,
            {frame.frame_id: self._message(frame) for frame in batch},
            accept_no_subscriber=self._options.accept_no_subscriber,
        )
        self._has_acknowledged = self._has_acknowledged or bool(result.acknowledged)
        return result

    @property
    def session_lost(self) -> bool:
        """Whether the broker has begun a new session for us, and may have lost more than that."""
        return self._connection is None or not self._connection.session_present

    async def tick(self) -> None:
        """Notice a lost connection, and publish statistics and the clock each minute.

        Raises:
            UpstreamError: the connection is gone, or a PUBACK did not come within 15 s.
        """
        connection = self._open_connection()
        now_us = self._context.clock.boottime_us()
        if now_us < self._statistics_at_us:
            return
        self._statistics_at_us = now_us + STATISTICS_INTERVAL_US
        statistics = json.dumps(self._context.statistics(), separators=(",", ":")).encode()
        await publish(connection, self._own("stats", statistics))
        wall = self._context.clock.wall()
        if wall is not None:
            anchor = {
                "boot_id": self._context.clock.boot_id.hex(),
                "offset_us": wall.unix_us - now_us,
                "uncertainty_us": wall.uncertainty_us,
            }
            await publish(connection, self._own("clock", json.dumps(anchor).encode(), retain=True))

    async def _take_over_state(self, connection: MqttConnection) -> None:
        """Say that we are online, and look who said so before us.

        Not every broker tells a client that another one has taken its session (mosquitto 2.0.11
        does not). But two gateways with one identity find each other's state in place of their
        own, again and again; a gateway that has booted finds another's once.
        """
        self._last_writer = None
        connection.subscribe(f"{self._prefix}/state", self._note_writer)
        # What was retained comes before this PUBACK. Who may not subscribe goes without the check.
        await publish(connection, self._state(b"online"))
        if self._last_writer in (None, self._writer):
            self._strangers = 0
            return
        self._strangers += 1
        if self._strangers >= _STRANGERS:
            raise PermanentUpstreamError(
                f"another gateway takes the session {connection.client_id} from us, time and"
                " again: is its card a copy of ours?"
            )

    def _note_writer(self, message: Incoming) -> None:
        if self._last_writer is None:
            self._last_writer = message.user_properties.get(_WRITER, "")

    def topic(self, frame: SensorFrame) -> str:
        """``<topic>/<gateway>/up/<device>``; see the design's contract on names."""
        return f"{self._prefix}/up/{sender_of(frame)}"

    def _message(self, frame: SensorFrame) -> Outgoing:
        return Outgoing(
            topic=self.topic(frame),
            payload=encode(frame) if self._options.format == "cbor" else encode_json(frame),
            user_properties=(("frame_id", str(frame.frame_id)),),
            content_type=f"application/{self._options.format}",
        )

    def _own(self, name: str, payload: bytes, *, retain: bool = False) -> Outgoing:
        return Outgoing(topic=f"{self._prefix}/{name}", payload=payload, retain=retain)

    def _state(self, payload: bytes) -> Outgoing:
        """With the boot of the host that wrote it, which a copy of this host does not share."""
        return Outgoing(
            topic=f"{self._prefix}/state",
            payload=payload,
            retain=True,
            user_properties=((_WRITER, self._writer),),
        )

    def _open_connection(self) -> MqttConnection:
        if self._connection is None:
            raise TransientUpstreamError("not connected")
        self._connection.check()
        return self._connection

    def _broker(self) -> Broker:
        return broker_of(self._options, self._context, self._state(b"offline"))
