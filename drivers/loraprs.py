"""Driver ``loraprs``: boards with the esp32_loraprs firmware, an SX127x, and KISS over USB.

An I/O shell around :class:`~protocol.dialects.loraprs.LoraprsSession`. The modem passes on LoRaWAN
and private frames unchanged, up to 255 bytes, from one channel. It answers nothing; what that means
is in docs/DEVICES.md.
"""

from drivers.base import Capabilities, Metadata, RadioOptions
from drivers.errors import UnsupportedDevice
from drivers.loraprs_options import SX1278_MAX_HZ, check_options
from drivers.plain_events import plain_heartbeat, plain_uplink
from drivers.session_driver import DialectDriver
from protocol.dialects.loraprs import (
    MAX_PACKET,
    LoraprsEvent,
    LoraprsSession,
    RadioSettings,
    Ready,
    Received,
)
from protocol.dialects.session_events import Alive, Lost, Unusable
from protocol.lora.events import (
    Heartbeat,
    RadioStatistics,
    RecoveryStep,
    RecoveryStepTaken,
    UplinkReceived,
)

RSSI_MODEL = "loraprs"


class LoraprsDriver(DialectDriver[LoraprsSession, LoraprsEvent]):
    """One modem on one port; see :class:`drivers.base.Driver`."""

    nobody = "no esp32_loraprs modem"
    check = staticmethod(check_options)
    _received = 0
    _refreshed = 0

    @property
    def capabilities(self) -> Capabilities:
        """What the firmware offers, whatever board it runs on."""
        return Capabilities(
            radios=1,
            sync_words=None,
            lorawan=True,
            scheduled_transmit=False,
            acknowledges=False,
            metadata=frozenset({Metadata.RSSI, Metadata.SNR}),
            max_payload=MAX_PACKET,
        )

    def begin_session(self, now_us: int) -> LoraprsSession:
        """One radio, set up as configured."""
        self._refreshed = 0
        return LoraprsSession(radio_settings(self.options.radios[0]), now_us)

    def digest(self, event: LoraprsEvent, now_us: int) -> None:  # noqa: ARG002 - has its own time
        """See :meth:`DialectDriver.digest`."""
        match event:
            case Ready():
                self.ready("", self._detail())
            case Received():
                self.emit(self._uplink(event))
            case Alive():
                self._tell_refreshed()
                self.emit(self._heartbeat())
            case Lost(reason):
                self.lost(reason)
            case Unusable(reason):
                raise UnsupportedDevice(f"{self.options.port}: {reason}")

    def _tell_refreshed(self) -> None:
        if self.session.refreshed > self._refreshed:
            self._refreshed = self.session.refreshed
            reason = "nothing was heard for long: the settings were sent again"
            self.emit(RecoveryStepTaken(self.options.name, RecoveryStep.COMMAND, reason))

    def _detail(self) -> str:
        detail = "esp32_loraprs modem; it has restarted when asked, and does not confirm settings"
        if self.options.radios[0].frequency_hz > SX1278_MAX_HZ:
            detail += ": this frequency needs a build for the SX1276"
        return detail

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
        radio = RadioStatistics(
            received=self._received,
            crc_errors=0,
            noise_rssi_dbm=None,
            faults=0,
            receiving=self.is_up,
        )
        modem = self.session
        return plain_heartbeat(
            self.options, [radio], modem.rejects, supply_volts=modem.supply_volts
        )


def radio_settings(radio: RadioOptions) -> RadioSettings:
    """What is configured, as the modem is told it."""
    return RadioSettings(
        radio.frequency_hz,
        radio.bandwidth_hz,
        radio.spreading_factor,
        int(radio.coding_rate.rpartition("/")[2]),
        radio.sync_word,
    )
