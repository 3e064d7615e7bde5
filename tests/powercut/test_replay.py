"""What a cut leaves of a file, model by model."""

import random

import pytest

from tests.powercut.replay import BLOCK_BYTES, MODELS, Disk
from tests.powercut.workload import STORE
from tests.powercut.write_log import Kind, Record

A, B = b"a" * BLOCK_BYTES, b"b" * BLOCK_BYTES


def disk(*changes: tuple[Kind, int, bytes]) -> Disk:
    """One file, opened, and changed like this."""
    made = Disk()
    for kind, offset, data in [(Kind.OPEN, 0, STORE.encode()), *changes]:
        made.apply(Record(kind, 3, offset, data))
    return made


def cuts(made: Disk, model: str, count: int = 200) -> set[bytes]:
    """What is left after many cuts at this very moment."""
    return {made.after_cut(model, random.Random(seed))[STORE] for seed in range(count)}


SYNC = (Kind.SYNC, 0, b"")


@pytest.mark.parametrize("model", MODELS)
def test_what_was_synced_stays(model: str) -> None:
    assert cuts(disk((Kind.WRITE, 0, A), SYNC), model) == {A}


def test_dropped() -> None:
    assert cuts(disk((Kind.WRITE, 0, A), SYNC, (Kind.WRITE, 0, B)), "dropped") == {A}


def test_halved() -> None:
    """Any of the writes, and the file's new size with or without them."""
    found = cuts(disk((Kind.WRITE, 0, A), (Kind.WRITE, BLOCK_BYTES, B)), "halved")
    zeros = bytes(BLOCK_BYTES)
    assert found == {b"", A, A + zeros, zeros + B, A + B, zeros + zeros}


def test_torn() -> None:
    """The last write that counts ends at a multiple of 512 bytes."""
    found = cuts(disk((Kind.WRITE, 0, A), SYNC, (Kind.WRITE, 100, b"b" * 2000)), "torn")
    ends = {len(left.rstrip(b"a")) for left in found}
    assert ends == {0, 512, 1024, 1536, 2048}
    assert all(left[:100] == A[:100] for left in found)


def test_smash() -> None:
    """A block that was being written is garbage, also what had been synced of it."""
    made = disk((Kind.WRITE, 0, A + A), SYNC, (Kind.WRITE, BLOCK_BYTES + 100, b"b"))
    found = cuts(made, "smash")
    assert all(left[:BLOCK_BYTES] == A for left in found)
    assert any(left[BLOCK_BYTES : BLOCK_BYTES + 100] != A[:100] for left in found)
    assert A + A in found


def test_truncated() -> None:
    """A truncation that was not synced may be undone, and nothing passes it."""
    made = disk((Kind.WRITE, 0, A), SYNC, (Kind.TRUNCATE, 0, b""), (Kind.WRITE, 0, b"bb"))
    assert cuts(made, "halved") == {A, b"", b"bb", bytes(2), b"bb" + A[2:]}


def test_names() -> None:
    """They change at once; a file that is open keeps its content under its new name."""
    made = disk((Kind.WRITE, 0, A), SYNC)
    made.apply(Record(Kind.RENAME, -1, 0, f"{STORE}\0{STORE}.aside".encode()))
    made.apply(Record(Kind.WRITE, 3, 0, b"b"))
    made.apply(Record(Kind.SYNC, 3, 0, b""))
    assert made.after_cut("dropped", random.Random(0)) == {f"{STORE}.aside": b"b" + A[1:]}
    made.apply(Record(Kind.UNLINK, -1, 0, f"{STORE}.aside".encode()))
    assert made.after_cut("dropped", random.Random(0)) == {}
