"""Finds the line of every key in a TOML document, because ``tomllib`` tells none.

The document must be one that ``tomllib`` has accepted; so this only has to walk over values, not
to judge them (TOML 1.0.0).
"""

import re
import tomllib
from typing import cast

from edge.config.faults import KeyPath

_SPACE = re.compile(r"(?:[ \t\r\n]|#[^\n]*)*")
_BLANK = re.compile(r"[ \t]*")
_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_SCALAR = re.compile(r"[^,\]}#\r\n]+")
# Longest delimiters first. A multi-line string may end in up to two quotes of its own.
_STRING = re.compile(
    r'"""(?:[^\\]|\\.)*?"""(?:"{0,2})'
    r"|'''.*?'''(?:'{0,2})"
    r'|"(?:[^"\\\n]|\\.)*"'
    r"|'[^'\n]*'",
    re.DOTALL,
)


def key_lines(text: str) -> dict[KeyPath, int]:
    """Lines, counted from 1, of all keys, tables and list items of a valid document.

    A table that is only implied by a dotted key has the line of the first such key.
    """
    return _Scanner(text).scan()


class _Scanner:
    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._line = 1
        self._counted_to = 0
        self._lines: dict[KeyPath, int] = {}
        self._list_lengths: dict[KeyPath, int] = {}

    def scan(self) -> dict[KeyPath, int]:
        table: KeyPath = ()
        self._skip(_SPACE)
        while self._at < len(self._text):
            if self._take("[["):
                table = self._next_item(self._keys())
                self._note(table)
                self._take("]]")
            elif self._take("["):
                table = self._through_lists(self._keys())
                self._note(table)
                self._take("]")
            else:
                self._pair(table)
            self._skip(_SPACE)
        return self._lines

    def _pair(self, table: KeyPath) -> None:
        path = table + self._keys()
        self._note(path)
        self._take("=")
        self._skip(_BLANK)
        self._value(path)

    def _value(self, path: KeyPath) -> None:
        if self._take("["):
            self._array(path)
        elif self._take("{"):
            self._inline_table(path)
        else:
            self._skip(_STRING) or self._skip(_SCALAR)

    def _array(self, path: KeyPath) -> None:
        index = 0
        self._skip(_SPACE)
        while not self._take("]"):
            item = (*path, index)
            self._note(item)
            self._value(item)
            index += 1
            self._skip(_SPACE)
            self._take(",")
            self._skip(_SPACE)

    def _inline_table(self, path: KeyPath) -> None:
        self._skip(_SPACE)
        while not self._take("}"):
            self._pair(path)
            self._skip(_SPACE)
            self._take(",")
            self._skip(_SPACE)

    def _keys(self) -> tuple[str, ...]:
        """A dotted key, its parts bare or quoted."""
        keys = [self._key()]
        while self._take("."):
            keys.append(self._key())
        return tuple(keys)

    def _key(self) -> str:
        self._skip(_BLANK)
        bare = self._skip(_BARE_KEY)
        if not bare:
            quoted = self._skip(_STRING)
            bare = cast(str, tomllib.loads(f"key = {quoted}")["key"])
        self._skip(_BLANK)
        return bare

    def _through_lists(self, keys: tuple[str, ...]) -> KeyPath:
        """A header's way to its table: inside a list it means the list's last item."""
        path: KeyPath = ()
        for key in keys:
            path = (*path, key)
            if path in self._list_lengths:
                path = (*path, self._list_lengths[path] - 1)
        return path

    def _next_item(self, keys: tuple[str, ...]) -> KeyPath:
        path = (*self._through_lists(keys[:-1]), keys[-1])
        index = self._list_lengths.get(path, 0)
        self._list_lengths[path] = index + 1
        self._note(path)
        return (*path, index)

    def _note(self, path: KeyPath) -> None:
        self._line += self._text.count("\n", self._counted_to, self._at)
        self._counted_to = self._at
        for length in range(1, len(path) + 1):
            self._lines.setdefault(path[:length], self._line)

    def _skip(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        if match is None:
            return ""
        self._at = match.end()
        return match[0]

    def _take(self, token: str) -> bool:
        if not self._text.startswith(token, self._at):
            return False
        self._at += len(token)
        return True
