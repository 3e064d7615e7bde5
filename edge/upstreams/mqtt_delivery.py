"""What the kinds of upstreams that use an MQTT broker share: options, and what a PUBACK means.

A frame is acknowledged when the broker's PUBACK says success. "No matching subscribers" (0x10) is
no success unless configured: the broker has thrown the message away. A PUBACK is not durability:
see docs/UPSTREAMS.md for the broker settings that make it so.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from edge.config.fields import DURATION
from edge.upstreams.base import (
    PermanentUpstreamError,
    SendResult,
    TransientUpstreamError,
    UpstreamContext,
    UpstreamError,
)
from edge.upstreams.credentials import Credentials
from edge.upstreams.mqtt_connection import (
    SESSION_EXPIRY_S,
    Broker,
    MqttConnection,
    Outgoing,
    code_error,
)
from edge.upstreams.urls import url_notation
from protocol.records.sensor_frame import FrameId

logger = logging.getLogger(__name__)

IN_FLIGHT = 20
ACKNOWLEDGE_TIMEOUT_S = 15.0

_LATE = f"no PUBACK within {ACKNOWLEDGE_TIMEOUT_S:.0f} s"
_NO_SUBSCRIBERS = 0x10
# Reason codes that condemn the message, not the connection (MQTT 5.0, section 3.4.2.1).
_REJECTIONS = {0x90: "topic name invalid", 0x95: "packet too large", 0x99: "payload format invalid"}
_PACKET_OVERHEAD_BYTES = 7  # fixed header, packet identifier, lengths; and the PUBACK is 4 to 6


# No slots: a kind may have other options to share beside these, and two such bases exclude another.
@dataclass(frozen=True, kw_only=True)
class BrokerOptions:
    """Options of every kind that uses a broker."""

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
    in_flight: int = field(
        default=IN_FLIGHT,
        metadata={
            "help": "messages that may wait for their PUBACK; more is faster over long distances",
            "minimum": 1,
            "maximum": 1000,
        },
    )
    session_expiry_s: float = field(
        default=float(SESSION_EXPIRY_S),
        metadata={
            "help": "how long the broker keeps our session, and commands to us, while we are away",
            "notation": DURATION,
            "toml": "session_expiry",
            "minimum": 0.0,
            "maximum": 4_000_000_000.0,
            "example": "1d",
        },
    )
    accept_no_subscriber: bool = field(
        default=False,
        metadata={"help": "count a frame as delivered although nobody has subscribed to it"},
    )


def broker_of(options: BrokerOptions, context: UpstreamContext, will: Outgoing) -> Broker:
    """Where to connect; reads files, so call it in a thread.

    Raises:
        PermanentUpstreamError: a file cannot be read, or is none of its kind.
    """
    url = urlsplit(options.url)
    secure = url.scheme == "mqtts"
    credentials = Credentials.of(options)
    return Broker(
        host=url.hostname or "",
        port=url.port or (8883 if secure else 1883),
        client_id=f"{context.gateway.hex()}-{context.name}",
        username=options.username or None,
        password=credentials.password(),
        tls=credentials.tls() if secure else None,
        will=will,
        session_expiry_s=int(options.session_expiry_s),
    )


async def deliver(
    connection: MqttConnection,
    messages: Mapping[FrameId, Outgoing],
    *,
    accept_no_subscriber: bool,
) -> SendResult:
    """Publish frames side by side and wait for all their PUBACKs.

    Raises:
        TransientUpstreamError: the connection went, or a PUBACK did not come within 15 s.
        PermanentUpstreamError: the broker does not let us publish there.
    """
    waiting = {frame_id: connection.publish(message) for frame_id, message in messages.items()}
    late: set[asyncio.Future[int]] = set()
    if waiting:
        _, late = await asyncio.wait(waiting.values(), timeout=ACKNOWLEDGE_TIMEOUT_S)
    for future in late:
        future.cancel()
    verdict = _Verdict(accept_no_subscriber)
    for frame_id, future in waiting.items():
        if not future.cancelled():
            verdict.add(frame_id, messages[frame_id].topic, future)
    fault = verdict.fault or (TransientUpstreamError(_LATE) if late else None)
    if fault is not None:
        raise type(fault)(str(fault), frozenset(verdict.acknowledged))
    sent_bytes = sum(_size(message) for message in messages.values())
    return SendResult(frozenset(verdict.acknowledged), verdict.rejected, sent_bytes=sent_bytes)


async def publish(connection: MqttConnection, message: Outgoing) -> None:
    """Publish something beside the frames; a refusal is only logged.

    Raises:
        TransientUpstreamError: the connection went, or the PUBACK did not come within 15 s.
    """
    try:
        async with asyncio.timeout(ACKNOWLEDGE_TIMEOUT_S):
            code = await connection.publish(message)
    except TimeoutError:
        raise TransientUpstreamError(_LATE) from None
    if code >= 0x80:
        logger.warning(
            "the broker refuses what we publish topic=%s code=0x%02x", message.topic, code
        )


class _Verdict:
    """What the PUBACKs of a batch say together."""

    def __init__(self, accept_no_subscriber: bool) -> None:
        self._accept_no_subscriber = accept_no_subscriber
        self.acknowledged: set[FrameId] = set()
        self.rejected: dict[FrameId, str] = {}
        self.fault: UpstreamError | None = None

    def add(self, frame_id: FrameId, topic: str, future: asyncio.Future[int]) -> None:
        """Take in a PUBACK, or that the connection ended before it."""
        error = future.exception()
        if isinstance(error, PermanentUpstreamError):
            self.fault = error
        elif error is not None:
            self.fault = self.fault or TransientUpstreamError(str(error))
        elif (code := future.result()) in _REJECTIONS:
            self.rejected[frame_id] = _REJECTIONS[code]
        elif code >= 0x80:
            self.fault = code_error(f"publish to {topic}", code, "refused by the broker")
        elif code == _NO_SUBSCRIBERS and not self._accept_no_subscriber:
            self.fault = self.fault or TransientUpstreamError(
                "nobody subscribes to our frames; the broker would throw them away"
            )
        else:
            self.acknowledged.add(frame_id)


def _size(message: Outgoing) -> int:
    """About what a PUBLISH takes on the line."""
    properties = sum(5 + len(name) + len(value) for name, value in message.user_properties)
    return _PACKET_OVERHEAD_BYTES + len(message.topic) + properties + len(message.payload)
