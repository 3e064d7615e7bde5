"""The status page is well-formed, self-contained and shows what the status holds."""

from html.parser import HTMLParser

from hypothesis import given
from hypothesis import strategies as st

from edge.monitoring.status_page import render_status_page

VOID = {"meta", "br"}
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
NESTED = st.recursive(
    PLAIN,
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
    ),
    max_leaves=12,
)


class Page(HTMLParser):
    """Collects text by element and fails on elements that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[str] = []
        self.links: list[str | None] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.links += [value for name, value in attrs if name in ("src", "href")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data))

    def of(self, tag: str) -> list[str]:
        return [text for element, text in self.texts if element == tag]


STATUS: dict[str, object] = {
    "version": "0.1.0",
    "uncommitted_frames": 3,
    "clock_synchronised": False,
    "upstreams": [
        {"name": "city", "pending_frames": 12, "oldest_age_s": 61.5},
        {"name": "file", "connected": True},
    ],
    "outbox": {"bytes": 4096, "degraded": None, "faults": [], "lanes": ["live", "backlog"]},
}


def test_it_shows_every_figure_with_its_name() -> None:
    page = Page(render_status_page(STATUS, []))

    assert page.of("h2") == ["upstreams", "outbox"]
    assert page.of("th")[:3] == ["version", "uncommitted frames", "clock synchronised"]
    assert page.of("td")[:3] == ["0.1.0", "3", "no"]
    assert {"city", "12", "61.5", "yes", "unknown", "none", "live", "backlog"} <= set(page.of("td"))


def test_the_verdict_comes_first_and_lists_the_faults() -> None:
    faults = ["loop has not beaten for 21.0 s", "no radio is up: roof: <port> lost"]

    assert Page(render_status_page({}, faults)).of("li") == faults
    assert Page(render_status_page({}, [])).of("div") == ["Ready"]


def test_it_is_self_contained_and_refreshes_itself() -> None:
    html = render_status_page(STATUS, [])
    page = Page(html)

    assert '<meta http-equiv="refresh" content="5">' in html
    assert page.links == []
    assert "script" not in page.elements
    assert "url(" not in html


@given(st.dictionaries(st.text(max_size=6), NESTED, max_size=4), st.lists(st.text(), max_size=2))
def test_whatever_the_status_holds_no_mark_up_comes_through(
    status: dict[str, object], faults: list[str]
) -> None:
    page = Page(render_status_page({**status, "<script>": "<script>alert(1)</script>"}, faults))

    assert "script" not in page.elements


def test_a_status_that_nests_without_end_is_cut() -> None:
    status: dict[str, object] = {}
    status["again"] = status

    assert "..." in Page(render_status_page(status, [])).of("td")
