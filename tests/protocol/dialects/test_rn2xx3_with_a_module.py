"""The session with an RN2483 or RN2903 and the simulated module, at line rate in virtual time."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol.dialects.rn2xx3 import QUIET_US
from protocol.dialects.rn2xx3_events import (
    Alive,
    Ready,
    Received,
    SignalReading,
    Unresponsive,
)
from protocol.dialects.rn2xx3_settings import RadioSettings
from protocol.dialects.session_events import Lost, Unusable
from simulator.fronts.rn2xx3_models import RN2483, RN2903, RN2903_OLD, Rn2xx3Model, Wedge
from tests.protocol.dialects.rn2xx3_line import SETTINGS, VirtualLine

EU868 = replace(SETTINGS, frequency_hz=868_100_000)
MODELS = [
    pytest.param(RN2903, SETTINGS, id="rn2903"),
    pytest.param(RN2903_OLD, SETTINGS, id="old"),
    pytest.param(RN2483, EU868, id="rn2483"),
]
SECOND_US = 1_000_000


def up(
    model: Rn2xx3Model = RN2903,
    wanted: RadioSettings = SETTINGS,
    signal: SignalReading = SignalReading.BEFORE,
) -> VirtualLine:
    """A line whose module listens."""
    line = VirtualLine(model, wanted, signal)
    line.run_until(Ready)
    line.until_listening()
    return line


@pytest.mark.parametrize("signal", SignalReading)
def test_the_gap_after_a_packet_is_what_the_line_takes(signal: SignalReading) -> None:
    """The packet's line, the questions before it, and the command to go on."""
    line = up(signal=signal)
    assert line.hear(bytes(20))
    characters = {
        SignalReading.NEVER: 52 + 12,
        SignalReading.AFTER: 52 + 12,
        SignalReading.BEFORE: 52 + 15 + 3 + 16 + 6 + 12,
    }[signal]
    assert line.until_listening() == pytest.approx(characters * 10e6 / 57_600, abs=1000)


@pytest.mark.parametrize(("model", "wanted"), MODELS)
def test_a_quiet_hour_is_no_reason_to_set_anything_up_again(
    model: Rn2xx3Model, wanted: RadioSettings
) -> None:
    """Signs of life come, and the receiver is on but for moments."""
    line = up(model, wanted)
    listening = 0
    for _ in range(3600):
        line.run(SECOND_US)
        listening += line.listening
    assert not line.of(Lost)
    assert len(line.of(Alive)) >= 3600 / 6
    assert listening >= 3598


@pytest.mark.parametrize(("model", "wanted"), MODELS)
@pytest.mark.parametrize(
    "heard", [lambda _: b"", lambda text: text.replace(b"0", b"\xf1")], ids=["not", "in part"]
)
def test_a_restart_that_nobody_has_heard_of_is_found_by_the_settings(
    model: Rn2xx3Model, wanted: RadioSettings, heard: object
) -> None:
    """The module answers and receives, but what its factory has set."""
    assert callable(heard)
    line = up(model, wanted)
    line.restart(heard)
    line.run_until(Lost, 2 * QUIET_US)
    line.until_listening()


def test_what_the_line_says_twice_is_told_once() -> None:
    """And the same payload heard twice is told twice."""
    line = up()
    line.to_host = lambda text: text + text
    for payload in (b"one", b"one", b"two"):
        line.until_listening()
        assert line.hear(payload)
        line.run(SECOND_US)
    assert line.payloads() == [b"one", b"one", b"two"]


def test_a_packet_is_told_although_the_port_goes_while_its_signal_is_asked_for() -> None:
    line = up()
    assert line.hear(b"the last one")
    while line.commands[-1] != "radio get snr":
        line.run(100)
    line.session.end()
    event = line.session.next_event()
    assert isinstance(event, Received)
    assert (event.payload, event.snr_db) == (b"the last one", None)
    assert line.session.next_event() is None


@pytest.mark.parametrize("cut", [0, 1, 5, 9, 10, 13, -2, -1])
def test_a_lost_byte_costs_no_more_than_its_packet(cut: int) -> None:
    """Also one that hides that the receiver has ended."""
    line = up()
    line.to_host = lambda data: data[:cut] + data[cut:][1:] if b"radio_rx" in data else data
    assert line.hear(b"spoilt")
    line.to_host = bytes
    line.until_listening()
    assert line.hear(b"good")
    line.run(2 * SECOND_US)
    assert line.payloads()[-1] == b"good"
    assert not line.of(Lost)


def test_lost_answers_cost_no_packet() -> None:
    """The receiver is on although nobody has heard it say so."""
    line = up()
    line.to_host = lambda data: b"" if data == b"ok\r\n" else data
    for payload in (b"one", b"two", b"three"):
        line.until_listening()
        assert line.hear(payload)
        line.run(100_000)
    line.to_host = bytes
    line.run(10 * SECOND_US)
    assert line.payloads() == [b"one", b"two", b"three"]
    assert not line.of(Lost)


@pytest.mark.parametrize("wedge", Wedge)
def test_a_module_that_hangs_is_found_out_on_a_quiet_channel(wedge: Wedge) -> None:
    """One that a command can bring back is brought back, any other is given up."""
    line = up(replace(RN2903, wedges=wedge))
    line.module.wedge()
    line.run_until(Ready if wedge is Wedge.RADIO_BUSY else Unresponsive)


@settings(deadline=None, max_examples=50)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["frame", "bad", "noise", "restart", "quiet", "twice", "swallow"]),
            st.integers(0, 300_000),
            st.binary(min_size=1, max_size=60),
        ),
        max_size=25,
    )
)
def test_whatever_happens_the_module_is_heard_again(story: list[tuple[str, int, bytes]]) -> None:
    """With its own settings, and no later than the next look at a quiet receiver."""
    line = up()
    for what, pause_us, data in story:
        match what:
            case "frame" | "bad":
                line.hear(data, crc_ok=what == "frame")
            case "noise":
                line.say(data)
            case "restart":
                line.restart()
            case "twice":
                line.to_host = lambda text: text + text
            case "swallow":
                line.to_host = lambda text: text[:-3]
            case _:
                line.to_host = bytes
        line.run(pause_us)
    line.to_host = bytes
    line.run(QUIET_US + 60 * SECOND_US)
    line.until_listening()
    before = len(line.payloads())
    assert line.hear(b"after all that")
    line.run(2 * SECOND_US)
    assert line.payloads()[before:] == [b"after all that"]
    assert not line.of(Unresponsive)
    assert not line.of(Unusable)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 400_000), st.binary(min_size=1, max_size=255))))
def test_every_frame_that_is_heard_on_a_sound_line_is_told_once(
    frames: list[tuple[int, bytes]],
) -> None:
    line = up()
    heard = []
    for pause_us, payload in frames:
        line.run(pause_us)
        if line.hear(payload):
            heard.append(payload)
    line.run(2 * SECOND_US)
    assert line.payloads() == heard
