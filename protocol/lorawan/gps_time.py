"""GPS time, in which network servers want to be told when a frame was received.

It counts SI seconds since 1980-01-06 00:00:00 UTC and knows no leap seconds. UTC has inserted 18
since then, the last at the end of 2016 (IERS Bulletin C; none has been announced since).
"""

_EPOCH_UNIX_US = 315_964_800_000_000
_LEAP_SECONDS_US = 18_000_000


def gps_us(unix_us: int) -> int:
    """Microseconds of GPS time for Unix time of 2017 or later."""
    return unix_us - _EPOCH_UNIX_US + _LEAP_SECONDS_US


def unix_us(gps_time_us: int) -> int:
    """The other way round."""
    return gps_time_us + _EPOCH_UNIX_US - _LEAP_SECONDS_US
