"""One radio of a simulated RNode: its settings, what it makes of packets, and how it sends.

Facts: RNode firmware 1.86 (``sx127x.cpp`` and the packet handling): sync word fixed at 0x12, CRC
on, a header byte of its own before every packet, two packets with the same header for more than 254
bytes, and an RSSI that is not the data sheet's. Of the CRC it tests only the error flag.
"""

from dataclasses import dataclass, field

from protocol.link.messages import RxEvent
from protocol.lora.phy import time_on_air_us
from simulator.fronts.chip_setup import ChipSettings, receive_image
from simulator.radio_unit import IRQ_PAYLOAD_CRC_ERROR, RadioUnit

SYNC_WORD = 0x12
MAX_SINGLE = 254
_SPLIT = 0x01
_HF_HZ = 779_000_000
_PREAMBLE_SYMBOLS = 18


@dataclass(slots=True)
class Packet:
    """What the firmware tells of a reception; ``parts`` are the numbers of the events in it."""

    payload: bytes
    rssi: int
    snr: int
    parts: tuple[int, ...]


@dataclass(slots=True)
class RNodeRadio:
    """Settings as the host made them; 0 or 0xFF = not made yet."""

    unit: RadioUnit
    frequency_hz: int = 0
    bandwidth_hz: int = 0
    tx_power: int = 0xFF
    spreading_factor: int = 0
    coding_rate: int = 5
    online: bool = False
    sent: int = 0
    last_rssi: int = 0
    last_snr: int = 0
    _half: tuple[int, bytes, int] | None = field(default=None)

    @property
    def locked(self) -> bool:
        """Whether it must not be started."""
        return not (
            self.frequency_hz
            and self.bandwidth_hz
            and self.spreading_factor
            and self.tx_power != 0xFF
        )

    def start(self) -> bool:
        """Listen; False if the chip does not take the settings."""
        settings = self._settings()
        if self.locked or not settings.usable:
            return False
        self.unit.set_profile(receive_image(settings))
        self.online = True
        return True

    def stop(self) -> None:
        """Switch the radio off."""
        self.unit.set_profile(None)
        self.online = False
        self._half = None

    def retune(self) -> None:
        """A setting has changed while the radio is on."""
        if self.online:
            self.start()

    def packet(self, event: RxEvent, number: int) -> Packet | None:
        """What becomes of a reception; None = nothing is told yet, or ever."""
        if event.irq_flags & IRQ_PAYLOAD_CRC_ERROR or not event.payload:
            return None
        header, payload = event.payload[0], event.payload[1:]
        rssi, snr = self._rssi(event), event.packet_snr
        self.last_rssi, self.last_snr = rssi, snr
        sequence = header >> 4
        half, self._half = self._half, None
        if not header & _SPLIT:
            return Packet(payload, rssi, snr, (number,)) if payload else None
        if half is not None and half[0] == sequence:
            return Packet(half[1] + payload, rssi, snr, (half[2], number))
        self._half = (sequence, payload, number)
        return None

    def air_packets(self, payload: bytes) -> list[bytes]:
        """What goes on the air for data of the host."""
        self.sent += 1
        header = (self.sent * 5 & 0x0F) << 4
        if len(payload) <= MAX_SINGLE:
            return [bytes([header]) + payload]
        first, rest = payload[:MAX_SINGLE], payload[MAX_SINGLE:]
        return [bytes([header | _SPLIT]) + part for part in (first, rest)]

    def time_on_air_us(self, packet: bytes) -> int:
        """How long a packet takes."""
        return time_on_air_us(
            payload_length=len(packet),
            spreading_factor=self.spreading_factor,
            bandwidth_hz=self.bandwidth_hz,
            coding_rate=f"4/{self.coding_rate}",
            preamble_symbols=_PREAMBLE_SYMBOLS,
        )

    def _settings(self) -> ChipSettings:
        return ChipSettings(
            frequency_hz=self.frequency_hz,
            spreading_factor=self.spreading_factor,
            bandwidth_hz=self.bandwidth_hz,
            coding_rate=self.coding_rate - 4,
            sync_word=SYNC_WORD,
            preamble_symbols=_PREAMBLE_SYMBOLS,
        )

    def _rssi(self, event: RxEvent) -> int:
        """The byte for the host: dBm + 157, after the firmware's own arithmetic."""
        dbm = event.packet_rssi - (157 if self.frequency_hz >= _HF_HZ else 164)
        snr = event.packet_snr - 256 if event.packet_snr > 127 else event.packet_snr
        strength = int(dbm + snr / 4) if snr < 0 else int(dbm * 1.066)
        return max(0, min(255, strength + 157))
