"""One MQTT 5 connection on the event loop, with every PUBACK's reason code.

paho-mqtt by its public API for an external event loop. (aiomqtt, its usual asyncio face, drops the
reason code of a PUBACK, so that a refused message looks delivered.) No threads but for the blocking
connect, no reconnecting, no queue: the forwarder owns all three.
"""

import asyncio
import logging
import socket
import ssl
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from paho.mqtt import client as paho
from paho.mqtt.enums import CallbackAPIVersion, MQTTErrorCode
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from edge.upstreams.base import PermanentUpstreamError, TransientUpstreamError, UpstreamError
from edge.upstreams.sockets import CONNECT_DEADLINE_S, tune
from edge.upstreams.tls import certificate_error

logger = logging.getLogger(__name__)

KEEPALIVE_S = 30
SESSION_EXPIRY_S = 24 * 3600
_MISC_INTERVAL_S = 1.0
_BREAK_OFF_S = 1.0

# MQTT 5.0, section 2.4: reason codes that trying again at once cannot mend
_PERMANENT_CODES = {0x84, 0x85, 0x86, 0x87, 0x8A, 0x8C, 0x8E, 0x9A, 0x9B}
SESSION_TAKEN_OVER = 0x8E
MAX_INCOMING_BYTES = 131_072  # of one packet: the broker keeps larger ones to itself
_RECEIVE_MAXIMUM = 65_535  # MQTT 5.0, section 3.2.2.3.3: unless the broker says otherwise


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """A message to publish with QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False
    user_properties: tuple[tuple[str, str], ...] = ()
    content_type: str | None = None
    correlation: bytes | None = None

    def properties(self, packet_type: int = PacketTypes.PUBLISH) -> Properties:
        """Those of MQTT 5 (section 3.3.2.3)."""
        properties = Properties(packet_type)  # type: ignore[no-untyped-call]
        if self.user_properties:
            properties.UserProperty = list(self.user_properties)
        if self.content_type is not None:
            properties.ContentType = self.content_type
        if self.correlation is not None:
            properties.CorrelationData = self.correlation
        return properties


@dataclass(frozen=True, slots=True, kw_only=True)
class Incoming:
    """A message that somebody published to a topic that we subscribed to."""

    topic: str
    payload: bytes
    retain: bool
    user_properties: Mapping[str, str] = field(default_factory=dict)
    response_topic: str | None = None
    correlation: bytes | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Broker:
    """Where and as whom to connect, and what it shall say when we are gone."""

    host: str
    port: int
    client_id: str
    username: str | None
    password: str | None
    tls: ssl.SSLContext | None
    will: Outgoing
    session_expiry_s: int = SESSION_EXPIRY_S


def code_error(what: str, code: int, name: str) -> UpstreamError:
    """The error for a reason code of 0x80 or more."""
    text = f"{what}: {name} (0x{code:02x})"
    if code == SESSION_TAKEN_OVER:
        text += "; another gateway uses the same client id, perhaps from a cloned card"
    kind = PermanentUpstreamError if code in _PERMANENT_CODES else TransientUpstreamError
    return kind(text)


class _Client(paho.Client):
    """Keeps hold of its socket while a thread connects it, so that this can be broken off.

    paho has no public way to do that; the two methods with which it connects are replaced. Its own
    leave a TLS socket open when the handshake fails.
    """

    def __init__(self, broker: Broker) -> None:
        super().__init__(
            CallbackAPIVersion.VERSION2,
            client_id=broker.client_id,
            protocol=paho.MQTTv5,
            reconnect_on_failure=False,
        )
        self._address = broker.host, broker.port
        self._tls = broker.tls
        self._given_up = False
        self._same_connection: socket.socket | None = None

    def _create_socket_connection(self) -> socket.socket:
        error = OSError("the name has no address")
        for family, kind, protocol, _, address in socket.getaddrinfo(
            *self._address, type=socket.SOCK_STREAM
        ):
            sock = socket.socket(family, kind, protocol)
            # TLS takes the descriptor away from the socket; a second one leads to the same.
            self._same_connection = sock.dup()
            try:
                if self._given_up:
                    raise OSError("given up")
                sock.settimeout(CONNECT_DEADLINE_S)
                sock.connect(address)
            except OSError as fault:
                sock.close()
                self._same_connection.close()
                error = fault
            else:
                return sock
        raise error

    def _ssl_wrap_socket(self, tcp_sock: socket.socket) -> ssl.SSLSocket:
        assert self._tls is not None  # else there would be nothing to wrap
        secure = self._tls.wrap_socket(
            tcp_sock, server_hostname=self._address[0], do_handshake_on_connect=False
        )
        try:
            secure.settimeout(CONNECT_DEADLINE_S)
            secure.do_handshake()
        except BaseException:
            secure.close()
            raise
        return secure

    def break_off(self) -> None:
        """Have whatever the connecting thread waits for fail; names cannot be broken off."""
        self._given_up = True
        if self._same_connection is not None:
            with suppress(OSError):
                self._same_connection.shutdown(socket.SHUT_RDWR)

    def connected(self) -> None:
        """The connecting thread has ended."""
        if self._same_connection is not None:
            self._same_connection.close()


class MqttConnection:
    """Connected between :meth:`open` and :meth:`close`; all methods on the loop's thread.

    Attributes:
        session_present: the broker still had our session.
        receive_maximum: how many messages the broker takes before their PUBACKs.
    """

    def __init__(self, broker: Broker) -> None:
        self._broker = broker
        self._loop = asyncio.get_running_loop()
        self._connecting: asyncio.Future[MQTTErrorCode] | None = None
        self._connected: asyncio.Future[None] = self._loop.create_future()
        self._gone: asyncio.Future[None] = self._loop.create_future()
        self._waiting: dict[int, asyncio.Future[int]] = {}
        self._misc_timer: asyncio.TimerHandle | None = None
        self._fault: UpstreamError | None = None
        self.receive_maximum = _RECEIVE_MAXIMUM
        self.session_present = False
        self._subscriptions: dict[str, Callable[[Incoming], None]] = {}
        self._client = self._make_client()

    def _make_client(self) -> _Client:
        client = _Client(self._broker)
        client.connect_timeout = CONNECT_DEADLINE_S
        # Zero means no limit of paho's own: our batches are the window.
        client.max_inflight_messages_set(0)
        if self._broker.username is not None:
            client.username_pw_set(self._broker.username, self._broker.password)
        if self._broker.tls is not None:
            client.tls_set_context(self._broker.tls)
        will = self._broker.will
        client.will_set(
            will.topic,
            will.payload,
            qos=1,
            retain=will.retain,
            properties=will.properties(PacketTypes.WILLMESSAGE),
        )
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.on_socket_close = self._on_socket_close
        client.on_socket_register_write = self._on_register_write
        client.on_socket_unregister_write = self._on_unregister_write
        return client

    @property
    def client_id(self) -> str:
        """Under which the broker knows us."""
        return self._broker.client_id

    async def open(self) -> None:
        """Connect and wait for the broker's CONNACK.

        Raises:
            TransientUpstreamError: the broker cannot be reached or is busy.
            PermanentUpstreamError: it refuses us, or its certificate is not to be trusted.
        """
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = self._broker.session_expiry_s
        properties.MaximumPacketSize = MAX_INCOMING_BYTES
        where = f"{self._broker.host}:{self._broker.port}"
        # Name look-up, TCP and TLS handshakes block, so they have a thread.
        self._connecting = self._loop.run_in_executor(
            None,
            partial(
                self._client.connect,
                self._broker.host,
                self._broker.port,
                KEEPALIVE_S,
                clean_start=False,
                properties=properties,
            ),
        )
        try:
            async with asyncio.timeout(CONNECT_DEADLINE_S):
                await asyncio.shield(self._connecting)
                self._tune_socket()
                await asyncio.shield(self._connected)
        except TimeoutError:
            raise TransientUpstreamError(f"{where}: no answer in {CONNECT_DEADLINE_S} s") from None
        except ssl.SSLCertVerificationError as error:
            raise certificate_error(where, error) from None
        except (OSError, ValueError) as error:
            raise TransientUpstreamError(f"{where}: {error}") from None

    async def close(self) -> None:
        """Say goodbye if the broker still listens; never raises."""
        try:
            if self._connecting is not None:
                # If it still came about, it would take the session of the next connection.
                if not self._connecting.done():
                    self._client.break_off()
                    self._connecting.add_done_callback(_look_at)
                await asyncio.wait([self._connecting], timeout=_BREAK_OFF_S)
                self._client.connected()
            if self._fault is None and self._client.is_connected():
                self._client.disconnect()
                async with asyncio.timeout(1):
                    await asyncio.shield(self._gone)
        except TimeoutError:
            pass  # it does not read any more
        finally:
            if self._misc_timer is not None:
                self._misc_timer.cancel()
            self._gone.cancel()
            self._fail(TransientUpstreamError("closed"))
            self._drop_socket()

    def check(self) -> None:
        """Raise what ended the connection, if anything did."""
        if self._fault is not None:
            raise self._fault

    def publish(self, message: Outgoing) -> asyncio.Future[int]:
        """Send with QoS 1; the future gives the PUBACK's reason code.

        Raises:
            UpstreamError: the connection is gone.
        """
        self.check()
        future: asyncio.Future[int] = self._loop.create_future()
        info = self._client.publish(
            message.topic,
            message.payload,
            qos=1,
            retain=message.retain,
            properties=message.properties(),
        )
        if info.rc != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise TransientUpstreamError(f"publish: {paho.error_string(info.rc)}")
        self._waiting[info.mid] = future
        return future

    def subscribe(self, topic: str, take: Callable[[Incoming], None]) -> None:
        """Ask for what is retained there, and what others write.

        Args:
            topic: a filter; the first one that fits a message gets it.
            take: called on the loop; has to bound what it keeps.

        Raises:
            UpstreamError: the connection is gone.
        """
        self.check()
        self._subscriptions[topic] = take
        options = SubscribeOptions(qos=1, noLocal=True)
        code, _ = self._client.subscribe(topic, options=options)
        if code != MQTTErrorCode.MQTT_ERR_SUCCESS:
            raise TransientUpstreamError(f"subscribe: {paho.error_string(code)}")

    def _tune_socket(self) -> None:
        sock = self._client.socket()
        if isinstance(sock, socket.socket):
            tune(sock)

    def _on_connect(
        self, _client: paho.Client, _userdata: Any, flags: Any, code: ReasonCode, properties: Any
    ) -> None:
        if self._connected.done():
            return
        if code.is_failure:
            self._connected.set_exception(code_error("connect", code.value, str(code)))
        else:
            self.session_present = bool(flags.session_present)
            self.receive_maximum = getattr(properties, "ReceiveMaximum", _RECEIVE_MAXIMUM)
            self._connected.set_result(None)

    def _on_disconnect(
        self, _client: paho.Client, _userdata: Any, _flags: Any, code: ReasonCode, _properties: Any
    ) -> None:
        if code.is_failure:
            self._fail(code_error("disconnected", code.value, str(code)))
        else:
            self._fail(TransientUpstreamError("the broker closed the connection"))
        if not self._gone.done():
            self._gone.set_result(None)

    def _on_publish(
        self, _client: paho.Client, _userdata: Any, mid: int, code: ReasonCode, _properties: Any
    ) -> None:
        future = self._waiting.pop(mid, None)
        if future is not None and not future.done():
            future.set_result(code.value)

    def _on_subscribe(
        self, _client: paho.Client, _userdata: Any, _mid: int, codes: Any, _properties: Any
    ) -> None:
        for code in codes:
            if code.is_failure:
                logger.warning("the broker refuses a subscription code=0x%02x %s", code.value, code)

    def _on_message(self, _client: paho.Client, _userdata: Any, message: Any) -> None:
        for topic, take in self._subscriptions.items():
            if paho.topic_matches_sub(topic, message.topic):
                take(_incoming(message))
                return

    def _fail(self, error: UpstreamError) -> None:
        if self._fault is None:
            self._fault = error
        futures: list[asyncio.Future[Any]] = [self._connected, *self._waiting.values()]
        for future in futures:
            if not future.done():
                future.set_exception(error)
                future.exception()  # whoever waited for it may have given up already
        self._waiting.clear()

    def _drop_socket(self) -> None:
        sock = self._client.socket()
        if isinstance(sock, socket.socket) and sock.fileno() >= 0:
            self._on_socket_close(self._client, None, sock)
            sock.close()

    # paho calls these hooks from the connecting thread or from the loop's own. When the loop gets
    # round to what they ask for, the socket may be closed and its number another one's.

    def _on_socket_open(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch, sock)

    def _on_register_write(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._watch_writing, sock)

    def _on_unregister_write(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._loop.call_soon_threadsafe(self._unwatch_writing, sock)

    def _on_socket_close(self, _client: paho.Client, _userdata: Any, sock: Any) -> None:
        self._loop.remove_reader(sock.fileno())
        self._loop.remove_writer(sock.fileno())

    def _watch(self, sock: socket.socket) -> None:
        if self._gone.done():
            self._drop_socket()
        elif sock.fileno() >= 0:
            self._loop.add_reader(sock.fileno(), self._read)
            self._misc()

    def _watch_writing(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.add_writer(sock.fileno(), self._write)

    def _unwatch_writing(self, sock: socket.socket) -> None:
        if sock.fileno() >= 0:
            self._loop.remove_writer(sock.fileno())

    def _read(self) -> None:
        self._guard(self._client.loop_read)
        # A TLS socket may hold decoded bytes that the selector knows nothing of.
        while isinstance(sock := self._client.socket(), ssl.SSLSocket) and sock.pending():
            self._guard(self._client.loop_read)

    def _write(self) -> None:
        self._guard(self._client.loop_write)

    def _misc(self) -> None:
        """Keepalive; paho answers an error once the broker has missed a ping."""
        if self._gone.done():
            return
        self._guard(self._client.loop_misc)
        self._misc_timer = self._loop.call_later(_MISC_INTERVAL_S, self._misc)

    def _guard(self, step: Callable[[], object]) -> None:
        try:
            step()
        except Exception as error:  # what paho makes of bytes that are no MQTT is not documented
            self._fail(TransientUpstreamError(f"not MQTT 5: {error!r}"))
            self._drop_socket()


def _look_at(connecting: "asyncio.Future[MQTTErrorCode]") -> None:
    """What was broken off failed, as it was meant to."""
    if not connecting.cancelled():
        connecting.exception()


def _incoming(message: paho.MQTTMessage) -> Incoming:
    properties = message.properties
    return Incoming(
        topic=message.topic,
        payload=bytes(message.payload),
        retain=message.retain,
        user_properties=dict(getattr(properties, "UserProperty", ())),
        response_topic=getattr(properties, "ResponseTopic", None),
        correlation=getattr(properties, "CorrelationData", None),
    )
