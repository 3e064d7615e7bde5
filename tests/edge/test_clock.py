"""The host's clocks against what the kernel tells elsewhere."""

import ctypes
import time
from pathlib import Path
from uuid import UUID

import pytest

from edge.clock import KernelTime, SystemClock, synchronised_within_us

STA_UNSYNC = 0x0040  # linux/timex.h
STA_PLL = 0x0001


def test_boot_id_is_the_kernels() -> None:
    """16 bytes, the same in every process of this boot."""
    boot_id = SystemClock().boot_id
    assert len(boot_id) == 16
    assert str(UUID(bytes=boot_id)) == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def test_boottime_is_the_uptime() -> None:
    """/proc/uptime counts from boot, suspended time included (proc(5)), to hundredths."""
    clock = SystemClock()
    before_us = clock.boottime_us()
    uptime_us = float(Path("/proc/uptime").read_text().split()[0]) * 1e6
    after_us = clock.boottime_us()
    assert before_us - 20_000 <= uptime_us <= after_us + 20_000


def test_layout_is_that_of_the_kernel() -> None:
    """``struct timex`` of 64-bit Linux: 208 bytes, maxerror at 24, status at 40 (linux/timex.h)."""
    assert ctypes.sizeof(KernelTime) == 208
    assert KernelTime.maxerror.offset == 24
    assert KernelTime.status.offset == 40


@pytest.mark.parametrize(
    ("status", "uncertainty_us"),
    [(STA_UNSYNC, None), (STA_UNSYNC | STA_PLL, None), (STA_PLL, 2_500), (0, 2_500)],
)
def test_only_a_synchronised_clock_counts(status: int, uncertainty_us: int | None) -> None:
    """The kernel's own flag decides; its maximum error is the uncertainty."""
    kernel_time = KernelTime(status=status, maxerror=2_500)
    assert synchronised_within_us(kernel_time) == uncertainty_us


def test_wall_says_what_the_kernel_says() -> None:
    """adjtimex(2) returns TIME_ERROR (5) while the clock is unsynchronised."""
    kernel_time = KernelTime()
    state = ctypes.CDLL(None).adjtimex(ctypes.byref(kernel_time))
    wall = SystemClock().wall()
    if wall is None:
        assert state in (5, -1)
    else:
        assert abs(wall.unix_us - time.time_ns() // 1000) < 1_000_000
        assert 0 <= wall.uncertainty_us < 16_000_000
