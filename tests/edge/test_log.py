"""The way of a line from the logger to the reader, with readers of every kind."""

import json
import logging
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from edge.log import FLUSH_S, LogFormat, choose_format, logging_to
from edge.monitoring.metrics import Metrics

logger = logging.getLogger("edge.test")


@dataclass
class Pipe:
    """A reader that reads only when asked."""

    read_fd: int
    write_fd: int
    metrics: Metrics = field(default_factory=lambda: Metrics("0"))
    now_us: int = 0

    @contextmanager
    def logged(
        self,
        log_format: LogFormat = LogFormat.JOURNAL,
        *,
        lines: int = 100,
        level: int = logging.INFO,
    ) -> Iterator[None]:
        with logging_to(
            self.write_fd,
            log_format=log_format,
            level=level,
            environment={},
            now_us=lambda: self.now_us,
            dropped=self.metrics.log_dropped.inc,
            queued_lines=lines,
        ):
            yield

    def read(self) -> list[str]:
        os.close(self.write_fd)
        self.write_fd = os.open(os.devnull, os.O_WRONLY)
        return drain(self.read_fd)

    @property
    def dropped(self) -> float | None:
        return self.metrics.registry.get_sample_value("lora_edge_log_lines_dropped_total")


def drain(read_fd: int) -> list[str]:
    with os.fdopen(os.dup(read_fd), encoding="utf-8") as reader:
        return reader.read().splitlines()


@pytest.fixture
def pipe() -> Iterator[Pipe]:
    pipe = Pipe(*os.pipe())
    yield pipe
    os.close(pipe.read_fd)
    os.close(pipe.write_fd)


def test_lines_come_out_in_order_and_all_are_written_at_the_end(pipe: Pipe) -> None:
    with pipe.logged():
        for number in range(5):
            logger.warning("frame %d", number, extra={"radio": number})
        logger.debug("not wanted")

    assert pipe.read() == [f"<4>edge.test: frame {n} radio={n}" for n in range(5)]
    assert pipe.dropped == 0


def test_the_root_logger_is_left_as_it_was(pipe: Pipe) -> None:
    root = logging.getLogger()
    before = (root.level, list(root.handlers))

    with pipe.logged():
        assert root.level == logging.INFO

    assert (root.level, root.handlers) == before
    assert "log" not in [thread.name for thread in threading.enumerate()]


def test_a_reader_that_stalls_makes_nobody_wait_and_the_loss_is_counted(pipe: Pipe) -> None:
    received: list[str] = []
    with pipe.logged(lines=20):
        # Names differ, so that the limit of repeats does not hide the stall.
        for number in range(200):
            logging.getLogger(f"edge.{number}").info("x" * 5000)
        # The reader comes back; a thread, because leaving waits for it.
        write_fd, pipe.write_fd = pipe.write_fd, os.open(os.devnull, os.O_WRONLY)
        reader = threading.Thread(target=lambda: received.extend(drain(pipe.read_fd)))
        reader.start()
    os.close(write_fd)
    reader.join()

    # 20 wait in the queue; a pipe holds 64 KiB (pipe(7)), that is 13 lines.
    assert pipe.dropped == 200 - len(received)
    assert 20 <= len(received) <= 36
    assert received[0].startswith("<6>edge.0: xxx")


NEVER_READ = """
import itertools, logging, os, sys, time
from edge.log import LogFormat, logging_to
queued_lines, drops_wanted = map(int, sys.argv[1:])
drops = []
read_fd, write_fd = os.pipe()
with logging_to(write_fd, log_format=LogFormat.TEXT, level=logging.INFO, environment={},
                now_us=lambda: 0, dropped=lambda: drops.append(1), queued_lines=queued_lines):
    for number in itertools.count():
        logging.info(f"{number}" + "x" * 9000)
        if number >= 50 and len(drops) >= drops_wanted:
            break
    began = time.monotonic()
print(time.monotonic() - began)
"""


@pytest.mark.parametrize(
    ("queued_lines", "drops_wanted"), [(5, 5000), (1000, 0)], ids=["queue full", "queue with room"]
)
def test_a_reader_that_never_comes_back_delays_the_end_by_little(
    queued_lines: int, drops_wanted: int
) -> None:
    """In a process of its own, because the thread that hangs stays until the process ends."""
    command = [sys.executable, "-c", NEVER_READ, str(queued_lines), str(drops_wanted)]
    root = Path(__file__).parents[2]

    done = subprocess.run(command, cwd=root, capture_output=True, timeout=20, check=True)

    assert done.stderr == b""
    assert FLUSH_S <= float(done.stdout) < 2 * FLUSH_S


def test_a_reader_that_is_gone_is_counted_and_no_error(pipe: Pipe) -> None:
    read_fd, write_fd = os.pipe()
    os.close(read_fd)
    kept, pipe.write_fd = pipe.write_fd, write_fd
    with pipe.logged():
        logger.info("one")
        logger.info("two")
    os.close(write_fd)
    pipe.write_fd = kept

    assert pipe.dropped == 2


def test_repeats_are_limited_and_told_at_the_end(pipe: Pipe) -> None:
    with pipe.logged():
        for number in range(15):
            logger.info("lost %d", number)
        pipe.now_us = 60_000_000
        logger.info("other")

    lines = pipe.read()
    assert lines[:10] == [f"<6>edge.test: lost {number}" for number in range(10)]
    assert lines[10:] == ["<6>edge.test: suppressed 5 more of: lost %d", "<6>edge.test: other"]


def test_repeats_that_are_still_suppressed_at_the_end_are_told(pipe: Pipe) -> None:
    with pipe.logged():
        for _ in range(12):
            logger.info("100 % sure")

    assert pipe.read()[10:] == ["<6>edge.test: suppressed 2 more of: 100 % sure"]


def test_bytes_are_shown_by_their_length_only(pipe: Pipe) -> None:
    with pipe.logged():
        logger.info("payload %s", b"secret", extra={"key": b"\x01" * 16})

    assert pipe.read() == ['<6>edge.test: payload <6 bytes> key="<16 bytes>"']


def test_bytes_are_shown_in_full_to_whoever_debugs(pipe: Pipe) -> None:
    with pipe.logged(level=logging.DEBUG):
        logger.debug("payload %s", b"\x01")

    assert pipe.read() == ["<7>edge.test: payload b'\\x01'"]


def test_a_message_says_what_was_true_when_it_was_logged(pipe: Pipe) -> None:
    radios = ["a"]
    with pipe.logged():
        logger.info("radios %s", radios, extra={"up": radios})
        radios.append("b")

    assert pipe.read() == ["<6>edge.test: radios ['a'] up=\"['a']\""]


def test_an_exception_is_part_of_the_entry(pipe: Pipe) -> None:
    with pipe.logged(LogFormat.JSON):
        try:
            raise KeyError("figure")
        except KeyError:
            logger.exception("cannot render")

    (line,) = pipe.read()
    assert json.loads(line)["traceback"].endswith("KeyError: 'figure'")


def test_text_that_is_no_unicode_is_written_all_the_same(
    pipe: Pipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # pytest's own cannot carry it
    with pipe.logged():
        logger.info("name %s", "\udcff")

    assert pipe.read() == ["<6>edge.test: name \\udcff"]


def test_journald_is_recognised_by_its_stream_and_not_by_the_variable_alone(pipe: Pipe) -> None:
    stream = os.fstat(pipe.write_fd)
    journal = {"JOURNAL_STREAM": f"{stream.st_dev}:{stream.st_ino}"}

    def chosen(wanted: LogFormat, environment: dict[str, str]) -> LogFormat:
        return choose_format(wanted, environment, pipe.write_fd)

    assert chosen(LogFormat.AUTO, journal) is LogFormat.JOURNAL
    assert chosen(LogFormat.AUTO, {"JOURNAL_STREAM": "8:1"}) is LogFormat.TEXT
    assert chosen(LogFormat.AUTO, {}) is LogFormat.TEXT
    assert chosen(LogFormat.JSON, journal) is LogFormat.JSON
