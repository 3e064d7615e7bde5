"""Driver ``rnode``: boards with RNode firmware, also of the Community Edition.

An I/O shell around :class:`~protocol.dialects.rnode.RNodeSession`. Such a board keeps nothing:
what it has said is gone, so that frames between it and the store are lost when the process dies. It
hears private frames only, without their first byte, which its firmware takes for its own header.
"""

from drivers.base import BoottimeUs, Capabilities, DriverOptions, Metadata, RadioOptions
from drivers.dialect_driver import DialectDriver
from drivers.errors import UnsupportedDevice
from drivers.rnode_options import SYNC_WORD, check_options
from protocol.dialects.rnode import (
    Alive,
    Lost,
    RadioSettings,
    Ready,
    Received,
    RNodeEvent,
    RNodeSession,
    Unusable,
)
from protocol.dialects.rnode_commands import MAX_DATA, rssi_dbm, snr_db
from protocol.lora.events import (
    CrcStatus,
    Heartbeat,
    LinkState,
    RadioStatistics,
    UplinkReceived,
)

RSSI_MODEL = "rnode"


class RNodeDriver(DialectDriver[RNodeEvent]):
    """One device on one port; see :class:`drivers.base.Driver`."""

    family = "an RNode"
    check = staticmethod(check_options)
    _device: RNodeSession

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
        self._device = RNodeSession([_settings(radio) for radio in self.options.radios], now_us)
        return self._device

    def digest(self, event: RNodeEvent, now_us: int) -> None:
        """See :meth:`DialectDriver.digest`."""
        match event:
            case Ready((major, minor), platform, identity):
                self.check_identity(identity)
                told = f", device {identity.hex()}" if identity else ""
                detail = f"RNode firmware {major}.{minor:02} on {platform}{told}"
                self.change_state(LinkState.UP, detail)
            case Received():
                self.emit(self._uplink(event, now_us))
            case Alive():
                self.emit(self._heartbeat())
            case Lost(reason):
                self.change_state(LinkState.DOWN, reason)
            case Unusable(reason):
                raise UnsupportedDevice(f"{self.options.port}: {reason}")

    def _uplink(self, event: Received, now_us: int) -> UplinkReceived:
        radio = self.options.radios[event.radio]
        self._received[event.radio] += 1
        return UplinkReceived(
            concentrator=self.options.name,
            radio=event.radio,
            payload=event.payload,
            frequency_hz=radio.frequency_hz,
            spreading_factor=radio.spreading_factor,
            bandwidth_hz=radio.bandwidth_hz,
            coding_rate=radio.coding_rate,
            rssi_dbm=None if event.rssi is None else rssi_dbm(event.rssi),
            rssi_model=RSSI_MODEL,
            snr_db=None if event.snr is None else snr_db(event.snr),
            frequency_error_hz=None,
            # It drops what has a bad CRC, but does not see whether there was one at all.
            crc_status=CrcStatus.UNKNOWN,
            received_at_us=now_us,
            count_us=None,
            origin=None,
        )

    def _heartbeat(self) -> Heartbeat:
        session = self._device
        return Heartbeat(
            concentrator=self.options.name,
            radios=tuple(
                RadioStatistics(
                    received=self._received[index],
                    crc_errors=0,
                    noise_rssi_dbm=session.noise_rssi_dbm[index],
                    faults=session.errors.total(),
                    receiving=self.is_up,
                )
                for index in range(len(self.options.radios))
            ),
            newest=None,
            ring_used=0,
            ring_capacity=0,
            ring_overflow=0,
            link_rejects=session.rejects,
            temperature_celsius=session.temperature_celsius,
            supply_volts=None,
        )


def _settings(radio: RadioOptions) -> RadioSettings:
    return RadioSettings(
        radio.frequency_hz,
        radio.bandwidth_hz,
        radio.spreading_factor,
        int(radio.coding_rate.rpartition("/")[2]),
    )
