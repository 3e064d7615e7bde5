"""What ``[[upstream]] kind = "nats"`` may hold."""

from dataclasses import dataclass, field

from edge.config.fields import DURATION, Notation
from edge.upstreams.nats_subject import read_domain, read_stream_name, read_subject, read_template
from edge.upstreams.urls import url_notation

_URL = url_notation("nats", "tls")


@dataclass(frozen=True, slots=True, kw_only=True)
class NatsOptions:
    """``[[upstream]] kind = "nats"``."""

    url: str = field(
        metadata={
            "help": "nats://host:4222, or tls://host:4222",
            "notation": _URL,
            "example": "tls://nats.example:4222",
        }
    )
    more_urls: tuple[str, ...] = field(
        default=(),
        metadata={
            "help": "further servers of the same cluster, tried in turn",
            "example": ("tls://nats-2.example:4222",),
        },
    )
    username: str = field(default="", metadata={"help": "user name; empty = none"})
    password_file: str = field(default="", metadata={"help": "file that holds the password"})
    token_file: str = field(default="", metadata={"help": "file that holds a token"})
    credentials_file: str = field(
        default="", metadata={"help": "a user's .creds file (JWT and nkey seed), as nsc writes it"}
    )
    nkey_file: str = field(default="", metadata={"help": "file that holds a user's nkey seed"})
    ca_file: str = field(
        default="", metadata={"help": "CA certificates that sign the server's; empty = system's"}
    )
    cert_file: str = field(default="", metadata={"help": "our certificate, for mutual TLS"})
    key_file: str = field(default="", metadata={"help": "key of our certificate"})
    subject: str = field(
        default="lora-edge.{gateway}.up.{device}",
        metadata={
            "help": "what frames are published to, with {device} and {gateway} as tokens",
            "notation": Notation(read_template, str),
        },
    )
    stream: str = field(
        default="LORA_EDGE",
        metadata={
            "help": "the JetStream stream that takes them",
            "notation": Notation(read_stream_name, str),
        },
    )
    create_stream: bool = field(
        default=True, metadata={"help": "make the stream if there is none of that name"}
    )
    replicas: int = field(
        default=1,
        metadata={
            "help": "servers of a cluster that keep a stream that we make",
            "minimum": 1,
            "maximum": 5,
        },
    )
    duplicate_window_s: float = field(
        default=86_400.0,
        metadata={
            "help": "how long the stream has to know repeats: the longest outage to be expected",
            "notation": DURATION,
            "toml": "duplicate_window",
            "minimum": 1.0,
            "maximum": 100 * 86_400.0,
        },
    )
    message_id: str = field(
        default="frame_id",
        metadata={
            "help": "by what the stream tells repeats; uplink_id makes one of what several gateways"
            " heard of a LoRaWAN uplink, and of a device's own repeats inside the window",
            "choices": ("frame_id", "uplink_id"),
        },
    )
    format: str = field(
        default="json",
        metadata={"help": "payload of a frame's message", "choices": ("json", "cbor")},
    )
    in_flight: int = field(
        default=256,
        metadata={
            "help": "frames sent before their acknowledgements",
            "minimum": 1,
            "maximum": 4096,
        },
    )
    domain: str = field(
        default="",
        metadata={
            "help": "JetStream domain, where the stream is behind a leaf node",
            "notation": Notation(read_domain, str),
        },
    )
    inbox_prefix: str = field(
        default="_INBOX",
        metadata={
            "help": "where answers come to, if the account allows no other place",
            "notation": Notation(read_subject, str),
        },
    )

    def __post_init__(self) -> None:
        """Raises ValueError for keys that do not go together."""
        for url in self.more_urls:
            _URL.read(url)
        if len({url.partition(":")[0] for url in (self.url, *self.more_urls)}) > 1:
            raise ValueError("url and more_urls must begin alike: all nats:// or all tls://")
        if bool(self.username) != bool(self.password_file):
            raise ValueError("username and password_file belong together")
        proofs = (self.username, self.token_file, self.credentials_file, self.nkey_file)
        if sum(map(bool, proofs)) > 1:
            raise ValueError("only one of username, token_file, credentials_file, nkey_file")
        if self.cert_file and self.url.startswith("nats://"):
            raise ValueError("cert_file needs a url that begins with tls://")
