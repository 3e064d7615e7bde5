"""The simulated esp32_loraprs modem: golden bytes, what it hears, and what it keeps to itself."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.link.messages import ResetCause, RxEvent
from simulator.firmware import BoardIdentity, Boot
from simulator.fronts.loraprs import BOOT_US, TELEMETRY_US, LoraprsModem
from simulator.fronts.loraprs_line import SET_HARDWARE, LoraprsLine
from simulator.sx127x_modem import Waveform
from tests.scale import SCALE

# 921.4 MHz twice, LoRa, 2 dBm, 125 kHz, SF9, 4/5, 0x34, CRC, and three empty fields for FSK.
SET_UP = (
    "c0 06 36eb72dbdc 36eb72dbdc 00 0002 0001e848 0009 0005 0034 01 00000000 00000000 00000000 c0"
)


@dataclass
class Bench:
    """A modem without a line, and a clock that the test moves."""

    cause: ResetCause = ResetCause.POWER_ON
    now_us: int = 5_000_000
    events: list[tuple[RxEvent, RxEvent | None]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        boot = Boot(
            BoardIdentity("roof", b"", 1, kind="loraprs"),
            7,
            lambda: self.now_us,
            self.now_us,
            self.cause,
            on_event=lambda _radio, raw, event: self.events.append((raw, event)),
            on_transmit=lambda _radio, packet: self.sent.append(packet),
        )
        self.modem = LoraprsModem(boot)

    def booted(self) -> "Bench":
        """It reads its line."""
        self.now_us += BOOT_US
        return self

    def said(self) -> str:
        """Everything that it wants on the line, in hex digits."""
        frames = iter(lambda: self.modem.next_frame(self.now_us), None)
        return b"".join(frame.data for frame in frames).hex(" ")

    def tell(self, text: str) -> str:
        """Write hex digits to it, get what it says."""
        self.modem.receive(bytes.fromhex(text), self.now_us)
        return self.said()

    def tuned(self) -> Waveform:
        """What its chip listens to."""
        self.now_us += 1000
        tuned = self.modem.radios[0].chip.listening(self.now_us)
        assert tuned is not None
        return tuned

    def hear(
        self, packet: bytes, *, rssi_dbm: float = -100, snr_db: float = 5, crc: str = "good"
    ) -> str:
        """Let a packet arrive, get what it says."""
        self.now_us += 1000
        chip = self.modem.radios[0].chip
        chip.begin_reception(now_us=self.now_us)
        chip.header_received(
            coding_rate=1,
            crc_on_payload=crc != "none",
            payload_length=len(packet),
            now_us=self.now_us,
        )
        chip.end_reception(
            packet,
            rssi_dbm=rssi_dbm,
            snr_db=snr_db,
            frequency_error_hz=0,
            crc_ok=crc != "bad",
            now_us=self.now_us,
        )
        return self.said()


def hexed(text: str) -> str:
    """Hex digits with one space between bytes."""
    return bytes.fromhex(text).hex(" ")


def test_settings_are_taken_without_a_word() -> None:
    bench = Bench().booted()
    assert bench.tell(SET_UP) == ""
    tuned = bench.tuned()
    assert abs(tuned.frequency_hz - 921_400_000) < 62
    assert (tuned.spreading_factor, tuned.bandwidth_hz) == (9, 125_000)
    assert tuned.sync_word == 0x34


def test_it_begins_as_it_was_built() -> None:
    tuned = Bench().tuned()
    assert abs(tuned.frequency_hz - 433_775_000) < 62
    assert (tuned.spreading_factor, tuned.sync_word) == (12, 0x12)


@pytest.mark.parametrize(
    "text",
    [
        "c0 06 11 c0",  # what a MeshCore modem is asked
        SET_UP.replace("00000000 c0", "000000 c0"),  # a byte short
        SET_UP.replace("c0 06", "c0 05"),
        SET_UP.replace("c0 06", "06"),
        SET_UP.replace("36eb72dbdc 36eb72dbdc", "36eb72dbdd36eb72db00"),  # a wrong escape
        "c0 01 05 c0",
    ],
)
def test_what_it_does_not_take_changes_nothing(text: str) -> None:
    bench = Bench().booted()
    assert bench.tell(text) == ""
    assert bench.tuned().spreading_factor == 12


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("36eb72dbdc 36", "23c34600 36"),  # 600 MHz
        ("0001e848", "0001e849"),
        ("00 0002", "01 0002"),  # FSK
        ("0009 0005", "0006 0005"),
    ],
)
def test_what_its_chip_cannot_do_leaves_it_elsewhere(field: str, other: str) -> None:
    """And nobody is told."""
    bench = Bench().booted()
    assert bench.tell(SET_UP.replace(field, other, 1)) == ""
    assert abs(bench.tuned().frequency_hz - 434_000_000) < 62


def test_the_end_of_a_frame_begins_none() -> None:
    """Two frames with one FEND between them are one frame and nothing."""
    bench = Bench().booted()
    bench.tell("c0 02 ff" + SET_UP)
    assert bench.tuned().spreading_factor == 12
    bench.tell("c0 02 ff c0" + SET_UP)
    assert bench.tuned().spreading_factor == 9


def test_an_unfinished_escape_swallows_the_next_frame() -> None:
    """The one behind that is heard."""
    bench = Bench().booted()
    bench.tell("c0 06 db" + SET_UP)
    assert bench.tuned().spreading_factor == 12
    bench.tell("c0" + SET_UP)
    assert bench.tuned().spreading_factor == 9


@settings(max_examples=100 * SCALE, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=9), st.sampled_from([b"\xc0", b"\xc0\x06\xdb"]))))
def test_after_any_noise_the_second_of_two_frames_is_heard(noise: list[bytes]) -> None:
    """As our driver sends them, with one FEND more."""
    line = LoraprsLine()
    line.feed(b"".join(noise))
    told = bytes.fromhex("c0" + SET_UP)
    line.feed(told)
    assert [command for command, _ in line.feed(told)][-1:] == [SET_HARDWARE]


def test_what_comes_while_it_boots_is_lost() -> None:
    bench = Bench()
    bench.tell(SET_UP)
    assert bench.booted().tuned().spreading_factor == 12


def test_it_restarts_on_command() -> None:
    """Whatever stands behind the command: an RNode is asked who it is by the same one."""
    for text in ("c0 08 c0", "c0 c0 08 c0", "c0 08 73 c0"):
        bench = Bench().booted()
        assert bench.tell(text) == ""
        assert bench.modem.wants_reset


@pytest.mark.parametrize(
    ("cause", "text"),
    [
        (ResetCause.POWER_ON, b"rst:0x1 (POWERON_RESET),boot:0x13"),
        (ResetCause.SOFTWARE, b"rst:0xc (SW_CPU_RESET),boot:0x13"),
        (ResetCause.BROWN_OUT, b"rst:0xf (RTCWDT_BROWN_OUT_RESET),boot:0x13"),
    ],
)
def test_its_rom_tells_why_it_starts(cause: ResetCause, text: bytes) -> None:
    assert text in Bench(cause).modem.boot_banner


@pytest.mark.parametrize(
    ("rssi_dbm", "snr_db", "report"),
    [
        (-100, 5, "ff9c 01f4"),
        (-61, -2.25, "ffc3 ff1f"),
        (-135, -20, "ff79 f830"),
    ],
)
def test_a_packet_and_its_report(rssi_dbm: float, snr_db: float, report: str) -> None:
    """dBm and hundredths of a dB in 16 bits each, big-endian."""
    bench = Bench().booted()
    bench.tell(SET_UP)
    said = bench.hear(b"\x40\xc0\xdb", rssi_dbm=rssi_dbm, snr_db=snr_db)
    assert said == hexed(f"c0 00 40 dbdc dbdd c0 c0 07 {report} c0")


@pytest.mark.parametrize("crc", ["bad", "none"])
def test_a_packet_without_a_good_crc_is_kept_back(crc: str) -> None:
    bench = Bench().booted()
    assert bench.hear(b"packet", crc=crc) == ""
    assert bench.hear(b"next").startswith("c0 00")


def test_a_packet_without_bytes_makes_it_deaf_until_it_is_set_up() -> None:
    """Its interrupt stays raised: no further one comes."""
    bench = Bench().booted()
    bench.tell(SET_UP)
    assert bench.hear(b"") == ""
    assert bench.hear(b"unheard") == ""
    assert bench.events[-1][1] is None  # the account knows
    bench.tell(SET_UP)
    assert bench.hear(b"heard") != ""


def test_telemetry_comes_each_minute() -> None:
    """The battery in hundredths of a volt; nothing else is said by itself."""
    bench = Bench().booted()
    for _ in range(3):
        bench.now_us = bench.modem.timer_us() - 1
        bench.modem.handle_timer(bench.now_us)
        assert bench.said() == ""
        bench.now_us += 1
        bench.modem.handle_timer(bench.now_us)
        assert bench.said() == "c0 09 01 9c c0"
        assert bench.modem.timer_us() == bench.now_us + TELEMETRY_US


def test_a_modem_that_hangs_says_nothing() -> None:
    bench = Bench().booted()
    bench.modem.wedge()
    bench.tell(SET_UP + "c0 08 c0")
    assert bench.hear(b"packet") == ""
    assert not bench.modem.wants_reset
    assert bench.modem.timer_us() > bench.now_us + TELEMETRY_US


def test_data_would_be_transmitted() -> None:
    bench = Bench().booted()
    bench.tell("c0 00 01 dbdc 02 c0 c0 00 c0")
    assert bench.sent == [b"\x01\xc0\x02"]
