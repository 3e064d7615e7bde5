"""What an ESP32's ROM prints is found between KISS frames, and not inside them."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.dialects.esp32_boot_text import QUIET_US, BootTextFinder
from tests.scale import SCALE

# As ESP32 boards print it; the causes are those of ESP-IDF's esp32/rom/rtc.h.
ROM_TEXT = (
    b"ets Jul 29 2019 12:21:46\r\n\r\nrst:0xc (SW_CPU_RESET),boot:0x13 (SPI_FAST_FLASH_BOOT)\r\n"
    b"configsip: 0, SPIWP:0xee\r\nclk_drv:0x00,q_drv:0x00,d_drv:0x00,cs0_drv:0x00,hd_drv:0x00,"
    b"wp_drv:0x00\r\nmode:DIO, clock div:2\r\nload:0x3fff0030,len:1184\r\n"
    b"load:0x40078000,len:13232\r\nload:0x40080400,len:3028\r\nentry 0x400805e4\r\n"
)
SHORT = b"\r\nrst:0x1 (POWERON_RESET),boot:0x13\r\n"


def finder() -> BootTextFinder:
    """For a modem whose frames begin with 0, 7 and 9 and have 256 bytes at most."""
    return BootTextFinder((0, 7, 9), 256)


def causes(data: bytes, *, chunk: int = 4096, wait_us: int = QUIET_US) -> list[int]:
    """What is found in these bytes, and a while after them."""
    finds = finder()
    for at in range(0, len(data), chunk):
        finds.feed(data[at : at + chunk], 1000)
    return finds.causes(1000 + wait_us)


@pytest.mark.parametrize("chunk", [1, 7, 4096])
@pytest.mark.parametrize(
    "before", [b"", b"\xc0\x00packet\xc0", b"\xc0\x00cut off in the mid", b"\xc0", b"noise"]
)
def test_a_restart_is_found(before: bytes, chunk: int) -> None:
    """Wherever it came, and however the text is cut up."""
    assert causes(before + ROM_TEXT, chunk=chunk) == [0xC]
    assert causes(before + SHORT, chunk=chunk) == [0x1]


def test_it_counts_once_it_is_certain() -> None:
    """Until then it could be inside a frame that is still coming."""
    finds = finder()
    assert finds.timer_us() is None
    finds.feed(SHORT, 1000)
    assert finds.timer_us() == 1000 + QUIET_US
    assert finds.causes(1000 + QUIET_US - 1) == []
    assert finds.causes(1000 + QUIET_US) == [1]
    assert finds.causes(1000 + QUIET_US) == []
    assert finds.timer_us() is None


@pytest.mark.parametrize(
    ("cause", "code"),
    [
        (b"0x1 (POWERON_RESET)", 1),
        (b"0x8 (TG1WDT_SYS_RESET)", 8),
        (b"0xf (RTCWDT_BROWN_OUT_RESET)", 15),
        (b"0x10 (RTCWDT_RTC_RESET)", 16),
        (b"0x1 (POWERON)", 1),  # an ESP32-S3
    ],
)
def test_the_cause_is_told(cause: bytes, code: int) -> None:
    assert causes(b"ets\r\n\r\nrst:%s,boot:0x8\r\n" % cause) == [code]


def test_a_payload_that_spells_it_out_is_none() -> None:
    """Even one of the full length, all of whose other bytes are escaped."""
    assert causes(b"\xc0\x00" + SHORT + b"\xc0") == []
    longest = SHORT + b"\xdb\xdc" * (255 - len(SHORT))
    assert causes(b"\xc0\x00" + longest + b"\xc0") == []
    assert causes(b"\xc0\x00" + longest + b"\xc0", chunk=1) == []


def test_with_frames_behind_it_is_found_at_once() -> None:
    """The host has slept; what a FEND ends is longer than a frame, or begins as none does."""
    assert causes(b"\xc0\x00ab\xc0" + SHORT + b"\xc0\x00cd\xc0", wait_us=0) == [1]
    assert causes(b"\xc0\x00ab" + ROM_TEXT + b"\xc0\x00cd\xc0", wait_us=0) == [0xC]


def test_two_restarts_are_told_as_the_last() -> None:
    """A board that does not come up says so again and again."""
    assert causes(SHORT + ROM_TEXT) == [0xC]


@settings(max_examples=100 * SCALE, deadline=None)
@given(st.binary(max_size=400), st.integers(1, 90))
def test_noise_hides_no_restart_but_one_it_is_mixed_with(noise: bytes, chunk: int) -> None:
    assert causes(noise + ROM_TEXT, chunk=chunk)[-1:] == [0xC]


def test_it_holds_little() -> None:
    """However long a line goes on without a FEND."""
    finds = finder()
    chance = random.Random(5)
    for _ in range(100):
        finds.feed(bytes(byte & 0x7F for byte in chance.randbytes(4096)), 0)
    assert len(finds._tail) < 100  # nothing else shows it
