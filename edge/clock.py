"""The one place that reads clocks. Everything else is given a :class:`Clock`."""

import ctypes
import time
from pathlib import Path
from typing import Protocol
from uuid import UUID

from protocol.records.sensor_frame import WallTime

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_STA_UNSYNC = 0x40  # linux/timex.h


class Clock(Protocol):
    """Time as the service sees it: timers and stored times use only ``boottime_us``."""

    @property
    def boot_id(self) -> bytes:
        """16 bytes that name this boot of the host."""
        ...

    def boottime_us(self) -> int:
        """CLOCK_BOOTTIME in microseconds: never steps, runs while suspended."""
        ...

    def wall(self) -> WallTime | None:
        """Unix time, or None while nobody vouches for the wall clock."""
        ...


class KernelTime(ctypes.Structure):
    """``struct timex`` of adjtimex(2) on 64-bit Linux, as far as it is read here."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),  # microseconds
        ("esterror", ctypes.c_long),
        ("status", ctypes.c_int),
        # The kernel writes 208 bytes in all; what follows is of no use here.
        ("_rest", ctypes.c_byte * 160),
    )


def synchronised_within_us(kernel_time: KernelTime) -> int | None:
    """How far the wall clock may be off in microseconds; None if it is not synchronised.

    The kernel sets STA_UNSYNC at boot and again when the maximum error, which grows by 500 us a
    second without updates, passes 16 s. A clock set by hand or from an RTC stays unsynchronised.
    """
    return None if kernel_time.status & _STA_UNSYNC else kernel_time.maxerror


class SystemClock:
    """The host's clocks.

    Raises:
        OSError: the kernel does not tell its boot id.
    """

    def __init__(self) -> None:
        self._boot_id = UUID(_BOOT_ID.read_text().strip()).bytes
        self._adjtimex = ctypes.CDLL(None).adjtimex

    @property
    def boot_id(self) -> bytes:
        """16 bytes, the kernel's random boot id."""
        return self._boot_id

    def boottime_us(self) -> int:
        """CLOCK_BOOTTIME in microseconds."""
        return time.clock_gettime_ns(time.CLOCK_BOOTTIME) // 1000

    def wall(self) -> WallTime | None:
        """Unix time while the kernel says that it is synchronised (by NTP, PTP or GPS)."""
        kernel_time = KernelTime(modes=0)  # no mode set: only reads, needs no privilege
        if self._adjtimex(ctypes.byref(kernel_time)) < 0:
            return None  # refused by a sandbox: then nobody vouches for the clock
        uncertainty_us = synchronised_within_us(kernel_time)
        if uncertainty_us is None:
            return None
        return WallTime(time.time_ns() // 1000, uncertainty_us)
