"""The configuration as values. Attribute names are the TOML keys, lists in the plural.

Field metadata is described in :mod:`edge.config.fields`. Reading and checking is
:func:`edge.config.load.load_config`; these classes check nothing.
"""

# ruff: noqa: RUF009 - setting() and section() are dataclasses.field() with our metadata

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from drivers.registry import DRIVERS
from edge.config.fields import (
    ABSOLUTE_PATH,
    ADDRESS,
    DEV_ADDR,
    DURATION,
    GATEWAY_ID,
    NAME,
    REGION,
    SESSION_KEY,
    SIZE,
    START,
    UNIQUE_ID,
    section,
    setting,
)
from edge.outbox.admission import MIN_BYTES, ClassLimits, OutboxSettings, UpstreamLimits
from edge.upstreams.frame_filter import FilterKeys
from edge.upstreams.registry import UPSTREAMS
from protocol.lora.phy import BANDWIDTH_DIVISORS, CODING_RATES
from protocol.lorawan.device import DeviceMode
from protocol.records.decoded import Label
from protocol.records.sensor_frame import FrameClass
from protocol.records.template import Template

CLASS_HELP = "how urgent its frames are: an alarm is stored and sent at once"


class LogLevel(StrEnum):
    """Least level that is logged."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayConfig:
    """``[gateway]``: who and where this gateway is."""

    id: str = setting(
        "EUI-64 of 16 hexadecimal digits; auto = lowest permanent MAC address with fffe in the"
        " middle. Kept from the first start on: the stored one wins",
        default="auto",
        notation=GATEWAY_ID,
        example="0016c001f0003a21",
    )
    region: str = setting("LoRaWAN region of the place", notation=REGION, example="AS923-2")
    state_dir: Path = setting(
        "where the stored frames and the identity are",
        default=Path("/var/lib/lora-edge"),
        notation=ABSOLUTE_PATH,
    )
    keys_file: Path | None = setting(
        "session keys of devices with mode verify or open: a table [device-name] each, with"
        " nwk_s_key and app_s_key of 32 hexadecimal digits; readable by its owner only",
        default=None,
        notation=ABSOLUTE_PATH,
        example="/etc/lora-edge/keys.toml",
    )
    control_socket: Path = setting(
        "where lora-edge status and frames reach the service",
        default=Path("/run/lora-edge/control.sock"),
        notation=ABSOLUTE_PATH,
    )
    latitude: float | None = setting(
        "where the antenna is (WGS 84)",
        default=None,
        unit="degrees",
        minimum=-90,
        maximum=90,
        example=16.0678,
    )
    longitude: float | None = setting(
        "where the antenna is",
        default=None,
        unit="degrees",
        minimum=-180,
        maximum=180,
        example=108.2208,
    )
    altitude_m: float | None = setting(
        "height of the antenna above sea level",
        default=None,
        unit="metres",
        minimum=-500,
        maximum=9000,
        example=24.0,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RadioConfig:
    """``[[concentrator.radio]]``: what one radio listens to."""

    frequency_hz: int = setting("channel", unit="Hz", example=921_400_000)
    spreading_factor: int = setting(
        "a radio hears this one only; under a dwell limit of 400 ms SF10 carries 11 bytes of"
        " LoRaWAN payload, SF11 and SF12 nothing",
        minimum=7,
        maximum=12,
        why="SF6 exists for frames without a header only, and LoRaWAN has none of those",
        example=9,
    )
    bandwidth_hz: int = setting(
        "bandwidth",
        default=125_000,
        unit="Hz",
        choices=tuple(BANDWIDTH_DIVISORS),
    )
    coding_rate: str = setting(
        "of frames without a header; others state theirs",
        default="4/5",
        choices=tuple(CODING_RATES),
    )
    sync_word: int = setting(
        "0x34 = LoRaWAN, 0x12 = private networks",
        default=0x34,
        minimum=0,
        maximum=255,
        hexadecimal=True,
    )
    payload: str = setting(
        "what the frames are; cbor frames have no address and count as unverified",
        default="lorawan",
        choices=("lorawan", "cbor", "raw"),
    )
    crc: str = setting(
        "any = also store frames with a bad or missing CRC, marked; required = only count them",
        default="required",
        choices=("required", "any"),
    )
    frame_class: FrameClass = setting(
        CLASS_HELP + ", unless its device says otherwise",
        default=FrameClass.TELEMETRY,
        toml="class",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ConcentratorConfig:
    """``[[concentrator]]``: a box of radios on one serial port."""

    name: str = setting("what logs, metrics and frames call it", notation=NAME, example="roof")
    driver: str = setting("family of the device", default="bridge", choices=tuple(DRIVERS))
    port: str = setting(
        "serial port; /dev/serial/by-id/... stays the same when devices are plugged in anew",
        example="/dev/serial/by-id/usb-lora-edge_concentrator_0001-if00",
    )
    baud: int | None = setting(
        "line rate, for real serial lines; USB devices ignore it; if not set, the family's usual"
        " one",
        default=None,
        unit="bit/s",
        minimum=1200,
        maximum=4_000_000,
        example=115_200,
    )
    unique_id: str = setting(
        "identity that the board must report; empty = whatever board answers",
        default="",
        notation=UNIQUE_ID,
        example="e66138935f6c2a21",
    )
    radios: tuple[RadioConfig, ...] = section(tuple, toml="radio")


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceConfig:
    """``[[device]]``: what the gateway knows of one sensor. The keys come from the keys file."""

    name: str = setting("what topics and frames call it", notation=NAME, example="flood-cam-le-01")
    dev_addr: bytes = setting(
        "its address, 8 hexadecimal digits; devices may share one if their keys differ",
        notation=DEV_ADDR,
        example="01a2b3c4",
    )
    mode: DeviceMode = setting(
        "verify = check integrity codes; open = also decrypt payloads. Both need its keys",
        default=DeviceMode.OPAQUE,
        example="open",
    )
    decoder: str = setting(
        "of decrypted payloads: none, cbor, cbor-seq, cbor-seq:<template>, cayenne-lpp or"
        " template:<template>",
        default="none",
        example="cbor",
    )
    frame_class: FrameClass = setting(
        CLASS_HELP, default=FrameClass.TELEMETRY, toml="class", example="alarm"
    )
    allow_counter_reset: bool = setting(
        "accept that its frame counter begins anew, as cheap devices do after a change of"
        " batteries; this also lets old frames be replayed",
        default=False,
    )
    nwk_s_key: bytes | None = setting("", default=None, toml=None, secret=True)
    app_s_key: bytes | None = setting("", default=None, toml=None, secret=True)


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceKeysConfig:
    """A table of the keys file, named as its device."""

    nwk_s_key: bytes = setting("network session key", notation=SESSION_KEY, secret=True)
    app_s_key: bytes | None = setting(
        "application session key", default=None, notation=SESSION_KEY, secret=True
    )


def _class_bytes(frame_class: str) -> Any:
    return setting(
        f"what frames of class {frame_class} may take of it, also as 500MB",
        default=None,
        minimum=100_000,
        example=500_000_000,
    )


def _class_age(frame_class: str) -> Any:
    return setting(
        f"older frames of class {frame_class} are dropped",
        default=None,
        notation=DURATION,
        toml=f"{frame_class}_max_age",
        minimum=60.0,
        example="7d",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class OutboxConfig:
    """``[outbox]``: how much is kept for upstreams that cannot be reached."""

    max_bytes: int = setting(
        "size on disk, also as 2GB; then the oldest frames are dropped",
        default=2_000_000_000,
        minimum=MIN_BYTES,
    )
    max_age_s: float = setting(
        "older frames are dropped",
        default=30 * 86_400.0,
        notation=DURATION,
        toml="max_age",
        minimum=60.0,
    )
    commit_linger_s: float = setting(
        "how long a frame may wait for others before it is committed; alarms do not wait. 1s"
        " writes a third less to the card, 10s two thirds",
        default=0.25,
        notation=DURATION,
        toml="commit_linger",
        maximum=30.0,
    )
    bulk_linger_s: float = setting(
        "the same for frames of class bulk",
        default=1.0,
        notation=DURATION,
        toml="bulk_linger",
        maximum=30.0,
    )
    keep_acknowledged: int = setting(
        "how many of the newest frames stay for lora-edge frames although all upstreams have them",
        default=10_000,
        minimum=0,
    )
    max_dead_letters: int = setting(
        "how many frames that upstreams refused are kept to be looked at",
        default=1_000,
        minimum=0,
    )
    alarm_max_bytes: int | None = _class_bytes("alarm")
    telemetry_max_bytes: int | None = _class_bytes("telemetry")
    bulk_max_bytes: int | None = _class_bytes("bulk")
    alarm_max_age_s: float | None = _class_age("alarm")
    telemetry_max_age_s: float | None = _class_age("telemetry")
    bulk_max_age_s: float | None = _class_age("bulk")

    def settings(self, upstreams: tuple["UpstreamConfig", ...]) -> OutboxSettings:
        """What the outbox has to know."""
        return OutboxSettings(
            max_bytes=self.max_bytes,
            max_age_s=self.max_age_s,
            classes={
                frame_class: ClassLimits(max_bytes, math.inf if max_age_s is None else max_age_s)
                for frame_class, max_bytes, max_age_s in (
                    (FrameClass.ALARM, self.alarm_max_bytes, self.alarm_max_age_s),
                    (FrameClass.TELEMETRY, self.telemetry_max_bytes, self.telemetry_max_age_s),
                    (FrameClass.BULK, self.bulk_max_bytes, self.bulk_max_age_s),
                )
            },
            commit_linger_s=self.commit_linger_s,
            bulk_linger_s=self.bulk_linger_s,
            keep_acknowledged=self.keep_acknowledged,
            max_dead_letters=self.max_dead_letters,
            upstreams={
                upstream.name: UpstreamLimits(
                    start=int(upstream.start) if upstream.start.isdecimal() else upstream.start,
                    max_pending=upstream.max_pending,
                )
                for upstream in upstreams
            },
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamConfig:
    """``[[upstream]]``: one destination of frames.

    ``options`` is the dataclass that its kind declares; its keys stand in the same table.
    """

    name: str = setting("what logs and metrics call it", notation=NAME, example="city")
    kind: str = setting("kind of system", choices=tuple(UPSTREAMS), example="mqtt")
    start: str = setting(
        "where it begins when it is new: oldest = with all that is kept, now, or a frame's number",
        default="oldest",
        notation=START,
    )
    max_pending: int | None = setting(
        "how far it may fall behind, in frames; beyond that its oldest are no longer kept for it",
        default=None,
        minimum=1,
        example=1_000_000,
    )
    dev_addr: tuple[str, ...] = setting(
        "of data frames only those with these addresses: prefixes with their number of bits, or"
        " netid:000013",
        default=(),
        example=("26011000/20",),
    )
    join_eui: tuple[str, ...] = setting(
        "of join-requests only those with these EUIs: prefixes, or ranges as first-last",
        default=(),
        example=("70b3d57ed0000000/40",),
    )
    devices: tuple[str, ...] = setting(
        "only frames of these devices", default=(), example=("flood-cam-le-01",)
    )
    radios: tuple[str, ...] = setting(
        "only frames that one of these has heard: a concentrator, or one radio of it",
        default=(),
        example=("roof-0",),
    )
    f_ports: tuple[int, ...] = setting(
        "of data frames only those with these FPorts; 0 = MAC commands, also without a port",
        default=(),
        example=(2, 10),
    )
    classes: tuple[FrameClass, ...] = setting(
        "only frames of these classes", default=(), example=("alarm", "telemetry")
    )
    max_bytes_per_day: int | None = setting(
        "what it may send in any 24 hours, for metered SIM cards; then frames wait, but not alarms."
        " Also as 20MB",
        default=None,
        minimum=10_000,
        example=20_000_000,
        notation=SIZE,
    )
    hold_after_ack_s: float = setting(
        "how long acknowledged frames are kept, to be sent again if the receiver turns out to have"
        " lost its session; for brokers that acknowledge before they have written. 0s = off",
        default=0.0,
        notation=DURATION,
        toml="hold_after_ack",
        maximum=3600.0,
    )
    options: Any = setting("", toml=None, default=None)

    @property
    def filters(self) -> FilterKeys:
        """Which frames it is to get."""
        return FilterKeys(
            dev_addr=self.dev_addr,
            join_eui=self.join_eui,
            devices=self.devices,
            radios=self.radios,
            f_ports=self.f_ports,
            classes=self.classes,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class MonitoringConfig:
    """``[monitoring]``: for Prometheus and for browsers."""

    listen: str = setting(
        "address of /metrics, /healthz, /readyz and the status page; empty = off",
        default="127.0.0.1:9464",
        notation=ADDRESS,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggingConfig:
    """``[logging]``: what is written to the journal."""

    level: LogLevel = setting("least level that is logged", default=LogLevel.INFO)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """All of it."""

    gateway: GatewayConfig
    concentrators: tuple[ConcentratorConfig, ...] = section(tuple, toml="concentrator")
    devices: tuple[DeviceConfig, ...] = section(tuple, toml="device")
    templates: tuple[Template, ...] = section(tuple, toml="template")
    labels: Mapping[int, Label] = section(dict)
    outbox: OutboxConfig = section(OutboxConfig)
    upstreams: tuple[UpstreamConfig, ...] = section(tuple, toml="upstream")
    monitoring: MonitoringConfig = section(MonitoringConfig)
    logging: LoggingConfig = section(LoggingConfig)
