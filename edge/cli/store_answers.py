"""Takes answers about the whole store as they come: of the service, or of the stopped store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from edge.cli.control_client import ControlError, NotRunning, ask
from edge.cli.location import locate
from edge.cli.stopped_store import tell_store

Take = Callable[[dict[str, Any]], None]


def tell(config: Path, request: dict[str, object], take: Take) -> None:
    """Have ``take`` called with each answer; none is kept.

    Raises:
        ControlError: it failed; some answers may have been taken.
    """
    location = locate(config)
    try:
        for answer in ask(location.control_socket, request):
            take(answer)
    except NotRunning as error:
        service = str(error)
    else:
        return
    try:
        tell_store(location.state_dir, request, take)
    except ControlError as error:
        raise ControlError(f"{service}; {error}") from error
