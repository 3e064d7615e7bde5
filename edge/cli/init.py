"""Write a first configuration, with this machine's serial devices in it.

Every key is in it, explained and commented out; a file that is there already is never touched.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edge.cli.location import add_config_option, serial_devices
from edge.cli.main import FAILED, OK
from edge.config.default import render_default
from edge.config.toml_text import quoted
from protocol.lora.regions import REGIONS

_MODE = 0o640  # there may be user names in it, and the service reads it as its group


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Options of ``init``."""
    parser.add_argument("file", nargs="?", type=Path, help="same as --config FILE")
    add_config_option(parser)
    parser.add_argument(
        "--region",
        choices=[region.name for region in REGIONS],
        default="AS923-2",
        help="LoRaWAN region of the place (default %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Write the file."""
    path: Path = arguments.file or arguments.config
    devices = serial_devices()
    try:
        _write_new(path, first_configuration(arguments.region, devices))
    except FileExistsError:
        print(f"lora-edge init: {path} is there already and stays as it is", file=sys.stderr)
        return FAILED
    except OSError as error:
        print(f"lora-edge init: {path}: {error.strerror or error}", file=sys.stderr)
        return FAILED
    print(f"wrote {path} for region {arguments.region}")
    for device in devices:
        print(f"found a serial device: {device}")
    if not devices:
        print("no serial device is plugged in: set the port of [[concentrator]] later")
    print(f"next: edit it, then lora-edge check-config -c {path}")
    return OK


def first_configuration(region: str, devices: Sequence[Path]) -> str:
    """The commented default with the region, and with the devices as suggested ports."""
    lines = []
    for line in render_default().splitlines():
        if line.startswith("region = "):
            lines.append(f"region = {quoted(region)}")
        elif line.startswith("#port = ") and devices:
            lines.append("# Found on this machine:")
            lines += [f"#port = {quoted(str(devices[0]))}"]
            lines += [f"# or {quoted(str(device))}" for device in devices[1:]]
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def _write_new(path: Path, text: str) -> None:
    """Never over another file, not even one that appears at this moment."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, _MODE)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
