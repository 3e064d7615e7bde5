"""Where the configuration, the state and the control socket are.

Tools have to find them although the configuration is faulty, or must not be read by whoever asks.
"""

import argparse
import os
import re
from dataclasses import dataclass
from pathlib import Path

from edge.config.document import read_document
from edge.config.environment import override, overrides
from edge.config.faults import ConfigError
from edge.config.fields import ABSOLUTE_PATH

DEFAULT_CONFIG = Path("/etc/lora-edge/gateway.toml")
_DEFAULT_STATE_DIR = "/var/lib/lora-edge"
_DEFAULT_SOCKET = "/run/lora-edge/control.sock"


@dataclass(frozen=True, slots=True)
class Location:
    """Where to find a gateway on this machine."""

    state_dir: Path
    control_socket: Path


def add_config_option(parser: argparse.ArgumentParser) -> None:
    """``-c/--config FILE``."""
    parser.add_argument(
        "-c",
        "--config",
        type=Path,
        default=DEFAULT_CONFIG,
        metavar="FILE",
        help=f"configuration file (default {DEFAULT_CONFIG})",
    )


def locate(config: Path) -> Location:
    """Read as much of a configuration as is needed; what cannot be read has its default."""
    gateway = _gateway_table(config)
    # systemd tells a service its state directory (systemd.exec(5), StateDirectory=).
    state_dir = os.environ.get("STATE_DIRECTORY", _DEFAULT_STATE_DIR)
    return Location(
        state_dir=_path(gateway, "state_dir", state_dir),
        control_socket=_path(gateway, "control_socket", _DEFAULT_SOCKET),
    )


def _path(gateway: dict[str, object], key: str, default: str) -> Path:
    try:
        return Path(ABSOLUTE_PATH.read(gateway.get(key, default)))
    except ValueError:
        return Path(default)


def _gateway_table(config: Path) -> dict[str, object]:
    values: dict[str, object] = {}
    try:
        values = read_document(config).values
    except ConfigError:
        values = {"gateway": _guess(config)}
    override(values, overrides(os.environ))
    gateway = values.get("gateway")
    return gateway if isinstance(gateway, dict) else {}


def _guess(config: Path) -> dict[str, object]:
    """Paths out of a file that is no TOML."""
    try:
        text = config.read_text(errors="replace")
    except OSError:
        return {}
    keys = re.findall(r'^\s*(state_dir|control_socket)\s*=\s*"([^"\\\n]*)"', text, re.MULTILINE)
    return dict(keys)
