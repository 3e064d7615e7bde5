"""Lines can be told apart whatever is logged."""

import json
import logging
import re
import shlex
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edge.log_format import JournalFormatter, JsonFormatter, TextFormatter

CREATED = 1_795_478_400.25  # 2026-11-24T00:00:00.25Z, by date(1)


def record(message: str, level: int = logging.WARNING, **fields: object) -> logging.LogRecord:
    made = logging.LogRecord("edge.ingest", level, "", 0, message, None, None)
    made.created = CREATED
    vars(made).update(fields)
    return made


def failed(message: str) -> logging.LogRecord:
    made = record(message)
    made.exc_text = 'Traceback:\n  File "x"\nKeyError: 1'
    return made


def test_text_is_for_people(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Ho_Chi_Minh")
    time.tzset()
    try:
        line = TextFormatter().format(record("port lost", concentrator="roof", tries=3))
    finally:
        monkeypatch.undo()
        time.tzset()

    assert line == "2026-11-24 07:00:00 WARNING  edge.ingest: port lost concentrator=roof tries=3"


def test_text_shows_a_traceback_below() -> None:
    lines = TextFormatter().format(failed("broken")).split("\n")

    assert lines[1:] == ["Traceback:", '  File "x"', "KeyError: 1"]


# Priorities of syslog(3).
@pytest.mark.parametrize(
    ("level", "priority"),
    [
        (logging.DEBUG, 7),
        (logging.INFO, 6),
        (logging.WARNING, 4),
        (logging.ERROR, 3),
        (logging.CRITICAL, 2),
        (25, 6),
    ],
)
def test_journal_lines_begin_with_their_priority(level: int, priority: int) -> None:
    line = JournalFormatter().format(record("port lost", level, detail='a "b" = c', empty=""))

    assert line == rf'<{priority}>edge.ingest: port lost detail="a \"b\" = c" empty=""'


def test_a_traceback_stays_in_the_line_of_the_journal() -> None:
    line = JournalFormatter().format(failed("broken"))

    assert line == (r'<4>edge.ingest: broken traceback="Traceback:\n  File \"x\"\nKeyError: 1"')


def test_json_carries_fields_and_a_time_in_utc() -> None:
    line = JsonFormatter().format(record("port lost", tries=3, logger="not this"))

    assert json.loads(line) == {
        "time": "2026-11-24T00:00:00.250000Z",
        "level": "warning",
        "logger": "edge.ingest",
        "message": "port lost",
        "tries": 3,
    }
    assert json.loads(JsonFormatter().format(failed("broken")))["traceback"].endswith("KeyError: 1")


@given(message=st.text(), value=st.text())
def test_no_text_breaks_a_line_or_reaches_the_terminal_as_a_control(
    message: str, value: str
) -> None:
    made = record(message.replace("%", ""), detail=value)

    for formatter in (TextFormatter(), JournalFormatter(), JsonFormatter()):
        line = formatter.format(made)
        assert len(line.splitlines()) == 1
        assert not re.search("[\x00-\x1f\x7f-\x9f]", line)


@given(st.text(st.characters(codec="ascii", exclude_categories=["Cc"])))
def test_a_shell_reads_the_value_back(value: str) -> None:
    line = JournalFormatter().format(record("x", detail=value))

    assert shlex.split(line.partition("detail=")[2]) == [value]


@given(message=st.text(st.characters(exclude_categories=["Cs"])), value=st.integers() | st.text())
def test_json_gives_back_what_was_logged(message: str, value: int | str) -> None:
    made = record(message, detail=value)
    made.args = None

    entry = json.loads(JsonFormatter().format(made))

    assert (entry["message"], entry["detail"]) == (message, value)
