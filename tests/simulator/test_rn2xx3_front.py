"""The simulated RN2483 and RN2903: what they reply, when they are deaf, and how they fail."""

from dataclasses import dataclass, field

import pytest

from protocol.link.messages import ResetCause, RxEvent
from simulator.firmware import BoardIdentity, Boot
from simulator.fronts.rn2xx3 import Rn2xx3
from simulator.fronts.rn2xx3_models import RN2483, RN2903, RN2903_OLD, Rn2xx3Model, Wedge
from simulator.sx127x import Sx127x

EUI = bytes.fromhex("0004a30b001a2b3c")
SECOND_US = 1_000_000


@dataclass
class Bench:
    """A module without a line, and a clock that the test moves."""

    model: Rn2xx3Model = RN2903
    cause: ResetCause = ResetCause.SOFTWARE
    now_us: int = 5_000_000
    events: list[tuple[RxEvent, RxEvent | None]] = field(default_factory=list)
    sent: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        boot = Boot(
            BoardIdentity("roof", EUI, 1, kind="rn2903"),
            7,
            lambda: self.now_us,
            self.now_us,
            self.cause,
            on_event=lambda _radio, raw, event: self.events.append((raw, event)),
            on_transmit=lambda _radio, packet: self.sent.append(packet),
        )
        self.device = Rn2xx3(boot, self.model)

    @property
    def chip(self) -> Sx127x:
        return self.device.radios[0].chip

    def said(self) -> str:
        """Everything that it wants on the line."""
        frames = iter(lambda: self.device.next_frame(self.now_us), None)
        return b"".join(frame.data for frame in frames).decode()

    def tell(self, command: str) -> str:
        """Write a command to it, get the line that it says."""
        self.device.receive(f"{command}\r\n".encode(), self.now_us)
        return self.said().removesuffix("\r\n")

    def listen(self) -> None:
        """Set it up at SF7 and receive."""
        assert self.tell("mac pause") == "4294967245"
        frequency_hz = self.model.bands_hz[-1][0]
        for command in (f"radio set freq {frequency_hz}", "radio set sf sf7", "radio set wdt 0"):
            assert self.tell(command) == "ok"
        assert self.tell("radio rx 0") == "ok"
        self.pass_time(1_000)

    def hear(self, payload: bytes, *, crc_ok: bool = True) -> None:
        """Let a frame of -100 dBm and 5 dB arrive, if the chip listens."""
        if self.chip.listening(self.now_us) is None:
            return
        self.chip.begin_reception(now_us=self.now_us)
        self.chip.header_received(
            coding_rate=1, crc_on_payload=True, payload_length=len(payload), now_us=self.now_us
        )
        self.chip.end_reception(
            payload,
            rssi_dbm=-100,
            snr_db=5,
            frequency_error_hz=0,
            crc_ok=crc_ok,
            now_us=self.now_us,
        )

    def pass_time(self, time_us: int) -> str:
        """Let the module's timers run."""
        self.now_us += time_us
        self.device.handle_timer(self.now_us)
        return self.said()


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("sys get ver", "RN2903 1.0.5 Nov 06 2018 10:45:27"),
        ("sys get hweui", "0004A30B001A2B3C"),
        ("sys get vdd", "3301"),
        ("sys set pindig GPIO10 1", "ok"),
        ("mac resume", "ok"),
        ("mac join otaa", "keys_not_init"),
        ("mac tx uncnf 1 AA", "not_joined"),
        ("radio get mod", "lora"),
        ("radio get sync", "34"),
        ("radio get wdt", "15000"),
        ("radio get sf", "sf12"),
        ("radio set freq 928000000", "ok"),
        ("radio set freq 868100000", "invalid_param"),
        ("radio set sf sf6", "invalid_param"),
        ("radio set bw 62", "invalid_param"),
        ("radio set pwr 21", "invalid_param"),
        ("radio set sync 100", "invalid_param"),
        ("radio set wdt 4294967296", "invalid_param"),
        ("radio set colour red", "invalid_param"),
        ("radio tx ABC", "invalid_param"),
        ("radio rx 0", "busy"),  # the LoRaWAN stack has not been paused
        ("radio", "invalid_param"),
        ("", "invalid_param"),
        ("hello", "invalid_param"),
    ],
)
def test_replies(command: str, reply: str) -> None:
    assert Bench().tell(command) == reply


def test_the_first_command_after_a_noisy_start_is_not_understood() -> None:
    """An empty line goes before it."""
    bench = Bench(cause=ResetCause.POWER_ON)
    assert bench.tell("sys get ver") == "invalid_param"
    assert bench.tell("sys get ver").startswith("RN2903")


def test_a_reception_ends_with_its_packet() -> None:
    """What comes until the next ``radio rx`` is lost."""
    bench = Bench()
    bench.listen()
    bench.hear(b"\xc0\xdb")
    assert bench.said() == "radio_rx  C0DB\r\n"
    assert bench.device.radios[0].resting
    bench.hear(b"lost")
    assert bench.said() == ""
    assert (bench.tell("radio get snr"), bench.tell("radio get rssi")) == ("5", "-100")
    assert bench.tell("radio rx 0") == "ok"
    assert not bench.device.radios[0].resting
    bench.pass_time(1_000)
    bench.hear(b"\x01")
    assert bench.said() == "radio_rx  01\r\n"


def test_a_bad_crc_is_an_error_without_a_packet() -> None:
    bench = Bench()
    bench.listen()
    bench.hear(b"damaged", crc_ok=False)
    assert bench.said() == "radio_err\r\n"
    assert bench.chip.listening(bench.now_us) is None


def test_one_thing_at_a_time() -> None:
    bench = Bench()
    bench.listen()
    for command in ("radio rx 0", "radio tx AA", "radio set sf sf8", "radio get snr"):
        assert bench.tell(command) == "busy"
    assert bench.tell("radio rxstop") == "ok"
    assert bench.tell("radio set sf sf8") == "ok"


def test_the_watchdog_ends_a_reception() -> None:
    bench = Bench()
    bench.listen()
    bench.tell("radio rxstop")
    bench.tell("radio set wdt 15000")
    bench.tell("radio rx 0")
    assert bench.pass_time(14 * SECOND_US) == ""
    assert bench.pass_time(SECOND_US) == "radio_err\r\n"
    assert bench.device.radios[0].resting


def test_a_window_of_symbols_ends() -> None:
    """100 symbols of SF7 are 102.4 ms."""
    bench = Bench()
    bench.listen()
    bench.tell("radio rxstop")
    bench.tell("radio rx 100")
    assert bench.pass_time(102_000) == ""
    assert bench.pass_time(1_000) == "radio_err\r\n"


def test_it_sends() -> None:
    """20 bytes at SF7 are 56.576 ms on the air."""
    bench = Bench()
    bench.listen()
    bench.tell("radio rxstop")
    assert bench.tell(f"radio tx {bytes(20).hex()}") == "ok"
    assert bench.pass_time(56_000) == ""
    assert bench.pass_time(1_000) == "radio_tx_ok\r\n"
    assert bench.sent == [bytes(20)]


def test_the_watchdog_cuts_a_transmission() -> None:
    bench = Bench()
    bench.listen()
    bench.tell("radio rxstop")
    bench.tell("radio set wdt 30")
    bench.tell(f"radio tx {bytes(20).hex()}")
    assert bench.pass_time(30_000) == "radio_err\r\n"
    assert bench.sent == []


def test_sleep_is_deaf_and_says_ok_at_its_end() -> None:
    bench = Bench()
    assert bench.tell("sys sleep 1000") == ""
    assert bench.tell("sys get vdd") == ""
    assert bench.pass_time(SECOND_US) == "ok\r\n"


@pytest.mark.parametrize(
    ("model", "banner"),
    [
        (RN2903, b"RN2903 1.0.5 Nov 06 2018 10:45:27\r\n"),
        (RN2903_OLD, b"RN2903 0.9.8 Feb 14 2017 20:17:03\r\nok\r\n"),
    ],
)
def test_a_reset_is_followed_by_a_banner_and_by_ok_in_some_firmware(
    model: Rn2xx3Model, banner: bytes
) -> None:
    bench = Bench(model)
    assert bench.tell("sys reset") == ""
    assert bench.device.wants_reset
    assert bench.device.boot_banner == banner


def test_old_firmware_knows_less() -> None:
    bench = Bench(RN2903_OLD)
    assert bench.tell("radio get rssi") == "invalid_param"
    assert bench.tell("radio rxstop") == "invalid_param"
    assert (bench.tell("mac pause"), bench.tell("mac pause")) == ("0", "4294967245")


def test_an_rn2483_has_its_own_bands() -> None:
    bench = Bench(RN2483)
    assert bench.tell("radio set freq 921400000") == "invalid_param"
    assert bench.tell("radio set freq 433100000") == "ok"
    assert bench.tell("radio set pwr -3") == "ok"


@pytest.mark.parametrize(
    ("wedge", "radio", "system"),
    [
        (Wedge.BUSY, "busy", "busy"),
        (Wedge.RADIO_BUSY, "busy", "3301"),
        (Wedge.SILENT, "", ""),
    ],
)
def test_it_hangs(wedge: Wedge, radio: str, system: str) -> None:
    """For ever, and deaf."""
    bench = Bench(Rn2xx3Model(wedges=wedge))
    bench.listen()
    bench.device.wedge()
    assert bench.chip.listening(bench.now_us) is None
    assert (bench.tell("radio rxstop"), bench.tell("sys get vdd")) == (radio, system)


def test_a_command_without_end_takes_no_memory() -> None:
    bench = Bench()
    bench.device.receive(b"x" * 100_000, bench.now_us)
    assert len(bench.device._commands._held) <= 600
    assert bench.tell("") == "invalid_param"
    assert bench.tell("sys get vdd") == "3301"


KEYS = {"devaddr": "00" * 4, "appskey": "00" * 16, "nwkskey": "00" * 16}


def joined() -> Bench:
    """A module with a session of its own."""
    bench = Bench()
    for name, value in KEYS.items():
        assert bench.tell(f"mac set {name} {value}") == "ok"
    assert bench.tell("mac join abp") == "ok\r\naccepted"
    return bench


def test_a_join_by_air_needs_a_network() -> None:
    bench = Bench()
    assert bench.tell("mac set appeui 0102030405060708") == "ok"
    assert bench.tell("mac set appkey 00") == "invalid_param"
    assert bench.tell(f"mac set appkey {'0' * 32}") == "ok"
    assert bench.tell("mac join otaa") == "ok\r\ndenied"
    bench.device.mac.admits = True
    assert bench.tell("mac join otaa") == "ok\r\naccepted"


@pytest.mark.parametrize(
    ("answer", "replies"),
    [
        ("mac_tx_ok", "ok\r\nmac_tx_ok"),
        ("mac_err", "ok\r\nmac_err"),
        ("mac_rx 1 C0DB", "ok\r\nmac_rx 1 C0DB"),
        ("no_free_ch", "no_free_ch"),
        ("silent", "silent"),
        ("frame_counter_err_rejoin_needed", "frame_counter_err_rejoin_needed"),
        ("busy", "busy"),
    ],
)
def test_a_transmission_ends_as_a_network_makes_it_end(answer: str, replies: str) -> None:
    bench = joined()
    bench.device.mac.answer = answer
    assert bench.tell("mac tx cnf 1 AA") == replies


@pytest.mark.parametrize(
    ("command", "reply"),
    [
        ("mac tx uncnf 0 AA", "invalid_param"),
        ("mac tx uncnf 1 A", "invalid_param"),
        ("mac tx uncnf 1 " + "AA" * 223, "invalid_data_len"),
        ("mac get deveui", EUI.hex().upper()),
        ("mac nonsense", "invalid_param"),
    ],
)
def test_what_the_stack_says_of_commands(command: str, reply: str) -> None:
    assert joined().tell(command) == reply


def test_a_paused_stack_does_not_send() -> None:
    bench = joined()
    bench.tell("mac pause")
    assert bench.tell("mac tx uncnf 1 AA") == "mac_paused"
    assert bench.tell("mac join abp") == "mac_paused"
    assert bench.tell("mac resume") == "ok"
    assert bench.tell("mac tx uncnf 1 AA") == "ok\r\nmac_tx_ok"
