"""Checks of what options of upstreams hold: URLs and topics, refused with the line they stand in.

A kind gives the notation to its option: ``metadata={"notation": url_notation("mqtt", "mqtts")}``.
"""

from urllib.parse import SplitResult, urlsplit

from edge.config.fields import Notation

_PARTS = ("path", "query", "fragment")


def url_notation(*schemes: str, allow_path: bool = False, need_port: bool = False) -> Notation:
    """A URL with one of these schemes, a host, and a port that may be left out.

    Args:
        allow_path: a path and a query may follow.
        need_port: there is no usual port.
    """

    def read(value: object) -> str:
        if not isinstance(value, str):
            raise ValueError("must be text")
        examples = " or ".join(f"{scheme}://" for scheme in schemes)
        if not value.isascii() or not value.isprintable() or " " in value:
            raise ValueError(f"must be a URL that begins with {examples}, without spaces")
        parts = _split(value)
        if parts.scheme not in schemes:
            raise ValueError(f"must begin with {examples}")
        if not parts.hostname:
            raise ValueError("must name a host")
        if parts.username is not None or parts.password is not None:
            raise ValueError(
                "must not hold a password: there are keys for user name and password file"
            )
        if need_port and parts.port is None:
            raise ValueError("must name a port, as in host:1700")
        if not allow_path and any(getattr(parts, name).strip("/") for name in _PARTS):
            raise ValueError("must end after the host and port")
        return str(value)

    return Notation(read, str)


def _split(value: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        port = parts.port  # read only to be checked
    except ValueError:  # its text may hold a part of a password
        raise ValueError("must be a URL, with a port from 1 to 65535 if any") from None
    if port == 0:
        raise ValueError("must name a port from 1 to 65535")
    return parts


def _read_topic(value: object) -> str:
    """MQTT 5.0, section 4.7: a name to publish to has no wildcards; $ topics are the broker's."""
    if not isinstance(value, str):
        raise ValueError("must be text")
    if not value.strip("/"):
        raise ValueError("must not be empty")
    if any(character in value for character in "+#"):
        raise ValueError("must hold no wildcard: one cannot publish to + or #")
    if not value.isprintable() or value.startswith("$"):
        raise ValueError("must be printable and not begin with $, which is the broker's own")
    if value.startswith("/") or value.endswith("/") or "//" in value:
        raise ValueError("must have no empty level: no / at either end, no //")
    if len(value.encode()) > _MAX_TOPIC_BYTES:
        raise ValueError(f"must be at most {_MAX_TOPIC_BYTES} bytes long")
    return value


_MAX_TOPIC_BYTES = 1024  # of 65,535 (MQTT 5.0, section 1.5.4); the rest is the gateway's and more

TOPIC = Notation(_read_topic, str)
"""The first levels of a topic to publish to."""
