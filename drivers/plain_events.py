"""Events of devices that number nothing, keep nothing, and have no clock of their own."""

from collections.abc import Mapping, Sequence

from drivers.base import DriverOptions
from protocol.lora.events import CrcStatus, Heartbeat, RadioStatistics, UplinkReceived


def plain_uplink(
    options: DriverOptions,
    radio: int,
    payload: bytes,
    *,
    rssi_dbm: float | None,
    rssi_model: str,
    snr_db: float | None,
    received_at_us: int,
) -> UplinkReceived:
    """A frame of which the device tells at most how strong it was: the rest is what was asked for.

    Such firmware keeps frames with a bad CRC to itself, but does not tell whether there was one.
    """
    asked = options.radios[radio]
    return UplinkReceived(
        concentrator=options.name,
        radio=radio,
        payload=payload,
        frequency_hz=asked.frequency_hz,
        spreading_factor=asked.spreading_factor,
        bandwidth_hz=asked.bandwidth_hz,
        coding_rate=asked.coding_rate,
        rssi_dbm=rssi_dbm,
        rssi_model=rssi_model,
        snr_db=snr_db,
        frequency_error_hz=None,
        crc_status=CrcStatus.UNKNOWN,
        received_at_us=received_at_us,
        count_us=None,
        origin=None,
    )


def plain_heartbeat(
    options: DriverOptions,
    radios: Sequence[RadioStatistics],
    link_rejects: Mapping[str, int],
    *,
    temperature_celsius: float | None = None,
    supply_volts: float | None = None,
) -> Heartbeat:
    """A sign of life of a device without a ring."""
    return Heartbeat(
        concentrator=options.name,
        radios=tuple(radios),
        newest=None,
        ring_used=0,
        ring_capacity=0,
        ring_overflow=0,
        link_rejects=link_rejects,
        temperature_celsius=temperature_celsius,
        supply_volts=supply_volts,
    )
