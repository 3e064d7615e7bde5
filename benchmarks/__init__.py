"""Measurements, side by side with a floor in the same run. Never part of the tests."""
