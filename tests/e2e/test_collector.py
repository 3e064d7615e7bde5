"""Exactly once in effect at the far end: real boards' ports, gateway, collector, and kills."""

import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.collectors import CollectorProcess, collector, use_http
from tests.e2e.processes import (
    Boards,
    boards,
    check_delivery,
    gateway,
    inject_some,
    wait_delivered,
    wait_until,
)
from tests.scale import SCALE

pytestmark = pytest.mark.timeout(300 * SCALE)

FRAMES = 600 * SCALE
KILLS = 4 * SCALE


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Boards]:
    """Two boards with two radios each."""
    with boards(tmp_path, count=2, radios=("921.4:9", "921.6:9")) as running:
        yield running


def check_table(site: Boards, far_end: CollectorProcess) -> None:
    """One row for each frame: its id is unique by the schema, its content is what was sent."""
    check_delivery(far_end.frames(), site.injected)
    assert far_end.count() == len(site.injected)


@pytest.mark.parametrize("batch_format", ["json", "json-lines", "cbor"])
def test_frames_arrive_once(site: Boards, tmp_path: Path, batch_format: str) -> None:
    """In every format the same table."""
    with collector(tmp_path) as far_end:
        use_http(tmp_path, far_end.port, format=batch_format)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, 100)
            wait_delivered(site, running)
        check_table(site, far_end)


def test_kills_on_both_sides_in_outage_and_catch_up(site: Boards, tmp_path: Path) -> None:
    """kill -9 of either, at random moments, loses nothing and doubles nothing."""
    chance = random.Random(20261125)
    with collector(tmp_path, start=False) as far_end:
        use_http(tmp_path, far_end.port)
        with gateway(tmp_path) as running:
            wait_until(running.up, "the boards are up")
            inject_some(site, 0, FRAMES // 2)
            running.process.kill()  # in the outage
            running.start()
            for number in range(KILLS):  # and while it catches up
                far_end.start()
                inject_some(site, FRAMES // 2 + number * 50, 50)
                time.sleep(chance.uniform(0, 0.4))
                far_end.process.kill()
                time.sleep(chance.uniform(0, 0.2))
                running.process.kill()
                running.start()
            far_end.start()
            wait_delivered(site, running)
        check_table(site, far_end)
