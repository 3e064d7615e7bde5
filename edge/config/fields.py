"""How the fields of configuration dataclasses are described, and notations with units.

A field's metadata may hold ``help`` (one line), ``unit``, ``minimum``, ``maximum``, ``choices``,
``why`` (the reason of a bound), ``refused`` (values that are no choice, and why), ``hexadecimal``,
``example``, ``toml`` (the key, where it is not the field's name; None = not read from the file),
``secret`` and ``notation``. The checker, the commented default and the effective configuration are
all made from it, for upstreams' own options as well.
"""

import re
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from protocol.lora.regions import REGIONS, UnknownRegion, region

_DURATION_UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
_SIZE_UNITS = {"": 1, "B": 1, "kB": 10**3, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SIZE_UNITS |= {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
_NUMBER_AND_UNIT = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,9})?) ?([A-Za-z]{0,3})")


class TomlText(str):
    """Text from an environment variable: whether it means a number, the wanted type says."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Notation:
    """A value that the file writes in its own way.

    ``read`` raises ValueError, saying what the value must be; ``write`` is its inverse.
    """

    read: Callable[[object], Any]
    write: Callable[[Any], str | int]


def parse_duration_s(text: object) -> float:
    """Seconds of ``250ms``, ``1s``, ``5m``, ``2h`` or ``30d``.

    Raises:
        ValueError: it is not such a text.
    """
    match = _NUMBER_AND_UNIT.fullmatch(text) if isinstance(text, str) else None
    if match is None or match[2] not in _DURATION_UNITS_S:
        raise ValueError('must be a duration such as "250ms", "5m" or "30d"')
    return float(match[1]) * _DURATION_UNITS_S[match[2]]


def format_duration(duration_s: float) -> str:
    """The notation with the largest unit that makes a whole number, else milliseconds."""
    for unit, unit_s in sorted(_DURATION_UNITS_S.items(), key=lambda item: -item[1]):
        text = f"{round(duration_s / unit_s)}{unit}"
        if duration_s and parse_duration_s(text) == duration_s:
            return text
    return f"{duration_s * 1000:.9f}".rstrip("0").rstrip(".") + "ms"


def parse_size(value: object) -> int:
    """Bytes of ``2_000_000_000``, ``"2GB"`` (powers of ten) or ``"512MiB"`` (powers of two).

    Raises:
        ValueError: it is neither a number nor such a text.
    """
    if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value
    text = value.replace("_", "") if isinstance(value, str) else ""
    match = _NUMBER_AND_UNIT.fullmatch(text)
    if match is None or match[2] not in _SIZE_UNITS:
        raise ValueError('must be a number of bytes or a size such as "2GB" or "512MiB"')
    whole, _, fraction = match[1].partition(".")
    return int(whole + fraction) * _SIZE_UNITS[match[2]] // int(10 ** len(fraction))


def _read_address(value: object) -> str:
    """``host:port`` or ``[IPv6]:port``; empty switches the listener off."""
    if not isinstance(value, str):
        raise ValueError('must be text such as "127.0.0.1:9464"')
    if value:
        host, _, port = value.rpartition(":")
        if not host or not (port.isascii() and port.isdecimal()) or int(port[:6]) > 65535:
            raise ValueError('must be "host:port", or "" to switch it off')
        if ":" in host and not (host.startswith("[") and host.endswith("]")):
            raise ValueError('must be "[IPv6 address]:port" with brackets, such as "[::1]:9464"')
    return str(value)


def _hexadecimal(length: int) -> Notation:
    def read(value: object) -> bytes:
        if isinstance(value, str) and re.fullmatch(rf"[0-9A-Fa-f]{{{2 * length}}}", value):
            return bytes.fromhex(value)
        raise ValueError(f"must be text of {2 * length} hexadecimal digits")

    return Notation(read, lambda value: value.hex())


def _read_gateway_id(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"auto|[0-9A-Fa-f]{16}", value):
        return value.lower()
    raise ValueError('must be "auto" or an EUI-64 of 16 hexadecimal digits')


def _read_name(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"[a-z0-9-]{1,64}", value):
        return str(value)
    raise ValueError("must be 1 to 64 of the characters a-z, 0-9 and -")


def _read_unique_id(value: object) -> str:
    if isinstance(value, str) and re.fullmatch(r"(?:[0-9A-Fa-f]{2}){0,32}", value):
        return value.lower()
    raise ValueError("must be the hexadecimal digits that the board reports, or empty")


def _read_region(value: object) -> str:
    """The region's own spelling of its name."""
    try:
        return region(value).name if isinstance(value, str) else region("").name
    except UnknownRegion:
        raise ValueError(f"must be {', '.join(known.name for known in REGIONS)}") from None


def _read_path(value: object) -> Path:
    """An absolute path: the service does not run where the file was written."""
    if isinstance(value, str) and value.startswith("/") and "\0" not in value:
        return Path(value)
    raise ValueError("must be an absolute path")


def _read_start(value: object) -> str:
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value < 1 << 63:
        return str(value)
    if isinstance(value, str) and re.fullmatch(r"oldest|now|[1-9][0-9]{0,17}", value):
        return str(value)
    raise ValueError('must be "oldest", "now" or the number of a frame')


DURATION = Notation(parse_duration_s, format_duration)
SIZE = Notation(parse_size, int)
ADDRESS = Notation(_read_address, str)
GATEWAY_ID = Notation(_read_gateway_id, str)
REGION = Notation(_read_region, str)
NAME = Notation(_read_name, str)
UNIQUE_ID = Notation(_read_unique_id, str)
START = Notation(_read_start, str)
DEV_ADDR = _hexadecimal(4)
SESSION_KEY = _hexadecimal(16)
ABSOLUTE_PATH = Notation(_read_path, str)


def setting(help_text: str, *, default: Any = MISSING, **metadata: Any) -> Any:
    """A dataclass field with its description; see the module's text for the metadata."""
    return field(
        default=default,
        repr=not metadata.get("secret", False),
        metadata={"help": help_text, **metadata},
    )


def section(default_factory: Callable[[], Any], **metadata: Any) -> Any:
    """A field that holds tables of its own; it may be left out."""
    return field(default_factory=default_factory, metadata=metadata)


def key_of(setting_field: Field[Any]) -> str | None:
    """The TOML key of a field, None if the file cannot set it."""
    key: str | None = setting_field.metadata.get("toml", setting_field.name)
    return key


def notation_of(setting_field: Field[Any]) -> Notation | None:
    """The field's notation; numbers of bytes may always be written as sizes."""
    if setting_field.name.endswith("_bytes") and "notation" not in setting_field.metadata:
        return SIZE
    notation: Notation | None = setting_field.metadata.get("notation")
    return notation


def without_password(text: str) -> str:
    """Hide the password of a URL; other text is returned as it is."""
    if "://" not in text or "@" not in text:
        return text
    try:
        password = urlsplit(text).password
    except ValueError:
        return "<not a URL>"
    return text.replace(f":{password}@", ":***@") if password else text
