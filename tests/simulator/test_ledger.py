"""The ledger: one final cause each, adding up, written out for other programs."""

import json
from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from simulator.interference import Outcome
from simulator.ledger import Cause, Ledger
from tests.simulator.sample_air import FRAME

words = st.tuples(
    st.integers(0, 5),
    st.sampled_from(["roof", "pier"]),
    st.integers(0, 1),
    st.sampled_from(Cause),
)

ORDER = [
    "not_listening", "deaf_gap", "below_sensitivity", "half_duplex", "locked", "inter_sf", "co_sf",
    "crc_error", "board_down", "ring_overflow", "serial_fault", "merged", "delivered",
]  # fmt: skip


@given(st.sets(st.integers(0, 8)), st.lists(words))
def test_causes_add_up_to_all_sent(
    silent: set[int], said: list[tuple[int, str, int, Cause]]
) -> None:
    """Against a plain table of last words: each counts once, where it came furthest."""
    ledger = Ledger()
    for number in silent:
        ledger.sent(replace(FRAME, number=number))
    last: dict[int, dict[tuple[str, int], Cause]] = {number: {} for number in silent}
    for number, concentrator, radio, cause in said:
        ledger.record(replace(FRAME, number=number), concentrator, radio, cause)
        last.setdefault(number, {})[concentrator, radio] = cause
    expected = [
        max((ORDER.index(c) for c in causes.values()), default=0) for causes in last.values()
    ]
    assert {str(c): n for c, n in ledger.counts().items()} == {
        name: expected.count(rank) for rank, name in enumerate(ORDER)
    }
    assert sum(ledger.counts().values()) == len(ledger) == len(last)


def test_outcomes_of_the_air_are_causes() -> None:
    """Words agree, so that a runner can turn one into the other."""
    assert {outcome.value for outcome in Outcome} - {"decoded"} <= set(Cause)


def test_sensors_count_their_packets_apart() -> None:
    ledger = Ledger()
    ledger.record(FRAME, "roof", 0, Cause.DELIVERED)
    ledger.record(replace(FRAME, sensor="two"), "roof", 0, Cause.CO_SF)
    assert (ledger.counts()[Cause.DELIVERED], ledger.counts()[Cause.CO_SF]) == (1, 1)


def test_a_delivered_frame_may_yet_be_lost() -> None:
    """The board went away with an event that it had received."""
    ledger = Ledger()
    ledger.record(FRAME, "roof", 0, Cause.DELIVERED)
    ledger.record(FRAME, "roof", 0, Cause.BOARD_DOWN)
    assert [entry.cause for entry in ledger.entries()] == [Cause.BOARD_DOWN]


def test_written_lines(tmp_path: Path) -> None:
    ledger = Ledger()
    ledger.record(replace(FRAME, payload=b"\x01\xab"), "roof", 1, Cause.DELIVERED)
    ledger.record(replace(FRAME, payload=b"\x01\xab"), "roof", 0, Cause.LOCKED)
    ledger.sent(replace(FRAME, number=1))
    ledger.write(tmp_path / "ledger.jsonl")
    lines = [json.loads(line) for line in (tmp_path / "ledger.jsonl").read_text().splitlines()]
    assert lines[0] == {
        "number": 0,
        "sensor": "one",
        "start_us": 1_000_000,
        "payload": "01ab",
        "cause": "delivered",
        "radios": [
            {"concentrator": "roof", "radio": 0, "cause": "locked"},
            {"concentrator": "roof", "radio": 1, "cause": "delivered"},
        ],
    }
    assert (lines[1]["cause"], lines[1]["radios"], len(lines)) == ("not_listening", [], 2)


def test_summary() -> None:
    ledger = Ledger()
    assert ledger.summary()["delivered_share"] is None
    ledger.record(FRAME, "roof", 0, Cause.DELIVERED)
    ledger.sent(replace(FRAME, number=1))
    summary = ledger.summary()
    assert (summary["sent"], summary["delivered_share"]) == (2, 0.5)
    assert summary["causes"] == {
        name: int(name in {"delivered", "not_listening"}) for name in ORDER
    }
