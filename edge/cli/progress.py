"""How far long work has come, on the error output: a person waits, a program reads the rest."""

import sys
import time
from collections.abc import Callable
from typing import TextIO

_ON_A_TERMINAL_S = 0.5
_IN_A_LOG_S = 10.0


class Progress:
    """Says nothing about what is done at once."""

    def __init__(
        self,
        what: str,
        stream: TextIO | None = None,
        now_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._what = what
        self._stream = sys.stderr if stream is None else stream
        self._is_terminal = self._stream.isatty()
        self._now_s = now_s
        self._told_s = now_s()
        self._is_line_open = False

    def tell(self, frames: int, of_frames: int = 0) -> None:
        """So many frames are done; 0 = of how many is not known."""
        now_s = self._now_s()
        if now_s - self._told_s < (_ON_A_TERMINAL_S if self._is_terminal else _IN_A_LOG_S):
            return
        self._told_s = now_s
        share = f" ({min(100, 100 * frames // of_frames)} %)" if of_frames else ""
        text = f"{self._what} {frames} frames{share}"
        line = f"\r{text}\x1b[K" if self._is_terminal else f"{text}\n"
        print(line, file=self._stream, end="", flush=True)
        self._is_line_open = self._is_terminal

    def end(self) -> None:
        """Leave the line to what comes next."""
        if self._is_line_open:
            print("\r\x1b[K", file=self._stream, end="", flush=True)
            self._is_line_open = False
