"""What ``lora-edge doctor`` looks at, one check after the other."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from edge.cli.control_client import ControlError, ask
from edge.cli.doctor_finding import Finding
from edge.cli.doctor_machine import examine_machine
from edge.cli.doctor_ports import examine_ports
from edge.cli.doctor_storage import examine_state
from edge.cli.doctor_upstreams import examine_upstreams
from edge.cli.location import Location, locate
from edge.config.faults import ConfigError
from edge.config.load import LoadedConfig, load_config


def examine(
    path: Path,
    *,
    ports: Sequence[Path] = (),
    probe: bool = True,
    tell: Callable[[str], object] = lambda _text: None,
) -> Iterator[Finding]:
    """All checks, the quick ones first.

    Args:
        ports: serial ports to look at beside those that the machine has.
        probe: whether free ports may be opened, which may reset the boards there.
        tell: is told what takes long.
    """
    location = locate(path)
    loaded: LoadedConfig | None = None
    try:
        loaded = load_config(path, os.environ)
    except ConfigError as error:
        for fault in error.faults:
            yield Finding("configuration", "fault", str(fault), fault.hint or f"edit {path}")
    else:
        yield Finding("configuration", "ok", f"{path} can be used")
        for warning in loaded.warnings:
            yield Finding("configuration", "warning", str(warning), warning.hint or f"edit {path}")
    config = None if loaded is None else loaded.config
    yield from examine_state(location.state_dir, config.outbox.max_bytes if config else 0)
    yield from examine_machine()
    status, service = _service(location)
    yield service
    yield from examine_ports(config, status, others=ports, ask=probe, tell=tell)
    if config is not None:
        if config.upstreams:
            tell(f"connecting to {len(config.upstreams)} upstreams, for 10 s each at most")
        yield from examine_upstreams(config)


def _service(location: Location) -> tuple[Mapping[str, Any] | None, Finding]:
    try:
        [status] = ask(location.control_socket, {"command": "status"})
    except (ControlError, ValueError) as error:
        fix = "systemctl status lora-edge; journalctl -u lora-edge -n 50"
        return None, Finding("service", "fault", str(error), fix)
    text = "it runs and answers; lora-edge status tells more"
    return status, Finding("service", "ok", text)
