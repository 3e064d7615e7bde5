"""Session keys of devices, from a file of their own that only its owner may read."""

import os
import stat
from dataclasses import replace
from pathlib import Path

from edge.config.document import read_document
from edge.config.faults import ConfigError, Fault, Findings, nearest
from edge.config.model import Config, DeviceConfig, DeviceKeysConfig
from edge.config.reader import BAD, Reader
from protocol.lorawan.device import DeviceMode


def add_keys(config: Config, reader: Reader) -> Config:
    """Give the devices their keys; faults of the keys file go to the reader's findings."""
    findings = reader.findings
    keyless = [device for device in config.devices if device.mode is not DeviceMode.OPAQUE]
    path = config.gateway.keys_file
    if path is None:
        for device in keyless:
            findings.fault(
                (*reader.path_of(device), "mode"),
                f"{device.mode.value} needs keys, but no keys_file is set",
                "[gateway] keys_file",
            )
        return config
    try:
        keys, key_findings = read_keys(path)
    except ConfigError as error:
        # Without a device that needs keys the gateway can do its work all the same.
        (findings.faults if keyless else findings.warnings).extend(error.faults)
        return config
    _warn_of_strangers(keys, [device.name for device in config.devices], key_findings)
    findings.faults += key_findings.faults
    findings.warnings += key_findings.warnings
    if not key_findings.faults:
        for device in keyless:
            _check_keys(device, keys.get(device.name), reader, path)
    devices = tuple(_with_keys(device, keys.get(device.name)) for device in config.devices)
    return replace(config, devices=devices)


def _check_keys(
    device: DeviceConfig, keys: DeviceKeysConfig | None, reader: Reader, file: Path
) -> None:
    path = (*reader.path_of(device), "mode")
    if keys is None:
        reader.findings.fault(
            path, f"{device.mode.value} needs keys, but {file} has no table [{device.name}]"
        )
    elif device.mode is DeviceMode.OPEN and keys.app_s_key is None:
        reader.findings.fault(
            path, f"open needs an app_s_key in the table [{device.name}] of {file}"
        )


def _with_keys(device: DeviceConfig, keys: DeviceKeysConfig | None) -> DeviceConfig:
    """Only what the mode needs: a key that is not here cannot be stolen from here."""
    if keys is None or device.mode is DeviceMode.OPAQUE:
        return device
    app_s_key = keys.app_s_key if device.mode is DeviceMode.OPEN else None
    return replace(device, nwk_s_key=keys.nwk_s_key, app_s_key=app_s_key)


def _warn_of_strangers(
    keys: dict[str, DeviceKeysConfig], devices: list[str], findings: Findings
) -> None:
    for name in keys.keys() - set(devices):
        findings.warn((name,), "no device has this name", nearest(name, devices))


def read_keys(path: Path) -> tuple[dict[str, DeviceKeysConfig], Findings]:
    """Read the keys file: device names to keys, and what is wrong with it.

    Raises:
        ConfigError: it cannot be read, is no TOML, or others than its owner may read it.
    """
    document = read_document(path, check=_refuse_if_readable_by_others)
    findings = document.findings()
    reader = Reader(findings)
    keys = {}
    for name, raw in document.values.items():
        if not isinstance(raw, dict):
            # Without its value: most likely it is a key whose [device-name] is missing.
            findings.fault((name,), "must be in a table that is named as its device")
            continue
        read = reader.table(DeviceKeysConfig, raw, (name,))
        if read is not BAD:
            keys[name] = read
    return keys, findings


def _refuse_if_readable_by_others(path: Path, descriptor: int) -> None:
    mode = stat.S_IMODE(os.fstat(descriptor).st_mode)
    if mode & 0o077:
        fault = Fault(
            str(path),
            "",
            f"holds keys, but others than its owner may use it (mode {mode:04o})",
            f"chmod 600 {path}",
        )
        raise ConfigError([fault])
