"""The boards' account, against a plain list of what happened to each event."""

import json
from collections import defaultdict
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from protocol.link.messages import RxEvent
from simulator.balance import Balance

GOOD, BAD_CRC, NO_CRC = (0x50, 0x40), (0x70, 0x40), (0x50, 0x00)
"""(RegIrqFlags, RegHopChannel): RxDone and ValidHeader, PayloadCrcError, CrcOnPayload."""


def event(number: int, payload: bytes, registers: tuple[int, int] = GOOD) -> RxEvent:
    irq_flags, hop_channel = registers
    return RxEvent(
        number, 0, 0, irq_flags, 0, hop_channel, 0, 0, 0, 0x72, 0x74, 0, 0xE6599A, payload
    )


def receive(
    balance: Balance,
    transmission: int,
    number: int | None,
    *,
    concentrator: str = "roof",
    payload: bytes = b"x",
    registers: tuple[int, int] = GOOD,
) -> None:
    """A chip raised RxDone; ``number`` None = the ring was full."""
    raw = event(0, payload, registers)
    numbered = None if number is None else event(number, payload, registers)
    balance.received(transmission, concentrator, 1, numbered, raw)


def test_only_a_checked_crc_makes_a_frame_receivable() -> None:
    balance = Balance()
    for number, registers in enumerate((GOOD, BAD_CRC, NO_CRC), 1):
        receive(balance, number, number, registers=registers)
    assert balance.receivable == 1


def test_a_transmission_that_two_radios_heard_counts_once() -> None:
    balance = Balance()
    receive(balance, 1, 1)
    receive(balance, 1, 1, concentrator="pier")
    assert balance.receivable == 1
    balance.written("pier", 1, 1)
    balance.written("roof", 1, 1)
    assert balance.delivered == 1


def test_one_good_copy_is_enough() -> None:
    """The other radio's was damaged."""
    balance = Balance()
    receive(balance, 1, 1, registers=BAD_CRC, payload=b"damaged")
    receive(balance, 1, 2, concentrator="pier", payload=b"whole")
    (frame,) = balance.summary()["frames"]  # type: ignore[misc]
    assert frame["payload"] == b"whole".hex()  # type: ignore[has-type]


def test_an_event_that_is_sent_again_is_delivered_once() -> None:
    balance = Balance()
    receive(balance, 1, 1)
    for _ in range(3):
        balance.written("roof", 1, 1)
    assert balance.delivered == 1


def test_bad_frames_on_the_line_deliver_nothing() -> None:
    balance = Balance()
    receive(balance, 1, 1, registers=BAD_CRC)
    balance.written("roof", 1, 1)
    balance.acknowledged("roof", 1, 1)
    assert (balance.receivable, balance.delivered, balance.timings()) == (0, 0, [])


def test_excuses_hold_only_if_no_board_kept_the_frame() -> None:
    balance = Balance()
    receive(balance, 1, None)  # full ring
    receive(balance, 2, 1)  # taken
    receive(balance, 3, 2)  # taken here, kept there
    receive(balance, 3, 1, concentrator="pier")
    receive(balance, 4, None)  # full ring here, kept there
    receive(balance, 4, 2, concentrator="pier")
    receive(balance, 5, None)  # full ring here, taken there
    receive(balance, 5, 3)
    for number in (1, 2, 3):
        balance.taken("roof", 1, number)
    frames = balance.summary()["frames"]
    assert isinstance(frames, list)
    assert [frame["excuse"] for frame in frames] == [
        "ring_overflow", "board_down", None, None, "board_down",
    ]  # fmt: skip
    assert balance.summary()["ring_overflow"] == 1
    assert balance.summary()["board_down"] == 2


names = st.sampled_from(["roof", "pier"])
registers = st.sampled_from([GOOD, BAD_CRC, NO_CRC])
receptions = st.lists(
    st.tuples(st.integers(1, 8), names, registers, st.booleans(), st.booleans(), st.booleans()),
    max_size=30,
)


@given(receptions)
def test_the_sums_are_those_of_a_plain_list(
    receptions: list[tuple[int, str, tuple[int, int], bool, bool, bool]],
) -> None:
    """Whatever happens to events in whatever order."""
    balance = Balance()
    kept: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
    for number, (sent, name, flags, overflow, written, taken) in enumerate(receptions, 1):
        receive(balance, sent, None if overflow else number, concentrator=name, registers=flags)
        if written and not overflow:
            balance.written(name, 1, number)
        if taken and not overflow:
            balance.taken(name, 1, number)
        if flags == GOOD:
            kept[sent] += [] if overflow else [(written, taken)]
    summary = balance.summary()
    assert summary["receivable"] == len(kept)
    assert summary["delivered"] == sum(any(w for w, _ in events) for events in kept.values())
    assert summary["ring_overflow"] == sum(not events for events in kept.values())
    assert summary["board_down"] == sum(
        bool(events) and all(t for _, t in events) for events in kept.values()
    )


def test_it_is_written_whole(tmp_path: Path) -> None:
    """JSON, with nothing beside it."""
    balance = Balance(sent=3, causes=lambda: {"delivered": 1, "co_sf": 2, "locked": 0})
    receive(balance, 1, 1, payload=b"\xab\xcd")
    balance.write(tmp_path / "balance.json")
    assert [path.name for path in tmp_path.iterdir()] == ["balance.json"]
    written = json.loads((tmp_path / "balance.json").read_text())
    assert written == {
        "sent": 3,
        "receivable": 1,
        "delivered": 0,
        "ring_overflow": 0,
        "board_down": 0,
        "causes": {"delivered": 1, "co_sf": 2},
        "frames": [{"transmission": 1, "payload": "abcd", "delivered": False, "excuse": None}],
    }
