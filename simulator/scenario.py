"""A scenario: a city's sensors, concentrators, air and faults, as plain values.

:mod:`simulator.scenario_file` reads one from TOML and checks it; nothing here checks anything.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum

from protocol.lora.phy import time_on_air_us
from simulator.draws import Draws
from simulator.placement import Area, Placement, Position, place
from simulator.readings import LABELS, MAX_READING_BYTES, Label, SensorKind

MAX_RADIOS = 32  # of a concentrator; a heartbeat has 16 bytes for each and must fit a frame
LORAWAN_OVERHEAD_BYTES = 13  # MHDR 1, FHDR 7 without options, FPort 1, MIC 4 (LoRaWAN 1.0.4, 4)


class PayloadKind(StrEnum):
    """What a sensor puts on the air."""

    LORAWAN = "lorawan"
    CBOR = "cbor"  # the reading alone: neither address nor integrity code


class DeviceClass(StrEnum):
    """How urgent the gateway is to treat a sensor's frames."""

    ALARM = "alarm"
    TELEMETRY = "telemetry"
    BULK = "bulk"


class FaultKind(StrEnum):
    """What can happen to a concentrator."""

    LINK_DROP = "link_drop"  # the port vanishes, the board keeps its power and its ring
    UNPLUG = "unplug"  # the board loses its power and its ring
    REPLUG = "replug"  # ends every unplug
    REBOOT = "reboot"  # the board restarts in the middle of whatever it does
    GARBAGE = "garbage"  # noise on the line between frames
    STALL = "stall"  # nothing moves on the line
    SLOW_DRAIN = "slow_drain"  # the line carries a tenth of its rate
    LOSS = "loss"  # the line swallows a byte of every tenth frame
    DUPLICATE = "duplicate"  # the line says every frame twice
    WEDGE = "wedge"  # the firmware hangs until the device is restarted


@dataclass(frozen=True, slots=True)
class Propagation:
    """Log-distance loss ``intercept + slope * log10(d)``, d in metres, and how links scatter.

    Attributes:
        shadowing_db: standard deviation over links; one value per link, for good.
        fading_db: standard deviation over the packets of a link.
    """

    intercept_db: float = 7.7
    slope_db_per_decade: float = 37.6
    shadowing_db: float = 4.0
    fading_db: float = 3.0


@dataclass(frozen=True, slots=True)
class Reception:
    """What receivers can do: noise figure, and the lead a frame needs over one of its own SF."""

    noise_figure_db: float = 6.0
    capture_db: float = 6.0


@dataclass(frozen=True, slots=True)
class RadioPlan:
    """What a radio is meant to listen to. Documentation: the gateway is what configures chips."""

    frequency_hz: int
    spreading_factor: int
    bandwidth_hz: int
    sync_word: int


@dataclass(frozen=True, slots=True)
class Concentrator:
    """A box of radios that share one antenna; ``kind`` is a family of devices."""

    name: str
    position: Position
    antenna_gain_dbi: float
    radios: tuple[RadioPlan, ...]
    kind: str = "bridge"


@dataclass(frozen=True, slots=True)
class Group:
    """Sensors of one kind that share their settings.

    Attributes:
        period_s: mean time between two packets of a sensor.
        jitter: share of the period, 0 to below 1, by which a packet may come late.
        frequencies_hz: each packet takes one of them at random.
        power_dbm: EIRP.
        header: what stands before the reading of a sensor without LoRaWAN, because the firmware of
            its receiver takes it for its own (RNode: one byte with its lowest bit clear).
    """

    name: str
    kind: SensorKind
    count: int
    period_s: float
    jitter: float
    frequencies_hz: tuple[int, ...]
    spreading_factor: int
    bandwidth_hz: int
    coding_rate: str
    preamble_symbols: int
    power_dbm: float
    payload: PayloadKind
    f_port: int
    device_class: DeviceClass
    placement: Placement
    height_m: float
    header: bytes = b""

    @property
    def sync_word(self) -> int:
        """Public LoRaWAN networks 0x34, private ones 0x12 (SX1276 data sheet, RegSyncWord)."""
        return 0x34 if self.payload is PayloadKind.LORAWAN else 0x12

    @property
    def longest_payload_bytes(self) -> int:
        """Of the PHY payload."""
        lorawan = self.payload is PayloadKind.LORAWAN
        overhead = LORAWAN_OVERHEAD_BYTES if lorawan else len(self.header)
        return MAX_READING_BYTES[self.kind] + overhead

    def time_on_air_us(self, payload_length: int) -> int:
        """Time on air of a PHY payload with this group's settings."""
        return time_on_air_us(
            payload_length=payload_length,
            spreading_factor=self.spreading_factor,
            bandwidth_hz=self.bandwidth_hz,
            coding_rate=self.coding_rate,
            preamble_symbols=self.preamble_symbols,
        )


@dataclass(frozen=True, slots=True)
class Fault:
    """Something that happens to a concentrator.

    ``duration_s`` 0: an unplugged board stays away until a replug, a wedge lasts until the board
    loses its power, a reboot takes no time.
    """

    at_s: float
    kind: FaultKind
    concentrator: str
    duration_s: float


@dataclass(frozen=True, slots=True)
class DeviceKeys:
    """What the gateway must be told of a LoRaWAN sensor (activation by personalisation)."""

    name: str
    dev_addr: bytes
    nwk_s_key: bytes
    app_s_key: bytes
    f_port: int
    device_class: DeviceClass
    decoder: str = "cbor"


@dataclass(frozen=True, slots=True)
class PlacedSensor:
    """One sensor of a group; ``keys`` None = it does not speak LoRaWAN."""

    name: str
    group: Group
    position: Position
    keys: DeviceKeys | None


@dataclass(frozen=True, slots=True)
class Scenario:
    """Everything that a simulation needs to know.

    Attributes:
        seed: decides the city for good: places, addresses, keys. Also the default for chance.
        region: name of a channel plan, e.g. "AS923-2".
        starts_at_s: local time of day when the simulation begins, seconds after midnight.
    """

    seed: int
    region: str
    starts_at_s: float
    area: Area
    propagation: Propagation
    reception: Reception
    concentrators: tuple[Concentrator, ...]
    groups: tuple[Group, ...]
    faults: tuple[Fault, ...]

    def sensors(self) -> Iterator[PlacedSensor]:
        """All sensors, group by group."""
        for group in self.groups:
            for index in range(group.count):
                name = sensor_name(group.name, index)
                x_m, y_m = place(group.placement, index, Draws(self.seed, "place", name))
                yield PlacedSensor(
                    name, group, Position(x_m, y_m, group.height_m), self._keys(group, name)
                )

    def keys(self) -> tuple[DeviceKeys, ...]:
        """The gateway's device table and keys file: every LoRaWAN sensor."""
        return tuple(sensor.keys for sensor in self.sensors() if sensor.keys is not None)

    def labels(self) -> Mapping[int, Label]:
        """Meaning of the integer labels in all readings (the gateway's ``[labels]``)."""
        return LABELS

    def _keys(self, group: Group, name: str) -> DeviceKeys | None:
        if group.payload is not PayloadKind.LORAWAN:
            return None
        draws = Draws(self.seed, "keys", name)
        return DeviceKeys(
            name=name,
            # The 7 most significant bits 0000000 are set aside for private and experimental
            # networks (LoRaWAN 1.0.4, 6.1.1 with NetID 000000).
            dev_addr=b"\x01" + draws.key(0)[:3],
            nwk_s_key=draws.key(1),
            app_s_key=draws.key(2),
            f_port=group.f_port,
            device_class=group.device_class,
        )


def sensor_name(group: str, index: int) -> str:
    """Name of a group's sensor; a name does not change when the group grows."""
    return f"{group}-{index + 1:02}"
