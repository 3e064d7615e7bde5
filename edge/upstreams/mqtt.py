"""Upstream ``mqtt``: one frame a message, QoS 1, MQTT 5.

A frame is acknowledged when the broker's PUBACK says success. "No matching subscribers" (0x10) is
no success unless configured: the broker has thrown the message away. A PUBACK is not durability:
see the operator's guide for the broker settings that make it so.
"""

import asyncio
import json
import logging
from dataclasses import dataclass, field
from types import TracebackType
from typing import ClassVar, Self
from urllib.parse import urlsplit

from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from edge.upstreams.base import (
    Batch,
    Lane,
    PermanentUpstreamError,
    SendResult,
    TransientUpstreamError,
    UpstreamContext,
    UpstreamError,
)
from edge.upstreams.credentials import Credentials
from edge.upstreams.mqtt_connection import Broker, MqttConnection, code_error, written_by
from edge.upstreams.urls import TOPIC, url_notation
from protocol.records.sensor_frame import FrameId, SensorFrame
from protocol.records.sensor_frame_codec import encode
from protocol.records.sensor_frame_json import to_json_object

logger = logging.getLogger(__name__)

IN_FLIGHT = 20
ACKNOWLEDGE_TIMEOUT_S = 15.0
STATISTICS_INTERVAL_US = 60_000_000

_LATE = f"no PUBACK within {ACKNOWLEDGE_TIMEOUT_S:.0f} s"
_NO_SUBSCRIBERS = 0x10
_STRANGERS = 3
# Reason codes that condemn the message, not the connection (MQTT 5.0, section 3.4.2.1).
_REJECTIONS = {0x90: "topic name invalid", 0x99: "payload format invalid"}


@dataclass(frozen=True, slots=True, kw_only=True)
class MqttOptions:
    """``[[upstream]] kind = "mqtt"``."""

    url: str = field(
        metadata={
            "help": "mqtt://host:1883 or mqtts://host:8883",
            "notation": url_notation("mqtt", "mqtts"),
            "example": "mqtts://broker.example:8883",
        }
    )
    username: str = field(default="", metadata={"help": "user name; empty = none"})
    password_file: str = field(default="", metadata={"help": "file that holds the password"})
    ca_file: str = field(
        default="", metadata={"help": "CA certificates that sign the broker's; empty = system's"}
    )
    cert_file: str = field(default="", metadata={"help": "our certificate, for mutual TLS"})
    key_file: str = field(default="", metadata={"help": "key of our certificate"})
    topic: str = field(
        default="lora-edge",
        metadata={"help": "first levels of all topics", "example": "city", "notation": TOPIC},
    )
    format: str = field(
        default="json",
        metadata={"help": "payload of a frame's message", "choices": ("json", "cbor")},
    )
    accept_no_subscriber: bool = field(
        default=False,
        metadata={"help": "count a frame as delivered although nobody has subscribed to it"},
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
                offline = written_by(self._writer, PacketTypes.PUBLISH)
                await self._publish(
                    connection, "state", b"offline", retain=True, properties=offline
                )
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
        return min(IN_FLIGHT, self._connection.receive_maximum)

    async def send(self, batch: Batch) -> SendResult:
        """Publish frames side by side and wait for all their PUBACKs.

        Raises:
            TransientUpstreamError: the connection went, or a PUBACK did not come within 15 s.
            PermanentUpstreamError: the broker does not let us publish there.
        """
        connection = self._open_connection()
        waiting = {
            frame.frame_id: connection.publish(
                self.topic(frame), self._payload(frame), properties=_properties(frame)
            )
            for frame in batch
        }
        _, late = await asyncio.wait(waiting.values(), timeout=ACKNOWLEDGE_TIMEOUT_S)
        for future in late:
            future.cancel()
        return self._judge(waiting, late=bool(late))

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
        await self._publish(connection, "stats", statistics)
        wall = self._context.clock.wall()
        if wall is not None:
            anchor = {
                "boot_id": self._context.clock.boot_id.hex(),
                "offset_us": wall.unix_us - now_us,
                "uncertainty_us": wall.uncertainty_us,
            }
            await self._publish(connection, "clock", json.dumps(anchor).encode(), retain=True)

    async def _take_over_state(self, connection: MqttConnection) -> None:
        """Say that we are online, and look who said so before us.

        Not every broker tells a client that another one has taken its session (mosquitto 2.0.11
        does not). But two gateways with one identity find each other's state in place of their
        own, again and again; a gateway that has booted finds another's once.
        """
        connection.subscribe(f"{self._prefix}/state")
        online = written_by(self._writer, PacketTypes.PUBLISH)
        # What was retained comes before this PUBACK. Who may not subscribe goes without the check.
        await self._publish(connection, "state", b"online", retain=True, properties=online)
        if connection.last_writer in (None, self._writer):
            self._strangers = 0
            return
        self._strangers += 1
        if self._strangers >= _STRANGERS:
            raise PermanentUpstreamError(
                f"another gateway takes the session {connection.client_id} from us, time and"
                " again: is its card a copy of ours?"
            )

    def topic(self, frame: SensorFrame) -> str:
        """``<topic>/<gateway>/up/<device>``; see the design's contract on names."""
        content = frame.content
        first = content.receptions[0]
        if content.device is not None:
            device = content.device
        elif content.dev_addr is not None:
            device = content.dev_addr.hex()
        elif content.dev_eui is not None:
            device = f"join-{content.dev_eui.hex()}"
        else:
            device = f"{first.concentrator}-{first.radio}"
        return f"{self._prefix}/up/{device}"

    def _payload(self, frame: SensorFrame) -> bytes:
        if self._options.format == "cbor":
            return encode(frame)
        return json.dumps(to_json_object(frame), separators=(",", ":")).encode()

    def _judge(self, waiting: dict[FrameId, asyncio.Future[int]], *, late: bool) -> SendResult:
        acknowledged: set[FrameId] = set()
        rejected: dict[FrameId, str] = {}
        fault: UpstreamError | None = None
        for frame_id, future in waiting.items():
            if future.cancelled():
                continue
            if (error := future.exception()) is not None:
                fault = fault or TransientUpstreamError(str(error))
                if isinstance(error, PermanentUpstreamError):
                    fault = error
                continue
            code = future.result()
            if code in _REJECTIONS:
                rejected[frame_id] = _REJECTIONS[code]
            elif code >= 0x80:
                fault = code_error(f"publish to {self._prefix}", code, "refused by the broker")
            elif code == _NO_SUBSCRIBERS and not self._options.accept_no_subscriber:
                fault = fault or TransientUpstreamError(
                    "nobody subscribes to our frames; the broker would throw them away"
                )
            else:
                acknowledged.add(frame_id)
        if fault is None and late:
            fault = TransientUpstreamError(_LATE)
        if fault is not None:
            raise type(fault)(str(fault), frozenset(acknowledged))
        self._has_acknowledged = self._has_acknowledged or bool(acknowledged)
        return SendResult(frozenset(acknowledged), rejected)

    def _open_connection(self) -> MqttConnection:
        if self._connection is None:
            raise TransientUpstreamError("not connected")
        self._connection.check()
        return self._connection

    async def _publish(
        self,
        connection: MqttConnection,
        name: str,
        payload: bytes,
        *,
        retain: bool = False,
        properties: Properties | None = None,
    ) -> None:
        """Publish about the gateway itself; a refusal must not stand in the way of frames."""
        topic = f"{self._prefix}/{name}"
        try:
            async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
                code = await connection.publish(
                    topic, payload, retain=retain, properties=properties
                )
        except TimeoutError:
            raise TransientUpstreamError(_LATE) from None
        if code >= 0x80:
            logger.warning("the broker refuses what we publish topic=%s code=0x%02x", topic, code)

    def _broker(self) -> Broker:
        """Read the files; in a thread, because they may be on a slow card."""
        url = urlsplit(self._options.url)
        credentials = Credentials.of(self._options)
        secure = url.scheme == "mqtts"
        return Broker(
            host=url.hostname or "",
            port=url.port or (8883 if secure else 1883),
            client_id=f"{self._context.gateway.hex()}-{self._context.name}",
            username=self._options.username or None,
            password=credentials.password(),
            tls=credentials.tls() if secure else None,
            will_topic=f"{self._prefix}/state",
            will_payload=b"offline",
            writer=self._writer,
        )


def _properties(frame: SensorFrame) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
    properties.UserProperty = [("frame_id", str(frame.frame_id))]
    return properties
