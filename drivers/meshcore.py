"""Driver ``meshcore``: boards with MeshCore's KISS modem firmware.

An I/O shell around :class:`~protocol.dialects.meshcore.MeshCoreSession`. The modem passes on
private frames unchanged, up to 255 bytes. Every so often it resets its gain control, and hears
nothing for some milliseconds then.
"""

from drivers.base import Capabilities, Metadata
from drivers.errors import UnsupportedDevice
from drivers.meshcore_options import SYNC_WORD, check_options
from drivers.plain_events import plain_heartbeat, plain_uplink
from drivers.session_driver import DialectDriver
from protocol.dialects.meshcore import (
    MAX_PACKET,
    MeshCoreEvent,
    MeshCoreSession,
    RadioSettings,
    Ready,
    Received,
)
from protocol.dialects.session_events import Alive, Lost, Unusable
from protocol.lora.events import Heartbeat, RadioStatistics, UplinkReceived

RSSI_MODEL = "meshcore"


class MeshCoreDriver(DialectDriver[MeshCoreSession, MeshCoreEvent]):
    """One modem on one port; see :class:`drivers.base.Driver`."""

    nobody = "no MeshCore modem"
    check = staticmethod(check_options)
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
        return MeshCoreSession(settings, now_us)

    def digest(self, event: MeshCoreEvent, now_us: int) -> None:  # noqa: ARG002 - has its own time
        """See :meth:`DialectDriver.digest`."""
        match event:
            case Ready(version, identity):
                named = identity.hex()[:16] or "unknown"
                detail = f"MeshCore KISS modem version {version}, identity {named}"
                self.ready(identity.hex(), detail)
            case Received():
                self.emit(self._uplink(event))
            case Alive():
                self.emit(self._heartbeat())
            case Lost(reason):
                self.lost(reason)
            case Unusable(reason):
                raise UnsupportedDevice(f"{self.options.port}: {reason}")

    def _uplink(self, event: Received) -> UplinkReceived:
        self._received += 1
        return plain_uplink(
            self.options,
            0,
            event.payload,
            rssi_dbm=event.rssi_dbm,
            rssi_model=RSSI_MODEL,
            snr_db=event.snr_db,
            received_at_us=event.at_us,
        )

    def _heartbeat(self) -> Heartbeat:
        modem = self.session
        radio = RadioStatistics(
            received=self._received,
            crc_errors=modem.receive_errors,
            noise_rssi_dbm=modem.noise_floor_dbm,
            faults=0,
            receiving=self.is_up,
        )
        return plain_heartbeat(
            self.options,
            [radio],
            modem.rejects,
            temperature_celsius=modem.temperature_celsius,
            supply_volts=modem.supply_volts,
        )
