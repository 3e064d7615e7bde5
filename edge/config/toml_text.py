"""Writes configuration values as TOML, in the notation in which people write them."""

from dataclasses import Field, fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from edge.config.fields import key_of, notation_of


def format_value(value: Any, field: Field[Any] | None = None) -> str:
    """One value; the field tells its notation.

    Raises:
        TypeError: TOML has no such value.
    """
    notation = notation_of(field) if field is not None else None
    if notation is not None:
        value = notation.write(value)
    match value:
        case bool():
            return "true" if value else "false"
        case Enum():
            return format_value(value.value)
        case int() if field is not None and field.metadata.get("hexadecimal"):
            return f"0x{value:02x}"
        case int():
            return f"{value:_}"
        case float():
            return repr(value)
        case str() | Path():
            return quoted(str(value))
        case tuple() | list():
            return f"[{', '.join(map(format_value, value))}]"
        case _ if is_dataclass(value):
            return _inline_table(value)
        case _:
            raise TypeError(f"TOML has no {type(value).__name__}")


def quoted(text: str) -> str:
    """A basic string; whatever could mean something is escaped."""
    return '"' + "".join(map(_escaped, text)) + '"'


def is_set(field: Field[Any], value: object) -> bool:
    """Whether a file can say this: it has a key, is no secret, and TOML has no null."""
    secret = field.metadata.get("secret", False)
    return key_of(field) is not None and value is not None and not secret


def _escaped(character: str) -> str:
    if character.isprintable() and character not in '"\\':
        return character
    return f"\\U{ord(character):08x}"


def _inline_table(value: Any) -> str:
    pairs = [
        f"{key_of(field)} = {format_value(item, field)}"
        for field in fields(value)
        if is_set(field, item := getattr(value, field.name))
    ]
    return f"{{ {', '.join(pairs)} }}"
