"""At most ten lines a minute of one message, and a line that says what is missing."""

import logging

from hypothesis import given
from hypothesis import strategies as st

from edge.log_rate import LINES_PER_WINDOW, MAX_WINDOWS, WINDOW_US, RateLimiter

SECOND_US = 1_000_000


def line(
    template: str = "lost %s", name: str = "edge", level: int = logging.INFO
) -> logging.LogRecord:
    return logging.LogRecord(name, level, "", 0, template, ("port",), None)


def test_ten_lines_of_one_template_pass_whatever_their_arguments() -> None:
    limiter = RateLimiter()

    admitted = [limiter.admit(line(), second * SECOND_US) for second in range(30)]

    assert admitted == [True] * 10 + [False] * 20


def test_the_minute_over_one_line_says_how_many_are_missing_and_the_next_ten_pass() -> None:
    limiter = RateLimiter()
    for _ in range(47):
        limiter.admit(line(), 0)

    assert limiter.due(59 * SECOND_US) == []
    summaries = limiter.due(60 * SECOND_US)

    assert [(record.name, record.levelno, record.getMessage()) for record in summaries] == [
        ("edge", logging.INFO, "suppressed 37 more of: lost %s")
    ]
    assert limiter.due(61 * SECOND_US) == []
    assert limiter.admit(line(), 61 * SECOND_US)


def test_other_loggers_levels_and_templates_are_not_held_back() -> None:
    limiter = RateLimiter()
    for _ in range(20):
        limiter.admit(line(), 0)

    others = [line(name="drivers"), line(level=logging.ERROR), line("found %s")]
    assert all(limiter.admit(other, 0) for other in others)


def test_what_is_still_suppressed_is_told_at_the_end() -> None:
    limiter = RateLimiter()
    for _ in range(11):
        limiter.admit(line(), 0)

    assert [record.getMessage() for record in limiter.close()] == ["suppressed 1 more of: lost %s"]
    assert limiter.close() == []


def test_templates_without_number_do_not_fill_the_memory() -> None:
    limiter = RateLimiter()
    for _ in range(12):
        limiter.admit(line("first"), 0)
    told = []
    for number in range(5 * MAX_WINDOWS):
        told += limiter.due(number)
        assert limiter.admit(line(f"unique {number}"), number)

    assert [record.getMessage() for record in told] == ["suppressed 2 more of: first"]
    assert len(limiter.close()) == 0


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 30 * SECOND_US)), max_size=200))
def test_every_line_is_written_or_told(steps: list[tuple[str, int]]) -> None:
    limiter = RateLimiter()
    now_us, written, told = 0, 0, 0
    written_at: dict[str, list[int]] = {"a": [], "b": []}

    for template, pause_us in steps:
        now_us += pause_us
        told += sum(int(record.getMessage().split()[1]) for record in limiter.due(now_us))
        if limiter.admit(line(template), now_us):
            written += 1
            written_at[template].append(now_us)
    told += sum(int(record.getMessage().split()[1]) for record in limiter.close())

    assert written + told == len(steps)
    for times in written_at.values():
        # Windows are fixed, so that a minute across their border has at most two of them.
        over = 2 * LINES_PER_WINDOW
        assert all(b - a >= WINDOW_US for a, b in zip(times, times[over:], strict=False))
