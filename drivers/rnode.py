"""Driver ``rnode``: boards with RNode firmware, also of the Community Edition.

An I/O shell around :class:`~protocol.dialects.rnode.RNodeSession`. Such a board keeps nothing:
what it has said is gone, so that frames between it and the store are lost when the process dies. It
hears private frames only, without their first byte, which its firmware takes for its own header.
"""

from drivers.base import BoottimeUs, Capabilities, DriverOptions, Metadata, RadioOptions
from drivers.errors import UnsupportedDevice
from drivers.plain_events import plain_heartbeat, plain_uplink
from drivers.rnode_options import SYNC_WORD, check_options
from drivers.session_driver import DialectDriver
from protocol.dialects.rnode import (
    RadioSettings,
    Ready,
    Received,
    RNodeEvent,
    RNodeSession,
)
from protocol.dialects.rnode_commands import MAX_DATA, rssi_dbm, snr_db
from protocol.dialects.session_events import Alive, Lost, Unusable
from protocol.lora.events import (
    Heartbeat,
    RadioStatistics,
    UplinkReceived,
)

RSSI_MODEL = "rnode"


class RNodeDriver(DialectDriver[RNodeSession, RNodeEvent]):
    """One device on one port; see :class:`drivers.base.Driver`."""

    nobody = "no RNode"
    check = staticmethod(check_options)

    def __init__(self, options: DriverOptions, boottime_us: BoottimeUs) -> None:
        super().__init__(options, boottime_us)
        self._received = [0 for _ in options.radios]

    @property
    def capabilities(self) -> Capabilities:
        """What the firmware offers, whatever board it runs on."""
        return Capabilities(
            radios=len(self.options.radios),
            sync_words=frozenset({SYNC_WORD}),
            lorawan=False,
            scheduled_transmit=False,
            acknowledges=False,
            metadata=frozenset({Metadata.RSSI, Metadata.SNR}),
            max_payload=MAX_DATA,
        )

    def begin_session(self, now_us: int) -> RNodeSession:
        """All radios, set up as configured."""
        return RNodeSession([_settings(radio) for radio in self.options.radios], now_us)

    def digest(self, event: RNodeEvent, now_us: int) -> None:
        """See :meth:`DialectDriver.digest`."""
        match event:
            case Ready((major, minor), platform, identity):
                told = f", device {identity.hex()}" if identity else ""
                detail = f"RNode firmware {major}.{minor:02} on {platform}{told}"
                self.ready(identity.hex(), detail)
            case Received():
                self.emit(self._uplink(event, now_us))
            case Alive():
                self.emit(self._heartbeat())
            case Lost(reason):
                self.lost(reason)
            case Unusable(reason):
                raise UnsupportedDevice(f"{self.options.port}: {reason}")

    def _uplink(self, event: Received, now_us: int) -> UplinkReceived:
        self._received[event.radio] += 1
        return plain_uplink(
            self.options,
            event.radio,
            event.payload,
            rssi_dbm=None if event.rssi is None else rssi_dbm(event.rssi),
            rssi_model=RSSI_MODEL,
            snr_db=None if event.snr is None else snr_db(event.snr),
            received_at_us=now_us,
        )

    def _heartbeat(self) -> Heartbeat:
        session = self.session
        radios = [
            RadioStatistics(
                received=received,
                crc_errors=0,
                noise_rssi_dbm=noise_dbm,
                faults=session.errors.total(),
                receiving=self.is_up,
            )
            for received, noise_dbm in zip(self._received, session.noise_rssi_dbm, strict=True)
        ]
        return plain_heartbeat(
            self.options,
            radios,
            session.rejects,
            temperature_celsius=session.temperature_celsius,
        )


def _settings(radio: RadioOptions) -> RadioSettings:
    return RadioSettings(
        radio.frequency_hz,
        radio.bandwidth_hz,
        radio.spreading_factor,
        int(radio.coding_rate.rpartition("/")[2]),
    )
