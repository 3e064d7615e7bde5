"""Asking over the socket: whatever is at its other end, the fault has a name."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from edge.cli.control_client import ControlError, NotRunning, ask

STATUS: dict[str, object] = {"command": "status"}


@contextmanager
def answering(path: Path, answer: bytes) -> Iterator[None]:
    """A socket that reads one request, sends these bytes, and closes."""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(answer)

        thread = threading.Thread(target=serve)
        thread.start()
        yield
        thread.join(10)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s"


def test_lines_come_until_the_end(path: Path) -> None:
    with answering(path, b'{"a": 1}\n{"b": 2}\n{"end": true}\n{"never": 1}\n'):
        assert list(ask(path, STATUS)) == [{"a": 1}, {"b": 2}]


def test_nobody_there_is_a_service_that_does_not_run(path: Path) -> None:
    with pytest.raises(NotRunning, match=f"nobody answers at {path}"):
        list(ask(path, STATUS))

    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(path))
    with pytest.raises(NotRunning):
        list(ask(path, STATUS))


def test_a_path_that_cannot_be_one_is_told(tmp_path: Path) -> None:
    with pytest.raises(ControlError, match="AF_UNIX path too long") as raised:
        list(ask(tmp_path / ("x" * 200), STATUS))
    assert not isinstance(raised.value, NotRunning)

    (tmp_path / "file").touch()
    with pytest.raises(ControlError, match="Not a directory"):
        list(ask(tmp_path / "file" / "s", STATUS))


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b'{"error": "no such thing"}\n', "no such thing"),
        (b"", "went away before it had answered"),
        (b'{"a": 1}\n', "went away before it had answered"),
        (b"HTTP/1.1 200 OK\r\n", "the service went away"),
        (b"\xff\xfe\n", "the service went away"),
        (b"[1]\n", "what answers is no lora-edge"),
        (b'"end"\n', "what answers is no lora-edge"),
    ],
)
def test_an_answer_that_is_none_is_told(path: Path, answer: bytes, message: str) -> None:
    with answering(path, answer), pytest.raises(ControlError, match=message):
        list(ask(path, STATUS))


def test_a_service_that_hangs_is_given_up(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()

        with pytest.raises(ControlError, match="did not answer in time"):
            list(ask(path, STATUS, answer_s=0.05))
