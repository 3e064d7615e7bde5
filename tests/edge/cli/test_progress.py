"""Progress of long work, on a terminal and in a log."""

import io
from collections.abc import Iterator

from edge.cli.progress import Progress


class Terminal(io.StringIO):
    """A stream on which a person looks."""

    def isatty(self) -> bool:
        return True


def told(stream: io.StringIO, *at_s: float, of_frames: int = 0) -> str:
    """What is printed when frames are done at these times."""
    times: Iterator[float] = iter((0.0, *at_s))
    progress = Progress("copied", stream, lambda: next(times))
    for frames, _ in enumerate(at_s, start=1):
        progress.tell(frames, of_frames)
    progress.end()
    return stream.getvalue()


def test_what_is_done_at_once_says_nothing() -> None:
    assert told(io.StringIO(), 0.1, 0.4) == ""
    assert told(Terminal(), 0.1, 0.4) == ""


def test_a_log_gets_a_line_now_and_then() -> None:
    text = told(io.StringIO(), 1, 11, 12, 22, of_frames=8)

    assert text == "copied 2 frames (25 %)\ncopied 4 frames (50 %)\n"


def test_a_terminal_has_one_line_that_is_gone_at_the_end() -> None:
    text = told(Terminal(), 0.6, 0.7, 1.5)

    assert text == "\rcopied 1 frames\x1b[K\rcopied 3 frames\x1b[K\r\x1b[K"
