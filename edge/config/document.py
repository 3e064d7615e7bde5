"""A TOML file as text, as parsed values, and with the line of every key."""

import os
import pwd
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from edge.config.faults import ConfigError, Fault, Findings, KeyPath, Origins
from edge.config.toml_lines import key_lines

MAX_BYTES = 1_000_000
_AT_LINE = re.compile(r" \(at (?:line (\d+), column \d+|end of document)\)$")


@dataclass(frozen=True, slots=True)
class Document:
    """One parsed file."""

    path: Path
    text: str
    values: dict[str, Any]
    lines: Mapping[KeyPath, int] = field(default_factory=dict)

    def findings(self, variables: Mapping[KeyPath, str] | None = None) -> Findings:
        """An empty list of findings that knows where everything is written."""
        names = dict(_names(self.values, ()))
        return Findings(Origins(str(self.path), self.lines, variables or {}, names))


def read_document(
    path: Path, *, check: Callable[[Path, int], None] = lambda _path, _descriptor: None
) -> Document:
    """Read and parse a file.

    Args:
        check: looks at the opened file and raises ConfigError if it must not be used.

    Raises:
        ConfigError: it cannot be read, or is no TOML.
    """
    try:
        with path.open("rb") as file:
            check(path, file.fileno())
            raw = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError([_unreadable(path, error)]) from None
    if len(raw) > MAX_BYTES:
        raise ConfigError([Fault(str(path), "", f"is longer than {MAX_BYTES} bytes")])
    return parse_document(path, raw)


def parse_document(path: Path, raw: bytes) -> Document:
    """Parse the bytes of a file.

    Raises:
        ConfigError: they are no TOML.
    """
    try:
        text = raw.decode()
        values = tomllib.loads(text)
        return Document(path, text, values, key_lines(text))
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        fault = Fault(f"{path}:{line}", "", "is not UTF-8 text")
    except RecursionError:
        fault = Fault(str(path), "", "is nested too deeply")
    except ValueError as error:
        fault = _syntax_fault(path, raw, str(error))
    raise ConfigError([fault])


def _unreadable(path: Path, error: OSError) -> Fault:
    match error:
        case FileNotFoundError():
            hint = "lora-edge init makes one" if path.name == "gateway.toml" else ""
            return Fault(str(path), "", "does not exist", hint)
        case PermissionError():
            user = _user_name(os.geteuid())
            hint = "as the service sees it: sudo -u lora-edge lora-edge ..."
            return Fault(str(path), "", f"user {user} may not read it", hint)
        case _:
            return Fault(str(path), "", f"cannot be read: {error.strerror or error}")


def _user_name(user_id: int) -> str:
    try:
        return pwd.getpwuid(user_id).pw_name
    except KeyError:
        return str(user_id)


def _syntax_fault(path: Path, raw: bytes, message: str) -> Fault:
    """``tomllib`` tells the line only in its text."""
    match = _AT_LINE.search(message)
    line = raw.count(b"\n") + 1
    if match is not None and match[1] is not None:
        line = int(match[1])
    what = _AT_LINE.sub("", message)
    return Fault(f"{path}:{line}", "", f"is not TOML: {what[:1].lower()}{what[1:]}")


def _names(value: object, path: KeyPath) -> list[tuple[KeyPath, str]]:
    """Names of all tables in lists, by path."""
    found: list[tuple[KeyPath, str]] = []
    if isinstance(value, dict):
        for key, item in value.items():
            found += _names(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            name = item.get("name") if isinstance(item, dict) else None
            if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]{1,64}", name):
                found.append(((*path, index), name))
            found += _names(item, (*path, index))
    return found
