"""Driver ``meshcore``: boards with MeshCore's KISS modem firmware.

An I/O shell around :class:`~protocol.dialects.meshcore.MeshCoreSession`. The modem passes on
private frames unchanged, up to 255 bytes. Every so often it resets its gain control, and hears
nothing for some milliseconds then.
"""

from drivers.base import Capabilities, Metadata
from drivers.dialect_driver import DialectDriver
from drivers.errors import UnsupportedDevice
from drivers.meshcore_options import FAMILY, SYNC_WORD, check_options
from protocol.dialects.meshcore import (
    MAX_PACKET,
    Alive,
    Lost,
    MeshCoreEvent,
    MeshCoreSession,
    RadioSettings,
    Ready,
    Received,
    Unusable,
)
from protocol.lora.events import CrcStatus, Heartbeat, LinkState, RadioStatistics, UplinkReceived

RSSI_MODEL = "meshcore"


class MeshCoreDriver(DialectDriver[MeshCoreEvent]):
    """One modem on one port; see :class:`drivers.base.Driver`."""

    family = FAMILY
    check = staticmethod(check_options)
    _modem: MeshCoreSession
    _received = 0

    @property
    def capabilities(self) -> Capabilities:
        """What the firmware offers, whatever board it runs on."""
        return Capabilities(
            radios=1,
            sync_words=frozenset({SYNC_WORD}),
            lorawan=False,
            scheduled_transmit=False,
            acknowledges=False,
            metadata=frozenset({Metadata.RSSI, Metadata.SNR}),
            max_payload=MAX_PACKET,
        )

    def begin_session(self, now_us: int) -> MeshCoreSession:
        """One radio, set up as configured."""
        radio = self.options.radios[0]
        settings = RadioSettings(
            radio.frequency_hz,
            radio.bandwidth_hz,
            radio.spreading_factor,
            int(radio.coding_rate.rpartition("/")[2]),
        )
        self._modem = MeshCoreSession(settings, now_us)
        return self._modem

    def digest(self, event: MeshCoreEvent, now_us: int) -> None:  # noqa: ARG002 - has its own time
        """See :meth:`DialectDriver.digest`."""
        match event:
            case Ready(version, identity):
                self.check_identity(identity)
                named = identity.hex()[:16] or "unknown"
                self.change_state(
                    LinkState.UP, f"MeshCore KISS modem version {version}, identity {named}"
                )
            case Received():
                self.emit(self._uplink(event))
            case Alive():
                self.emit(self._heartbeat())
            case Lost(reason):
                self.change_state(LinkState.DOWN, reason)
            case Unusable(reason):
                raise UnsupportedDevice(f"{self.options.port}: {reason}")

    def _uplink(self, event: Received) -> UplinkReceived:
        radio = self.options.radios[0]
        self._received += 1
        return UplinkReceived(
            concentrator=self.options.name,
            radio=0,
            payload=event.payload,
            frequency_hz=radio.frequency_hz,
            spreading_factor=radio.spreading_factor,
            bandwidth_hz=radio.bandwidth_hz,
            coding_rate=radio.coding_rate,
            rssi_dbm=event.rssi_dbm,
            rssi_model=RSSI_MODEL,
            snr_db=event.snr_db,
            frequency_error_hz=None,
            # It drops what has a bad CRC, but does not say whether there was one at all.
            crc_status=CrcStatus.UNKNOWN,
            received_at_us=event.at_us,
            count_us=None,
            origin=None,
        )

    def _heartbeat(self) -> Heartbeat:
        modem = self._modem
        return Heartbeat(
            concentrator=self.options.name,
            radios=(
                RadioStatistics(
                    received=self._received,
                    crc_errors=modem.receive_errors,
                    noise_rssi_dbm=modem.noise_floor_dbm,
                    faults=0,
                    receiving=self.is_up,
                ),
            ),
            newest=None,
            ring_used=0,
            ring_capacity=0,
            ring_overflow=0,
            link_rejects=modem.rejects,
            temperature_celsius=modem.temperature_celsius,
            supply_volts=modem.supply_volts,
        )
