"""Pauses are kept over restarts, and hold exactly the upstream that was meant."""

import asyncio
from pathlib import Path

import pytest

from edge.monitoring.metrics import Metrics
from edge.pauses import Pauses


def pauses(path: Path, *names: str) -> Pauses:
    return Pauses(path, names, Metrics("test"), lambda: None)


async def test_paused_over_a_restart_until_it_is_resumed(tmp_path: Path) -> None:
    path = tmp_path / "paused"
    first = pauses(path, "city", "lab")
    await first.set_paused("city", True)
    second = pauses(path, "city", "lab")
    assert second.paused == {"city"}
    await second.wait_resumed("lab")
    waiting = asyncio.ensure_future(second.wait_resumed("city"))
    await asyncio.sleep(0)
    assert not waiting.done()
    await second.set_paused("city", False)
    async with asyncio.timeout(20):
        await waiting
    assert pauses(path, "city").paused == frozenset()


async def test_others_and_rubbish(tmp_path: Path) -> None:
    path = tmp_path / "paused"
    path.write_text("gone\ncity\n")
    assert pauses(path, "city").paused == {"city"}
    with pytest.raises(KeyError):
        await pauses(path, "city").set_paused("gone", True)
    path.write_bytes(b"\xff")
    assert pauses(path, "city").paused == frozenset()
