"""What is counted of a concentrator through all its connections."""

import pytest

from edge.monitoring.metrics import Metrics
from edge.radio_watch import ConcentratorWatch, RadioWatch
from protocol.lora.events import (
    ConcentratorStateChanged,
    Heartbeat,
    LinkState,
    RadioStatistics,
    RecoveryStep,
    RecoveryStepTaken,
)

LOST = ConcentratorStateChanged("roof", LinkState.DOWN, "silent for 10 s")
UP = ConcentratorStateChanged("roof", LinkState.UP, "answers again")


@pytest.fixture
def watch() -> ConcentratorWatch:
    return RadioWatch().add("roof", 1, Metrics("test"), now_us=0)


def heartbeat(crc: int) -> Heartbeat:
    """A driver has rejected so many frames since it opened its port."""
    return Heartbeat(
        concentrator="roof",
        radios=(RadioStatistics(0, 0, -118.0, 0, receiving=True),),
        newest=None,
        ring_used=0,
        ring_capacity=0,
        ring_overflow=0,
        link_rejects={"crc": crc},
        temperature_celsius=None,
        supply_volts=None,
    )


def counted(watch: ConcentratorWatch, name: str, **labels: str) -> float | None:
    return watch.metrics.registry.get_sample_value(
        f"lora_edge_{name}_total", {"concentrator": "roof", **labels}
    )


def test_line_errors_are_counted_once_although_the_device_was_lost_meanwhile(
    watch: ConcentratorWatch,
) -> None:
    """It was set up again on the open port: the driver goes on counting where it was."""
    for event in (heartbeat(2), heartbeat(5), LOST, UP, heartbeat(6)):
        watch.take(event, 0)
    assert counted(watch, "link_rejects", reason="crc") == 6


def test_a_new_connection_counts_anew(watch: ConcentratorWatch) -> None:
    """And by chance it may have counted more than the last one at once."""
    watch.take(heartbeat(2), 0)
    watch.disconnected(0)
    watch.take(heartbeat(7), 0)
    assert counted(watch, "link_rejects", reason="crc") == 9


def test_what_a_driver_does_by_itself_is_counted_and_shown(watch: ConcentratorWatch) -> None:
    for step in (RecoveryStep.COMMAND, RecoveryStep.COMMAND, RecoveryStep.LINE):
        watch.take(RecoveryStepTaken("roof", step, "it says busy"), 7)
    assert counted(watch, "concentrator_recovery_steps", step="command") == 2
    assert watch.steps == {RecoveryStep.COMMAND: 2, RecoveryStep.LINE: 1}
    assert watch.last_step == (7, RecoveryStep.LINE)
