"""What regulation forbids is refused; what it just allows is not."""

from collections.abc import Iterable
from dataclasses import replace

import pytest

from protocol.lora.regions import region
from simulator.readings import SensorKind
from simulator.scenario import Group, PayloadKind
from simulator.scenario_rules import group_faults
from tests.simulator.sample_air import scenario

AS923_2 = region("AS923-2")
PARKING = replace(scenario().groups[0], kind=SensorKind.PARKING, period_s=600, jitter=0)


def refused(group: Group) -> list[str]:
    return [key for key, _ in group_faults(group, AS923_2)]


def all_text(faults: Iterable[tuple[str, str]]) -> str:
    return " ".join(text for _, text in faults)


@pytest.mark.parametrize(
    ("kind", "spreading_factor", "allowed"),
    [
        (SensorKind.PARKING, 10, True),  # 7 bytes of the 11 that 400 ms leave at SF10
        (SensorKind.FLOOD, 10, False),  # 13 bytes
        (SensorKind.AIR, 9, True),
        (SensorKind.PARKING, 11, False),  # SF11 and SF12 carry nothing
        (SensorKind.PARKING, 12, False),
    ],
)
def test_dwell_time_of_400_ms(kind: SensorKind, spreading_factor: int, allowed: bool) -> None:
    group = replace(PARKING, kind=kind, spreading_factor=spreading_factor)
    assert refused(group) == ([] if allowed else ["spreading_factor"])


@pytest.mark.parametrize(
    ("period_s", "jitter", "allowed"),
    [(5.66, 0, True), (5.65, 0, False), (10, 0.4, True), (10, 0.5, False)],
)
def test_duty_cycle_of_one_percent(period_s: float, jitter: float, allowed: bool) -> None:
    """20 bytes at SF7 take 56.576 ms: 5.6576 s have to pass, after a late packet too."""
    group = replace(PARKING, period_s=period_s, jitter=jitter)
    assert refused(group) == ([] if allowed else ["period_s"])


def test_dwell_counts_the_coding_rate() -> None:
    """20 bytes at SF10: 371 ms at 4/5, but 494 ms at 4/8."""
    slow = replace(PARKING, spreading_factor=10)
    assert refused(slow) == []
    assert refused(replace(slow, coding_rate="4/8")) == ["spreading_factor"]


@pytest.mark.parametrize(
    ("plan", "frequency_hz", "keys"),
    [
        ("EU868", 868_100_000, []),
        ("EU868", 864_000_000, ["period_s"]),  # 0.1 % there (ERC/REC 70-03)
        ("EU868", 868_650_000, ["frequencies_hz"]),  # between two bands for our use
        ("US915", 902_300_000, []),  # no duty cycle at all (47 CFR 15.247)
    ],
)
def test_other_regions_have_other_rules(plan: str, frequency_hz: int, keys: list[str]) -> None:
    """56.576 ms every 30 s is a duty of 0.19 %."""
    group = replace(PARKING, frequencies_hz=(frequency_hz,), period_s=30)
    assert [key for key, _ in group_faults(group, region(plan))] == keys


def test_the_duty_cycle_fault_says_what_is_needed() -> None:
    assert "5.7 s between two packets" in all_text(
        group_faults(replace(PARKING, period_s=1), AS923_2)
    )


def test_frequencies_have_to_be_in_the_band() -> None:
    """The whole channel: half a bandwidth beside the edge is too near."""
    edge = replace(PARKING, frequencies_hz=(920_062_500, 922_937_500))
    assert refused(edge) == []
    outside = replace(PARKING, frequencies_hz=(868_100_000, 920_050_000, 921_400_000))
    assert refused(outside) == ["frequencies_hz", "frequencies_hz"]
    assert "868_100_000" in all_text(group_faults(outside, AS923_2))


def test_power_limit() -> None:
    """MaxEIRP of AS923 is 16 dBm (RP002)."""
    assert refused(replace(PARKING, power_dbm=16)) == []
    assert refused(replace(PARKING, power_dbm=16.5)) == ["power_dbm"]


def test_private_nodes_obey_too() -> None:
    node = replace(PARKING, payload=PayloadKind.CBOR, spreading_factor=12)
    assert refused(node) == ["spreading_factor"]
