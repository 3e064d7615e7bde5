"""GPS time against published pairs."""

from datetime import UTC, datetime

from protocol.lorawan.gps_time import gps_us, unix_us


def test_a_published_pair() -> None:
    """2017-01-01T00:00:00Z is GPS second 1167264018 (IERS Bulletin C 52, GPS - UTC = 18 s)."""
    new_year_us = int(datetime(2017, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
    assert gps_us(new_year_us) == 1_167_264_018_000_000
    assert unix_us(1_167_264_018_000_000) == new_year_us
