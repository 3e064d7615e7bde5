"""One boot of a board: what its firmware does with requests, receptions and its chips."""

from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from protocol.link.codec import parse, serialize
from protocol.link.framing import FrameDecoder, encode_frame
from protocol.link.messages import (
    BOARD,
    Acknowledge,
    BoardHello,
    CancelTransmit,
    Envelope,
    Heartbeat,
    HostHello,
    Message,
    RadioState,
    ReceiveProfile,
    Registers,
    Reset,
    ResetCause,
    RxEvent,
    Status,
    StatusCode,
    Transmit,
    TransmitMode,
)
from protocol.lora.register_operations import (
    RegisterOperation,
    RegisterRead,
    RegisterReadModifyWrite,
    RegisterWait,
    RegisterWrite,
)
from simulator.board import Board
from simulator.firmware import BoardIdentity
from simulator.radio_unit import good_crc
from tests.simulator.line_host import PROFILE

SECOND_US = 1_000_000


@dataclass
class Rig:
    """A board without a line: messages in, messages out, and a clock that the test moves."""

    radios: int = 2
    ring_capacity: int = 512
    now_us: int = 5_000_000
    events: list[tuple[int, RxEvent, RxEvent | None]] = field(default_factory=list)
    board: Board = field(init=False)
    decoder: FrameDecoder = field(default_factory=FrameDecoder)

    def __post_init__(self) -> None:
        self.board = Board(
            BoardIdentity("roof", b"\x01\x02", self.radios, ring_capacity=self.ring_capacity),
            boot_id=77,
            count_us=lambda: self.now_us,
            now_us=self.now_us,
            reset_cause=ResetCause.BROWN_OUT,
            on_event=lambda radio, raw, event: self.events.append((radio, raw, event)),
        )

    def tell(self, message: Message, radio: int = BOARD, request: int = 0) -> list[Envelope]:
        """Send a message, get everything the board has to say."""
        body = serialize(Envelope(message, radio, request))
        self.board.receive(encode_frame(body), self.now_us)
        return self.said()

    def said(self) -> list[Envelope]:
        """Everything that the board wants on the line."""
        bodies = []
        while (frame := self.board.next_frame(self.now_us)) is not None:
            bodies += self.decoder.feed(frame.data)
        return [parse(body) for body in bodies]

    def ask(self, message: Message, radio: int = 0) -> Status:
        """Make a request, get its answer."""
        (envelope,) = self.tell(message, radio, 9)
        assert (envelope.radio, envelope.request) == (radio, 9)
        assert isinstance(envelope.message, Status)
        return envelope.message

    def run(self, *operations: RegisterOperation, guarded: bool = False) -> Status:
        """Run a register list on radio 0."""
        return self.ask(Registers(operations, skip_if_receiving=guarded))

    def wait(self, duration_us: int) -> list[Envelope]:
        """Let time pass as a runner does: from timer to timer."""
        end_us = self.now_us + duration_us
        while self.board.timer_us() <= end_us:
            self.now_us = max(self.now_us, self.board.timer_us())
            self.board.handle_timer(self.now_us)
        self.now_us = end_us
        return self.said()

    def hear(self, payload: bytes, radio: int = 0, *, crc_ok: bool = True) -> None:
        """Let a frame arrive."""
        chip = self.board.radios[radio].chip
        chip.begin_reception(now_us=self.now_us)
        self.now_us += 20_000
        chip.header_received(
            coding_rate=1, crc_on_payload=True, payload_length=len(payload), now_us=self.now_us
        )
        self.now_us += 30_000
        chip.end_reception(
            payload,
            rssi_dbm=-97,
            snr_db=-3,
            frequency_error_hz=1000,
            crc_ok=crc_ok,
            now_us=self.now_us,
        )


@pytest.fixture
def rig() -> Rig:
    """A board in a session."""
    rig = Rig()
    rig.said()
    rig.tell(HostHello(nonce=5, lease_ms=60_000))
    return rig


@pytest.fixture
def armed(rig: Rig) -> Rig:
    """Its radio 0 receives, 1 ms after the profile was set."""
    assert rig.ask(ReceiveProfile(PROFILE)).code is StatusCode.OK
    rig.now_us += 1_000
    rig.tell(Acknowledge(0, 100))
    return rig


def test_a_board_greets_by_itself_and_says_who_it_is() -> None:
    rig = Rig()
    (hello,) = [e.message for e in rig.said() if isinstance(e.message, BoardHello)]
    assert (hello.nonce, hello.boot_id, hello.unique_id) == (0, 77, b"\x01\x02")
    assert hello.reset_cause is ResetCause.BROWN_OUT
    assert [radio.version for radio in hello.radios] == [0x12, 0x12]
    assert hello.ring_capacity == 512


def test_a_profile_is_written_read_back_and_armed(armed: Rig) -> None:
    """Sleep, LoRa, standby, pairs, DIO0 RxDone and DIO3 ValidHeader, continuous reception."""
    read = [RegisterRead(0x01, 1), RegisterRead(0x06, 3), RegisterRead(0x39, 1)]
    answer = armed.run(*read, RegisterRead(0x40, 1), RegisterRead(0x42, 1))
    assert answer == Status(StatusCode.OK, 0, bytes.fromhex("85 e6599a 34 01 12"))


def test_an_empty_profile_switches_the_radio_off(armed: Rig) -> None:
    assert armed.ask(ReceiveProfile(None)).code is StatusCode.OK
    assert armed.run(RegisterRead(0x01, 1)).data == b"\x80"
    armed.hear(b"nobody listens")
    assert armed.events == []


@pytest.mark.parametrize("address", [0x00, 0x01, 0x0D, 0x11, 0x12, 0x40])
def test_a_profile_may_not_hold_the_boards_own_registers(rig: Rig, address: int) -> None:
    assert rig.ask(ReceiveProfile(((address, 0),))).code is StatusCode.REFUSED
    assert not rig.board.radios[0].managed


def test_a_register_that_does_not_take_its_value_is_a_radio_fault(rig: Rig) -> None:
    """RegVersion cannot be written; the index says which pair."""
    answer = rig.ask(ReceiveProfile((*PROFILE, (0x42, 0x55))))
    assert answer == Status(StatusCode.RADIO_FAULT, len(PROFILE))


def test_register_lists_are_carried_out_in_order(rig: Rig) -> None:
    answer = rig.run(
        RegisterWrite(0x01, b"\x00"),
        RegisterWrite(0x01, b"\x80"),
        RegisterWrite(0x06, b"\xe6\x59\x9a"),
        RegisterReadModifyWrite(0x39, 0xF0, 0x3F),
        RegisterRead(0x06, 3),
        RegisterRead(0x39, 1),
    )
    assert answer == Status(StatusCode.OK, 0, bytes.fromhex("e6599a 32"))


@pytest.mark.parametrize(
    "operation",
    [
        RegisterWrite(0x01, b"\x81"),
        RegisterWrite(0x3F, b"\x00\x00"),  # a burst that reaches 0x40
        RegisterWrite(0x00, b"\x01\x02"),
        RegisterReadModifyWrite(0x12, 0xFF, 0xFF),
    ],
)
def test_a_managed_radio_keeps_its_registers(armed: Rig, operation: RegisterOperation) -> None:
    """REFUSED at that operation; what stands before it has been carried out."""
    answer = armed.run(RegisterRead(0x42, 1), operation)
    assert answer == Status(StatusCode.REFUSED, 1)


def test_others_of_its_registers_may_be_written(armed: Rig) -> None:
    """A burst into the FIFO does not advance, so 0x00 alone is concerned."""
    assert armed.run(RegisterWrite(0x41, b"\x00")).code is StatusCode.OK


def test_a_wait_ends_when_the_register_has_the_value(rig: Rig) -> None:
    """Image calibration in FSK standby takes 10 ms."""
    answer = rig.run(
        RegisterReadModifyWrite(0x3B, 0x40, 0x40),
        RegisterWait(0x3B, 0x20, 0x00, 50),
        RegisterRead(0x3B, 1),
    )
    assert answer == Status(StatusCode.OK, 0, b"\x82")


@pytest.mark.parametrize("timeout_ms", [0, 5])
def test_a_wait_that_takes_too_long_ends_the_list(rig: Rig, timeout_ms: int) -> None:
    answer = rig.run(
        RegisterReadModifyWrite(0x3B, 0x40, 0x40), RegisterWait(0x3B, 0x20, 0x00, timeout_ms)
    )
    assert answer == Status(StatusCode.WAIT_TIMEOUT, 1)


def test_a_guarded_list_is_skipped_while_a_frame_comes_in(armed: Rig) -> None:
    armed.board.radios[0].chip.begin_reception(now_us=armed.now_us)
    assert armed.run(RegisterRead(0x42, 1), guarded=True).code is StatusCode.SKIPPED
    assert armed.run(RegisterRead(0x42, 1)).code is StatusCode.OK


def test_more_than_an_answer_carries_is_refused_and_not_begun(rig: Rig) -> None:
    """A body has 1,024 bytes: 3 of header, code and index, and 1,019 of data."""
    assert len(rig.run(*[RegisterRead(0x42, 255)] * 3, RegisterRead(0x42, 254)).data) == 1019
    answer = rig.run(RegisterWrite(0x06, b"\x01"), *[RegisterRead(0x42, 255)] * 4)
    assert answer.code is StatusCode.BAD_REQUEST
    assert rig.run(RegisterRead(0x06, 1)).data == b"\x6c"


@pytest.mark.parametrize("radio", [2, 9, 254])
def test_a_radio_that_does_not_exist_is_a_bad_request(rig: Rig, radio: int) -> None:
    for message in (Registers(()), ReceiveProfile(None), Reset()):
        assert rig.ask(message, radio).code is StatusCode.BAD_REQUEST


def test_transmission_is_not_supported(rig: Rig) -> None:
    assert rig.ask(Transmit(1, TransmitMode.NOW, 0, 0, (), b"x")).code is StatusCode.NOT_SUPPORTED
    assert rig.ask(CancelTransmit(1)).code is StatusCode.NOT_SUPPORTED


def test_resetting_one_radio_sets_it_up_again(armed: Rig) -> None:
    assert armed.ask(Reset()).code is StatusCode.OK
    assert not armed.board.wants_reset
    armed.now_us += 1_000
    armed.hear(b"still here")
    assert [event.payload for _, _, event in armed.events if event] == [b"still here"]


def test_resetting_a_radio_without_profile_leaves_it_as_a_reset_does(rig: Rig) -> None:
    rig.run(RegisterWrite(0x06, b"\x01"))
    assert rig.ask(Reset(), 1).code is StatusCode.OK
    assert rig.ask(Reset(), 0).code is StatusCode.OK
    assert rig.run(RegisterRead(0x06, 1)).data == b"\x6c"


def test_resetting_the_board_is_answered_first(rig: Rig) -> None:
    (answer,) = rig.tell(Reset(), BOARD, 3)
    assert answer.message == Status(StatusCode.OK)
    assert rig.board.wants_reset


def test_a_reception_is_told_with_raw_registers_and_times(armed: Rig) -> None:
    began_us = armed.now_us
    armed.hear(b"payload")
    (envelope,) = armed.said()
    event = envelope.message
    assert isinstance(event, RxEvent)
    assert envelope.radio == 0
    assert (event.number, event.payload) == (1, b"payload")
    assert (event.valid_header_us, event.count_us) == (began_us + 20_000, began_us + 50_000)
    assert event.irq_flags == 0x50
    assert event.hop_channel & 0x40
    assert (event.modem_config_1, event.modem_config_2, event.frf) == (0x72, 0x74, 0xE6599A)
    assert (event.packet_snr, event.packet_rssi) == (0xF4, 63)  # -3 dB, -157 + 63 - 3 = -97
    # FEI = 1000 Hz / (2^24 / 32 MHz x 125 / 500) = 7629.4
    assert event.frequency_error == 7629


def test_events_of_all_radios_are_numbered_in_one_row(armed: Rig) -> None:
    assert armed.ask(ReceiveProfile(PROFILE), 1).code is StatusCode.OK
    armed.now_us += 1_000
    for number in range(6):
        armed.hear(bytes([number]), number % 2)
    assert [(radio, event.number) for radio, _, event in armed.events if event] == [
        (number % 2, number + 1) for number in range(6)
    ]


def test_a_full_ring_loses_the_new_reception_and_counts_it() -> None:
    rig = Rig(ring_capacity=3)
    rig.tell(HostHello(nonce=5, lease_ms=60_000))
    rig.ask(ReceiveProfile(PROFILE))
    rig.now_us += 1_000
    for number in range(5):
        rig.hear(bytes([number]))
    assert [event and event.number for _, _, event in rig.events] == [1, 2, 3, None, None]
    assert [raw.payload for _, raw, _ in rig.events] == [bytes([n]) for n in range(5)]
    assert rig.board.session.ring_overflow == 2


def test_every_second_a_heartbeat_tells_of_the_radios(armed: Rig) -> None:
    armed.hear(b"good")
    armed.hear(b"bad", crc_ok=False)
    armed.tell(Acknowledge(2, 100))
    beats = [e.message for e in armed.wait(3 * SECOND_US) if isinstance(e.message, Heartbeat)]
    assert len(beats) == 3
    beat = beats[-1]
    assert (beat.last_number, beat.ring_used, beat.ring_overflow) == (2, 0, 0)
    first, second = beat.radios
    assert (first.state, first.received, first.crc_errors) == (RadioState.RECEIVING, 2, 1)
    assert (second.state, second.received, second.noise_rssi) == (RadioState.OFF, 0, 0)
    assert first.noise_rssi == 37  # -157 + 37 = -120 dBm, an idle channel


def test_noise_is_not_measured_while_a_frame_comes_in(armed: Rig) -> None:
    armed.board.radios[0].chip.begin_reception(now_us=armed.now_us)
    beats = [e.message for e in armed.wait(SECOND_US) if isinstance(e.message, Heartbeat)]
    assert beats[0].radios[0].noise_rssi == 0


def test_the_scrub_arms_a_chip_that_lost_its_registers(armed: Rig) -> None:
    """A brown-out of the radio alone: within a second it receives again, and that is counted."""
    armed.board.radios[0].chip.reset(armed.now_us)
    armed.hear(b"lost")
    armed.wait(2 * SECOND_US)
    armed.hear(b"heard")
    assert [event.payload for _, _, event in armed.events if event] == [b"heard"]
    assert armed.board.radios[0].faults == 1


def test_the_scrub_leaves_a_sound_radio_alone(armed: Rig) -> None:
    chip = armed.board.radios[0].chip
    chip.begin_reception(now_us=armed.now_us)
    armed.wait(5 * SECOND_US)
    assert chip.receiving
    assert armed.board.radios[0].faults == 0


def test_one_wrong_register_is_found(armed: Rig) -> None:
    armed.run(RegisterWrite(0x39, b"\x12"))
    armed.wait(SECOND_US)
    assert armed.board.radios[0].faults == 1
    assert armed.run(RegisterRead(0x39, 1)).data == b"\x34"


def test_good_crc_needs_both_halves_of_the_truth(armed: Rig) -> None:
    """No error flag, and a CRC that was there to check."""
    armed.hear(b"good")
    armed.hear(b"bad", crc_ok=False)
    chip = armed.board.radios[0].chip
    chip.begin_reception(now_us=armed.now_us)
    chip.header_received(coding_rate=1, crc_on_payload=False, payload_length=9, now_us=armed.now_us)
    chip.end_reception(
        b"unchecked", rssi_dbm=-80, snr_db=5, frequency_error_hz=0, crc_ok=True,
        now_us=armed.now_us,
    )  # fmt: skip
    assert [good_crc(raw) for _, raw, _ in armed.events] == [True, False, False]


@given(st.lists(st.binary(max_size=300), max_size=20))
def test_no_bytes_from_a_host_end_a_board(chunks: list[bytes]) -> None:
    """Raw noise, and noise in well-formed frames."""
    rig = Rig()
    rig.tell(HostHello(nonce=5, lease_ms=60_000))
    for chunk in chunks:
        rig.board.receive(chunk, rig.now_us)
        rig.board.receive(encode_frame(chunk.ljust(3, b"\0")), rig.now_us)
        rig.wait(10_000)
    rig.tell(HostHello(nonce=6, lease_ms=60_000))
    assert rig.ask(ReceiveProfile(PROFILE)).code is StatusCode.OK


requests = st.sampled_from([0x04, 0x05, 0x06, 0x07, 0x08])


@given(st.lists(st.tuples(requests, st.integers(0, 2), st.binary(max_size=60)), max_size=20))
def test_no_request_ends_a_board(requests: list[tuple[int, int, bytes]]) -> None:
    """Every request has an answer, or a REJECTED where it cannot be read."""
    rig = Rig()
    rig.said()
    rig.tell(HostHello(nonce=5, lease_ms=60_000))
    for code, radio, fields in requests:
        rig.board.receive(encode_frame(bytes([code, radio, 7]) + fields), rig.now_us)
        assert len(rig.said()) == 1
