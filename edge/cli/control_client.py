"""Asks the running service over its control socket."""

import json
import socket
from collections.abc import Iterator
from pathlib import Path

_CONNECT_S = 5.0
ANSWER_S = 60.0
"""Longest silence before an answer; a follower is told every few seconds that all is well."""

_MAX_LINE_BYTES = 4_000_000


class ControlError(Exception):
    """The request failed: no rights, a refusal, the service went away; the text says why."""


class NotRunning(ControlError):
    """Nobody answers at the socket."""


def ask(
    path: Path, request: dict[str, object], *, answer_s: float = ANSWER_S
) -> Iterator[dict[str, object]]:
    """Send one request and yield the lines of its answer.

    Args:
        answer_s: how long to wait for each line.

    Raises:
        NotRunning: there is no socket, or nobody listens on it.
        ControlError: it failed in another way.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_CONNECT_S)
        try:
            connection.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise NotRunning(f"the service is not running: nobody answers at {path}") from error
        except PermissionError as error:
            raise ControlError(
                f"no right to use {path}: become a member of its group"
                " (sudo usermod -aG lora-edge $USER, then log in again) or use sudo"
            ) from error
        except OSError as error:
            raise ControlError(f"{path}: {error.strerror or error}") from error
        connection.settimeout(answer_s)
        yield from _exchange(connection, request)


def _exchange(connection: socket.socket, request: dict[str, object]) -> Iterator[dict[str, object]]:
    try:
        connection.sendall(json.dumps(request).encode() + b"\n")
        with connection.makefile("rb") as lines:
            while line := lines.readline(_MAX_LINE_BYTES):
                answer = json.loads(line)
                if not isinstance(answer, dict):
                    raise ControlError("what answers is no lora-edge")
                if "error" in answer:
                    raise ControlError(str(answer["error"]))
                if "end" in answer:
                    return
                yield answer
    except TimeoutError as error:
        raise ControlError("the service is there, but did not answer in time") from error
    except (OSError, ValueError) as error:
        raise ControlError(f"the service went away: {error}") from error
    raise ControlError("the service went away before it had answered")
