"""The session and the simulated modem back to back, through days in virtual time."""

from dataclasses import dataclass, field

import pytest

from protocol.dialects.loraprs import (
    QUIET_US,
    SILENCE_US,
    TELEMETRY_US,
    LoraprsEvent,
    LoraprsSession,
    RadioSettings,
    Ready,
    Received,
)
from protocol.dialects.session_events import Alive, Lost, Unusable
from protocol.link.messages import ResetCause
from simulator.fronts.loraprs import SIGNAL_REPORT, TELEMETRY
from tests.simulator.test_loraprs_front import Bench

SETTINGS = RadioSettings(921_400_000, 125_000, 9, 5, 0x34)
SECOND_US = 1_000_000
HOUR_US = 3600 * SECOND_US


@dataclass
class Pair:
    """Both ends of a line, and one clock.

    Attributes:
        keeps_back: kinds of frames that this modem does not send; None among them = its ROM's text.
        spoils_settings: a byte of the first settings is lost on the line.
    """

    keeps_back: set[int | None] = field(default_factory=set)
    happened: list[LoraprsEvent] = field(default_factory=list)
    settings_sent: int = 0
    spoils_settings: bool = False

    def __post_init__(self) -> None:
        self.bench = Bench()
        self.session = LoraprsSession(SETTINGS, self.bench.now_us)

    @property
    def received(self) -> list[bytes]:
        return [event.payload for event in self.happened if isinstance(event, Received)]

    @property
    def changes(self) -> list[LoraprsEvent]:
        return [event for event in self.happened if not isinstance(event, Received)]

    def run(self, duration_us: int) -> None:
        """Let both do what is due."""
        end_us = self.bench.now_us + duration_us
        while (due_us := min(self.session.timer_us(), self.bench.modem.timer_us())) <= end_us:
            self.bench.now_us = max(self.bench.now_us, due_us)
            self.bench.modem.handle_timer(self.bench.now_us)
            self._carry(bytes.fromhex(self.bench.said()))
        self.bench.now_us = end_us

    def hear(self, packet: bytes) -> None:
        """Send a packet on the channel that was asked for, and wait a second."""
        if abs(self.bench.tuned().frequency_hz - SETTINGS.frequency_hz) < 62:
            self._carry(bytes.fromhex(self.bench.hear(packet)))
        self.run(SECOND_US)

    def restart(self, cause: ResetCause) -> None:
        """Power fails for a moment, or the firmware asks for it."""
        self.bench = Bench(cause, self.bench.now_us)
        if None not in self.keeps_back:
            self.session.receive(self.bench.modem.boot_banner, self.bench.now_us)

    def up(self) -> "Pair":
        """Until it listens."""
        self.run(10 * SECOND_US)
        assert self.changes == [Ready()]
        return self

    def _carry(self, said: bytes) -> None:
        for part in said.split(b"\xc0"):
            if part and part[0] not in self.keeps_back:
                self.session.receive(b"\xc0" + part + b"\xc0", self.bench.now_us)
        self.session.handle_timer(self.bench.now_us)
        while (event := self.session.next_event()) is not None:
            self.happened += [event] * (event != Alive())
        if told := self.session.bytes_to_send():
            self.settings_sent += b"\xc0\x06" in told
            if self.spoils_settings and self.settings_sent == 1:
                told = told[:10] + told[11:]
            self.bench.modem.receive(told, self.bench.now_us)
            if self.bench.modem.wants_reset:
                self.restart(ResetCause.SOFTWARE)


def test_packets_pass_for_a_day_and_nothing_else_happens() -> None:
    """Not even its settings are sent again: what is heard shows that it hears."""
    pair = Pair().up()
    sent = [hour.to_bytes(2, "big") for hour in range(24 * 6)]
    for packet in sent:
        pair.hear(packet)
        pair.run(HOUR_US // 6)
    assert pair.received == sent
    assert pair.changes == [Ready()]
    assert pair.settings_sent == 1


def test_a_quiet_day_is_no_fault() -> None:
    """Its settings are sent again now and then, in case it is deaf."""
    pair = Pair().up()
    pair.run(24 * HOUR_US)
    pair.hear(b"morning")
    assert pair.changes == [Ready()]
    assert pair.received == [b"morning"]
    assert pair.settings_sent == 1 + 24 * HOUR_US // QUIET_US


def test_settings_that_the_line_has_spoilt_are_sent_again_within_a_minute() -> None:
    """Nobody tells that they were not taken; but nothing is heard either."""
    pair = Pair(spoils_settings=True).up()
    pair.hear(b"unheard")
    pair.run(70 * SECOND_US)
    pair.hear(b"heard")
    assert pair.received == [b"heard"]
    assert pair.changes == [Ready()]


def test_a_packet_without_bytes_makes_it_deaf_for_a_quarter_of_an_hour_at_most() -> None:
    """It answers for nothing, and goes on sending its telemetry."""
    pair = Pair().up()
    pair.hear(b"")
    pair.hear(b"unheard")
    pair.run(QUIET_US)
    pair.hear(b"heard")
    assert pair.received == [b"heard"]
    assert pair.changes == [Ready()]


@pytest.mark.parametrize("cause", [ResetCause.POWER_ON, ResetCause.BROWN_OUT, ResetCause.WATCHDOG])
def test_after_a_restart_it_is_set_up_within_seconds(cause: ResetCause) -> None:
    pair = Pair().up()
    pair.run(HOUR_US)
    pair.restart(cause)
    pair.run(4 * SECOND_US)
    pair.hear(b"heard")
    assert [type(event) for event in pair.changes] == [Ready, Lost, Ready]
    assert pair.received == [b"heard"]


@pytest.mark.parametrize("second", [2, 20, 58])
def test_after_a_restart_without_its_text_it_is_set_up_within_two_minutes(second: int) -> None:
    pair = Pair().up()
    pair.run(2 * TELEMETRY_US + second * SECOND_US)
    pair.keeps_back.add(None)
    pair.restart(ResetCause.BROWN_OUT)
    pair.hear(b"unheard")
    pair.run(2 * TELEMETRY_US)
    pair.hear(b"heard")
    assert [type(event) for event in pair.changes] == [Ready, Lost, Ready]
    assert pair.received == [b"heard"]


def test_a_modem_that_hangs_is_asked_to_restart() -> None:
    pair = Pair().up()
    pair.run(HOUR_US)
    pair.bench.modem.wedge()
    pair.run(SILENCE_US + 10 * SECOND_US)
    assert pair.changes == [Ready(), Lost("no telemetry for 150 s")]


@pytest.mark.parametrize("missing", [SIGNAL_REPORT, TELEMETRY])
def test_a_build_that_cannot_be_relied_on_is_refused(missing: int) -> None:
    """And nothing that it hears is taken for what was asked of it."""
    pair = Pair({missing}).up()
    for _ in range(4):
        pair.hear(b"packet")
    pair.run(2 * SILENCE_US + 60 * SECOND_US)
    assert isinstance(pair.changes[-1], Unusable)
    assert pair.received == ([] if missing == SIGNAL_REPORT else [b"packet"] * 4)
