"""Checks of values against each other and against what hardware and regions allow."""

import os
import re
from collections.abc import Iterable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from drivers.registry import options_check
from edge.config.driver_options import driver_options
from edge.config.faults import Findings, KeyPath, nearest
from edge.config.model import (
    ConcentratorConfig,
    Config,
    DeviceConfig,
    RadioConfig,
    UpstreamConfig,
)
from edge.config.reader import Reader
from protocol.lora.regions import Region, region
from protocol.lorawan.device import DeviceMode
from protocol.records.decoded import label_faults
from protocol.records.decoders import UnknownDecoder, decoder
from protocol.records.template import validate_template

_CHANGING_PORT = re.compile(r"/dev/tty(USB|ACM)[0-9]+")
_PLAIN_SCHEMES = ("mqtt", "http", "ws", "nats", "udp")
_LORAWAN_OVERHEAD_BYTES = 13  # MHDR 1, FHDR 7 without options, FPort 1, MIC 4 (LoRaWAN 1.0.4, 4)


def check(config: Config, raw: dict[str, Any], reader: Reader) -> None:
    """Note what does not fit together.

    Args:
        config: without the tables that could not be read.
        raw: the parsed document, for the names of those tables.
    """
    findings = reader.findings
    for key in ("concentrator", "device", "template", "upstream"):
        _check_names(raw.get(key), (key,), findings)
    place = region(config.gateway.region) if config.gateway.region else None
    for concentrator in config.concentrators:
        _check_concentrator(concentrator, place, reader)
    _check_ports(config.concentrators, reader)
    _check_identities(config.concentrators, reader)
    usable = _check_declarations(config, reader)
    template_names = _names_of(raw.get("template"))
    for device in config.devices:
        _check_decoder(device, usable, template_names, reader)
    _check_position(raw.get("gateway"), findings)
    for upstream in config.upstreams:
        _check_filters(upstream, config, reader)
        _check_credentials(upstream, reader)
    _warn_of_missing_files(config, reader)
    if not raw.get("concentrator"):
        findings.warn((), "there is no [[concentrator]]: nothing will be heard")
    if not raw.get("upstream"):
        findings.warn((), "there is no [[upstream]]: frames stay in the outbox until it is full")


def _names_of(raw: object) -> list[str]:
    tables = raw if isinstance(raw, list) else []
    return [str(table["name"]) for table in tables if isinstance(table, dict) and "name" in table]


def _check_names(raw: object, path: KeyPath, findings: Findings) -> None:
    first: dict[str, int] = {}
    for index, table in enumerate(raw if isinstance(raw, list) else ()):
        name = table.get("name") if isinstance(table, dict) else None
        if not isinstance(name, str):
            continue
        if name in first:
            earlier = findings.origins.of((*path, first[name], "name"))
            findings.fault((*path, index, "name"), f"{name} is taken", f"by {earlier}")
        first.setdefault(name, index)


def _check_concentrator(
    concentrator: ConcentratorConfig, place: Region | None, reader: Reader
) -> None:
    findings = reader.findings
    path = reader.path_of(concentrator)
    if not concentrator.radios:
        findings.warn(path, "has no [[concentrator.radio]]: it will hear nothing")
    if _CHANGING_PORT.fullmatch(concentrator.port):
        hint = "a link of /dev/serial/by-id stays; ls -l /dev/serial/by-id shows them"
        findings.warn((*path, "port"), f"{concentrator.port} changes with the next plug", hint)
    faulty = _refuse_impossible(concentrator, reader)
    for index, radio in enumerate(concentrator.radios):
        if place is not None and index not in faulty:
            _warn_of_region(radio, place, reader)


def _refuse_impossible(concentrator: ConcentratorConfig, reader: Reader) -> set[int | None]:
    """Note what the family of devices cannot do; returns the radios that are asked for it."""
    faults = options_check(concentrator.driver)(driver_options(concentrator))
    for fault in faults:
        table = concentrator if fault.radio is None else concentrator.radios[fault.radio]
        path = reader.path_of(table)
        reader.findings.fault((*path, fault.key) if fault.key else path, fault.reason, fault.remedy)
    return {fault.radio for fault in faults}


def _warn_of_region(radio: RadioConfig, place: Region, reader: Reader) -> None:
    """Warnings only: receiving is never forbidden."""
    path = reader.path_of(radio)
    if place.sub_band(radio.frequency_hz, radio.bandwidth_hz) is None:
        low_hz, high_hz = place.band_hz
        reader.findings.warn(
            (*path, "frequency_hz"),
            f"{radio.frequency_hz / 1e6:g} MHz is not in a band of {place.name}"
            f" (from {low_hz / 1e6:g} to {high_hz / 1e6:g} MHz)",
        )
    if radio.payload == "lorawan":
        shortest = place.dwell_violation(
            _LORAWAN_OVERHEAD_BYTES, radio.spreading_factor, radio.bandwidth_hz
        )
        if shortest:
            reader.findings.warn((*path, "spreading_factor"), f"nothing may be sent so: {shortest}")


def _check_ports(concentrators: Iterable[ConcentratorConfig], reader: Reader) -> None:
    first: dict[str, ConcentratorConfig] = {}
    for concentrator in concentrators:
        # Two links may lead to the same device.
        device = os.path.realpath(concentrator.port)
        other = first.setdefault(device, concentrator)
        if other is not concentrator:
            path = (*reader.path_of(concentrator), "port")
            reader.findings.fault(path, f"concentrator {other.name} is on the same port")


def _check_identities(concentrators: Iterable[ConcentratorConfig], reader: Reader) -> None:
    """Events carry the board's identity: those of two boards with one could not be told apart."""
    first: dict[str, ConcentratorConfig] = {}
    for concentrator in concentrators:
        if not concentrator.unique_id:
            continue
        other = first.setdefault(concentrator.unique_id, concentrator)
        if other is not concentrator:
            path = (*reader.path_of(concentrator), "unique_id")
            reader.findings.fault(path, f"concentrator {other.name} is the same board")


def _check_declarations(config: Config, reader: Reader) -> Config:
    """The configuration with only those labels and templates that decoders can use."""
    findings = reader.findings
    labels, templates = {}, []
    for number, label in config.labels.items():
        label_path = ("labels", str(number))
        for fault in label_faults(label):
            findings.fault(label_path, fault)
        if not findings.any_in(label_path):
            labels[number] = label
    for template in config.templates:
        path = reader.path_of(template)
        if not findings.any_in(path):  # else what is told here would only follow from that
            for fault in validate_template(template):
                findings.fault(path, fault)
        if not findings.any_in(path):
            templates.append(template)
    return replace(config, labels=labels, templates=tuple(templates))


def _check_decoder(
    device: DeviceConfig, config: Config, template_names: list[str], reader: Reader
) -> None:
    path = (*reader.path_of(device), "decoder")
    _, _, template = device.decoder.partition(":")
    if template in template_names and template not in [t.name for t in config.templates]:
        return  # its own faults are noted
    try:
        decoder(device.decoder, labels=config.labels, templates=config.templates)
    except UnknownDecoder as error:
        reader.findings.fault(path, str(error), nearest(template, template_names))
        return
    if device.decoder != "none" and device.mode is not DeviceMode.OPEN:
        reader.findings.warn(
            path, f"is not used while mode is {device.mode.value}", 'mode = "open"'
        )


def _check_position(gateway: object, findings: Findings) -> None:
    if isinstance(gateway, dict) and ("latitude" in gateway) != ("longitude" in gateway):
        findings.fault(("gateway",), "latitude and longitude belong together")


def _check_filters(upstream: UpstreamConfig, config: Config, reader: Reader) -> None:
    """A filter that lets nothing through would only be noticed when frames are missed."""
    path = reader.path_of(upstream)
    for key, index, fault in upstream.filters.faults():
        reader.findings.fault((*path, key, index), fault)
    devices = [device.name for device in config.devices]
    radios = [
        name
        for concentrator in config.concentrators
        for name in (
            concentrator.name,
            *(f"{concentrator.name}-{number}" for number in range(len(concentrator.radios))),
        )
    ]
    for key, names, known in (
        ("devices", upstream.devices, devices),
        ("radios", upstream.radios, radios),
    ):
        for index, name in enumerate(names):
            if name not in known:
                fault = f"{name} is not configured"
                reader.findings.fault((*path, key, index), fault, nearest(name, known))


def _check_credentials(upstream: UpstreamConfig, reader: Reader) -> None:
    """Certificates that are not used look like security."""
    options = upstream.options
    url = str(getattr(options, "url", ""))
    path = reader.path_of(upstream)
    if url and urlsplit(url).scheme in _PLAIN_SCHEMES:
        for key in ("ca_file", "cert_file", "key_file"):
            if getattr(options, key, ""):
                scheme = f"{urlsplit(url).scheme}://"
                reader.findings.warn((*path, key), f"is not used with {scheme}, which is in clear")
    if getattr(options, "key_file", "") and not getattr(options, "cert_file", ""):
        reader.findings.warn((*path, "key_file"), "is not used without cert_file")


def _warn_of_missing_files(config: Config, reader: Reader) -> None:
    for upstream in config.upstreams:
        for option in fields(upstream.options):
            name = str(getattr(upstream.options, option.name))
            if option.name.endswith("_file") and name and not Path(name).exists():
                path = (*reader.path_of(upstream), option.name)
                reader.findings.warn(path, f"{name} does not exist or may not be seen from here")
