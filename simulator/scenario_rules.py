"""What the air and the law allow: band, power, dwell time and duty cycle of a sensor group.

A scenario that breaks them is refused, because a plan that works in the simulator must work, and be
allowed, in the street.
"""

from collections.abc import Iterator

from protocol.lora.regions import Region, SubBand
from simulator.scenario import Group


def group_faults(group: Group, region: Region) -> Iterator[tuple[str, str]]:
    """Key and plain words for everything that this group must not do in this region."""
    sub_bands: list[SubBand] = []
    for frequency_hz in group.frequencies_hz:
        sub_band = region.sub_band(frequency_hz, group.bandwidth_hz)
        if sub_band is None:
            low_hz, high_hz = region.band_hz
            yield (
                "frequencies_hz",
                f"{frequency_hz:_} with {group.bandwidth_hz:_} Hz of bandwidth is not inside a "
                f"band of {region.name}, {low_hz:_} to {high_hz:_}",
            )
        else:
            sub_bands.append(sub_band)
    yield from _power_faults(group, region, sub_bands)
    yield from _dwell_faults(group, region)
    yield from _duty_faults(group, sub_bands)


def _power_faults(
    group: Group, region: Region, sub_bands: list[SubBand]
) -> Iterator[tuple[str, str]]:
    limit_dbm = min([region.max_eirp_dbm, *(band.max_eirp_dbm for band in sub_bands)])
    if group.power_dbm > limit_dbm:
        yield (
            "power_dbm",
            f"{group.power_dbm:g} is more than the {limit_dbm:g} dBm EIRP of {region.name}",
        )


def _dwell_faults(group: Group, region: Region) -> Iterator[tuple[str, str]]:
    """Not by the region's table of lengths, which is for coding rate 4/5 and 8 symbols only."""
    longest = group.longest_payload_bytes
    time_on_air_us = group.time_on_air_us(longest)
    if region.uplink_dwell_us is not None and time_on_air_us > region.uplink_dwell_us:
        yield (
            "spreading_factor",
            f"a {group.kind} frame of up to {longest} bytes takes {time_on_air_us / 1000:.0f} ms "
            f"at SF{group.spreading_factor}; {region.name} allows "
            f"{region.uplink_dwell_us / 1000:g} ms",
        )


def _duty_faults(group: Group, sub_bands: list[SubBand]) -> Iterator[tuple[str, str]]:
    """The shortest pause counts: a packet may follow early on one that came late."""
    limits = [band.device_duty_cycle for band in sub_bands if band.device_duty_cycle is not None]
    if not limits:
        return
    longest = group.longest_payload_bytes
    needed_s = group.time_on_air_us(longest) / min(limits) / 1e6
    if group.period_s * (1 - group.jitter) < needed_s:
        yield (
            "period_s",
            f"{group.period_s:g} s with jitter {group.jitter:g} breaks the duty cycle of "
            f"{min(limits):.3g}: {longest} bytes at SF{group.spreading_factor} need "
            f"{needed_s:.1f} s between two packets",
        )
