"""Request heads: parsed or refused with a status, never anything else."""

from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.monitoring.http_request import Request, RequestError, parse_request

TOKEN = st.text(st.characters(min_codepoint=0x21, max_codepoint=0x7E, exclude_characters="?"))


def test_a_scrape_as_prometheus_sends_it() -> None:
    head = (
        b"GET /metrics?x=1 HTTP/1.1\r\nHost: gateway:9464\r\nUser-Agent: Prometheus/2.42.0\r\n"
        b"Accept: application/openmetrics-text; version=1.0.0\r\naccept: */*\r\n\r\n"
    )

    assert parse_request(head) == Request(
        "/metrics", head_only=False, accept="application/openmetrics-text; version=1.0.0, */*"
    )


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"", HTTPStatus.BAD_REQUEST),
        (b"GET /", HTTPStatus.BAD_REQUEST),
        (b"GET  / HTTP/1.1", HTTPStatus.BAD_REQUEST),
        (b"GET http://gateway/ HTTP/1.1", HTTPStatus.BAD_REQUEST),
        (b"GET / GOPHER/1", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\nno colon", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n folded: line", HTTPStatus.BAD_REQUEST),
        (b"GET / HTTP/1.1\r\n: nameless", HTTPStatus.BAD_REQUEST),
        (b"POST / HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"get / HTTP/1.1", HTTPStatus.METHOD_NOT_ALLOWED),
        (b"GET / HTTP/2.0", HTTPStatus.HTTP_VERSION_NOT_SUPPORTED),
    ],
)
def test_what_is_refused(line: bytes, status: HTTPStatus) -> None:
    with pytest.raises(RequestError) as refused:
        parse_request(line + b"\r\n\r\n")

    assert refused.value.status is status


@given(st.binary(max_size=300))
def test_any_bytes_are_parsed_or_refused(head: bytes) -> None:
    try:
        request = parse_request(head + b"\r\n\r\n")
    except RequestError:
        return
    assert request.path.startswith("/")


@given(path=TOKEN, query=TOKEN, head_only=st.booleans())
def test_the_path_is_what_stands_before_the_query(path: str, query: str, head_only: bool) -> None:
    method = "HEAD" if head_only else "GET"

    request = parse_request(f"{method} /{path}?{query} HTTP/1.0\r\n\r\n".encode())

    assert request == Request(f"/{path}", head_only, "")
