"""Channel plans against the tables of RP002 and the national rules."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.lora.phy import time_on_air_us
from protocol.lora.regions import (
    AS923_1,
    AS923_2,
    EU868,
    REGIONS,
    US915,
    Region,
    UnknownRegion,
    region,
)

RP002_AS923_M_WITH_DWELL = {12: 0, 11: 0, 10: 19, 9: 61, 8: 133, 7: 250}
RP002_AS923_M_WITHOUT_DWELL = {12: 59, 11: 59, 10: 123, 9: 123, 8: 250, 7: 250}


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("AS923-2", "AS923-2"),
        ("AS923_2", "AS923-2"),
        ("as923-2", "AS923-2"),
        ("AS_923_2", "AS923-2"),
        ("Vietnam", "AS923-2"),
        ("AS923", "AS923-1"),
        ("as923-1", "AS923-1"),
        ("eu868", "EU868"),
        ("EU_863_870", "EU868"),
        ("US 902-928", "US915"),
        ("us915", "US915"),
    ],
)
def test_spellings(spelling: str, name: str) -> None:
    assert region(spelling).name == name


@pytest.mark.parametrize("name", ["", "AS923-9", "Da Nang", "EU8680"])
def test_unknown_regions(name: str) -> None:
    with pytest.raises(UnknownRegion) as caught:
        region(name)
    assert str(caught.value) == (
        f'region "{name}" is not known; known are AS923-1, AS923-2, EU868, US915'
    )


def test_da_nang() -> None:
    """AS923 shifted by -1.8 MHz; 920 to 923 MHz in Vietnam, 10 % for gateways, 1 % for devices."""
    assert AS923_2.uplink_channels_hz == (921_400_000, 921_600_000)
    assert (AS923_2.rx2_hz, AS923_2.rx2_data_rate) == (921_400_000, 2)
    assert AS923_2.band_hz == (920_000_000, 923_000_000)
    assert AS923_2.max_eirp_dbm == 16
    assert AS923_2.uplink_dwell_us == 400_000
    band = AS923_2.sub_band(921_400_000, 125_000)
    assert band is not None
    assert (band.gateway_duty_cycle, band.device_duty_cycle) == (0.1, 0.01)
    assert band.max_eirp_dbm == 16


@pytest.mark.parametrize("plan", [AS923_1, AS923_2])
def test_as923_payloads(plan: Region) -> None:
    """PHY payload = RP002's M + 5, with and without the dwell limit."""
    for factor, limit in RP002_AS923_M_WITH_DWELL.items():
        expected = limit + 5 if limit else 0
        assert plan.max_phy_payload(factor, 125_000) == expected
    for factor, limit in RP002_AS923_M_WITHOUT_DWELL.items():
        assert plan.max_phy_payload(factor, 125_000, dwell=False) == limit + 5


def test_as923_2_is_as923_1_shifted() -> None:
    shift_hz = -1_800_000
    shifted = tuple(channel + shift_hz for channel in AS923_1.uplink_channels_hz)
    assert AS923_2.uplink_channels_hz == shifted
    assert AS923_2.rx2_hz == AS923_1.rx2_hz + shift_hz
    assert AS923_2.data_rates == AS923_1.data_rates


def test_eu868() -> None:
    """RP002's payloads; sub-bands and duty cycles of EN 300 220-2."""
    assert EU868.uplink_channels_hz == (868_100_000, 868_300_000, 868_500_000)
    assert (EU868.rx2_hz, EU868.rx2_data_rate) == (869_525_000, 0)
    limits = [rate.max_mac_payload for rate in EU868.data_rates]
    assert limits == [59, 59, 59, 123, 250, 250, 250]
    assert EU868.max_phy_payload(12, 125_000) == 64
    assert EU868.dwell_violation(255, 12, 125_000) is None
    duty_cycles = {
        864_000_000: 0.001,
        867_100_000: 0.01,
        868_100_000: 0.01,
        868_900_000: 0.001,
        869_525_000: 0.1,
        869_850_000: 0.01,
    }
    for frequency_hz, duty_cycle in duty_cycles.items():
        band = EU868.sub_band(frequency_hz, 125_000)
        assert band is not None
        assert band.gateway_duty_cycle == duty_cycle
    assert EU868.sub_band(868_650_000, 7_800) is None  # alarms only
    assert EU868.sub_band(869_300_000, 125_000) is None


def test_us915() -> None:
    """64 + 8 uplink channels; payloads by data rate; 400 ms for uplinks."""
    assert len(US915.uplink_channels_hz) == 72
    assert US915.uplink_channels_hz[:2] == (902_300_000, 902_500_000)
    assert US915.uplink_channels_hz[63:66] == (914_900_000, 903_000_000, 904_600_000)
    assert US915.uplink_channels_hz[-1] == 914_200_000
    assert (US915.rx2_hz, US915.rx2_data_rate) == (923_300_000, 8)
    limits = {rate.number: rate.max_mac_payload for rate in US915.data_rates}
    assert limits == {
        0: 19, 1: 61, 2: 133, 3: 250, 4: 250,
        8: 61, 9: 137, 10: 250, 11: 250, 12: 250, 13: 250,
    }  # fmt: skip
    uplinks = ((10, 125_000), (9, 125_000), (8, 125_000), (7, 125_000), (8, 500_000))
    assert [US915.max_phy_payload(*rate) for rate in uplinks] == [24, 66, 138, 255, 255]


@pytest.mark.parametrize("plan", REGIONS, ids=lambda plan: plan.name)
def test_every_plan_keeps_its_own_rules(plan: Region) -> None:
    assert region(plan.name) is plan
    rates = {rate.number: rate for rate in plan.data_rates}
    assert len(rates) == len(plan.data_rates)
    for channel_hz in plan.uplink_channels_hz:
        assert plan.sub_band(channel_hz, 125_000) is not None
    assert plan.sub_band(plan.rx2_hz, rates[plan.rx2_data_rate].bandwidth_hz) is not None
    edges = [edge for band in plan.sub_bands for edge in (band.low_hz, band.high_hz)]
    assert edges == sorted(edges)
    assert plan.band_hz == (edges[0], edges[-1])


@pytest.mark.parametrize(
    ("frequency_hz", "bandwidth_hz", "inside"),
    [
        (920_062_500, 125_000, True),
        (920_062_499, 125_000, False),
        (922_937_500, 125_000, True),
        (922_937_501, 125_000, False),
        (920_015_625, 31_250, True),
        (923_200_000, 125_000, False),
    ],
)
def test_a_signal_lies_inside_with_its_whole_bandwidth(
    frequency_hz: int, bandwidth_hz: int, inside: bool
) -> None:
    assert (AS923_2.sub_band(frequency_hz, bandwidth_hz) is not None) == inside


def test_dwell_in_plain_words() -> None:
    assert AS923_2.dwell_violation(24, 10, 125_000) is None
    assert AS923_2.dwell_violation(25, 10, 125_000) == (
        "25 bytes at SF10 and 125 kHz are 412 ms on the air, AS923-2 allows 400 ms"
    )
    with pytest.raises(ValueError, match="bandwidth"):
        AS923_2.dwell_violation(24, 10, 126_000)


@given(st.sampled_from(REGIONS), st.integers(7, 12), st.sampled_from((31_250, 125_000, 250_000)))
def test_the_longest_payload_is_the_longest(
    plan: Region, spreading_factor: int, bandwidth_hz: int
) -> None:
    """It is allowed, and one byte more is too long on the air or for the data rate."""
    longest = plan.max_phy_payload(spreading_factor, bandwidth_hz)
    limit = plan.max_phy_payload(spreading_factor, bandwidth_hz, dwell=False)
    dwell_us = plan.uplink_dwell_us or 10**9

    def airtime_us(payload_length: int) -> int:
        return time_on_air_us(
            payload_length=payload_length,
            spreading_factor=spreading_factor,
            bandwidth_hz=bandwidth_hz,
        )

    assert longest <= limit
    assert longest == 0 or airtime_us(longest) <= dwell_us
    assert longest == limit or airtime_us(longest + 1) > dwell_us
