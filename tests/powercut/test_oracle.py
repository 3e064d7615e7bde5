"""The judge finds each kind of broken promise: a sound store is held against other promises."""

import copy
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.powercut.cuts import Recording, record
from tests.powercut.frames import frame_content, is_intact
from tests.powercut.oracle import judge
from tests.powercut.preload import needs_compiler
from tests.powercut.promises import Promises
from tests.powercut.replay import write_files
from tests.powercut.workload import STORE, UPSTREAMS

CITY, LAB = UPSTREAMS

pytestmark = needs_compiler


@functools.cache
def finished() -> Recording:
    """A run that ended well."""
    return record("--seed", 3, "--steps", 120)


def promises_of(run: Recording) -> Promises:
    """All that it promised."""
    promises = Promises(UPSTREAMS)
    promises.hear_all(run.lines_until(len(run.records)))
    return promises


async def faults(
    folder: Path, change: Callable[[Promises], object], *, evictable: int = 0
) -> list[str]:
    """Judge the run's store by its promises, changed."""
    write_files(folder, finished().after)
    promises = copy.deepcopy(promises_of(finished()))
    change(promises)
    return (await judge(folder, promises, evictable=evictable)).faults


async def test_all_is_well(scratch: Path) -> None:
    assert await faults(scratch, lambda promises: None) == []


def promise_one_more(promises: Promises) -> None:
    number = promises.newest + 1
    newest = max(promises.promised.values())
    promises.appended.append((number, number))
    promises.promised[number] = newest._replace(seq=newest.seq + 1)


def swap_two(promises: Promises) -> None:
    *_, one, other = sorted(promises.promised)
    ids = promises.promised
    ids[one], ids[other] = ids[other], ids[one]


def promise_an_identity_twice(promises: Promises) -> None:
    oldest, *_, newest = sorted(promises.promised)
    promises.promised[oldest] = promises.promised[newest]


def forget_an_append(promises: Promises) -> None:
    promises.appended.pop()


def widen_a_group(promises: Promises) -> None:
    first, last = promises.appended[-1]
    for number in range(first, last + 1):
        del promises.promised[number]
    promises.appended[-1] = (first, last + 1)


def deny_acknowledgements(promises: Promises) -> None:
    promises.acknowledged[LAB].clear()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (promise_one_more, "promised and lost: ["),
        (promise_one_more, "mark last is"),
        (swap_two, "promised as"),
        (promise_an_identity_twice, "an identity was given twice"),
        (forget_an_append, "never appended: ["),
        (widen_a_group, "half of a group: ["),
        (deny_acknowledgements, "promised and lost: ["),
        (deny_acknowledgements, "lab is not sent ["),
        (deny_acknowledgements, "unsent"),
    ],
)
async def test_a_broken_promise(
    scratch: Path, change: Callable[[Promises], None], fault: str
) -> None:
    found = await faults(scratch, change)
    assert any(fault in one for one in found), found


async def test_what_was_evicted_is_not_lost(scratch: Path) -> None:
    """As many as are told, and only the oldest."""
    found = await faults(scratch, deny_acknowledgements, evictable=10_000)
    assert not any("lost" in one for one in found), found
    found = await faults(scratch, promise_one_more, evictable=10_000)
    assert any("lost" in one for one in found), found


async def test_a_store_that_began_anew(scratch: Path) -> None:
    """It opens and works, and everything is gone."""
    write_files(scratch, {STORE: b"not a database" * 1000})
    verdict = await judge(scratch, promises_of(finished()), evictable=10_000)
    assert any("set aside" in fault for fault in verdict.faults)


def test_a_frame_is_known_to_its_last_byte() -> None:
    good = frame_content(7, 100)
    assert is_intact(good)
    assert not is_intact(replace(good, received_boottime_us=8))
    assert not is_intact(replace(good, measurements=()))
    assert not is_intact(replace(good, phy_payload=good.phy_payload[:-1]))


def test_a_line_that_was_cut_is_no_promise() -> None:
    promises = Promises(UPSTREAMS)
    promises.hear_all("append 1 1\npromise 1 0016c001ff10a235-217eaf0b46d6777a-1\nappend 2 ")
    assert promises.appended == [(1, 1)]
    assert list(promises.promised) == [1]
