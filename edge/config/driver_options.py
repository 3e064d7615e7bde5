"""What a driver is told of the configuration."""

from drivers.base import DriverOptions, RadioOptions
from drivers.registry import DRIVERS
from edge.config.model import ConcentratorConfig


def driver_options(concentrator: ConcentratorConfig) -> DriverOptions:
    """Without a configured line rate it is the family's usual one."""
    return DriverOptions(
        name=concentrator.name,
        port=concentrator.port,
        baud=concentrator.baud or DRIVERS[concentrator.driver].baud,
        unique_id=concentrator.unique_id,
        radios=tuple(
            RadioOptions(
                frequency_hz=radio.frequency_hz,
                spreading_factor=radio.spreading_factor,
                bandwidth_hz=radio.bandwidth_hz,
                coding_rate=radio.coding_rate,
                sync_word=radio.sync_word,
                payload=radio.payload,
                crc=radio.crc,
            )
            for radio in concentrator.radios
        ),
        signal_reading=concentrator.signal_reading.value,
    )
