"""What ext4's journal writes beside the store: one commit an interval, if there was a change."""

import os
from itertools import pairwise
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from edge.outbox.journal import Journal, journal_of

COMMIT_BYTES = 12_288
"""A descriptor, the block of the inodes, a commit block, of 4096 bytes each (jbd2)."""


def mounts(directory: Path, kind: str, options: str) -> Path:
    """A table of mounts in which a directory's device is of this kind."""
    device = directory.stat().st_dev
    name = f"{os.major(device)}:{os.minor(device)}"
    table = directory / "mountinfo"
    table.write_text(
        "22 27 0:9999 / /proc rw,relatime - proc proc rw\n"
        f"27 1 {name} / / rw,relatime shared:1 - {kind} /dev/mmcblk0p2 {options}\n"
    )
    return table


def test_ext4_commits_every_five_seconds_or_as_it_is_told(tmp_path: Path) -> None:
    """ext4(5): commit=nrsec, 0 for the usual five."""
    for options, interval_s in (("rw", 5), ("rw,commit=30", 30), ("rw,commit=0", 5)):
        assert journal_of(tmp_path, mounts(tmp_path, "ext4", options)).interval_s == interval_s


def test_of_other_file_systems_nothing_is_known(tmp_path: Path) -> None:
    journal = journal_of(tmp_path, mounts(tmp_path, "f2fs", "rw"))
    journal.note(1)
    assert journal.bytes_until(1e9) == 0


def test_this_machines_table_can_be_read(tmp_path: Path) -> None:
    assert journal_of(tmp_path).interval_s >= 0


@given(seconds=st.lists(st.booleans(), max_size=300))
def test_a_commit_for_each_interval_in_which_something_was_written(seconds: list[bool]) -> None:
    """Asked once a second, as the store does: never more than one in five seconds, and each
    change is in one of them in the end."""
    journal = Journal(5.0)
    commits: list[float] = []

    def ask(now_s: float) -> None:
        if size := journal.bytes_until(now_s):
            assert size == COMMIT_BYTES
            commits.append(now_s)

    for second, writes in enumerate(seconds):
        journal.note(4096 if writes else 0)
        ask(second)
    ask(len(seconds) + 5)
    ask(1e9)
    assert all(after - before >= 5 for before, after in pairwise(commits))
    assert bool(commits) == any(seconds)
    assert 1e9 not in commits
