"""What ``lora-edge doctor`` looks at, one check after the other."""

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from edge.cli.control_client import ControlError, ask
from edge.cli.location import Location, locate, serial_devices
from edge.cli.output import size
from edge.clock import SystemClock
from edge.config.faults import ConfigError
from edge.config.fields import without_password
from edge.config.load import load_config
from edge.config.model import ConcentratorConfig, Config, UpstreamConfig

_CONNECT_S = 5.0
_LEAST_FREE_BYTES = 100_000_000
_PORTS = {"mqtt": 1883, "mqtts": 8883, "http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: ``result`` is ok, warning or fault; ``fix`` is what to do about the latter two."""

    check: str
    result: str
    text: str
    fix: str = ""


def examine(path: Path) -> Iterator[Finding]:
    """All checks, the quick ones first."""
    location = locate(path)
    max_bytes = 0
    config = None
    try:
        loaded = load_config(path, os.environ)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("configuration", "fault", str(fault), fault.hint or f"edit {path}")
    else:
        config, max_bytes = loaded.config, loaded.config.outbox.max_bytes
        yield Finding("configuration", "ok", f"{path} can be used")
        for warning in loaded.warnings:
            yield Finding("configuration", "warning", str(warning), warning.hint or f"edit {path}")
        for concentrator in config.concentrators:
            yield _port(concentrator)
    yield from _state(location, max_bytes)
    yield _clock()
    yield _unit()
    yield _service(location)
    if config is not None:
        yield from _upstreams(config)


def _port(concentrator: ConcentratorConfig) -> Finding:
    check, port = f"port of {concentrator.name}", Path(concentrator.port)
    if not port.exists():
        found = (
            ", ".join(map(str, serial_devices())) or "none: lsusb shows whether it is plugged in"
        )
        return Finding(check, "fault", f"{port} is not there", f"serial devices here: {found}")
    if not port.is_char_device():
        return Finding(check, "fault", f"{port} is no serial port", "ls -l /dev/serial/by-id")
    if not os.access(port, os.R_OK | os.W_OK):
        fix = "compare lsusb with /etc/udev/rules.d/60-lora-edge.rules"
        return Finding(check, "fault", f"{port} may not be used by this user", fix)
    return Finding(check, "ok", f"{port} can be used")


def _state(location: Location, max_bytes: int) -> Iterator[Finding]:
    directory = location.state_dir
    if not directory.is_dir():
        fix = "systemctl start lora-edge makes it; or correct state_dir"
        yield Finding("state", "fault", f"{directory} is no directory", fix)
        return
    if not os.access(directory, os.W_OK | os.X_OK):
        fix = "run this as sudo -u lora-edge; else chown lora-edge: " + str(directory)
        yield Finding("state", "fault", f"{directory} may not be written by this user", fix)
        return
    yield Finding("state", "ok", f"{directory} can be written")
    free = shutil.disk_usage(directory).free
    used = sum(file.stat().st_size for file in directory.glob("outbox.db*"))
    text = f"{size(free)} free"
    if free < _LEAST_FREE_BYTES:
        yield Finding("disk", "fault", text, f"make room: du -xh {directory} / | sort -h | tail")
    elif free + used < max_bytes:
        fix = f"make room, or set [outbox] max_bytes below {size(free + used)}"
        yield Finding("disk", "warning", f"{text}, but the outbox may take {size(max_bytes)}", fix)
    else:
        yield Finding("disk", "ok", text)


def _clock() -> Finding:
    wall = SystemClock().wall()
    if wall is None:
        fix = "timedatectl; frames are stored, and dated as soon as there is a time source"
        return Finding("clock", "warning", "the clock is not synchronised", fix)
    return Finding("clock", "ok", f"synchronised within {wall.uncertainty_us / 1e6:.3f} s")


def _unit() -> Finding:
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        fix = "see to it that something starts lora-edge run when the machine starts"
        return Finding("unit", "warning", "there is no systemd here", fix)
    asked = subprocess.run(  # noqa: S603 - constant words
        [systemctl, "is-enabled", "lora-edge.service"], capture_output=True, text=True, check=False
    )
    state = asked.stdout.strip() or asked.stderr.strip() or "not known to systemd"
    if asked.returncode == 0:
        return Finding("unit", "ok", f"lora-edge.service is {state}")
    fix = "sudo systemctl enable lora-edge"
    return Finding(
        "unit", "fault", f"lora-edge.service does not start with the machine: {state}", fix
    )


def _service(location: Location) -> Finding:
    try:
        list(ask(location.control_socket, {"command": "status"}))
    except ControlError as error:
        fix = "systemctl status lora-edge; journalctl -u lora-edge -n 50"
        return Finding("service", "fault", str(error), fix)
    return Finding("service", "ok", "it runs and answers; lora-edge status tells more")


def _upstreams(config: Config) -> Iterator[Finding]:
    for upstream in config.upstreams:
        url = getattr(upstream.options, "url", "")
        if url:
            yield _reachable(upstream, str(url))


def _reachable(upstream: UpstreamConfig, url: str) -> Finding:
    """A TCP connection only: user names and certificates are the service's own affair."""
    check = f"upstream {upstream.name}"
    shown = without_password(url)
    try:
        parts = urlsplit(url)
        port = parts.port or _PORTS.get(parts.scheme, 0)
        socket.create_connection((parts.hostname or "", port), timeout=_CONNECT_S).close()
    except (OSError, ValueError) as error:
        fix = "check the network, the name and the firewall; frames are kept meanwhile"
        return Finding(check, "fault", f"{shown} cannot be reached: {error}", fix)
    return Finding(check, "ok", f"{shown} accepts connections")
