"""The session with an RN2483 or RN2903, against modules that obey, err and hang. Time is a number.

The module here answers by the command reference; what it is to do otherwise is told line by line.
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.dialects.rn2xx3 import AUTO_BAUD, QUIET_US, RN2xx3Session
from protocol.dialects.rn2xx3_events import (
    Alive,
    Climbed,
    LineAction,
    Ready,
    Received,
    RN2xx3Event,
    SignalReading,
    Unresponsive,
)
from protocol.dialects.rn2xx3_ladder import Rung
from protocol.dialects.rn2xx3_settings import RadioSettings
from protocol.dialects.session_events import Lost, Unusable

SETTINGS = RadioSettings(921_400_000, 9, 125_000, "4/5", 0x34)
EUI = "0004a30b001a2b3c"


BANNER = "RN2903 1.0.5 Nov 06 2018 10:45:27"
REPLIES = {
    "": "invalid_param",
    "sys get ver": BANNER,
    "sys reset": BANNER,
    "sys get hweui": EUI.upper(),
    "sys get vdd": "3300",
    "mac pause": "4294967245",
    "radio get snr": "-7",
    "radio get rssi": "-101",
}


def obey(command: str, settings: dict[str, str]) -> str:
    """What a sound RN2903 replies; it notes its settings in ``settings``."""
    match command.split(" "):
        case ["radio", "set", name, value]:
            settings[name] = value
        case ["radio", "get", name] if name in settings:
            return settings[name].upper() if name == "sync" else settings[name]
    return REPLIES.get(command, "ok")


@dataclass
class Bench:
    """A session and a module, one waiting for the other; nothing takes real time."""

    session: RN2xx3Session
    settings: dict[str, str] = field(default_factory=dict)
    now_us: int = 0
    commands: list[str] = field(default_factory=list)
    last_us: dict[str, int] = field(default_factory=dict)  # when each command came last
    events: list[RN2xx3Event] = field(default_factory=list)
    odd: dict[str, list[str]] = field(default_factory=dict)  # replies to commands, by beginning
    dead: bool = False

    def say(self, *lines: str) -> None:
        """The module says something by itself."""
        self.session.receive("".join(f"{line}\r\n" for line in lines).encode(), self.now_us)
        self.settle()

    def settle(self) -> None:
        """Let the module answer until there is nothing to say."""
        while data := self.session.bytes_to_send():
            for command in data.removeprefix(AUTO_BAUD).decode().split("\r\n")[:-1]:
                self.commands.append(command)
                self.last_us[command] = self.now_us
                replies = next(
                    (odd for start, odd in self.odd.items() if command.startswith(start)), None
                )
                replies = [obey(command, self.settings)] if replies is None else replies
                if not self.dead:
                    self.now_us += 1_000
                    text = "".join(f"{line}\r\n" for line in replies)
                    self.session.receive(text.encode(), self.now_us)
        while (event := self.session.next_event()) is not None:
            self.events.append(event)

    def run_until(self, wanted: type, limit_us: int = 4 * QUIET_US) -> list[RN2xx3Event]:
        """Let time pass until an event of this kind; returns and forgets what has happened."""
        end_us = self.now_us + limit_us
        turns = 0
        self.settle()
        while not any(isinstance(event, wanted) for event in self.events):
            turns += 1
            assert self.now_us < end_us, f"no {wanted.__name__}: {self.events}"
            assert turns < 20_000, "time stands still"
            self.now_us = max(self.now_us, self.session.timer_us())
            self.session.handle_timer(self.now_us)
            self.settle()
        events, self.events = self.events, []
        return events


def bench(
    settings: RadioSettings = SETTINGS,
    unique_id: str = "",
    signal: SignalReading = SignalReading.BEFORE,
) -> Bench:
    """A session that has just begun."""
    return Bench(RN2xx3Session(settings, unique_id, 0, signal))


def listening(signal: SignalReading = SignalReading.BEFORE) -> Bench:
    """A session whose receiver is open."""
    made = bench(signal=signal)
    made.run_until(Ready)
    made.commands.clear()
    return made


def test_everything_is_set_and_read_back_in_order() -> None:
    """An empty line first; mac pause before any radio command; the watchdog off."""
    made = bench(unique_id=EUI)
    (ready,) = made.run_until(Ready)
    assert isinstance(ready, Ready)
    assert ready.identity.hardware_eui == EUI
    assert made.commands[:3] == ["", "sys get ver", "sys get hweui"]
    first_radio = next(n for n, line in enumerate(made.commands) if line.startswith("radio"))
    assert "mac pause" in made.commands[:first_radio]
    assert made.commands[-1] == "radio rx 0"
    assert made.settings == {
        "mod": "lora", "freq": "921400000", "pwr": "2", "sf": "sf9", "bw": "125", "cr": "4/5",
        "crc": "on", "iqi": "off", "prlen": "8", "sync": "34", "wdt": "0",
    }  # fmt: skip
    assert all(f"radio get {name}" in made.commands for name in made.settings)
    assert made.session.listening


@pytest.mark.parametrize(
    ("signal", "order"),
    [
        (SignalReading.BEFORE, ["radio get snr", "radio get rssi", "radio rx 0"]),
        (SignalReading.AFTER, ["radio rx 0", "radio get snr", "radio get rssi"]),
        (SignalReading.NEVER, ["radio rx 0"]),
    ],
)
def test_the_receiver_is_opened_after_each_packet(signal: SignalReading, order: list[str]) -> None:
    made = listening(signal)
    made.say("radio_rx  C0DB")
    assert made.commands == order
    (packet,) = made.events
    assert isinstance(packet, Received)
    assert packet.payload == b"\xc0\xdb"
    expected = (None, None) if signal is SignalReading.NEVER else (-7, -101)
    assert (packet.snr_db, packet.rssi_dbm) == expected
    assert made.session.listening


def test_old_firmware_is_not_asked_for_rssi() -> None:
    """It came with 1.0.5."""
    made = bench()
    made.odd = {"sys get ver": ["RN2903 1.0.3 x"], "sys reset": ["ok"]}
    made.run_until(Ready)
    made.commands.clear()
    made.say("radio_rx  01")
    assert made.commands == ["radio get snr", "radio rx 0"]
    (packet,) = made.events
    assert isinstance(packet, Received)
    assert (packet.snr_db, packet.rssi_dbm) == (-7, None)


def test_the_signal_of_one_of_two_packets_is_nobodys() -> None:
    """It would be mixed up silently."""
    made = listening(SignalReading.AFTER)
    made.odd = {"radio get snr": ["radio_rx  02", "-3"]}
    made.say("radio_rx  01")
    packets = [event for event in made.events if isinstance(event, Received)]
    assert [packet.payload for packet in packets] == [b"\x01", b"\x02"]
    assert [packet.snr_db for packet in packets] == [None, None]


def test_a_signal_that_is_not_told_costs_no_packet() -> None:
    made = listening()
    made.odd = {"radio get snr": ["busy"], "radio get rssi": []}
    made.say("radio_rx  01")
    (packet,) = made.run_until(Received)
    assert isinstance(packet, Received)
    assert (packet.payload, packet.snr_db, packet.rssi_dbm) == (b"\x01", None, None)
    assert made.commands[-1] == "radio rx 0"


@pytest.mark.parametrize("line", ["radio_err", "adio_rx  0102", "radio_rx  010", "\x80\x81"])
def test_whatever_may_have_ended_a_reception_opens_the_receiver(line: str) -> None:
    """The watchdog, a damaged line, noise."""
    made = listening()
    made.say(line)
    assert made.commands == ["radio rx 0"]
    assert made.session.listening


def test_noise_while_the_receiver_is_open_changes_nothing() -> None:
    """``busy`` then says that it is open."""
    made = listening()
    made.odd = {"radio rx 0": ["busy"]}
    made.say("#!")
    assert made.session.listening
    assert not made.session.recoveries


def test_receptions_that_end_at_once_lead_to_the_ladder() -> None:
    made = listening()
    made.odd = {"radio rx 0": ["ok", "radio_err"]}
    made.say("radio_err")
    made.run_until(Unresponsive)
    assert made.session.recoveries == dict.fromkeys(Rung, 1)


def test_the_module_is_asked_for_a_sign_of_life() -> None:
    made = listening()
    (alive,) = made.run_until(Alive)
    assert alive == Alive(3300)
    assert made.commands == ["sys get vdd"]


def test_a_quiet_receiver_is_closed_and_opened() -> None:
    """``busy`` for ever cannot be told from silence otherwise."""
    made = listening()
    while "radio rxstop" not in made.commands:
        made.run_until(Alive)
    made.run_until(Alive)
    at = made.commands.index("radio rxstop")
    assert made.commands[at : at + 5] == [
        "radio rxstop", "mac pause", "radio get freq", "radio get wdt", "radio rx 0",
    ]  # fmt: skip
    assert made.now_us > QUIET_US
    assert not made.session.recoveries


def test_without_rxstop_the_watchdog_shows_that_the_radio_lives() -> None:
    made = bench()
    made.odd = {"radio rxstop": ["invalid_param"]}
    made.run_until(Ready)
    assert made.settings["wdt"] == str(QUIET_US // 1000)
    while not made.session.recoveries:
        made.run_until(Alive)
    assert made.now_us > QUIET_US


@pytest.mark.parametrize("reply", [["busy"], []], ids=["busy", "silent"])
def test_busy_or_silent_for_ever_leads_up_the_whole_ladder(reply: list[str]) -> None:
    """Each step once, and told; and the port's part is asked for."""
    made = listening()
    made.odd = dict.fromkeys(("radio", "sys", "mac", ""), reply)
    made.say("radio_rx  0102")
    events = made.run_until(Unresponsive)
    told = [event.rung for event in events if isinstance(event, Climbed)]
    assert told == list(Rung)
    kinds = [event for event in events if not isinstance(event, Alive | Climbed)]
    assert isinstance(kinds[0], Received)
    assert kinds[0].payload == b"\x01\x02"
    assert isinstance(kinds[1], Lost)
    assert kinds[2:4] == [LineAction.BREAK, LineAction.PULSE_DTR]
    assert made.session.recoveries == dict.fromkeys(Rung, 1)
    assert not made.session.listening


@pytest.mark.parametrize("rung", list(Rung))
def test_the_ladder_is_left_where_it_helps(rung: Rung) -> None:
    """And the next fault begins at its foot."""
    made = listening()
    made.odd = {"radio rx 0": ["busy"]}
    made.say("radio_err")
    while not made.session.recoveries[rung]:
        made.now_us = max(made.now_us, made.session.timer_us())
        made.session.handle_timer(made.now_us)
        made.settle()
    made.odd.clear()
    made.run_until(Alive)
    assert made.session.listening
    assert list(made.session.recoveries) == list(Rung)[: list(Rung).index(rung) + 1]
    made.run_until(Alive)
    before = made.session.recoveries[Rung.WAIT]
    made.odd = {"radio rx 0": ["busy"]}
    made.say("radio_err")
    assert made.session.recoveries[Rung.WAIT] == before + 1


def test_a_module_that_says_nothing_is_given_a_break_and_a_byte() -> None:
    """Its baud rate may be another."""
    made = bench()
    made.dead = True
    events = made.run_until(Unresponsive)
    actions = [event for event in events if isinstance(event, LineAction)]
    assert actions == [LineAction.BREAK, LineAction.PULSE_DTR]
    assert Lost not in map(type, events)
    assert made.now_us < 40_000_000


def test_mac_pause_is_asked_again_when_it_is_zero() -> None:
    made = bench()
    made.odd = {"mac pause": ["0"]}
    while made.commands.count("mac pause") < 3:
        made.now_us = max(made.now_us, made.session.timer_us())
        made.session.handle_timer(made.now_us)
        made.settle()
    made.odd.clear()
    made.run_until(Ready)
    assert not made.session.recoveries


def test_a_short_pause_is_renewed_before_it_ends() -> None:
    """Else the module's LoRaWAN stack would take the radio."""
    made = bench()
    made.odd = {"mac pause": ["20000"]}
    made.run_until(Ready)
    paused_us = made.now_us
    made.commands.clear()
    while "mac pause" not in made.commands:
        made.run_until(Alive)
    assert made.last_us["mac pause"] < paused_us + 20_000_000


def test_a_restart_is_told_and_everything_is_set_again() -> None:
    made = listening()
    made.say("\x00\xf8RN2903 1.0.5 Nov 06 2018 10:45:27")
    events = made.run_until(Ready)
    assert isinstance(events[0], Lost)
    assert "radio set freq 921400000" in made.commands


def test_a_module_that_is_told_to_start_anew_keeps_what_it_has_said() -> None:
    """The packet is handed on, and the module is brought up again."""
    made = listening(SignalReading.BEFORE)
    made.odd = {"radio get snr": []}
    made.say("radio_rx  01")
    made.session.restart_device(made.now_us)
    events = made.run_until(Ready)
    assert [type(event) for event in events] == [Received, Lost, Ready]
    assert "sys reset" in made.commands
    assert not made.session.recoveries


@pytest.mark.parametrize(
    ("odd", "reason"),
    [
        ({"sys get ver": ["RN2483 1.0.5 x"]}, "an RN2903 can"),
        ({"sys get hweui": ["0004A30B00000000"]}, "not the configured one"),
        ({"radio set sf": ["invalid_param"]}, "does not take: radio set sf sf9"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_reason(
    odd: dict[str, list[str]], reason: str
) -> None:
    made = bench(unique_id=EUI)
    made.odd = odd
    (event,) = made.run_until(Unusable)
    assert isinstance(event, Unusable)
    assert reason in event.reason


def test_a_setting_that_is_not_kept_is_no_ready_radio() -> None:
    made = bench()
    made.odd = {"radio get freq": ["868100000"]}
    events = made.run_until(Unresponsive)
    assert Ready not in map(type, events)


@pytest.mark.parametrize(
    ("command", "replies"),
    [("mac pause", ["busy"]), ("mac pause", []), ("mac pause", ["0"]), ("radio set sf", ["busy"])],
)
def test_a_module_that_does_not_obey_is_not_set_up(command: str, replies: list[str]) -> None:
    """Neither paused nor set: the ladder is for that."""
    made = bench()
    made.odd = {command: replies}
    assert Ready not in map(type, made.run_until(Unresponsive))


def test_a_short_pause_is_renewed_while_the_receiver_is_open() -> None:
    """Older firmware cannot close it, and need not."""
    made = bench()
    made.odd = {"radio rxstop": ["invalid_param"], "mac pause": ["100000"]}
    made.run_until(Ready)
    made.commands.clear()
    ends_us = made.last_us["mac pause"] + 100_000_000
    while "mac pause" not in made.commands:
        made.run_until(Alive)
    assert made.session.listening
    assert made.last_us["mac pause"] < ends_us
    assert "radio set freq 921400000" not in made.commands


def test_before_it_is_up_there_is_nothing_to_restart() -> None:
    made = bench()
    made.session.restart_device(0)
    assert "sys reset" not in made.commands
    made.run_until(Ready)


@pytest.mark.parametrize(("pace", "at_most_us"), [(1.0, 10_000_000), (0.2, 2_000_000)])
def test_it_says_that_it_is_alive_at_least_each_ten_seconds(pace: float, at_most_us: int) -> None:
    """As every driver has to; sooner where pauses are cut short."""
    made = Bench(RN2xx3Session(SETTINGS, "", 0, pace=pace))
    made.run_until(Ready)
    for _ in range(5):
        before_us = made.now_us
        made.run_until(Alive)
        assert made.now_us - before_us <= at_most_us


def test_packets_that_nobody_was_told_to_receive_are_handed_on_and_not_kept() -> None:
    """In order, and without a signal: nobody knows whose it would be."""
    made = listening()
    packets = [number.to_bytes(2, "big") for number in range(100)]
    told = "".join(f"radio_rx  {packet.hex()}\r\n" for packet in packets)
    made.session.receive(told.encode(), made.now_us)
    assert len(made.session._packets) < 10
    received = [event for event in made.run_until(Alive) if isinstance(event, Received)]
    assert [event.payload for event in received] == packets
    assert {(event.snr_db, event.rssi_dbm) for event in received} == {(None, None)}


def test_after_its_end_nothing_is_heard() -> None:
    """The port is gone; what was on its way is let go."""
    made = listening()
    made.session.end()
    made.say("radio_rx  01")
    assert made.events == []
    assert made.session.rejects == {}


@given(st.data())
def test_any_mixture_of_lines_noise_and_time_ends_in_a_state_that_works(
    data: st.DataObject,
) -> None:
    """When the module obeys again, a packet is received."""
    made = listening()
    lines = ["radio_err", "ok", "busy", "invalid_param", "radio_rx  AB", "4294967245", "-3", "\x80",
             "radio_tx_ok", "RN2903 1.0.5 x"]  # fmt: skip
    for _ in range(data.draw(st.integers(0, 12))):
        made.say(*data.draw(st.lists(st.sampled_from(lines), max_size=3)))
        made.odd = data.draw(
            st.sampled_from([{}, {"radio": ["busy"]}, {"radio get": []}, {"sys": []}])
        )
        made.now_us += data.draw(st.integers(0, 3_000_000))
        made.session.handle_timer(made.now_us)
        made.settle()
    made.odd = {}
    if made.session.listening:
        made.events.clear()
    made.run_until(Alive)
    for _ in range(3):  # alive, but perhaps just being set up again
        if not made.session.listening:
            made.run_until(Alive)
    assert made.session.listening
    made.say("radio_rx  C0")
    made.run_until(Received)
