"""The configuration as it is in force: file, environment and defaults together, without secrets."""

from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from edge.config.fields import key_of
from edge.config.model import Config, UpstreamConfig
from edge.config.toml_text import format_value, is_set


def render_effective(config: Config) -> str:
    """TOML that loads as the same configuration, given the same keys file."""
    return "\n".join(_table(config, "")).strip() + "\n"


def _table(table: Any, prefix: str) -> Iterator[str]:
    """Lines of a table: its own values first, then the tables in it."""
    inner = []
    for owner in _owners(table):
        for field in fields(owner):
            value = getattr(owner, field.name)
            if not is_set(field, value):
                continue
            if _holds_tables(value):
                inner.append((f"{prefix}{key_of(field)}", value))
            else:
                yield f"{key_of(field)} = {format_value(value, field)}"
    for path, value in inner:
        yield from _inner_tables(path, value)


def _owners(table: Any) -> tuple[Any, ...]:
    """An upstream's options stand in its own table."""
    return (table, table.options) if isinstance(table, UpstreamConfig) else (table,)


def _holds_tables(value: object) -> bool:
    if isinstance(value, tuple):
        return all(map(is_dataclass, value))
    return isinstance(value, Mapping) or is_dataclass(value)


def _inner_tables(path: str, value: Any) -> Iterator[str]:
    match value:
        case tuple():
            for item in value:
                yield f"\n[[{path}]]"
                yield from _table(item, f"{path}.")
        case Mapping():
            yield f"\n[{path}]"
            for key, item in value.items():
                yield f"{key} = {format_value(item)}"
        case _:
            yield f"\n[{path}]"
            yield from _table(value, f"{path}.")
