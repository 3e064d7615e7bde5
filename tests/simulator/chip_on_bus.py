"""A simulated SX127x on a bench: set up by the addresses and values of its data sheet."""

from simulator.sx127x import Sx127x

START_US = 1_000_000
SETTLED_US = 1_000  # longer than crystal (250) and synthesizer (60) need together

SLEEP, STANDBY, FSTX, TX, FSRX, RXCONT, RXSINGLE, CAD = range(0x80, 0x88)
FSK_SLEEP, FSK_STANDBY = 0x00, 0x01

RX_TIMEOUT, RX_DONE, PAYLOAD_CRC_ERROR, VALID_HEADER = 0x80, 0x40, 0x20, 0x10
TX_DONE, CAD_DONE = 0x08, 0x04

SF7_BW125 = {0x1D: 0x72, 0x1E: 0x74}
"""Explicit header, coding rate 4/5, CRC on."""


class Bench:
    """One chip, its clock, and a list of the edges of its DIO pins."""

    def __init__(self) -> None:
        self.edges: list[tuple[int, bool, int]] = []
        self.chip = Sx127x(on_dio=lambda dio, level, at_us: self.edges.append((dio, level, at_us)))
        self.now_us = START_US
        self.chip.reset(self.now_us)

    def read(self, address: int) -> int:
        """One register."""
        return self.burst(address, 1)[0]

    def burst(self, address: int, count: int) -> bytes:
        """Several registers, or the FIFO."""
        return self.chip.read(address, count, self.now_us)

    def write(self, address: int, *values: int) -> None:
        """A burst."""
        self.chip.write(address, bytes(values), self.now_us)

    def wait(self, duration_us: int) -> None:
        """Let time pass."""
        self.now_us += duration_us
        self.chip.advance(self.now_us)

    def mode(self, mode: int) -> None:
        """Write RegOpMode and wait until it is reached."""
        self.write(0x01, mode)
        self.wait(SETTLED_US)

    def lora_standby(self, registers: dict[int, int] | None = None) -> None:
        """Standby in LoRa mode, reached through sleep, and set up."""
        for mode in (FSK_SLEEP, SLEEP, STANDBY):
            self.mode(mode)
        for address, value in (registers or {}).items():
            self.write(address, value)

    def receive(
        self,
        payload: bytes,
        *,
        crc_on_payload: bool = True,
        crc_ok: bool = True,
        coding_rate: int = 1,
        rssi_dbm: float = -80.0,
        snr_db: float = 8.0,
        frequency_error_hz: float = 0.0,
    ) -> None:
        """Let a frame arrive from preamble to end."""
        self.chip.begin_reception(now_us=self.now_us)
        self.wait(20_000)
        self.chip.header_received(
            coding_rate=coding_rate,
            crc_on_payload=crc_on_payload,
            payload_length=len(payload),
            now_us=self.now_us,
        )
        self.wait(30_000)
        self.chip.end_reception(
            payload,
            rssi_dbm=rssi_dbm,
            snr_db=snr_db,
            frequency_error_hz=frequency_error_hz,
            crc_ok=crc_ok,
            now_us=self.now_us,
        )

    def last_packet(self) -> bytes:
        """As a driver reads it: FifoAddrPtr := RxCurrentAddr, then RxNbBytes from the FIFO."""
        self.write(0x0D, self.read(0x10))
        return self.burst(0x00, self.read(0x13))

    def irq_flags(self) -> int:
        """RegIrqFlags."""
        return self.read(0x12)


def receiving(registers: dict[int, int] | None = None) -> Bench:
    """A chip in continuous reception."""
    bench = Bench()
    bench.lora_standby(SF7_BW125 | (registers or {}))
    bench.mode(RXCONT)
    return bench
