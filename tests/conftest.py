"""What all tests share: the Hypothesis profile, and CI's rule that nothing may be not run."""

import os

import pytest
from hypothesis import HealthCheck, settings

from tests.scale import SCALE

settings.register_profile(
    "default",
    deadline=None,
    max_examples=100 * SCALE,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("default")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):  # type: ignore[no-untyped-def]
    """With CI=true a skipped test is a failed test, unless only outside data is missing."""
    outcome = yield
    report = outcome.get_result()
    if os.environ.get("CI") == "true" and report.skipped and "capture" not in item.keywords:
        report.outcome = "failed"
        report.longrepr = f"not run, which CI does not allow: {report.longrepr}"
