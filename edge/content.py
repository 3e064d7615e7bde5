"""From what radios heard to the content of a sensor frame: parse, verify, decode.

Nothing here drops a frame: what cannot be parsed, verified or decoded is kept raw and marked. Pure
but for what it remembers: the replay windows of devices, ahead of their commit.
"""

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from protocol.lora.events import CrcStatus, UplinkReceived
from protocol.lorawan import frame as lorawan
from protocol.lorawan.counter import ReplayWindow
from protocol.lorawan.device import DeviceTable, Opened
from protocol.records.decoded import Decoded, PayloadDecoder
from protocol.records.sensor_frame import FrameClass, FrameContent, Reception, Verified

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RadioRule:
    """How frames of one radio are read (``payload``, ``class`` of ``[[concentrator.radio]]``)."""

    payload: str
    frame_class: FrameClass
    any_crc: bool


_NOT_CONFIGURED = RadioRule("raw", FrameClass.TELEMETRY, any_crc=False)


@dataclass(frozen=True, slots=True)
class DeviceRule:
    """How payloads of one device are decoded, and how urgent its frames are."""

    decode: PayloadDecoder
    frame_class: FrameClass


@dataclass(frozen=True, slots=True)
class Admitted:
    """Content to be committed, with the marks that admit it."""

    content: FrameContent
    marks: Mapping[str, bytes]


def window_key(device: str) -> str:
    """Name of a device's replay window among the marks."""
    return f"fcnt/{device}"


class ContentBuilder:
    """Reads frames by the configured rules.

    Args:
        boot_id: the host's boot, 16 bytes.
        radios: rule of each (concentrator, radio).
        devices: rule of each device by name.
        table: keys and addresses of the devices.
        decode_cbor: decoder for radios whose payload is plain CBOR.
        committed_mark: reads a mark that is already committed.
    """

    def __init__(
        self,
        *,
        boot_id: bytes,
        radios: Mapping[tuple[str, int], RadioRule],
        devices: Mapping[str, DeviceRule],
        table: DeviceTable,
        decode_cbor: PayloadDecoder,
        committed_mark: Callable[[str], bytes | None],
    ) -> None:
        self._boot_id = boot_id
        self._radios = radios
        self._devices = devices
        self._table = table
        self._decode_cbor = decode_cbor
        self._committed_mark = committed_mark
        self._windows: dict[str, ReplayWindow | None] = {}

    def rule(self, event: UplinkReceived) -> RadioRule:
        """The rule of the radio that heard the event.

        A board may still hold what a radio heard that has since left the configuration.
        """
        return self._radios.get((event.concentrator, event.radio), _NOT_CONFIGURED)

    def build(self, receptions: tuple[UplinkReceived, ...]) -> Admitted:
        """Read one frame from its receptions, best first.

        An error of ours while reading it stores the frame raw: a frame is never lost to a bug.
        """
        best = receptions[0]
        rule = self.rule(best)
        raw = FrameContent(
            boot_id=self._boot_id,
            received_boottime_us=min(event.received_at_us for event in receptions),
            receptions=tuple(_reception(event) for event in receptions),
            phy_payload=best.payload,
            frame_class=rule.frame_class,
        )
        if best.crc_status not in (CrcStatus.OK, CrcStatus.UNKNOWN):
            return Admitted(replace(raw, decode_error="crc"), {})
        try:
            return self._read(raw, rule)
        except Exception:
            # The one broad net of the data path: hostile bytes must not stop the service.
            logger.exception("a frame is stored unread: %s", raw.phy_payload.hex())
            return Admitted(replace(raw, decode_error="internal"), {})

    def _read(self, raw: FrameContent, rule: RadioRule) -> Admitted:
        match rule.payload:
            case "cbor":
                return Admitted(_decoded(raw, self._decode_cbor(raw.phy_payload, None)), {})
            case "lorawan":
                return self._read_lorawan(raw)
            case _:
                return Admitted(raw, {})

    def _read_lorawan(self, raw: FrameContent) -> Admitted:
        try:
            frame = lorawan.parse(raw.phy_payload)
        except lorawan.FrameError:
            return Admitted(replace(raw, decode_error="not_lorawan"), {})
        raw = replace(raw, message_type=frame.message_type.value)
        match frame:
            case lorawan.DataFrame() if frame.uplink:
                return self._read_data(raw, frame)
            case lorawan.JoinRequest(dev_eui=dev_eui):
                return Admitted(replace(raw, dev_eui=dev_eui), {})
            case _:
                return Admitted(raw, {})

    def _read_data(self, raw: FrameContent, frame: lorawan.DataFrame) -> Admitted:
        opened = self._table.open_uplink(frame, raw.phy_payload, self._window)
        content = replace(
            raw,
            device=opened.device,
            dev_addr=frame.dev_addr,
            f_cnt=opened.f_cnt,
            f_port=frame.f_port,
            verified=opened.verified,
            verified_reason=opened.reason,
        )
        rule = self._devices.get(opened.device) if opened.device else None
        if rule is None:
            return Admitted(content, {})
        content = replace(content, frame_class=rule.frame_class)
        if opened.plaintext is not None and frame.f_port and opened.verified is Verified.YES:
            content = _decoded(content, rule.decode(opened.plaintext, frame.f_port))
        return Admitted(content, self._moved_window(opened))

    def _window(self, device: str) -> ReplayWindow | None:
        """The device's window, including what is admitted but not yet committed."""
        if device not in self._windows:
            stored = self._committed_mark(window_key(device))
            self._windows[device] = None if stored is None else ReplayWindow.from_bytes(stored)
        return self._windows[device]

    def _moved_window(self, opened: Opened) -> dict[str, bytes]:
        if opened.device is None or opened.new_window is None:
            return {}
        self._windows[opened.device] = opened.new_window
        return {window_key(opened.device): opened.new_window.to_bytes()}


def _reception(event: UplinkReceived) -> Reception:
    return Reception(
        concentrator=event.concentrator,
        radio=event.radio,
        frequency_hz=event.frequency_hz,
        spreading_factor=event.spreading_factor,
        bandwidth_hz=event.bandwidth_hz,
        coding_rate=event.coding_rate,
        rssi_dbm=event.rssi_dbm,
        rssi_model=event.rssi_model,
        snr_db=event.snr_db,
        frequency_error_hz=event.frequency_error_hz,
        crc_status=event.crc_status,
    )


def _decoded(content: FrameContent, decoded: Decoded) -> FrameContent:
    return replace(content, measurements=decoded.measurements, decode_error=decoded.error)
