"""What the control socket answers about frames, against a real store."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edge.control import RequestError
from edge.control_handlers import PAGE_FRAMES, control_handlers, parse_query
from edge.outbox.admission import Admission
from edge.outbox.store import Outbox
from protocol.records.sensor_frame import FrameContent, WallTime
from tests.edge.outbox.open_store import BOOT, StillClock, content, running

EARLIER_BOOT = bytes(16)
WALL_US = 1_795_507_200_000_000
NOW_US = 1_000_000_000


def synchronised(now_us: int = NOW_US) -> StillClock:
    clock = StillClock(now_us=now_us)
    clock.wall_time = WallTime(WALL_US, 1000)
    return clock


async def ask(outbox: Outbox, **request: object) -> list[dict[str, Any]]:
    """All lines of an answer."""
    handler = control_handlers(outbox, lambda: {"version": "1"})[str(request.pop("command"))]
    return [answer async for answer in handler(dict(request))]


async def seqs(outbox: Outbox, **request: object) -> list[int]:
    """Numbers of the frames in an answer."""
    return [line["frame"]["seq"] for line in await ask(outbox, command="frames", **request)]


async def store(outbox: Outbox, contents: Sequence[FrameContent]) -> None:
    await outbox.append(*(Admission.of(one) for one in contents))


async def test_the_status_is_answered_as_it_is(tmp_path: Path) -> None:
    async with running(tmp_path / "db") as outbox:
        assert await ask(outbox, command="status") == [{"version": "1"}]


async def test_an_empty_store_has_no_frames(tmp_path: Path) -> None:
    async with running(tmp_path / "db") as outbox:
        assert await ask(outbox, command="frames") == []
        assert await ask(outbox, command="frames", limit=5) == []
        assert await ask(outbox, command="frames", count=True) == [{"count": 0}]


async def test_more_frames_than_a_page_come_in_order(tmp_path: Path) -> None:
    count = 2 * PAGE_FRAMES + 50
    async with running(tmp_path / "db") as outbox:
        await store(outbox, [content(number) for number in range(count)])

        assert await seqs(outbox) == list(range(1, count + 1))
        assert await seqs(outbox, limit=PAGE_FRAMES + 7) == list(
            range(count - PAGE_FRAMES - 6, count + 1)
        )
        assert await ask(outbox, command="frames", count=True) == [{"count": count}]


async def test_a_rare_device_is_found_far_back(tmp_path: Path) -> None:
    contents = [content(number) for number in range(3 * PAGE_FRAMES)]
    contents[3] = replace(contents[3], device="rare")
    contents[5] = replace(contents[5], dev_eui=bytes.fromhex("a81758fffe04b1c1"))
    async with running(tmp_path / "db") as outbox:
        await store(outbox, contents)

        assert await seqs(outbox, device="rare", limit=1) == [4]
        assert await seqs(outbox, device="a81758fffe04b1c1", limit=10) == [6]


async def test_frames_that_a_board_brought_late_are_found(tmp_path: Path) -> None:
    """Unplugged for hours, it brings frames that are older than those before them."""
    hour_us = 3_600_000_000
    clock = synchronised(now_us=10 * hour_us)
    async with running(tmp_path / "db", clock=clock) as outbox:
        received_us = [clock.now_us - age_h * hour_us for age_h in (9, 2, 8, 1)]
        await store(outbox, [content(0, received_us=at_us) for at_us in received_us])

        assert await seqs(outbox, since_us=WALL_US - 3 * hour_us) == [2, 4]
        assert await seqs(outbox, until_us=WALL_US - 3 * hour_us) == [1, 3]


async def test_following_goes_on_with_frames_as_they_are_stored(tmp_path: Path) -> None:
    async with running(tmp_path / "db") as outbox:
        await store(outbox, [content(0), content(1)])
        handler = control_handlers(outbox, dict)["frames"]
        answers: AsyncIterator[dict[str, Any]] = handler({"limit": 1, "follow": True})
        async with aclosing(answers) as following, asyncio.timeout(20):  # type: ignore[type-var]
            assert (await anext(following))["frame"]["seq"] == 2
            await store(outbox, [content(2), content(3)])
            assert (await anext(following))["frame"]["seq"] == 3
            assert (await anext(following))["frame"]["seq"] == 4


async def test_one_frame_by_number_and_by_id(tmp_path: Path) -> None:
    async with running(tmp_path / "db") as outbox:
        await store(outbox, [content(0), content(1)])
        [answer] = await ask(outbox, command="frame", frame_id="2")
        frame_id = answer["frame"]["frame_id"]

        assert answer["frame"]["phy_payload"] == "0000000000000001"
        assert await ask(outbox, command="frame", frame_id=frame_id) == [answer]
        assert await ask(outbox, command="frame", frame_id=2) == [answer]


@pytest.mark.parametrize(
    "frame_id", [None, "", "0", "3", "-1", "9" * 18, "9" * 40, "٣", 1.5, [], "x" * 10_000,
                 f"{'0' * 16}-{'0' * 16}-1", f"{'0' * 16}-{'0' * 16}-{2**63 - 1}"]
)  # fmt: skip
async def test_a_frame_that_is_not_there_is_refused(tmp_path: Path, frame_id: object) -> None:
    async with running(tmp_path / "db") as outbox:
        await store(outbox, [content(0), content(1)])

        with pytest.raises(RequestError, match=r"not a frame id|is not stored here"):
            await ask(outbox, command="frame", frame_id=frame_id)


@pytest.mark.parametrize(
    "request_", [{"device": 7}, {"since_us": "1"}, {"until_us": -1}, {"limit": 1.5},
                 {"limit": True}, {"limit": 2**63}, {"since_us": []}]
)  # fmt: skip
def test_arguments_of_other_types_are_refused(request_: dict[str, object]) -> None:
    with pytest.raises(RequestError, match="must be"):
        parse_query(request_)


json_value = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=4,
)
keys = st.sampled_from(["device", "since_us", "until_us", "limit", "follow", "count", "x"])


@given(st.dictionaries(keys, json_value))
def test_whatever_is_asked_is_a_query_or_a_refusal(request_: dict[str, object]) -> None:
    try:
        query = parse_query(request_)
    except RequestError:
        return
    assert query.limit is None or query.limit >= 0


# Frames on a grid of seconds around the bounds, so that equality is met too.
frames = st.lists(
    st.tuples(
        st.sampled_from([BOOT, BOOT, EARLIER_BOOT]),
        st.integers(0, 6),
        st.sampled_from([None, "a", "b"]),
    ),
    max_size=8,
)
bound = st.none() | st.integers(0, 7)


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(
    stored=frames,
    since=bound,
    until=bound,
    device=st.sampled_from([None, "a"]),
    limit=st.none() | st.integers(0, 4),
)
def test_answers_are_those_of_a_plain_filter(
    tmp_path_factory: pytest.TempPathFactory,
    *,
    stored: list[tuple[bytes, int, str | None]],
    since: int | None,
    until: int | None,
    device: str | None,
    limit: int | None,
) -> None:
    """A frame of the earlier boot has no known time, so it fits no bound."""
    expected = [
        seq
        for seq, (boot, second, name) in enumerate(stored, start=1)
        if device in (None, name)
        and (since is None or (boot == BOOT and second >= since))
        and (until is None or (boot == BOOT and second < until))
    ]
    expected = expected if limit is None else expected[len(expected) - min(limit, len(expected)) :]

    async def answered() -> list[int]:
        path = tmp_path_factory.mktemp("store") / "db"
        async with running(path, clock=synchronised()) as outbox:
            contents = [
                content(0, boot_id=boot, received_us=NOW_US + second * 1_000_000, device=name)
                for boot, second, name in stored
            ]
            await store(outbox, contents)
            return await seqs(
                outbox,
                since_us=None if since is None else WALL_US + since * 1_000_000,
                until_us=None if until is None else WALL_US + until * 1_000_000,
                device=device,
                limit=limit,
            )

    assert asyncio.run(answered()) == expected
