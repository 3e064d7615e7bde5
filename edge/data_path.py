"""Builds the data path between drivers and outbox from the configuration."""

from edge.clock import Clock
from edge.config.model import Config, DeviceConfig, RadioConfig
from edge.content import ContentBuilder, DeviceRule, RadioRule
from edge.deduplication import Deduplicator
from edge.event_tracker import EventTracker
from edge.ingest import Ingest
from edge.monitoring.metrics import Metrics
from edge.outbox.store import Outbox
from protocol.lorawan.device import DeviceKeys, DeviceTable
from protocol.records.decoders import decoder


def build_ingest(config: Config, *, clock: Clock, metrics: Metrics, outbox: Outbox) -> Ingest:
    """Wire parsing, verification, decoding and merging as configured."""
    radios = {
        (concentrator.name, index): radio
        for concentrator in config.concentrators
        for index, radio in enumerate(concentrator.radios)
    }
    builder = ContentBuilder(
        boot_id=clock.boot_id,
        radios={key: _radio_rule(radio) for key, radio in radios.items()},
        devices={device.name: _device_rule(config, device) for device in config.devices},
        table=DeviceTable(tuple(_device_keys(device) for device in config.devices)),
        decode_cbor=decoder("cbor", labels=config.labels, templates=config.templates),
        committed_mark=outbox.mark,
    )
    return Ingest(
        builder=builder,
        deduplicator=Deduplicator(
            (radio.frequency_hz, radio.spreading_factor, radio.bandwidth_hz)
            for radio in radios.values()
        ),
        tracker=EventTracker(outbox.mark),
        metrics=metrics,
        clock=clock,
        relieve=outbox.release_uncommitted,
    )


def _radio_rule(radio: RadioConfig) -> RadioRule:
    return RadioRule(
        payload=radio.payload, frame_class=radio.frame_class, any_crc=radio.crc == "any"
    )


def _device_rule(config: Config, device: DeviceConfig) -> DeviceRule:
    return DeviceRule(
        decode=decoder(device.decoder, labels=config.labels, templates=config.templates),
        frame_class=device.frame_class,
    )


def _device_keys(device: DeviceConfig) -> DeviceKeys:
    return DeviceKeys(
        name=device.name,
        dev_addr=device.dev_addr,
        mode=device.mode,
        nwk_s_key=device.nwk_s_key,
        app_s_key=device.app_s_key,
        allow_counter_reset=device.allow_counter_reset,
    )
