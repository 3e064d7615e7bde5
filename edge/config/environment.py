"""Environment variables that override the file: ``LORA_EDGE_SECTION__KEY``.

Tables of a list are found by their ``name`` (``LORA_EDGE_UPSTREAM__CITY__URL``), those without one
by number (``LORA_EDGE_CONCENTRATOR__ROOF__RADIO__0__SPREADING_FACTOR``).
"""

from collections.abc import Mapping
from typing import Any

from edge.config.faults import Fault, KeyPath, nearest
from edge.config.fields import TomlText

PREFIX = "LORA_EDGE_"


def overrides(environ: Mapping[str, str]) -> dict[str, str]:
    """The variables of an environment that speak to the configuration."""
    return {
        name: value
        for name, value in sorted(environ.items())
        if name.startswith(PREFIX) and "__" in name
    }


def override(
    document: dict[str, Any], variables: Mapping[str, str]
) -> tuple[dict[KeyPath, str], list[Fault]]:
    """Set values in a parsed document.

    Returns:
        The variable that set each path, and what could not be set.
    """
    origins: dict[KeyPath, str] = {}
    faults: list[Fault] = []
    for variable, text in variables.items():
        parts = variable.removeprefix(PREFIX).lower().split("__")
        try:
            path = _set(document, parts, text)
        except ValueError as error:
            faults.append(Fault(variable, ".".join(parts), str(error)))
        else:
            origins[path] = variable
    return origins, faults


def _set(document: dict[str, Any], parts: list[str], text: str) -> KeyPath:
    """Returns the path that was set; raises ValueError if there is no such table."""
    if "" in parts:
        raise ValueError("names no key of a table")
    if not _is_utf8(text):
        raise ValueError("is not UTF-8 text")
    table: Any = document
    path: KeyPath = ()
    for part in parts[:-1]:
        key: str | int = part
        if isinstance(table, list):
            key = _index(table, part)
            table = table[key]
        elif isinstance(table, dict):
            table = table.setdefault(part, {})
        path = (*path, key)
    if not isinstance(table, dict):
        raise ValueError("names no key of a table")
    table[parts[-1]] = TomlText(text)
    return (*path, parts[-1])


def _is_utf8(text: str) -> bool:
    """Other bytes of the environment are lone surrogates here (PEP 383); TOML has no such text."""
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _index(tables: list[Any], name: str) -> int:
    """Find the table of a list; a variable has no hyphens and no small letters."""
    names = [
        str(table.get("name", "")).replace("-", "_").lower() if isinstance(table, dict) else ""
        for table in tables
    ]
    if name in names:
        return names.index(name)
    if name.isascii() and name.isdecimal() and len(name) < 4 and int(name) < len(tables):
        return int(name)
    known = ", ".join(filter(None, names)) or "none with a name"
    hint = nearest(name, filter(None, names))
    raise ValueError(f"no table of the list has this name; there are: {known} {hint}".strip())
