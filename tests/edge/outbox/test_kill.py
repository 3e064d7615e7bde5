"""kill -9 in the middle of the work, again and again: what was promised is there afterwards."""

import random
import signal
import sqlite3
import subprocess
import sys
from pathlib import Path

import cbor2
import pytest

from edge.outbox.pack import split
from edge.outbox.ranges import SeqRanges
from tests.edge.outbox.open_store import numbers, pending, running
from tests.scale import SCALE

ROOT = Path(__file__).parents[3]
CHILD = Path(__file__).with_name("kill_child.py")
KILLS = 20 * SCALE


def told_until_killed(path: Path, first: int, how: str, lines: int) -> list[int]:
    """Run the child until it has told so many numbers, kill it, and read what else it told."""
    with subprocess.Popen(
        [sys.executable, str(CHILD), str(path), str(first), how],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdout is not None
        told = [int(child.stdout.readline()) for _ in range(lines)]
        child.send_signal(signal.SIGKILL)
        rest = child.stdout.read()
    assert child.returncode == -signal.SIGKILL
    # The last line may have been cut in its middle.
    whole, _, _ = rest.rpartition("\n")
    return told + [int(line) for line in whole.split()]


def check_file(path: Path) -> None:
    """What holds for every store at every moment, read with SQLite alone."""
    connection = sqlite3.connect(path)
    try:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        packs = connection.execute("SELECT seq, n, delta, body FROM telemetry ORDER BY seq")
        last_seq, newest = 0, b""
        for seq, frames, delta, body in packs:
            assert seq == last_seq + 1
            last_seq = seq + frames - 1
            # A mark is committed with its frame: it tells of the newest one of its pack.
            mark = cbor2.loads(delta[4:])[0]["last"]
            bodies = split(body, frames)
            assert mark in bodies[-1]
            assert not any(mark in other for other in bodies[:-1])
            newest = mark
        for (text,) in connection.execute("SELECT acknowledged FROM cursor"):
            assert all(last <= last_seq for _, last in SeqRanges.from_text(text))
        assert bool(newest) == bool(last_seq)
    finally:
        connection.close()


@pytest.mark.timeout(300 * SCALE)
async def test_promised_frames_survive(tmp_path: Path) -> None:
    """Kill after kill of one store; the moments of the kills are chance, the seed is not.

    A kill leaves the kernel's cache alone, so this judges recovery, not what reaches the disk.
    """
    path = tmp_path / "outbox.db"
    chance = random.Random(20261124)
    promised: list[int] = []
    for kill in range(KILLS):
        promised += told_until_killed(path, kill * 1_000_000, "promise", chance.randint(1, 150))
        check_file(path)
    async with running(path) as outbox:
        stored = await numbers(outbox)
        assert len(stored) == len(set(stored))
        assert set(promised) <= set(stored)
        # What the child acknowledged was a multiple of three: all else is still to be sent.
        unsent = set(await pending(outbox, limit=10_000_000))
        assert {number for number in promised if number % 3} <= unsent
        mark = outbox.mark("last")
        assert mark is not None
        assert int.from_bytes(mark, "big") == stored[-1]


@pytest.mark.timeout(300 * SCALE)
async def test_this_would_catch_a_broken_promise(tmp_path: Path) -> None:
    """Negative control: a child that tells before the commit is found out."""
    missing: set[int] = set()
    for kill in range(KILLS):
        path = tmp_path / f"{kill}.db"
        told = told_until_killed(path, 0, "early", 20 + kill)
        async with running(path) as outbox:
            missing |= set(told) - set(await numbers(outbox))
        if missing:
            return
    pytest.fail("nobody noticed")
