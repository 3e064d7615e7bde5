"""What HTTP answers mean; expected values from RFC 9110, RFC 9457 and docs/UPSTREAMS.md."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.upstreams.http_answer import (
    MAX_WAIT_S,
    Answer,
    Judgement,
    Meaning,
    judge,
    retry_after_s,
)

NOW_S = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT, the example of RFC 9110 section 5.6.7


def judged(status: int, **parts: object) -> Judgement:
    answer = Answer(status=status, **parts)  # type: ignore[arg-type]
    return judge(answer, trust_html=False, unix_s=NOW_S)


@pytest.mark.parametrize(
    ("statuses", "meaning"),
    [
        ((200, 201, 202, 204, 207), Meaning.TAKEN),
        ((301, 302, 303, 304, 307, 308), Meaning.PERMANENT),
        ((400, 422), Meaning.REFUSED),
        ((401, 403, 404, 405, 406, 407, 410, 411, 414, 415, 426, 451), Meaning.PERMANENT),
        ((408, 409, 425, 429, 500, 501, 502, 503, 504, 507, 599), Meaning.TRANSIENT),
        ((413,), Meaning.TOO_LARGE),
    ],
)
def test_statuses(statuses: tuple[int, ...], meaning: Meaning) -> None:
    assert {judged(status).meaning for status in statuses} == {meaning}


@given(st.integers(200, 999), st.text(), st.binary(), st.text())
def test_any_answer_has_a_meaning(status: int, header: str, body: bytes, kind: str) -> None:
    judgement = judged(status, retry_after=header, location=header, body=body, content_type=kind)
    assert judgement.text.isprintable()
    assert len(judgement.text) < 500


@pytest.mark.parametrize(
    ("text", "wait_s"),
    [
        ("120", 120.0),
        (" 0 ", 0.0),
        ("86400", MAX_WAIT_S),
        ("Sun, 06 Nov 1994 08:50:37 GMT", 60.0),  # IMF-fixdate
        ("Sunday, 06-Nov-94 08:50:37 GMT", 60.0),  # RFC 850
        ("Sun Nov  6 08:50:37 1994", 60.0),  # asctime
        ("Sun, 06 Nov 1994 08:00:00 GMT", 0.0),
        ("Fri, 31 Dec 1999 23:59:59 GMT", MAX_WAIT_S),
        ("", None),
        ("-1", None),
        ("1.5", None),
        ("soon", None),
        ("Sun, 99 Nov 1994 08:50:37 GMT", None),
    ],
)
def test_retry_after(text: str, wait_s: float | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    assert retry_after_s(text, NOW_S) == wait_s


def test_a_date_says_nothing_while_our_clock_is_not_known() -> None:
    assert retry_after_s("Sun, 06 Nov 1994 08:50:37 GMT", None) is None
    assert retry_after_s("7", None) == 7.0


@given(st.text())
def test_any_retry_after(text: str) -> None:
    wait_s = retry_after_s(text, NOW_S)
    assert wait_s is None or 0 <= wait_s <= MAX_WAIT_S


class TestRejected:
    """Names of frames in a 2xx answer."""

    def test_by_id_with_reasons(self) -> None:
        body = json.dumps({"rejected": {"a-b-1": "too old\x1b[31m", "a-b-2": 7}}).encode()
        judgement = judged(200, body=body, content_type="application/json; charset=utf-8")
        assert judgement.rejected == {"a-b-1": "too old [31m", "a-b-2": "7"}

    @pytest.mark.parametrize(
        ("body", "content_type", "whole"),
        [
            (b'{"rejected": {"a": "b"}}', "text/plain", True),
            (b'{"rejected": {"a": "b"}}', "application/json", False),
            (b'{"rejected": ["a"]}', "application/json", True),
            (b"[]", "application/json", True),
            (b"{", "application/json", True),
            (b"[" * 100_000, "application/json", True),
        ],
    )
    def test_anything_else_has_no_meaning(
        self, body: bytes, content_type: str, whole: bool
    ) -> None:
        judgement = judged(200, body=body, content_type=content_type, whole=whole)
        assert judgement == Judgement(Meaning.TAKEN)


def test_a_web_page_over_plain_http_is_no_acknowledgement() -> None:
    """A SIM card without credit answers 200 to everything, with the operator's page."""
    page = Answer(status=200, content_type="text/html; charset=utf-8", body=b"<html>top up")
    assert judge(page, trust_html=False, unix_s=None).meaning is Meaning.TRANSIENT
    assert judge(page, trust_html=True, unix_s=None).meaning is Meaning.TAKEN


@pytest.mark.parametrize(
    ("content_type", "body", "said"),
    [
        ("application/problem+json", b'{"title": "Bad", "detail": "no such site"}', "no such site"),
        ("application/json", b'{"error": "unknown token"}', "unknown token"),
        ("text/plain", b"first line\nsecond", "first line"),
        ("text/html", b"<h1>Forbidden</h1>", ""),
        ("application/json", b"nonsense", "nonsense"),
    ],
)
def test_what_the_server_said_is_passed_on(content_type: str, body: bytes, said: str) -> None:
    text = judged(403, content_type=content_type, body=body).text
    assert text == (f"HTTP 403: {said}" if said else "HTTP 403")


def test_a_redirect_says_where_to() -> None:
    text = judged(308, location="https://new.example/frames").text
    assert text == (
        "HTTP 308: redirects to https://new.example/frames; set url to where frames are taken"
    )
