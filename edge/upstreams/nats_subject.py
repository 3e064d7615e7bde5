"""Subjects of NATS: what a frame's is, and whether a stream takes it.

A subject is tokens with dots between them. A token must not be empty nor hold white space, and
``*`` and ``>`` are wildcards (NATS documentation, "Subject-Based Messaging").
"""

from collections.abc import Iterable

PLACEHOLDERS = ("{gateway}", "{device}")

_PLAIN = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_")


def token(text: str) -> str:
    """Any text as one token; two texts never share one.

    Bytes that are not ASCII letters, digits, ``-`` or ``_`` are written ``%XX``, and an empty text
    is ``%``.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    return "".join(chr(byte) if byte in _PLAIN else f"%{byte:02X}" for byte in encoded) or "%"


def read_template(value: object) -> str:
    """The configuration's check of a subject with placeholders.

    Raises:
        ValueError: what it must be instead.
    """
    if not isinstance(value, str):
        raise ValueError("must be text such as lora-edge.{gateway}.up.{device}")
    parts = value.split(".")
    if "{device}" not in parts:
        raise ValueError("must have {device} as one of its tokens")
    for part in parts:
        if part not in PLACEHOLDERS and token(part) != part:
            raise ValueError(
                "must be tokens of A-Z, a-z, 0-9, - and _, or {gateway} or {device}, with dots"
                " between them"
            )
    if parts[0] == "_INBOX":
        raise ValueError("must not begin with _INBOX, which NATS uses itself")
    return value


def read_subject(value: object) -> str:
    """The configuration's check of a subject without placeholders.

    Raises:
        ValueError: what it must be instead.
    """
    if not isinstance(value, str) or any(token(part) != part for part in value.split(".")):
        raise ValueError("must be tokens of A-Z, a-z, 0-9, - and _, with dots between them")
    return value


def read_stream_name(value: object) -> str:
    """The configuration's check of a stream's name.

    Raises:
        ValueError: what it must be instead.
    """
    if not isinstance(value, str) or not value or token(value) != value or len(value) > 255:
        raise ValueError("must be 1 to 255 of A-Z, a-z, 0-9, - and _")
    return value


def read_domain(value: object) -> str:
    """The configuration's check of a JetStream domain; empty = the server's own.

    Raises:
        ValueError: what it must be instead.
    """
    if value == "":
        return ""
    return read_stream_name(value)


def fill(template: str, *, gateway: str, device: str) -> str:
    """The template with both names in their places; wildcards are left as they are."""
    return template.replace("{gateway}", gateway).replace("{device}", device)


def covers(patterns: Iterable[str], subject: str) -> bool:
    """Whether one of the patterns takes all that ``subject`` stands for, wildcards included."""
    wanted = subject.split(".")
    return any(_takes(pattern.split("."), wanted) for pattern in patterns)


def _takes(pattern: list[str], wanted: list[str]) -> bool:
    for index, part in enumerate(pattern):
        if part == ">":
            return len(wanted) > index
        if index >= len(wanted) or wanted[index] == ">":
            return False
        if part not in ("*", wanted[index]):
            return False
    return len(pattern) == len(wanted)
