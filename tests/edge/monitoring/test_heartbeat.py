"""The probe of the event loop measures how late timers run, and beats."""

import pytest

from edge.monitoring.heartbeat import run_heartbeat
from edge.monitoring.metrics import Metrics
from tests.edge.monitoring.fake_time import FakeTime, OutOfTime


async def test_it_reports_how_late_the_loop_woke_it_and_beats_each_time() -> None:
    time = FakeTime([0.0, 0.25, -0.001, 7.0])
    lags_s: list[float] = []
    beats: list[int] = []

    with pytest.raises(OutOfTime):
        await run_heartbeat(
            beat=lambda: beats.append(time.now_us),
            observe_lag_s=lags_s.append,
            now_us=time.boottime_us,
            sleep=time.sleep,
        )

    # A timer that fires early is not late by less than nothing.
    assert lags_s == pytest.approx([0.0, 0.25, 0.0, 7.0])
    assert beats == [1_000_000, 2_250_000, 3_249_000, 11_249_000]


async def test_the_lag_fills_the_histogram() -> None:
    time = FakeTime([0.02, 3.0])
    metrics = Metrics("0")

    with pytest.raises(OutOfTime):
        await run_heartbeat(
            beat=lambda: None,
            observe_lag_s=metrics.event_loop_lag_seconds.observe,
            now_us=time.boottime_us,
            sleep=time.sleep,
        )

    def late_by_at_most(bound: str) -> float | None:
        return metrics.registry.get_sample_value(
            "lora_edge_event_loop_lag_seconds_bucket", {"le": bound}
        )

    assert [late_by_at_most(bound) for bound in ("0.01", "0.025", "2.5", "5.0")] == [0, 1, 1, 2]
