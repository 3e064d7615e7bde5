"""The head of an HTTP/1.1 request (RFC 9112), as far as a monitoring endpoint needs it."""

from dataclasses import dataclass
from http import HTTPStatus

MAX_HEAD_BYTES = 8192


class RequestError(Exception):
    """The request cannot be served; carries the status to answer with."""

    def __init__(self, status: HTTPStatus) -> None:
        super().__init__(status.phrase)
        self.status = status


@dataclass(frozen=True, slots=True)
class Request:
    """A request without a body: path without the query, and what the client accepts."""

    path: str
    head_only: bool
    accept: str


def parse_request(head: bytes) -> Request:
    """Parse everything up to and including the empty line.

    Raises:
        RequestError: 400 for what is not HTTP, 405 for any method but GET and HEAD, 505 for
            another version of HTTP.
    """
    request_line, *field_lines = head.removesuffix(b"\r\n\r\n").decode("latin-1").split("\r\n")
    match request_line.split(" "):
        case [method, target, version]:
            pass
        case _:
            raise RequestError(HTTPStatus.BAD_REQUEST)
    if not version.startswith("HTTP/") or not target.startswith("/"):
        raise RequestError(HTTPStatus.BAD_REQUEST)
    if version not in ("HTTP/1.0", "HTTP/1.1"):
        raise RequestError(HTTPStatus.HTTP_VERSION_NOT_SUPPORTED)
    if method not in ("GET", "HEAD"):
        raise RequestError(HTTPStatus.METHOD_NOT_ALLOWED)
    return Request(target.partition("?")[0], method == "HEAD", _accept(field_lines))


def _accept(field_lines: list[str]) -> str:
    """Join the Accept fields; a list may come in several lines (RFC 9110 section 5.3)."""
    values = []
    for line in field_lines:
        name, colon, value = line.partition(":")
        if not colon or not name or name != name.strip():
            raise RequestError(HTTPStatus.BAD_REQUEST)
        if name.lower() == "accept":
            values.append(value.strip())
    return ", ".join(values)
