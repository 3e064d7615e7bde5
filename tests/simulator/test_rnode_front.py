"""The simulated RNode: golden bytes, what it hears and sends, and how it fails."""

from dataclasses import dataclass, field

import pytest

from protocol.link.messages import ResetCause, RxEvent
from simulator.firmware import BoardIdentity, Boot
from simulator.fronts.rnode import AVR, COMMUNITY, RNode, RNodeModel

SECOND_US = 1_000_000
SET_UP = "c0 01 36 eb 72 db dc c0 c0 02 00 01 e8 48 c0 c0 03 02 c0 c0 04 07 c0 c0 05 05 c0"


@dataclass
class Bench:
    """A device without a line, and a clock that the test moves."""

    model: RNodeModel = field(default_factory=RNodeModel)
    radios: int = 1
    now_us: int = 5_000_000
    events: list[tuple[RxEvent, RxEvent | None]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        boot = Boot(
            BoardIdentity("roof", b"", self.radios, kind="rnode"),
            7,
            lambda: self.now_us,
            self.now_us,
            ResetCause.POWER_ON,
            on_event=lambda _radio, raw, event: self.events.append((raw, event)),
            on_transmit=lambda _radio, packet: self.sent.append(packet),
        )
        self.device = RNode(boot, self.model)
        self.said()

    def said(self) -> str:
        """Everything that it wants on the line, in hex digits."""
        frames = iter(lambda: self.device.next_frame(self.now_us), None)
        return b"".join(frame.data for frame in frames).hex(" ")

    def tell(self, text: str) -> str:
        """Write hex digits to it, get what it says."""
        self.device.receive(bytes.fromhex(text), self.now_us)
        return self.said()

    def listen(self) -> None:
        """Set a radio up at 921.4 MHz, SF7."""
        self.tell(SET_UP + "c0 06 01 c0")
        self.wait(1_000)

    def wait(self, duration_us: int) -> str:
        """Let time pass from timer to timer."""
        end_us = self.now_us + duration_us
        while self.device.timer_us() <= end_us:
            self.now_us = max(self.now_us, self.device.timer_us())
            self.device.handle_timer(self.now_us)
        self.now_us = end_us
        return self.said()

    def hear(
        self, packet: bytes, *, rssi_dbm: float = -100.0, snr_db: float = 5.0, crc_ok: bool = True
    ) -> None:
        """Let a packet arrive."""
        (chip, *_) = [unit.chip for unit in self.device.radios]
        assert chip.listening(self.now_us) is not None
        chip.begin_reception(now_us=self.now_us)
        chip.header_received(
            coding_rate=1, crc_on_payload=True, payload_length=len(packet), now_us=self.now_us
        )
        chip.end_reception(
            packet,
            rssi_dbm=rssi_dbm,
            snr_db=snr_db,
            frequency_error_hz=0,
            crc_ok=crc_ok,
            now_us=self.now_us,
        )


def hexed(text: str) -> str:
    """Hex digits with one space between bytes."""
    return bytes.fromhex(text).hex(" ")


def test_golden_detection() -> None:
    assert Bench().tell("c0 08 73 c0 50 00 c0 48 00 c0 49 00 c0") == hexed(
        "c0 08 46 c0 c0 50 01 56 c0 c0 48 80 c0 c0 49 81 c0"
    )


def test_golden_set_up_echoes_and_two_states() -> None:
    bench = Bench()
    assert bench.tell(SET_UP) == hexed(SET_UP)
    assert bench.tell("c0 06 01 c0") == hexed("c0 06 01 c0 c0 06 01 c0")
    assert bench.tell("c0 06 ff c0") == hexed("c0 06 01 c0")
    bench.wait(1_000)
    settings = bench.device.radios[0].chip.tuned(bench.now_us)
    assert settings is not None
    assert abs(settings.frequency_hz - 921_400_000) < 62
    assert (settings.spreading_factor, settings.sync_word) == (7, 0x12)


def test_a_command_acts_before_its_frame_ends() -> None:
    assert Bench().tell("c0 08 73") == hexed("c0 08 46 c0")


def test_a_pause_inside_a_frame_drops_it() -> None:
    bench = Bench()
    assert bench.tell("c0 04") == ""
    bench.now_us += 100_001
    assert bench.tell("09 c0 04 08 c0") == hexed("c0 04 08 c0")


def test_a_radio_with_settings_missing_does_not_start() -> None:
    bench = Bench()
    assert bench.tell("c0 06 01 c0") == hexed("c0 06 00 c0")
    assert bench.tell("c0 07 00 c0") == hexed("c0 07 01 c0")


def test_a_device_that_is_not_provisioned() -> None:
    """It answers and echoes; its radio stays off, and text is on the line at its start."""
    bench = Bench(RNodeModel(provisioned=False))
    assert bench.tell(SET_UP) == hexed(SET_UP)
    assert bench.tell("c0 06 01 c0") == hexed("c0 06 00 c0")
    assert b"Device unprovisioned" in bench.device.boot_banner


def test_a_broken_radio_module() -> None:
    bench = Bench(RNodeModel(working=False))
    bench.tell(SET_UP)
    assert bench.tell("c0 06 01 c0") == hexed("c0 90 01 c0 c0 06 00 c0")


@pytest.mark.parametrize(
    ("rssi_dbm", "snr_db", "reported_dbm"),
    [(-92, 5, -102), (-117, 0, -124), (-120, -10, -120)],  # the first two: registers 61 and 40
)
def test_its_rssi_is_its_own(rssi_dbm: float, snr_db: float, reported_dbm: int) -> None:
    """The dBm times 1.066 from an SNR of 0 dB on; the chip's register as the data sheet has it."""
    bench = Bench()
    bench.listen()
    bench.hear(b"\0a", rssi_dbm=rssi_dbm, snr_db=snr_db)
    frame = bytes.fromhex(bench.said())
    assert frame[:2] == b"\xc0\x23"
    assert abs(frame[2] - 157 - reported_dbm) <= 1


def test_golden_reception_with_everything_escaped() -> None:
    bench = Bench()
    bench.listen()
    bench.hear(bytes.fromhex("50 c0 db 01"), rssi_dbm=-120.0, snr_db=-16.0)
    assert bench.said().endswith(hexed("c0 24 db dc c0 c0 00 db dc db dd 01 c0"))


def test_the_first_byte_is_its_header_and_two_packets_are_joined() -> None:
    bench = Bench()
    bench.listen()
    bench.hear(b"\x71" + bytes(254))
    assert bench.said() == ""
    bench.hear(b"\x71end")
    data = bytes.fromhex(bench.said()).split(b"\xc0\xc0")[-1]
    assert data == b"\0" + bytes(254) + b"end\xc0"


def test_a_foreign_frame_whose_first_byte_is_odd_is_swallowed_until_the_next() -> None:
    bench = Bench()
    bench.listen()
    bench.hear(b"\x41foreign")
    assert bench.said() == ""
    bench.hear(b"\x30mine")
    assert bytes.fromhex(bench.said()).endswith(b"\xc0\0mine\xc0")


def test_a_bad_crc_is_kept_to_itself() -> None:
    bench = Bench()
    bench.listen()
    bench.hear(b"\0bad", crc_ok=False)
    assert bench.said() == ""


def test_the_ninth_reception_that_waits_is_freed_without_a_word() -> None:
    bench = Bench()
    bench.listen()
    for number in range(9):
        bench.hear(bytes([0, number]))
    assert [event is None for _, event in bench.events] == [False] * 8 + [True]
    assert bench.said().count("c0 00 ") == 8
    assert bench.device.unacknowledged == []


def test_what_the_host_sends_goes_on_the_air_in_one_packet_or_two() -> None:
    """And the radio hears nothing meanwhile."""
    bench = Bench()
    bench.listen()
    bench.tell("c0 00 61 62 c0")
    assert bench.device.radios[0].chip.listening(bench.now_us) is None
    bench.tell("c0 00" + "55" * 300 + "c0")
    bench.wait(2 * SECOND_US)
    assert [packet[1:] for packet in bench.sent] == [b"ab", b"\x55" * 254, b"\x55" * 46]
    headers = [packet[0] for packet in bench.sent]
    assert headers[0] & 1 == 0
    assert headers[1] == headers[2]
    assert headers[1] & 1
    assert bench.device.radios[0].chip.listening(bench.now_us) is not None


def test_data_while_the_radio_is_off_is_an_error() -> None:
    assert Bench().tell("c0 00 61 c0") == hexed("c0 90 02 c0")


def test_statistics_each_second_from_an_esp32_and_never_from_an_avr() -> None:
    talkative, silent = Bench(), Bench(AVR)
    for bench in (talkative, silent):
        bench.listen()
    assert talkative.wait(3 * SECOND_US).count("c0 25 ") == 3
    assert silent.wait(3 * SECOND_US) == ""


def test_the_community_edition_names_the_radio_before_each_frame() -> None:
    bench = Bench(COMMUNITY, radios=2)
    bench.tell("c0 1f 01 c0")
    assert bench.tell("c0 04 09 c0") == hexed("c0 1f 01 c0 c0 04 09 c0")
    bench.tell("c0 1f 00 c0")
    bench.listen()
    bench.hear(b"\0a")
    assert bench.said().count("c0 1f 00 c0") == 3


def test_wedged_it_says_nothing() -> None:
    """As when it waits for the end of a transmission that does not come."""
    bench = Bench()
    bench.listen()
    bench.device.wedge()
    bench.hear(b"\0a")
    assert bench.tell("c0 08 73 c0") == ""
    assert bench.wait(10 * SECOND_US) == ""


def test_a_reset_is_asked_for() -> None:
    bench = Bench()
    bench.tell("c0 55 f8 c0")
    assert bench.device.wants_reset
