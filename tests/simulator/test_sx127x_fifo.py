"""The FIFO of the chip model: 256 bytes, a pointer that wraps, packets one behind the other."""

from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from tests.simulator.chip_on_bus import (
    RXCONT,
    SF7_BW125,
    SLEEP,
    STANDBY,
    TX,
    Bench,
    receiving,
)

addresses = st.integers(0, 255)
payloads = st.binary(max_size=255)


class FifoAsAList(RuleBasedStateMachine):
    """Against 256 numbers in a list, and a pointer modulo 256."""

    def __init__(self) -> None:
        super().__init__()
        self.bench = Bench()
        self.bench.lora_standby(SF7_BW125)
        self.bytes = [0] * 256
        self.pointer = 0

    @rule(address=addresses)
    def point(self, address: int) -> None:
        """RegFifoAddrPtr."""
        self.bench.write(0x0D, address)
        self.pointer = address

    @rule(data=st.binary(min_size=1, max_size=300))
    def push(self, data: bytes) -> None:
        """A burst write."""
        self.bench.write(0x00, *data)
        for value in data:
            self.bytes[self.pointer] = value
            self.pointer = (self.pointer + 1) % 256

    @rule(count=st.integers(0, 300))
    def pop(self, count: int) -> None:
        """A burst read."""
        expected = [self.bytes[(self.pointer + offset) % 256] for offset in range(count)]
        assert list(self.bench.burst(0x00, count)) == expected
        self.pointer = (self.pointer + count) % 256

    @rule()
    def sleep(self) -> None:
        """Everything is lost but the pointer, which is a register."""
        self.bench.mode(SLEEP)
        self.bench.write(0x00, 0x55)
        assert self.bench.burst(0x00, 1) == b"\0"
        self.bench.mode(STANDBY)
        self.bytes = [0] * 256

    @invariant()
    def the_pointer_can_be_read(self) -> None:
        """It counts with the accesses."""
        assert self.bench.read(0x0D) == self.pointer


TestFifoAsAList = FifoAsAList.TestCase


@given(addresses, st.lists(payloads, min_size=1, max_size=6))
def test_packets_follow_each_other_and_wrap(base: int, packets: list[bytes]) -> None:
    """From RegFifoRxBaseAddr on, past 255 to 0; each can be read until the next one comes."""
    bench = receiving({0x0F: base})
    start = base
    for packet in packets:
        bench.receive(packet)
        assert bench.read(0x10) == start
        assert bench.read(0x13) == len(packet)
        assert bench.read(0x25) == (start + len(packet) - 1) % 256
        assert bench.last_packet() == packet
        start = (start + len(packet)) % 256


@given(st.binary(min_size=100, max_size=255), st.binary(min_size=200, max_size=255))
def test_a_packet_overwrites_an_older_one(first: bytes, second: bytes) -> None:
    """256 bytes hold no more: who reads late reads the newer packet's bytes."""
    bench = receiving()
    bench.receive(first)
    bench.receive(second)
    overlap = max(0, len(first) + len(second) - 256)
    bench.write(0x0D, 0x00)
    found = bench.burst(0x00, len(first))
    assert found == second[len(second) - overlap :] + first[overlap:]


def test_entering_reception_starts_at_the_base_again() -> None:
    bench = receiving({0x0F: 0x20})
    bench.receive(b"abc")
    bench.receive(b"def")
    assert bench.read(0x10) == 0x23
    bench.mode(STANDBY)
    bench.mode(RXCONT)
    bench.receive(b"ghi")
    assert bench.read(0x10) == 0x20


@given(addresses, st.binary(min_size=1, max_size=255))
def test_what_is_sent_comes_from_the_transmit_base(base: int, payload: bytes) -> None:
    """RegPayloadLength bytes, wrapping as well."""
    bench = Bench()
    bench.lora_standby(SF7_BW125 | {0x0E: base, 0x0D: base, 0x22: len(payload)})
    bench.write(0x00, *payload)
    bench.write(0x01, TX)
    sending = bench.chip.transmitting()
    assert sending is not None
    assert sending.payload == payload


def test_the_fifo_of_fsk_mode_is_another_one() -> None:
    """It is not modelled: reads 0, takes nothing, moves no pointer."""
    bench = Bench()
    bench.write(0x00, 1, 2, 3)
    assert bench.burst(0x00, 3) == bytes(3)
    bench.lora_standby()
    assert bench.read(0x0D) == 0
    assert bench.burst(0x00, 3) == bytes(3)
