"""Captured frames through chips' registers, in virtual time and to a host on a real pty."""

import asyncio
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

from protocol.link.messages import RxEvent
from simulator.board import Board
from simulator.capture import CapturedFrame
from simulator.replay import replay
from simulator.simulated_site import Site, SiteClock
from tests.simulator.line_host import PROFILE, LineHost, until
from tests.simulator.virtual_time import loop_time_s, run_virtually

FRAME = CapturedFrame(1_700_000_000_000_000, b"captured", 921_400_000, 7, 125_000, -97.0, -3.0)


def series(count: int, gap_us: int = 1_000_000) -> list[CapturedFrame]:
    """Frames in a row."""
    return [
        replace(FRAME, at_us=FRAME.at_us + n * gap_us, payload=n.to_bytes(2, "big"))
        for n in range(count)
    ]


def replayed(
    directory: Path,
    frames: list[CapturedFrame],
    *,
    rate: float = 0,
    silent: Callable[[], bool] = lambda: False,
) -> tuple[Site, tuple[RxEvent, ...], float]:
    """Replay to one radio at 921.4 MHz and SF7: the site, the ring, the seconds that it took."""

    async def run() -> tuple[Site, tuple[RxEvent, ...], float]:
        site = Site(directory, {"roof": 1}, 1, baud=0, clock=SiteClock(loop_time_s))
        site.start()
        for _, _, radio in site.chips():
            radio.set_profile(PROFILE)
        await asyncio.sleep(1)
        began_s = loop_time_s()
        await replay(site, frames, rate=rate, silent=silent)
        took_s = loop_time_s() - began_s
        board = site.concentrators["roof"].board
        assert isinstance(board, Board)
        site.stop()
        return site, board.session.unacknowledged, took_s

    return run_virtually(run())


def test_frames_come_with_their_strength_and_in_the_order_of_time(tmp_path: Path) -> None:
    """However the file has them."""
    frames = series(5)
    site, ring, _ = replayed(tmp_path, frames[::-1])
    assert [event.payload for event in ring] == [frame.payload for frame in frames]
    # -157 + 63 - 3 = -97 dBm, -12 / 4 = -3 dB
    assert {(event.packet_rssi, event.packet_snr) for event in ring} == {(63, 0xF4)}
    assert site.balance.sent == site.balance.receivable == 5


def test_the_counter_runs_on_captured_time(tmp_path: Path) -> None:
    """A day between two frames is a day on the board, and no wait."""
    day_us = 86_400_000_000
    _, ring, took_s = replayed(tmp_path, series(3, day_us))
    times = [event.count_us for event in ring]
    assert [later - earlier for earlier, later in pairwise(times)] == [
        day_us,
        day_us,
    ]
    assert took_s < 1


def test_what_no_radio_listens_to_is_counted(tmp_path: Path) -> None:
    """Within 100 Hz, because a chip tunes in steps of 61 Hz."""
    frames = [
        FRAME,
        replace(FRAME, frequency_hz=921_400_050),
        replace(FRAME, frequency_hz=921_401_000),
        replace(FRAME, spreading_factor=8),
        replace(FRAME, bandwidth_hz=250_000),
    ]
    site, ring, _ = replayed(tmp_path, frames)
    assert len(ring) == 2
    assert site.balance.summary()["causes"] == {"delivered": 2, "not_listening": 3}


def test_frames_without_a_good_crc_arrive_as_such(tmp_path: Path) -> None:
    frames = [replace(FRAME, crc_ok=False), replace(FRAME, crc_on_payload=False), FRAME]
    site, ring, _ = replayed(tmp_path, frames)
    assert [(e.irq_flags & 0x20, e.hop_channel & 0x40) for e in ring] == [
        (0x20, 0x40),
        (0, 0),
        (0, 0x40),
    ]
    assert site.balance.summary()["causes"] == {"crc_error": 2, "delivered": 1}
    assert site.balance.receivable == 1


def test_the_rate_is_kept(tmp_path: Path) -> None:
    """Ten frames a second."""
    _, _, took_s = replayed(tmp_path, series(50), rate=10)
    assert 4.89 < took_s < 5.11


def test_silence_ends_it(tmp_path: Path) -> None:
    site, _, _ = replayed(tmp_path, series(50), silent=lambda: True)
    assert site.balance.sent == 0


async def test_more_than_a_ring_holds_waits_for_the_host(tmp_path: Path) -> None:
    """Three rings full: nothing overflows, everything arrives, in order."""
    frames = series(1500)
    site = Site(tmp_path, {"roof": 1}, 1, baud=0)
    site.start()
    host = LineHost(tmp_path / "roof", window=256)
    await host.set_up()
    await until(site.ready)
    await replay(site, frames, rate=0)
    await until(lambda: len(host.payloads()) == len(frames))
    host.close()
    site.stop()
    assert host.payloads() == [frame.payload for frame in frames]
    assert site.balance.summary()["ring_overflow"] == 0
    assert site.balance.delivered == 1500
